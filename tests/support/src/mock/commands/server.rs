//! The server itself.

use super::{Done, glob, upper};
use crate::Reply;
use crate::mock::store::{Bytes, Store};
use crate::mock::table::wrong_count;

pub(crate) fn ping(_: &mut Store, words: &[Bytes]) -> Done {
    match words {
        [_] => Ok(Reply::Status("PONG".into())),
        [_, text] => Ok(Reply::bulk(text.clone())),
        _ => Err(wrong_count("ping")),
    }
}

pub(crate) fn echo(_: &mut Store, words: &[Bytes]) -> Done {
    Ok(Reply::bulk(words[1].clone()))
}

pub(crate) fn time(store: &mut Store, _: &[Bytes]) -> Done {
    let now = store.now_us();
    let parts = [now / 1_000_000, now % 1_000_000];
    Ok(Reply::Array(parts.iter().map(|part| Reply::bulk(part.to_string())).collect()))
}

/// Sections server, clients, memory, persistence, replication and keyspace; with no argument all of them.
pub(crate) fn info(store: &mut Store, words: &[Bytes]) -> Done {
    let keys = store.keys().len();
    let config = |name: &str| store.setup.config.get(name).cloned().unwrap_or_default();
    let keyspace = if keys == 0 { String::new() } else { format!("db0:keys={keys},expires=0,avg_ttl=0\r\n") };
    let aof = u8::from(config("appendonly") == "yes");
    let sections = [
        ("server", format!("# Server\r\nredis_version:{}\r\nredis_mode:standalone\r\n", store.setup.version)),
        ("clients", format!("# Clients\r\nblocked_clients:{}\r\n", store.waiters.len())),
        (
            "memory",
            format!(
                "# Memory\r\nused_memory:1000000\r\nmaxmemory:{}\r\nmaxmemory_policy:{}\r\n",
                config("maxmemory"),
                config("maxmemory-policy")
            ),
        ),
        ("persistence", format!("# Persistence\r\nloading:0\r\naof_enabled:{aof}\r\n")),
        ("replication", "# Replication\r\nrole:master\r\nconnected_slaves:0\r\n".to_owned()),
        ("keyspace", format!("# Keyspace\r\n{keyspace}")),
    ];
    let asked: Vec<String> = words[1..].iter().map(|word| upper(word).to_lowercase()).collect();
    let all = asked.is_empty()
        || asked.iter().any(|name| ["all", "everything", "default"].contains(&name.as_str()));
    let wanted = sections.into_iter().filter(|(name, _)| all || asked.iter().any(|asked| asked == name));
    let texts: Vec<String> = wanted.map(|(_, text)| text).collect();
    Ok(Reply::bulk(texts.join("\r\n")))
}

pub(crate) fn command(_: &mut Store, _: &[Bytes]) -> Done {
    Ok(Reply::Array(Vec::new()))
}

pub(crate) fn config(store: &mut Store, words: &[Bytes]) -> Done {
    match upper(&words[1]).as_str() {
        "GET" if words.len() > 2 => {
            let asked = |name: &str| words[2..].iter().any(|pattern| glob(pattern, name.as_bytes()));
            let found = store.setup.config.iter().filter(|(name, _)| asked(name));
            Ok(Reply::Map(
                found
                    .map(|(name, value)| (Reply::bulk(name.as_str()), Reply::bulk(value.as_str())))
                    .collect(),
            ))
        }
        "SET" if words.len() == 4 => {
            let text = |word: &Bytes| String::from_utf8_lossy(word).into_owned();
            store.setup.config.insert(text(&words[2]), text(&words[3]));
            Ok(Reply::ok())
        }
        "GET" => Err(wrong_count("config|get")),
        "SET" => Err(wrong_count("config|set")),
        _ => {
            Err(format!("ERR unknown subcommand '{}'. Try CONFIG HELP.", String::from_utf8_lossy(&words[1])))
        }
    }
}

pub(crate) fn dbsize(store: &mut Store, _: &[Bytes]) -> Done {
    Ok(Reply::Int(store.keys().len() as i64))
}

pub(crate) fn flushall(store: &mut Store, words: &[Bytes]) -> Done {
    let fine = match words {
        [_] => true,
        [_, how] => ["SYNC", "ASYNC"].contains(&upper(how).as_str()),
        _ => false,
    };
    if !fine {
        return Err(super::SYNTAX.into());
    }
    store.clear();
    Ok(Reply::ok())
}

pub(crate) fn publish(store: &mut Store, words: &[Bytes]) -> Done {
    Ok(Reply::Int(store.publish(&words[1], &words[2])))
}

/// Commands about a connection where there is none.
pub(crate) fn session(_: &mut Store, words: &[Bytes]) -> Done {
    Err(format!("ERR Command is not available: '{}'", upper(&words[0])))
}
