//! Attention to a cache beside the sums that it stands for, over lengths, heads and widths; the cache in place.

mod common;

use anyhow::{Context, Result, ensure};
use common::{FP32, close, noise};
use ourvidz_runtime::nn::{self, CachedAttention};
use ourvidz_runtime::{
    DType, Error, Graph, KeepingRun, Session, SessionOptions, Target, Tensor, Value, WeightCache,
};

/// N, K, H and C of a cache.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    heads: usize,
    kv_heads: usize,
    width: usize,
    capacity: usize,
}

const SIZES: [Sizes; 5] = [
    Sizes { heads: 4, kv_heads: 2, width: 16, capacity: 9 },
    Sizes { heads: 7, kv_heads: 1, width: 64, capacity: 40 },
    Sizes { heads: 3, kv_heads: 3, width: 8, capacity: 2 },
    Sizes { heads: 2, kv_heads: 1, width: 256, capacity: 5 },
    Sizes { heads: 14, kv_heads: 2, width: 24, capacity: 33 },
];

/// A graph of one attention, its inputs by their names.
fn attention(s: Sizes, packed: bool) -> Result<Session> {
    let mut g = Graph::new("attention", Target::Cuda, DType::F32);
    let rows = |g: &mut Graph, name: &str, heads: usize| {
        g.input(name, DType::F32, vec![1.into(), "length".into(), (heads * s.width).into()])
    };
    let qkv: (Value, Option<[Value; 2]>) = if packed {
        (rows(&mut g, "qkv", s.heads + 2 * s.kv_heads), None)
    } else {
        (rows(&mut g, "q", s.heads), Some(["k", "v"].map(|name| rows(&mut g, name, s.kv_heads))))
    };
    let cache = vec!["batch".into(), s.kv_heads.into(), s.capacity.into(), s.width.into()];
    let cache = ["keys", "values"].map(|name| g.input(name, DType::F32, cache.clone()));
    let last = g.input("last", DType::I32, vec![1.into()]);
    let tables =
        ["cos", "sin"].map(|name| g.input(name, DType::F32, vec!["positions".into(), (s.width / 2).into()]));
    let total = g.input("total", DType::I32, vec![1.into()]);
    let parts =
        CachedAttention { qkv, cache, last, total, tables, num_heads: s.heads, kv_num_heads: s.kv_heads };
    let outputs = nn::cached_attention(&mut g, parts)?;
    for (name, value) in ["y", "present.keys", "present.values"].into_iter().zip(outputs) {
        g.output(name, value);
    }
    let options = SessionOptions { threads: Some(1), ..SessionOptions::default() };
    Ok(Session::load(&g.finish(), &options, &WeightCache::user(), &mut |_| ())?)
}

/// What attention is of rows [L, N * H], [L, K * H] twice and a cache [K, C, H] twice: y [L, N * H], and the cache.
fn expected(s: Sizes, tokens: usize, total: usize, inputs: [&[f32]; 5], angles: &[f32]) -> [Vec<f32>; 3] {
    let [q, k, v, keys, values] = inputs;
    let half = s.width / 2;
    let turned = |x: &[f32], position: usize| -> Vec<f64> {
        let pair =
            |i: usize| (f64::from(x[i]), f64::from(x[i + half]), f64::from(angles[position * half + i]));
        let first = (0..half).map(pair).map(|(a, b, angle)| a * angle.cos() - b * angle.sin());
        let second = (0..half).map(pair).map(|(a, b, angle)| a * angle.sin() + b * angle.cos());
        first.chain(second).collect()
    };
    let (mut keys, mut values) = (keys.to_vec(), values.to_vec());
    let head = |x: &[f32], heads: usize, token: usize, head: usize| -> Vec<f32> {
        x[(token * heads + head) * s.width..][..s.width].to_vec()
    };
    for (token, position) in (0..tokens).zip(total - tokens..) {
        for h in 0..s.kv_heads {
            for (d, x) in turned(&head(k, s.kv_heads, token, h), position).into_iter().enumerate() {
                keys[(h * s.capacity + position) * s.width + d] = x as f32;
                values[(h * s.capacity + position) * s.width + d] = head(v, s.kv_heads, token, h)[d];
            }
        }
    }
    let mut y = Vec::new();
    for (token, position) in (0..tokens).zip(total - tokens..) {
        for h in 0..s.heads {
            let query = turned(&head(q, s.heads, token, h), position);
            let row = |of: &[f32], at: usize| -> Vec<f64> {
                let start = (h * s.kv_heads / s.heads * s.capacity + at) * s.width;
                of[start..start + s.width].iter().map(|x| f64::from(*x)).collect()
            };
            let score = |at: usize| {
                let product: f64 = row(&keys, at).iter().zip(&query).map(|(k, q)| k * q).sum();
                (product / (s.width as f64).sqrt()).exp()
            };
            let scores: Vec<f64> = (0..=position).map(score).collect();
            let all: f64 = scores.iter().sum();
            for d in 0..s.width {
                let sum: f64 = scores.iter().enumerate().map(|(at, p)| p * row(&values, at)[d]).sum();
                y.push((sum / all) as f32);
            }
        }
    }
    [y, keys, values]
}

