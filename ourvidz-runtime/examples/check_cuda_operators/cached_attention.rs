//! Attention to a cache: CUDA beside the loop on the processor, and its time beside `GroupQueryAttention`.

use std::time::Instant;

use anyhow::{Result, ensure};
use ourvidz_runtime::nn::{self, CachedAttention};
use ourvidz_runtime::{
    Attribute, DType, Device, Graph, Session, SessionOptions, Target, Tensor, Value, WeightCache,
};

use super::{LINKS, conversation, difference, numbers};

/// N, K, H and C of a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    heads: usize,
    kv_heads: usize,
    width: usize,
    pub(super) capacity: usize,
}

/// Qwen2.5 7B and 0.5B, Qwen3 0.6B, and others that are cut into blocks in other ways.
const SIZES: [Sizes; 7] = [
    Sizes { heads: 28, kv_heads: 4, width: 128, capacity: 2048 },
    Sizes { heads: 14, kv_heads: 2, width: 64, capacity: 2048 },
    Sizes { heads: 16, kv_heads: 8, width: 128, capacity: 700 },
    Sizes { heads: 4, kv_heads: 2, width: 16, capacity: 96 },
    Sizes { heads: 16, kv_heads: 1, width: 128, capacity: 600 },
    Sizes { heads: 16, kv_heads: 2, width: 256, capacity: 300 },
    Sizes { heads: 6, kv_heads: 2, width: 80, capacity: 300 },
];

/// Of these, prompts are checked: so many tokens behind so many that are cached.
const PROMPTED: [Sizes; 2] = [SIZES[0], SIZES[1]];
const PROMPTS: [usize; 4] = [2, 33, 200, 1100];
const BEFORE: [usize; 3] = [0, 37, 900];

/// Whose attention a timed graph has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attends {
    Own,
    GroupQuery,
}

/// Prints a line for each size and type and gives those that are too far off.
pub(super) fn check(device: Device, timed: bool) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for sizes in SIZES {
        for (dtype, allowed) in [(DType::F32, 1e-5), (DType::F16, 2e-3), (DType::Bf16, 1.5e-2)] {
            // Both forms of the operator, in different types.
            let packed = dtype != DType::F16;
            let Sizes { heads, kv_heads, width, capacity } = sizes;
            let short = errors(device, sizes, dtype, packed, lengths(capacity))?;
            let mut found = vec![(format!("packed {packed}"), short)];
            if capacity >= 300 && (device != Device::Cpu || dtype == DType::F32) {
                found.push(("in place".to_owned(), conversation::errors(device, sizes, dtype)?));
            }
            // The processor needs seconds for each.
            if device != Device::Cpu && dtype != DType::F32 && PROMPTED.contains(&sizes) {
                for before in BEFORE {
                    for tokens in PROMPTS {
                        let error = errors(device, sizes, dtype, packed, vec![(before + tokens, tokens)])?;
                        found.push((format!("{tokens} behind {before}"), error));
                    }
                }
            }
            for (case, error) in found {
                let line = format!(
                    "CachedAttention {heads}/{kv_heads} x {width} of {capacity} {dtype:4} {case} {error:.1e}"
                );
                println!("{line}");
                if error.is_nan() || error > allowed {
                    wrong.push(line);
                }
            }
        }
    }
    if timed && device != Device::Cpu {
        for (sizes, dtype, total, tokens) in [
            (SIZES[0], DType::Bf16, 265, 1),
            (SIZES[0], DType::F16, 265, 1),
            (SIZES[0], DType::Bf16, 2048, 1),
            (SIZES[0], DType::Bf16, 200, 200),
            (SIZES[0], DType::Bf16, 1100, 1100),
            (SIZES[0], DType::F16, 1100, 1100),
            (SIZES[0], DType::Bf16, 2000, 1100),
            (SIZES[0], DType::Bf16, 2000, 33),
        ] {
            for attends in [Attends::GroupQuery, Attends::Own] {
                let [one, many] =
                    [1, LINKS].map(|links| time(device, sizes, dtype, attends, links, (total, tokens)));
                let microseconds = (many? - one?) / (LINKS - 1) as f64 * 1e6;
                println!("{attends:?}, {tokens} of {total} in {dtype}: {microseconds:.1} us a layer");
            }
        }
    }
    Ok(wrong)
}

/// Positions and how many of them are new.
fn lengths(c: usize) -> Vec<(usize, usize)> {
    let mut lengths =
        vec![(1, 1), (2, 1), (33, 1), (65, 1), (c - 1, 1), (c, 1), (c, 5), (40, 40), (c / 2, 1)];
    // Between a half and three quarters, a block's part of the cache is no power of two.
    lengths.extend((0..5).map(|i| (c / 2 + 1 + i * c / 25, 1)));
    lengths
}

