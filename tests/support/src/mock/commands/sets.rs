//! Sets. Members come in the order of their bytes.

use super::Done;
use crate::Reply;
use crate::mock::store::{Bytes, Members, Store};

pub(crate) fn sadd(store: &mut Store, words: &[Bytes]) -> Done {
    let set = store.make::<Members>(&words[1])?;
    Ok(Reply::Int(words[2..].iter().filter(|member| set.insert((*member).clone())).count() as i64))
}

pub(crate) fn srem(store: &mut Store, words: &[Bytes]) -> Done {
    let Some(set) = store.get::<Members>(&words[1])? else { return Ok(Reply::Int(0)) };
    let removed = words[2..].iter().filter(|member| set.remove(*member)).count();
    store.drop_if_empty(&words[1]);
    Ok(Reply::Int(removed as i64))
}

pub(crate) fn smembers(store: &mut Store, words: &[Bytes]) -> Done {
    let members = store.get::<Members>(&words[1])?.map_or_else(Vec::new, |set| set.iter().cloned().collect());
    Ok(Reply::Set(members.into_iter().map(Reply::Bulk).collect()))
}

pub(crate) fn sismember(store: &mut Store, words: &[Bytes]) -> Done {
    let found = store.get::<Members>(&words[1])?.is_some_and(|set| set.contains(&words[2]));
    Ok(Reply::Int(i64::from(found)))
}

pub(crate) fn scard(store: &mut Store, words: &[Bytes]) -> Done {
    Ok(Reply::Int(store.get::<Members>(&words[1])?.map_or(0, |set| set.len() as i64)))
}