/// Rows of q, k and v side by side.
fn side_by_side(tokens: usize, parts: [&[f32]; 3]) -> Vec<f32> {
    let row = |token: usize| parts.map(|x| &x[token * x.len() / tokens..(token + 1) * x.len() / tokens]);
    (0..tokens).flat_map(|token| row(token).concat()).collect()
}

#[test]
fn attention_is_its_sums() -> Result<()> {
    for (i, s) in SIZES.into_iter().enumerate() {
        let (capacity, half) = (s.capacity, s.width / 2);
        let angles: Vec<f32> = noise((capacity + 1) * half, 1).iter().map(|x| 3.0 * x).collect();
        let tables = [f32::cos, f32::sin].map(|f: fn(f32) -> f32| angles.iter().map(|x| f(*x)).collect());
        let [cos, sin] = tables.map(|table| Tensor::f32(&[capacity + 1, half], table));
        let (cos, sin) = (cos?, sin?);
        for packed in [false, true] {
            let mut session = attention(s, packed)?;
            let mut lengths = vec![(1, 1), (2, 1), (2, 2), (capacity - 1, 1), (capacity, 1), (capacity, 2)];
            lengths.push((capacity, capacity));
            for (total, tokens) in lengths.into_iter().filter(|(total, tokens)| tokens <= total) {
                let name = format!("{s:?}, {tokens} of {total}, packed {packed}");
                let rows = |heads: usize, seed| noise(tokens * heads * s.width, seed + i as u64);
                let (q, k, v) = (rows(s.heads, 2), rows(s.kv_heads, 3), rows(s.kv_heads, 4));
                let mut before = [5, 6].map(|seed| noise(s.kv_heads * capacity * s.width, seed));
                // What is not there yet is not read.
                for (at, x) in before.iter_mut().flat_map(|x| x.iter_mut().enumerate()) {
                    if at / s.width % capacity >= total - tokens {
                        *x = f32::NAN;
                    }
                }
                let [keys, values] = &before;
                let mut expected = expected(s, tokens, total, [&q, &k, &v, keys, values], &angles);
                let tensor = |heads: usize, x: Vec<f32>| Tensor::f32(&[1, tokens, heads * s.width], x);
                let cache = |x: Vec<f32>| Tensor::f32(&[1, s.kv_heads, capacity, s.width], x);
                let qkv = tensor(s.heads + 2 * s.kv_heads, side_by_side(tokens, [&q, &k, &v]))?;
                let [q, k, v] = [tensor(s.heads, q)?, tensor(s.kv_heads, k)?, tensor(s.kv_heads, v)?];
                let last = Tensor::i64(&[1], vec![total as i64 - 1])?;
                // Of the positions that may be looked at, those behind the newest are not seen.
                let looked = Tensor::i64(&[1], vec![(total + i % 2).min(capacity) as i64])?;
                let (keys, values) = (cache(keys.clone())?, cache(values.clone())?);
                let mut inputs =
                    vec![("keys", &keys), ("values", &values), ("last", &last), ("total", &looked)];
                inputs.extend([("cos", &cos), ("sin", &sin)]);
                match packed {
                    true => inputs.push(("qkv", &qkv)),
                    false => inputs.extend([("q", &q), ("k", &k), ("v", &v)]),
                }
                let found = session.run(&inputs, &["y", "present.keys", "present.values"])?;
                for (part, (found, expected)) in found.into_iter().zip(&mut expected).enumerate() {
                    let shape = found.shape().to_vec();
                    let mut found = found.into_f32();
                    if part > 0 {
                        // Places of positions that come later keep what was there.
                        for (at, x) in expected.iter_mut().enumerate().filter(|(_, x)| x.is_nan()) {
                            ensure!(found[at].is_nan(), "{name}: place {at} was written");
                            (*x, found[at]) = (0.0, 0.0);
                        }
                    }
                    let [found, expected] = [found, expected.clone()].map(|x| Tensor::f32(&shape, x));
                    close(&format!("{name}, output {part}"), &found?, &expected?, FP32)?;
                }
            }
        }
    }
    Ok(())
}

