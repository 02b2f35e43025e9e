//! Sorted sets.

use super::{Done, SYNTAX, integer, range, upper};
use crate::Reply;
use crate::mock::sorted::Sorted;
use crate::mock::store::{Bytes, Store};
use crate::mock::table::wrong_count;

const NOT_FLOAT: &str = "ERR value is not a valid float";
const RANGE_NOT_FLOAT: &str = "ERR min or max is not a float";

type Rows = Vec<(Bytes, f64)>;

/// `NX XX GT LT CH INCR`.
pub(crate) fn zadd(store: &mut Store, words: &[Bytes]) -> Done {
    let known = |word: &&Bytes| ["NX", "XX", "GT", "LT", "CH", "INCR"].contains(&upper(word).as_str());
    let options: Vec<String> = words[2..].iter().take_while(known).map(|word| upper(word)).collect();
    let has = |name: &str| options.iter().any(|option| option == name);
    let pairs = &words[2 + options.len()..];
    if pairs.is_empty() || !pairs.len().is_multiple_of(2) {
        return Err(SYNTAX.into());
    }
    let (nx, xx, gt, lt) = (has("NX"), has("XX"), has("GT"), has("LT"));
    if nx && xx {
        return Err("ERR XX and NX options at the same time are not compatible".into());
    }
    if (gt && (nx || lt)) || (lt && nx) {
        return Err("ERR GT, LT, and/or NX options at the same time are not compatible".into());
    }
    if has("INCR") && pairs.len() > 2 {
        return Err("ERR INCR option supports a single increment-element pair".into());
    }
    let scores: Result<Vec<f64>, String> = pairs.iter().step_by(2).map(|word| float(word)).collect();
    let scores = scores?;
    if xx && store.get::<Sorted>(&words[1])?.is_none() {
        return Ok(if has("INCR") { Reply::Nil } else { Reply::Int(0) });
    }
    let sorted = store.make::<Sorted>(&words[1])?;
    let (mut added, mut changed, mut last) = (0, 0, Reply::Nil);
    for (pair, given) in pairs.chunks_exact(2).zip(scores) {
        let old = sorted.score(&pair[1]);
        let score = if has("INCR") { old.unwrap_or(0.0) + given } else { given };
        if score.is_nan() {
            return Err("ERR resulting score is not a number (NaN)".into());
        }
        let refused = match old {
            Some(old) => nx || (gt && score <= old) || (lt && score >= old),
            None => xx,
        };
        if refused {
            continue;
        }
        added += i64::from(old.is_none());
        changed += i64::from(old != Some(score));
        sorted.set(&pair[1], score);
        last = Reply::Double(score);
    }
    store.drop_if_empty(&words[1]);
    Ok(if has("INCR") { last } else { Reply::Int(if has("CH") { changed } else { added }) })
}

pub(crate) fn zincrby(store: &mut Store, words: &[Bytes]) -> Done {
    let by = float(&words[2])?;
    let sorted = store.make::<Sorted>(&words[1])?;
    let score = sorted.score(&words[3]).unwrap_or(0.0) + by;
    if score.is_nan() {
        return Err("ERR resulting score is not a number (NaN)".into());
    }
    sorted.set(&words[3], score);
    Ok(Reply::Double(score))
}

pub(crate) fn zrem(store: &mut Store, words: &[Bytes]) -> Done {
    let Some(sorted) = store.get::<Sorted>(&words[1])? else { return Ok(Reply::Int(0)) };
    let removed = words[2..].iter().filter(|member| sorted.remove(member)).count();
    store.drop_if_empty(&words[1]);
    Ok(Reply::Int(removed as i64))
}

pub(crate) fn zscore(store: &mut Store, words: &[Bytes]) -> Done {
    let score = store.get::<Sorted>(&words[1])?.and_then(|sorted| sorted.score(&words[2]));
    Ok(score.map_or(Reply::Nil, Reply::Double))
}

pub(crate) fn zmscore(store: &mut Store, words: &[Bytes]) -> Done {
    let sorted = store.get::<Sorted>(&words[1])?;
    let score = |member: &Bytes| sorted.as_ref().and_then(|sorted| sorted.score(member));
    Ok(Reply::Array(words[2..].iter().map(|m| score(m).map_or(Reply::Nil, Reply::Double)).collect()))
}

