//! Lists. The blocking commands here answer nil at once; the connection does the waiting.

use super::{Done, SYNTAX, bulk_or_nil, integer, range, upper};
use crate::Reply;
use crate::mock::blocking::timeout_us;
use crate::mock::store::{Bytes, List, Store};

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Left,
    Right,
}

pub(crate) fn lpush(store: &mut Store, words: &[Bytes]) -> Done {
    push(store, words, End::Left)
}

pub(crate) fn rpush(store: &mut Store, words: &[Bytes]) -> Done {
    push(store, words, End::Right)
}

pub(crate) fn lpushx(store: &mut Store, words: &[Bytes]) -> Done {
    if store.get::<List>(&words[1])?.is_none() { Ok(Reply::Int(0)) } else { push(store, words, End::Left) }
}

pub(crate) fn rpushx(store: &mut Store, words: &[Bytes]) -> Done {
    if store.get::<List>(&words[1])?.is_none() { Ok(Reply::Int(0)) } else { push(store, words, End::Right) }
}

pub(crate) fn lpop(store: &mut Store, words: &[Bytes]) -> Done {
    pop(store, words, End::Left)
}

pub(crate) fn rpop(store: &mut Store, words: &[Bytes]) -> Done {
    pop(store, words, End::Right)
}

pub(crate) fn llen(store: &mut Store, words: &[Bytes]) -> Done {
    Ok(Reply::Int(store.get::<List>(&words[1])?.map_or(0, |list| list.len() as i64)))
}

pub(crate) fn lrange(store: &mut Store, words: &[Bytes]) -> Done {
    let (start, stop) = (integer(&words[2])?, integer(&words[3])?);
    let Some(list) = store.get::<List>(&words[1])? else { return Ok(Reply::Array(Vec::new())) };
    let (from, to) = range(list.len(), start, stop);
    Ok(Reply::Array(list.range(from..to).cloned().map(Reply::Bulk).collect()))
}

pub(crate) fn lindex(store: &mut Store, words: &[Bytes]) -> Done {
    let at = integer(&words[2]);
    let Some(list) = store.get::<List>(&words[1])? else { return Ok(Reply::Nil) };
    Ok(bulk_or_nil(position(list, at?).and_then(|at| list.get(at).cloned())))
}

pub(crate) fn lrem(store: &mut Store, words: &[Bytes]) -> Done {
    let count = integer(&words[2])?;
    let Some(list) = store.get::<List>(&words[1])? else { return Ok(Reply::Int(0)) };
    let most = if count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
    let found = list.iter().enumerate().filter(|(_, item)| **item == words[3]).map(|(at, _)| at);
    let mut found: Vec<usize> =
        if count < 0 { found.rev().take(most).collect() } else { found.take(most).collect() };
    found.sort_unstable();
    for at in found.iter().rev() {
        list.remove(*at);
    }
    store.drop_if_empty(&words[1]);
    Ok(Reply::Int(found.len() as i64))
}

pub(crate) fn lset(store: &mut Store, words: &[Bytes]) -> Done {
    let list = store.get::<List>(&words[1])?.ok_or("ERR no such key")?;
    let at = position(list, integer(&words[2])?).ok_or("ERR index out of range")?;
    list[at] = words[3].clone();
    Ok(Reply::ok())
}

pub(crate) fn ltrim(store: &mut Store, words: &[Bytes]) -> Done {
    let (start, stop) = (integer(&words[2])?, integer(&words[3])?);
    if let Some(list) = store.get::<List>(&words[1])? {
        let (from, to) = range(list.len(), start, stop);
        list.truncate(to);
        list.drain(..from);
        store.drop_if_empty(&words[1]);
    }
    Ok(Reply::ok())
}

pub(crate) fn linsert(store: &mut Store, words: &[Bytes]) -> Done {
    let after = match upper(&words[2]).as_str() {
        "BEFORE" => 0,
        "AFTER" => 1,
        _ => return Err(SYNTAX.into()),
    };
    let Some(list) = store.get::<List>(&words[1])? else { return Ok(Reply::Int(0)) };
    let Some(at) = list.iter().position(|item| *item == words[3]) else { return Ok(Reply::Int(-1)) };
    list.insert(at + after, words[4].clone());
    Ok(Reply::Int(list.len() as i64))
}