/// Tokens one by one, in one buffer, are the tokens together.
#[test]
fn the_cache_is_written_in_place() -> Result<()> {
    let s = SIZES[0];
    let (tokens, half) = (7, s.width / 2);
    let angles: Vec<f32> = noise(s.capacity * half, 1);
    let table = |f: fn(f32) -> f32| Tensor::f32(&[s.capacity, half], angles.iter().map(|x| f(*x)).collect());
    let (cos, sin) = (table(f32::cos)?, table(f32::sin)?);
    let width = (s.heads + 2 * s.kv_heads) * s.width;
    let rows = noise(tokens * width, 2);
    let mut session = attention(s, true)?;
    let mut buffers = session.buffers()?;
    for (name, rows, width) in [("keys", s.capacity, s.width), ("values", s.capacity, s.width)] {
        buffers.add(name, DType::F32, &[1, s.kv_heads, rows, width])?;
    }
    let empty =
        Tensor::f32(&[1, s.kv_heads, s.capacity, s.width], vec![0.0; s.kv_heads * s.capacity * s.width])?;
    let qkv = Tensor::f32(&[1, tokens, width], rows.clone())?;
    let last = Tensor::i64(&[1], vec![tokens as i64 - 1])?;
    let total = Tensor::i64(&[1], vec![s.capacity as i64])?;
    let inputs = [
        ("qkv", &qkv),
        ("keys", &empty),
        ("values", &empty),
        ("last", &last),
        ("total", &total),
        ("cos", &cos),
        ("sin", &sin),
    ];
    let outputs = ["y", "present.keys", "present.values"];
    let (together, _) =
        session.run_keeping(KeepingRun { inputs: &inputs, outputs: &outputs, ..KeepingRun::default() })?;
    let mut one_by_one = Vec::new();
    for (token, row) in rows.chunks_exact(width).enumerate() {
        let row = Tensor::f32(&[1, 1, width], row.to_vec())?;
        let last = Tensor::i64(&[1], vec![token as i64])?;
        let inputs = [("qkv", &row), ("last", &last), ("total", &total), ("cos", &cos), ("sin", &sin)];
        let mut bound = session.bound(&inputs, &["y"])?;
        for name in ["keys", "values"] {
            session.set_buffer(&mut bound, name, &buffers, name)?;
            session.set_output(&mut bound, &format!("present.{name}"), &mut buffers, name)?;
        }
        one_by_one.extend(session.run_bound(&mut bound, &[])?.remove(0).into_f32());
    }
    let one_by_one = Tensor::f32(&[1, tokens, s.heads * s.width], one_by_one)?;
    close("y", &one_by_one, &together[0], FP32)?;
    close("keys", &buffers.read("keys")?, &together[1], FP32)?;
    close("values", &buffers.read("values")?, &together[2], FP32)
}

#[test]
fn what_does_not_fit_is_refused() -> Result<()> {
    for (heads, kv_heads, width) in [(4, 2, 12), (4, 3, 16), (4, 2, 264)] {
        let error = attention(Sizes { heads, kv_heads, width, capacity: 4 }, true)
            .err()
            .context("must be refused")?;
        let named = matches!(error.downcast_ref(), Some(Error::Shape { op, .. }) if op == "CachedAttention");
        ensure!(named, "{heads} {kv_heads} {width}: {error}");
    }
    // A position behind the cache, and fewer or more to look at than there are.
    let s = SIZES[0];
    let zeros = |shape: &[usize]| Tensor::f32(shape, vec![0.0; shape.iter().product()]);
    let (qkv, cache) = (zeros(&[1, 1, 8 * 16])?, zeros(&[1, 2, 9, 16])?);
    let table = zeros(&[9, 8])?;
    for (last, total, expected) in [
        (9, 9, "position 9 is not one of 9"),
        (5, 5, "5 positions are not 6 to 9"),
        (5, 10, "10 positions are not 6 to 9"),
    ] {
        let (last, total) = (Tensor::i64(&[1], vec![last])?, Tensor::i64(&[1], vec![total])?);
        let inputs = [
            ("qkv", &qkv),
            ("keys", &cache),
            ("values", &cache),
            ("last", &last),
            ("total", &total),
            ("cos", &table),
            ("sin", &table),
        ];
        let error = attention(s, true)?.run(&inputs, &["y", "present.keys", "present.values"]).err();
        let error = format!("{:?}", error.context("must be refused")?);
        ensure!(error.contains(expected), "{error}");
    }
    Ok(())
}