pub(crate) fn zcard(store: &mut Store, words: &[Bytes]) -> Done {
    Ok(Reply::Int(store.get::<Sorted>(&words[1])?.map_or(0, |sorted| sorted.len() as i64)))
}

pub(crate) fn zcount(store: &mut Store, words: &[Bytes]) -> Done {
    Ok(Reply::Int(by_score(store, &words[1], &words[2], &words[3])?.len() as i64))
}

pub(crate) fn zrank(store: &mut Store, words: &[Bytes]) -> Done {
    rank(store, words, false)
}

pub(crate) fn zrevrank(store: &mut Store, words: &[Bytes]) -> Done {
    rank(store, words, true)
}

/// `BYSCORE REV LIMIT WITHSCORES`; not `BYLEX`.
pub(crate) fn zrange(store: &mut Store, words: &[Bytes]) -> Done {
    let options = Options::read(&words[4..])?;
    if options.limit.is_some() && !options.by_score {
        return Err(
            "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX".into()
        );
    }
    match (options.by_score, options.reverse) {
        (true, false) => score_range(store, &words[1], &words[2], &words[3], &options),
        (true, true) => score_range(store, &words[1], &words[3], &words[2], &options),
        _ => rank_range(store, words, &options),
    }
}

pub(crate) fn zrevrange(store: &mut Store, words: &[Bytes]) -> Done {
    let options = Options::read(&words[4..])?;
    if options.by_score || options.reverse || options.limit.is_some() {
        return Err(SYNTAX.into());
    }
    rank_range(store, words, &Options { reverse: true, ..options })
}

pub(crate) fn zrangebyscore(store: &mut Store, words: &[Bytes]) -> Done {
    let options = Options::read(&words[4..])?;
    if options.by_score || options.reverse {
        return Err(SYNTAX.into());
    }
    score_range(store, &words[1], &words[2], &words[3], &options)
}

pub(crate) fn zrevrangebyscore(store: &mut Store, words: &[Bytes]) -> Done {
    let options = Options::read(&words[4..])?;
    if options.by_score || options.reverse {
        return Err(SYNTAX.into());
    }
    score_range(store, &words[1], &words[3], &words[2], &Options { reverse: true, ..options })
}

pub(crate) fn zremrangebyscore(store: &mut Store, words: &[Bytes]) -> Done {
    let rows = by_score(store, &words[1], &words[2], &words[3])?;
    remove_rows(store, &words[1], &rows)
}

pub(crate) fn zremrangebyrank(store: &mut Store, words: &[Bytes]) -> Done {
    let (start, stop) = (integer(&words[2])?, integer(&words[3])?);
    let rows = all(store, &words[1])?;
    let (from, to) = range(rows.len(), start, stop);
    remove_rows(store, &words[1], &rows[from..to])
}

pub(crate) fn zpopmin(store: &mut Store, words: &[Bytes]) -> Done {
    pop(store, words, false)
}

pub(crate) fn zpopmax(store: &mut Store, words: &[Bytes]) -> Done {
    pop(store, words, true)
}

#[derive(Default)]
struct Options {
    by_score: bool,
    reverse: bool,
    with_scores: bool,
    limit: Option<(i64, i64)>,
}

impl Options {
    fn read(words: &[Bytes]) -> Result<Self, String> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match upper(word).as_str() {
                "BYSCORE" => options.by_score = true,
                "REV" => options.reverse = true,
                "WITHSCORES" => options.with_scores = true,
                "LIMIT" => {
                    let mut number = || integer(words.next().ok_or(SYNTAX)?);
                    options.limit = Some((number()?, number()?));
                }
                _ => return Err(SYNTAX.into()),
            }
        }
        Ok(options)
    }

    fn reply(&self, rows: Rows) -> Reply {
        if self.with_scores {
            let pair = |(member, score)| (Reply::Bulk(member), Reply::Double(score));
            return Reply::Pairs(rows.into_iter().map(pair).collect());
        }
        Reply::Array(rows.into_iter().map(|(member, _)| Reply::Bulk(member)).collect())
    }
}

