//! The mock gives the replies that a real server gave, and that one gives now.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[path = "parity/table.rs"]
mod table;

use ourvidz_test_support::{MockRedis, RealRedis, Reply, format_g};
use table::{play, read, show};

const COMMANDS: &str = include_str!("parity/commands.txt");

#[test]
fn the_mock_gives_the_recorded_replies() {
    let mock = MockRedis::start();
    let mut wrong = Vec::new();
    let mut count = 0;
    for section in read(COMMANDS) {
        for ((line, expected), found) in section.steps.iter().zip(play(&mock.redis_url(), &section, false)) {
            count += 1;
            let found = show(&found);
            if *expected != found {
                wrong.push(format!("# {}: {line}\n  {expected}\n  {found}", section.heading));
            }
        }
    }
    assert!(count > 400, "only {count} commands in the table");
    assert!(wrong.is_empty(), "{} of {count}; expected, found:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_mock_equals_a_real_server() {
    let Some(real) = RealRedis::available().map(|_| RealRedis::start().unwrap()) else { return };
    let version = version(&real);
    // Other versions word their errors and print fractions in their own way.
    let view = |reply: &Reply| if version.starts_with("7.0.") { show(reply) } else { show(&rough(reply)) };
    let mock = MockRedis::builder().version(&version).start();
    let mut wrong = Vec::new();
    for section in read(COMMANDS) {
        for resp3 in [false, true] {
            let expected = play(&real.url(), &section, resp3);
            let found = play(&mock.redis_url(), &section, resp3);
            for (at, (line, _)) in section.steps.iter().enumerate() {
                let (expected, found) = (view(&expected[at]), view(&found[at]));
                if expected != found {
                    wrong.push(format!(
                        "# {} (RESP3: {resp3}): {line}\n  {expected}\n  {found}",
                        section.heading
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}; real, mock:\n{}", wrong.len(), wrong.join("\n"));
}

/// Errors by their code, fractions to 14 digits.
fn rough(reply: &Reply) -> Reply {
    match reply {
        Reply::Error(text) => Reply::Error(text.split(' ').next().unwrap().into()),
        Reply::Bulk(bytes) => match std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()) {
            Some(number) => Reply::bulk(format_g(number, 14)),
            None => reply.clone(),
        },
        Reply::Array(items) => Reply::Array(items.iter().map(rough).collect()),
        other => other.clone(),
    }
}

fn version(real: &RealRedis) -> String {
    let mut client = ourvidz_test_support::RespClient::connect(&real.url()).unwrap();
    let info = client.command(["INFO", "server"]).unwrap();
    let info = info.as_text().unwrap().to_owned();
    info.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap().to_owned()
}
