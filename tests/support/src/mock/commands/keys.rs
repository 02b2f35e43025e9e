//! Keys of any type and their expiry.

use super::{Done, glob, integer, scan_page, upper};
use crate::Reply;
use crate::mock::store::{Bytes, Store};

pub(crate) fn del(store: &mut Store, words: &[Bytes]) -> Done {
    Ok(Reply::Int(words[1..].iter().filter(|key| store.remove(key)).count() as i64))
}

pub(crate) fn exists(store: &mut Store, words: &[Bytes]) -> Done {
    Ok(Reply::Int(words[1..].iter().filter(|key| store.exists(key)).count() as i64))
}

pub(crate) fn expire(store: &mut Store, words: &[Bytes]) -> Done {
    let now = store.now_ms();
    expire_at(store, words, "expire", 1000, now)
}

pub(crate) fn pexpire(store: &mut Store, words: &[Bytes]) -> Done {
    let now = store.now_ms();
    expire_at(store, words, "pexpire", 1, now)
}

pub(crate) fn expireat(store: &mut Store, words: &[Bytes]) -> Done {
    expire_at(store, words, "expireat", 1000, 0)
}

pub(crate) fn pexpireat(store: &mut Store, words: &[Bytes]) -> Done {
    expire_at(store, words, "pexpireat", 1, 0)
}

pub(crate) fn ttl(store: &mut Store, words: &[Bytes]) -> Done {
    Ok(Reply::Int(left_ms(store, &words[1]).map_or_else(|none| none, |ms| (ms + 500) / 1000)))
}

pub(crate) fn pttl(store: &mut Store, words: &[Bytes]) -> Done {
    Ok(Reply::Int(left_ms(store, &words[1]).unwrap_or_else(|none| none)))
}

pub(crate) fn persist(store: &mut Store, words: &[Bytes]) -> Done {
    let had = store.expiry_ms(&words[1]).flatten().is_some();
    store.set_expiry_ms(&words[1], None);
    Ok(Reply::Int(i64::from(had)))
}

pub(crate) fn type_of(store: &mut Store, words: &[Bytes]) -> Done {
    Ok(Reply::Status(store.type_name(&words[1]).into()))
}

pub(crate) fn keys(store: &mut Store, words: &[Bytes]) -> Done {
    let keys = store.keys().into_iter().filter(|key| glob(&words[1], key));
    Ok(Reply::Array(keys.map(Reply::Bulk).collect()))
}

pub(crate) fn scan(store: &mut Store, words: &[Bytes]) -> Done {
    let mut keys = scan_page(store.keys(), &words[1..])?;
    let kind = words[2..].chunks(2).find(|option| upper(&option[0]) == "TYPE");
    if let Some(kind) = kind.and_then(|option| option.get(1)) {
        keys.retain(|key| store.type_name(key).as_bytes() == kind);
    }
    Ok(Reply::Array(vec![Reply::bulk("0"), Reply::Array(keys.into_iter().map(Reply::Bulk).collect())]))
}

pub(crate) fn rename(store: &mut Store, words: &[Bytes]) -> Done {
    if store.rename(&words[1], &words[2]) { Ok(Reply::ok()) } else { Err("ERR no such key".into()) }
}

/// `Err`: -2 without the key, -1 without an expiry.
fn left_ms(store: &mut Store, key: &[u8]) -> Result<i64, i64> {
    let at = store.expiry_ms(key).ok_or(-2)?.ok_or(-1)?;
    Ok((at - store.now_ms()).max(0))
}

/// Options `NX XX GT LT`; a time that is over removes the key.
fn expire_at(store: &mut Store, words: &[Bytes], command: &str, unit: i64, base_ms: i64) -> Done {
    let wrong = || format!("ERR invalid expire time in '{command}' command");
    let options: Vec<String> = words[3..].iter().map(|word| upper(word)).collect();
    if let Some(at) = options.iter().position(|o| !["NX", "XX", "GT", "LT"].contains(&o.as_str())) {
        return Err(format!("ERR Unsupported option {}", String::from_utf8_lossy(&words[3 + at])));
    }
    let has = |name: &str| options.iter().any(|option| option == name);
    if has("NX") && options.iter().any(|option| option != "NX") {
        return Err("ERR NX and XX, GT or LT options at the same time are not compatible".into());
    }
    if has("GT") && has("LT") {
        return Err("ERR GT and LT options at the same time are not compatible".into());
    }
    let number = integer(&words[2])?;
    let at = number.checked_mul(unit).and_then(|ms| ms.checked_add(base_ms)).ok_or_else(wrong)?;
    let key = &words[1];
    let Some(old) = store.expiry_ms(key) else { return Ok(Reply::Int(0)) };
    let refused = (has("NX") && old.is_some())
        || (has("XX") && old.is_none())
        || (has("GT") && old.is_none_or(|old| at <= old))
        || (has("LT") && old.is_some_and(|old| at >= old));
    if refused {
        return Ok(Reply::Int(0));
    }
    if at <= store.now_ms() {
        store.remove(key);
    } else {
        store.set_expiry_ms(key, Some(at));
    }
    Ok(Reply::Int(1))
}