/// The largest error over lengths, all by one node: what it keeps from run to run must not matter.
fn errors(device: Device, s: Sizes, dtype: DType, packed: bool, lengths: Vec<(usize, usize)>) -> Result<f64> {
    let [mut reference, mut checked] =
        [(DType::F32, Device::Cpu), (dtype, device)].map(|(dtype, device)| session(s, dtype, device, packed));
    let mut worst = 0.0f64;
    for (total, tokens) in lengths {
        let inputs = inputs(s, dtype, packed, total, tokens)?;
        let inputs: Vec<_> = inputs.iter().map(|(name, tensor)| (*name, tensor)).collect();
        let run = |session: &mut Result<Session>| match session {
            Ok(session) => Ok(session.run(&inputs, &["y", "present.keys", "present.values"])?),
            Err(error) => anyhow::bail!("{error:#}"),
        };
        let (expected, found, again) = (run(&mut reference)?, run(&mut checked)?, run(&mut checked)?);
        ensure!(found == again, "{s:?} {dtype}, {tokens} of {total}: another run gives other numbers");
        for (found, expected) in found.iter().zip(&expected) {
            let error = difference(found, expected)?;
            ensure!(!error.is_nan(), "{s:?} {dtype}, {tokens} of {total}: not a number");
            worst = worst.max(error);
        }
    }
    Ok(worst)
}

pub(super) fn session(s: Sizes, dtype: DType, device: Device, packed: bool) -> Result<Session> {
    let mut g = Graph::new("attention", Target::Cuda, dtype);
    let mut rows = |name: &str, heads: usize| {
        g.input(name, dtype, vec![1.into(), "length".into(), (heads * s.width).into()])
    };
    let qkv = match packed {
        true => (rows("qkv", s.heads + 2 * s.kv_heads), None),
        false => (rows("q", s.heads), Some([rows("k", s.kv_heads), rows("v", s.kv_heads)])),
    };
    let shared = shared(&mut g, s);
    let outputs = attend(&mut g, s, qkv, shared, "")?;
    for (name, value) in ["y", "present.keys", "present.values"].into_iter().zip(outputs) {
        g.output(name, value);
    }
    let options = SessionOptions { device, ..SessionOptions::default() };
    Ok(Session::load(&g.finish(), &options, &WeightCache::user(), &mut |_| ())?)
}

/// The newest position, the number of positions on the host, and the tables.
fn shared(g: &mut Graph, s: Sizes) -> ([Value; 2], [Value; 2]) {
    let last = ["last", "total"].map(|name| g.input(name, DType::I32, vec![1.into()]));
    let tables =
        ["cos", "sin"].map(|name| g.input(name, g.dtype(), vec![s.capacity.into(), (s.width / 2).into()]));
    (last, tables)
}

/// Caches are inputs of their own, whose names end with `name`.
fn attend(
    g: &mut Graph,
    s: Sizes,
    qkv: (Value, Option<[Value; 2]>),
    ([last, total], tables): ([Value; 2], [Value; 2]),
    name: &str,
) -> Result<[Value; 3]> {
    let cache = caches(g, s, name);
    let parts =
        CachedAttention { qkv, cache, last, total, tables, num_heads: s.heads, kv_num_heads: s.kv_heads };
    Ok(nn::cached_attention(g, parts)?)
}

fn caches(g: &mut Graph, s: Sizes, name: &str) -> [Value; 2] {
    let shape = vec![1.into(), s.kv_heads.into(), s.capacity.into(), s.width.into()];
    ["keys", "values"].map(|part| g.input(&format!("{part}{name}"), g.dtype(), shape.clone()))
}