/// `RANK COUNT MAXLEN`.
pub(crate) fn lpos(store: &mut Store, words: &[Bytes]) -> Done {
    let (mut rank, mut count, mut most) = (1, None, 0);
    for option in words[3..].chunks(2) {
        let value = option.get(1).ok_or(SYNTAX)?;
        match upper(&option[0]).as_str() {
            "RANK" => rank = integer(value)?,
            "COUNT" => {
                count = Some(integer(value).ok().filter(|n| *n >= 0).ok_or("ERR COUNT can't be negative")?)
            }
            "MAXLEN" => {
                most = integer(value).ok().filter(|n| *n >= 0).ok_or("ERR MAXLEN can't be negative")?
            }
            _ => return Err(SYNTAX.into()),
        }
    }
    if rank == 0 {
        return Err("ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... \
                    or use negative to start from the end of the list"
            .into());
    }
    let empty = List::new();
    let list = store.get::<List>(&words[1])?.map_or(&empty, |list| &*list);
    let looked = if most == 0 { list.len() } else { most as usize };
    let order: Vec<usize> = if rank < 0 {
        (0..list.len()).rev().take(looked).collect()
    } else {
        (0..list.len()).take(looked).collect()
    };
    let skipped = rank.unsigned_abs() as usize - 1;
    let mut found =
        order.into_iter().filter(|at| list[*at] == words[2]).skip(skipped).map(|at| Reply::Int(at as i64));
    Ok(match count {
        None => found.next().unwrap_or(Reply::Nil),
        Some(0) => Reply::Array(found.collect()),
        Some(count) => Reply::Array(found.take(count as usize).collect()),
    })
}

pub(crate) fn lmove(store: &mut Store, words: &[Bytes]) -> Done {
    let (from, to) = (end(&words[3])?, end(&words[4])?);
    move_one(store, &words[1], &words[2], from, to)
}

pub(crate) fn blmove(store: &mut Store, words: &[Bytes]) -> Done {
    timeout_us(words).and_then(|_| lmove(store, words))
}

pub(crate) fn rpoplpush(store: &mut Store, words: &[Bytes]) -> Done {
    move_one(store, &words[1], &words[2], End::Right, End::Left)
}

pub(crate) fn brpoplpush(store: &mut Store, words: &[Bytes]) -> Done {
    timeout_us(words).and_then(|_| rpoplpush(store, words))
}

pub(crate) fn blpop(store: &mut Store, words: &[Bytes]) -> Done {
    pop_any(store, words, End::Left)
}

pub(crate) fn brpop(store: &mut Store, words: &[Bytes]) -> Done {
    pop_any(store, words, End::Right)
}

fn push(store: &mut Store, words: &[Bytes], end: End) -> Done {
    let list = store.make::<List>(&words[1])?;
    words[2..].iter().for_each(|item| put(list, item.clone(), end));
    Ok(Reply::Int(list.len() as i64))
}

fn pop(store: &mut Store, words: &[Bytes], end: End) -> Done {
    if words.len() > 3 {
        return Err(crate::mock::table::wrong_count(&String::from_utf8_lossy(&words[0]).to_lowercase()));
    }
    let count = words.get(2).map(|word| integer(word).ok().filter(|n| *n >= 0));
    let count = match count {
        Some(None) => return Err("ERR value is out of range, must be positive".into()),
        Some(Some(count)) => Some(count as usize),
        None => None,
    };
    let Some(list) = store.get::<List>(&words[1])? else {
        return Ok(if count.is_some() { Reply::NilArray } else { Reply::Nil });
    };
    let reply = match count {
        None => bulk_or_nil(take(list, end)),
        Some(count) => Reply::Array((0..count).map_while(|_| take(list, end)).map(Reply::Bulk).collect()),
    };
    store.drop_if_empty(&words[1]);
    Ok(reply)
}

fn pop_any(store: &mut Store, words: &[Bytes], end: End) -> Done {
    timeout_us(words)?;
    for key in &words[1..words.len() - 1] {
        let Some(list) = store.get::<List>(key)? else { continue };
        let Some(item) = take(list, end) else { continue };
        store.drop_if_empty(key);
        return Ok(Reply::Array(vec![Reply::bulk(key.clone()), Reply::Bulk(item)]));
    }
    Ok(Reply::NilArray)
}

fn move_one(store: &mut Store, from_key: &[u8], to_key: &[u8], from: End, to: End) -> Done {
    if store.get::<List>(from_key)?.is_none() {
        return Ok(Reply::Nil);
    }
    // Both types are right before anything changes.
    store.get::<List>(to_key)?;
    let item = store.get::<List>(from_key)?.and_then(|list| take(list, from)).unwrap_or_default();
    put(store.make::<List>(to_key)?, item.clone(), to);
    store.drop_if_empty(from_key);
    Ok(Reply::Bulk(item))
}

fn end(word: &[u8]) -> Result<End, String> {
    match upper(word).as_str() {
        "LEFT" => Ok(End::Left),
        "RIGHT" => Ok(End::Right),
        _ => Err(SYNTAX.into()),
    }
}

fn put(list: &mut List, item: Bytes, end: End) {
    if end == End::Left { list.push_front(item) } else { list.push_back(item) }
}

fn take(list: &mut List, end: End) -> Option<Bytes> {
    if end == End::Left { list.pop_front() } else { list.pop_back() }
}

fn position(list: &List, at: i64) -> Option<usize> {
    let at = if at < 0 { list.len() as i64 + at } else { at };
    usize::try_from(at).ok().filter(|at| *at < list.len())
}
