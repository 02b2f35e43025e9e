//! Strings and counters.

use super::{Done, NOT_INTEGER, OVERFLOW, SYNTAX, bulk_or_nil, integer, upper};
use crate::Reply;
use crate::mock::store::{Bytes, Data, Store};
use crate::mock::table::wrong_count;

pub(crate) fn get(store: &mut Store, words: &[Bytes]) -> Done {
    Ok(bulk_or_nil(store.get::<Bytes>(&words[1])?.cloned()))
}

/// `NX XX GET KEEPTTL EX PX EXAT PXAT`.
pub(crate) fn set(store: &mut Store, words: &[Bytes]) -> Done {
    let (mut nx, mut xx, mut get, mut keep, mut until) = (false, false, false, false, None);
    let mut options = words[3..].iter();
    while let Some(option) = options.next() {
        let name = upper(option);
        match name.as_str() {
            "NX" if !xx => nx = true,
            "XX" if !nx => xx = true,
            "GET" => get = true,
            "KEEPTTL" if until.is_none() => keep = true,
            "EX" | "PX" | "EXAT" | "PXAT" if until.is_none() && !keep => {
                until = Some(expiry(store, "set", &name, options.next().ok_or(SYNTAX)?)?);
            }
            _ => return Err(SYNTAX.into()),
        }
    }
    let key = &words[1];
    let old = if get { Some(bulk_or_nil(store.get::<Bytes>(key)?.cloned())) } else { None };
    let exists = store.exists(key);
    if (nx && exists) || (xx && !exists) {
        return Ok(old.unwrap_or(Reply::Nil));
    }
    let kept = store.expiry_ms(key).flatten().filter(|_| keep);
    store.put(key, Data::Text(words[2].clone()));
    store.set_expiry_ms(key, until.or(kept));
    Ok(old.unwrap_or_else(Reply::ok))
}

pub(crate) fn setex(store: &mut Store, words: &[Bytes]) -> Done {
    set_until(store, words, "setex", "EX")
}

pub(crate) fn psetex(store: &mut Store, words: &[Bytes]) -> Done {
    set_until(store, words, "psetex", "PX")
}

pub(crate) fn setnx(store: &mut Store, words: &[Bytes]) -> Done {
    if store.exists(&words[1]) {
        return Ok(Reply::Int(0));
    }
    store.put(&words[1], Data::Text(words[2].clone()));
    Ok(Reply::Int(1))
}

pub(crate) fn getdel(store: &mut Store, words: &[Bytes]) -> Done {
    let old = get(store, words)?;
    store.remove(&words[1]);
    Ok(old)
}

pub(crate) fn incr(store: &mut Store, words: &[Bytes]) -> Done {
    add(store, &words[1], 1)
}

pub(crate) fn decr(store: &mut Store, words: &[Bytes]) -> Done {
    add(store, &words[1], -1)
}

pub(crate) fn incrby(store: &mut Store, words: &[Bytes]) -> Done {
    add(store, &words[1], integer(&words[2])?)
}

pub(crate) fn decrby(store: &mut Store, words: &[Bytes]) -> Done {
    let by = integer(&words[2])?.checked_neg().ok_or("ERR decrement would overflow")?;
    add(store, &words[1], by)
}

pub(crate) fn append(store: &mut Store, words: &[Bytes]) -> Done {
    let text = store.make::<Bytes>(&words[1])?;
    text.extend_from_slice(&words[2]);
    Ok(Reply::Int(text.len() as i64))
}

pub(crate) fn mget(store: &mut Store, words: &[Bytes]) -> Done {
    let one = |key: &Bytes| bulk_or_nil(store.get::<Bytes>(key).ok().flatten().cloned());
    Ok(Reply::Array(words[1..].iter().map(one).collect()))
}

pub(crate) fn mset(store: &mut Store, words: &[Bytes]) -> Done {
    if words.len().is_multiple_of(2) {
        return Err(wrong_count("mset"));
    }
    for pair in words[1..].chunks_exact(2) {
        store.put(&pair[0], Data::Text(pair[1].clone()));
    }
    Ok(Reply::ok())
}

pub(crate) fn strlen(store: &mut Store, words: &[Bytes]) -> Done {
    Ok(Reply::Int(store.get::<Bytes>(&words[1])?.map_or(0, |text| text.len() as i64)))
}

/// When a key goes, in milliseconds since the epoch. `unit`: EX, PX, EXAT, PXAT.
fn expiry(store: &Store, command: &str, unit: &str, word: &[u8]) -> Result<i64, String> {
    let number = integer(word)?;
    let wrong = || format!("ERR invalid expire time in '{command}' command");
    if number <= 0 {
        return Err(wrong());
    }
    let ms = if unit.starts_with("EX") { number.checked_mul(1000).ok_or_else(wrong)? } else { number };
    if unit.ends_with("AT") { Ok(ms) } else { store.now_ms().checked_add(ms).ok_or_else(wrong) }
}

fn set_until(store: &mut Store, words: &[Bytes], command: &str, unit: &str) -> Done {
    let until = expiry(store, command, unit, &words[2])?;
    store.put(&words[1], Data::Text(words[3].clone()));
    store.set_expiry_ms(&words[1], Some(until));
    Ok(Reply::ok())
}

fn add(store: &mut Store, key: &[u8], by: i64) -> Done {
    let old = match store.get::<Bytes>(key)? {
        Some(text) => integer(text).map_err(|_| NOT_INTEGER)?,
        None => 0,
    };
    let new = old.checked_add(by).ok_or(OVERFLOW)?;
    *store.make::<Bytes>(key)? = new.to_string().into_bytes();
    Ok(Reply::Int(new))
}
