//! Hashes. Fields come in the order of their bytes.

use super::{Done, bulk_or_nil, integer, scan_page};
use crate::Reply;
use crate::mock::store::{Bytes, Hash, Store};
use crate::mock::table::wrong_count;

pub(crate) fn hset(store: &mut Store, words: &[Bytes]) -> Done {
    set_all(store, words, "hset").map(Reply::Int)
}

pub(crate) fn hmset(store: &mut Store, words: &[Bytes]) -> Done {
    set_all(store, words, "hmset").map(|_| Reply::ok())
}

pub(crate) fn hsetnx(store: &mut Store, words: &[Bytes]) -> Done {
    let hash = store.make::<Hash>(&words[1])?;
    if hash.contains_key(&words[2]) {
        return Ok(Reply::Int(0));
    }
    hash.insert(words[2].clone(), words[3].clone());
    Ok(Reply::Int(1))
}

pub(crate) fn hget(store: &mut Store, words: &[Bytes]) -> Done {
    Ok(bulk_or_nil(store.get::<Hash>(&words[1])?.and_then(|hash| hash.get(&words[2]).cloned())))
}

pub(crate) fn hmget(store: &mut Store, words: &[Bytes]) -> Done {
    let empty = Hash::new();
    let hash = store.get::<Hash>(&words[1])?.map_or(&empty, |hash| &*hash);
    Ok(Reply::Array(words[2..].iter().map(|field| bulk_or_nil(hash.get(field).cloned())).collect()))
}

pub(crate) fn hgetall(store: &mut Store, words: &[Bytes]) -> Done {
    let pair = |(field, value): (&Bytes, &Bytes)| (Reply::bulk(field.clone()), Reply::bulk(value.clone()));
    Ok(Reply::Map(
        store.get::<Hash>(&words[1])?.map_or_else(Vec::new, |hash| hash.iter().map(pair).collect()),
    ))
}

pub(crate) fn hdel(store: &mut Store, words: &[Bytes]) -> Done {
    let Some(hash) = store.get::<Hash>(&words[1])? else { return Ok(Reply::Int(0)) };
    let removed = words[2..].iter().filter(|field| hash.remove(*field).is_some()).count();
    store.drop_if_empty(&words[1]);
    Ok(Reply::Int(removed as i64))
}

pub(crate) fn hexists(store: &mut Store, words: &[Bytes]) -> Done {
    let found = store.get::<Hash>(&words[1])?.is_some_and(|hash| hash.contains_key(&words[2]));
    Ok(Reply::Int(i64::from(found)))
}

pub(crate) fn hlen(store: &mut Store, words: &[Bytes]) -> Done {
    Ok(Reply::Int(store.get::<Hash>(&words[1])?.map_or(0, |hash| hash.len() as i64)))
}

pub(crate) fn hkeys(store: &mut Store, words: &[Bytes]) -> Done {
    let keys = store.get::<Hash>(&words[1])?.map_or_else(Vec::new, |hash| hash.keys().cloned().collect());
    Ok(Reply::Array(keys.into_iter().map(Reply::Bulk).collect()))
}

pub(crate) fn hvals(store: &mut Store, words: &[Bytes]) -> Done {
    let values = store.get::<Hash>(&words[1])?.map_or_else(Vec::new, |hash| hash.values().cloned().collect());
    Ok(Reply::Array(values.into_iter().map(Reply::Bulk).collect()))
}

pub(crate) fn hstrlen(store: &mut Store, words: &[Bytes]) -> Done {
    let value = store.get::<Hash>(&words[1])?.and_then(|hash| hash.get(&words[2]));
    Ok(Reply::Int(value.map_or(0, |value| value.len() as i64)))
}

pub(crate) fn hincrby(store: &mut Store, words: &[Bytes]) -> Done {
    let by = integer(&words[3])?;
    let old = match store.get::<Hash>(&words[1])?.and_then(|hash| hash.get(&words[2])) {
        Some(value) => integer(value).map_err(|_| "ERR hash value is not an integer")?,
        None => 0,
    };
    let new = old.checked_add(by).ok_or(super::OVERFLOW)?;
    store.make::<Hash>(&words[1])?.insert(words[2].clone(), new.to_string().into_bytes());
    Ok(Reply::Int(new))
}

pub(crate) fn hscan(store: &mut Store, words: &[Bytes]) -> Done {
    let empty = Hash::new();
    let hash = store.get::<Hash>(&words[1])?.map_or(&empty, |hash| &*hash);
    let fields = scan_page(hash.keys().cloned().collect(), &words[2..])?;
    let items = fields.into_iter().flat_map(|field| {
        let value = hash.get(&field).cloned().unwrap_or_default();
        [Reply::Bulk(field), Reply::Bulk(value)]
    });
    Ok(Reply::Array(vec![Reply::bulk("0"), Reply::Array(items.collect())]))
}

/// How many fields are new.
fn set_all(store: &mut Store, words: &[Bytes], name: &str) -> Result<i64, String> {
    if !words.len().is_multiple_of(2) {
        return Err(wrong_count(name));
    }
    let hash = store.make::<Hash>(&words[1])?;
    let pairs = words[2..].chunks_exact(2);
    Ok(pairs.filter(|pair| hash.insert(pair[0].clone(), pair[1].clone()).is_none()).count() as i64)
}