pub(super) fn inputs(
    s: Sizes,
    rounded: DType,
    packed: bool,
    total: usize,
    tokens: usize,
) -> Result<Vec<(&'static str, Tensor)>> {
    // The reference takes f32 of the same, rounded numbers: a session brings inputs into its own type.
    let tensor = |shape: &[usize], values: Vec<f32>| {
        Ok::<_, anyhow::Error>(Tensor::f32(shape, values)?.to_dtype(rounded)?)
    };
    let rows =
        |heads: usize, seed| tensor(&[1, tokens, heads * s.width], numbers(tokens * heads * s.width, seed));
    let cache = [1, s.kv_heads, s.capacity, s.width];
    let cached = |seed| tensor(&cache, numbers(cache.iter().product(), seed));
    let table = [s.capacity, s.width / 2];
    let angles = numbers(table.iter().product(), 7);
    let turned = |f: fn(f32) -> f32| tensor(&table, angles.iter().map(|x| f(3.0 * x)).collect());
    let mut inputs = vec![
        ("keys", cached(4)?),
        ("values", cached(5)?),
        ("last", Tensor::i64(&[1], vec![total as i64 - 1])?),
        ("total", Tensor::i64(&[1], vec![total as i64])?),
        ("cos", turned(f32::cos)?),
        ("sin", turned(f32::sin)?),
    ];
    match packed {
        true => inputs.push(("qkv", rows(s.heads + 2 * s.kv_heads, 1)?)),
        false => inputs.extend([
            ("q", rows(s.heads, 1)?),
            ("k", rows(s.kv_heads, 2)?),
            ("v", rows(s.kv_heads, 3)?),
        ]),
    }
    Ok(inputs)
}

/// Seconds of `links` attentions, one's result being the next one's queries, the median of many: of one token a
/// recorded step, of more a run that is not recorded, as a decoder takes them.
fn time(
    device: Device,
    s: Sizes,
    dtype: DType,
    attends: Attends,
    links: usize,
    (total, tokens): (usize, usize),
) -> Result<f64> {
    let recorded = tokens == 1;
    let mut g = Graph::new("attentions", Target::Cuda, dtype);
    let mut rows = |name: &str, heads: usize| {
        g.input(name, dtype, vec![1.into(), tokens.into(), (heads * s.width).into()])
    };
    let (mut x, kv) = (rows("q", s.heads), [rows("k", s.kv_heads), rows("v", s.kv_heads)]);
    let ([last, longest], tables) = shared(&mut g, s);
    for link in 0..links {
        let name = format!(".{link}");
        let [y, keys, values] = match attends {
            Attends::Own => attend(&mut g, s, (x, Some(kv)), ([last, longest], tables), &name)?,
            Attends::GroupQuery => {
                let cache = caches(&mut g, s, &name);
                let [q, k, v, keys, values, cos, sin] =
                    [x, kv[0], kv[1], cache[0], cache[1], tables[0], tables[1]].map(Some);
                let inputs = [q, k, v, keys, values, Some(last), Some(longest), cos, sin];
                let attributes = vec![
                    ("num_heads", Attribute::Int(s.heads as i64)),
                    ("kv_num_heads", Attribute::Int(s.kv_heads as i64)),
                    ("do_rotary", Attribute::Int(1)),
                ];
                let outputs = [x, cache[0], cache[1]].map(|like| (dtype, g.shape(like).to_vec()));
                let op = "GroupQueryAttention";
                g.operator_with_outputs("com.microsoft", op, &inputs, attributes, outputs)
            }
        };
        g.output(&format!("present.keys{name}"), keys);
        g.output(&format!("present.values{name}"), values);
        x = y;
    }
    g.output("y", x);
    let options = SessionOptions { device, cuda_graph: recorded, ..SessionOptions::default() };
    let mut session = Session::load(&g.finish(), &options, &WeightCache::user(), &mut |_| ())?;
    let (mut buffers, mut bound) = (session.buffers()?, session.unbound()?);
    for (name, tensor) in inputs(s, dtype, false, total, tokens)? {
        // On the host, and of a full cache where a decoder records it so: `last` counts.
        if name == "total" {
            let longest = if recorded { s.capacity } else { total };
            session.set(&mut bound, name, &Tensor::i64(&[1], vec![longest as i64])?)?;
            continue;
        }
        let names: Vec<String> = match name {
            "keys" | "values" => (0..links).map(|link| format!("{name}.{link}")).collect(),
            name => vec![name.to_owned()],
        };
        let tensor = if name == "last" { tensor.to_dtype(DType::I32)? } else { tensor };
        for input in names {
            buffers.add(&input, tensor.dtype(), tensor.shape())?;
            buffers.write(&input, &tensor)?;
            session.set_buffer(&mut bound, &input, &buffers, &input)?;
            if name != input {
                session.set_output(&mut bound, &format!("present.{input}"), &mut buffers, &input)?;
            }
        }
    }
    buffers.add("y", dtype, &[1, tokens, s.heads * s.width])?;
    session.set_output(&mut bound, "y", &mut buffers, "y")?;
    let mut times = Vec::new();
    for repeat in 0..120 {
        let start = Instant::now();
        session.run_in_place(&mut bound, recorded.then_some(1))?;
        if repeat >= 20 {
            times.push(start.elapsed().as_secs_f64());
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
