//! Prints the table of commands with the replies of the `redis-server` on PATH:
//! `cargo run -p ourvidz-test-support --example record < commands.txt`.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[path = "../tests/parity/table.rs"]
mod table;

use std::io::{Read, Write};

use ourvidz_test_support::RealRedis;

fn main() -> anyhow::Result<()> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let real = RealRedis::start()?;
    let mut out = std::io::stdout().lock();
    for section in table::read(&text) {
        writeln!(out, "# {}", section.heading)?;
        for ((line, _), reply) in section.steps.iter().zip(table::play(&real.url(), &section, false)) {
            writeln!(out, "{line}\n  {}", table::show(&reply))?;
        }
        writeln!(out)?;
    }
    Ok(())
}