fn all(store: &mut Store, key: &[u8]) -> Result<Rows, String> {
    let rows = |sorted: &mut Sorted| sorted.iter().map(|(member, score)| (member.clone(), score)).collect();
    Ok(store.get::<Sorted>(key)?.map_or_else(Vec::new, rows))
}

fn by_score(store: &mut Store, key: &[u8], min: &[u8], max: &[u8]) -> Result<Rows, String> {
    let ((min, min_open), (max, max_open)) = (bound(min)?, bound(max)?);
    let inside = |score: f64| {
        (if min_open { score > min } else { score >= min })
            && (if max_open { score < max } else { score <= max })
    };
    Ok(all(store, key)?.into_iter().filter(|(_, score)| inside(*score)).collect())
}

fn score_range(store: &mut Store, key: &[u8], min: &[u8], max: &[u8], options: &Options) -> Done {
    let mut rows = by_score(store, key, min, max)?;
    if options.reverse {
        rows.reverse();
    }
    if let Some((offset, count)) = options.limit {
        let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
        let taken = usize::try_from(count).unwrap_or(usize::MAX);
        rows = rows.into_iter().skip(skipped).take(taken).collect();
    }
    Ok(options.reply(rows))
}

fn rank_range(store: &mut Store, words: &[Bytes], options: &Options) -> Done {
    let (start, stop) = (integer(&words[2])?, integer(&words[3])?);
    let mut rows = all(store, &words[1])?;
    if options.reverse {
        rows.reverse();
    }
    let (from, to) = range(rows.len(), start, stop);
    Ok(options.reply(rows[from..to].to_vec()))
}

fn rank(store: &mut Store, words: &[Bytes], reverse: bool) -> Done {
    let rows = all(store, &words[1])?;
    let at = rows.iter().position(|(member, _)| *member == words[2]);
    let at = at.map(|at| if reverse { rows.len() - 1 - at } else { at });
    Ok(at.map_or(Reply::Nil, |at| Reply::Int(at as i64)))
}

fn remove_rows(store: &mut Store, key: &[u8], rows: &[(Bytes, f64)]) -> Done {
    if let Some(sorted) = store.get::<Sorted>(key)? {
        rows.iter().for_each(|(member, _)| {
            sorted.remove(member);
        });
    }
    store.drop_if_empty(key);
    Ok(Reply::Int(rows.len() as i64))
}

fn pop(store: &mut Store, words: &[Bytes], highest: bool) -> Done {
    if words.len() > 3 {
        return Err(wrong_count(if highest { "zpopmax" } else { "zpopmin" }));
    }
    let count = words.get(2).map_or(Ok(1), |word| integer(word)).ok().and_then(|n| usize::try_from(n).ok());
    let count = count.ok_or("ERR value is out of range, must be positive")?;
    let mut rows = all(store, &words[1])?;
    if highest {
        rows.reverse();
    }
    rows.truncate(count);
    remove_rows(store, &words[1], &rows)?;
    // Without a count, RESP3 has the member and its score side by side.
    if words.len() == 2 {
        let flat = rows.into_iter().flat_map(|(member, score)| [Reply::Bulk(member), Reply::Double(score)]);
        return Ok(Reply::Array(flat.collect()));
    }
    Ok(Options { with_scores: true, ..Options::default() }.reply(rows))
}

fn float(word: &[u8]) -> Result<f64, String> {
    let text = std::str::from_utf8(word).map_err(|_| NOT_FLOAT)?;
    text.parse().ok().filter(|n: &f64| !n.is_nan()).ok_or_else(|| NOT_FLOAT.to_owned())
}

/// The number of `5`, `(5` or `-inf`, and whether it is left out itself.
fn bound(word: &[u8]) -> Result<(f64, bool), String> {
    let (open, number) = match word.strip_prefix(b"(") {
        Some(number) => (true, number),
        None => (false, word),
    };
    Ok((float(number).map_err(|_| RANGE_NOT_FLOAT)?, open))
}
