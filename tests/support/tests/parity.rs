//! The mock gives the replies that a real server gave, and that one gives now.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[path = "parity/table.rs"]
mod table;

use ourvidz_test_support::{MockRedis, RealRedis};
use table::{play, read};

const COMMANDS: &str = include_str!("parity/commands.txt");

#[test]
fn the_mock_gives_the_recorded_replies() {
    let mock = MockRedis::start();
    let mut wrong = Vec::new();
    let mut count = 0;
    for section in read(COMMANDS) {
        for ((line, expected), found) in section.steps.iter().zip(play(&mock.redis_url(), &section, false)) {
            count += 1;
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
    let mock = MockRedis::builder().version(&version(&real)).start();
    let mut wrong = Vec::new();
    for section in read(COMMANDS) {
        for resp3 in [false, true] {
            let (expected, found) =
                (play(&real.url(), &section, resp3), play(&mock.redis_url(), &section, resp3));
            for (at, (line, _)) in section.steps.iter().enumerate() {
                if expected[at] != found[at] {
                    let (expected, found) = (&expected[at], &found[at]);
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

fn version(real: &RealRedis) -> String {
    let mut client = ourvidz_test_support::RespClient::connect(&real.url()).unwrap();
    let info = client.command(["INFO", "server"]).unwrap();
    let info = info.as_text().unwrap().to_owned();
    info.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap().to_owned()
}
