//! The file of commands and replies: reading it, and writing replies as text.

use ourvidz_test_support::{Reply, RespClient, format_g};

/// A section: its heading, and commands with the replies they must give. Each starts with an empty server.
pub struct Section {
    pub heading: String,
    pub steps: Vec<(String, String)>,
}

/// `# heading`, a command per line, its reply below with two spaces in front.
pub fn read(text: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        if let Some(heading) = line.strip_prefix("# ") {
            sections.push(Section { heading: heading.into(), steps: Vec::new() });
        } else if let Some(reply) = line.strip_prefix("  ") {
            sections.last_mut().unwrap().steps.last_mut().unwrap().1 = reply.into();
        } else {
            sections.last_mut().unwrap().steps.push((line.into(), String::new()));
        }
    }
    sections
}

/// The words of a line: between spaces, or in quotes with `\n`, `\r`, `\t`, `\"`, `\\` and `\x00`.
pub fn words(line: &str) -> Vec<Vec<u8>> {
    let bytes = line.as_bytes();
    let (mut words, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        match bytes[at] {
            b' ' => at += 1,
            b'"' => {
                let mut word = Vec::new();
                at += 1;
                while bytes[at] != b'"' {
                    if bytes[at] == b'\\' {
                        at += 1;
                        match bytes[at] {
                            b'n' => word.push(b'\n'),
                            b'r' => word.push(b'\r'),
                            b't' => word.push(b'\t'),
                            b'x' => {
                                word.push(u8::from_str_radix(&line[at + 1..at + 3], 16).unwrap());
                                at += 2;
                            }
                            other => word.push(other),
                        }
                    } else {
                        word.push(bytes[at]);
                    }
                    at += 1;
                }
                at += 1;
                words.push(word);
            }
            _ => {
                let end = line[at..].find(' ').map_or(bytes.len(), |length| at + length);
                words.push(bytes[at..end].to_vec());
                at = end;
            }
        }
    }
    words
}

pub fn show(reply: &Reply) -> String {
    let many = |items: &[Reply]| items.iter().map(show).collect::<Vec<_>>().join(", ");
    let pairs = |pairs: &[(Reply, Reply)]| {
        pairs.iter().map(|(a, b)| format!("{}: {}", show(a), show(b))).collect::<Vec<_>>().join(", ")
    };
    match reply {
        Reply::Nil => "nil".into(),
        Reply::NilArray => "nil array".into(),
        Reply::Int(n) => n.to_string(),
        Reply::Status(text) => format!("+{text}"),
        Reply::Error(text) => format!("-{text}"),
        Reply::Bulk(bytes) => format!("\"{}\"", bytes.escape_ascii()),
        Reply::Array(items) => format!("[{}]", many(items)),
        Reply::Set(items) => format!("set[{}]", many(items)),
        Reply::Push(items) => format!("push[{}]", many(items)),
        Reply::Map(items) => format!("map[{}]", pairs(items)),
        Reply::Pairs(items) => format!("pairs[{}]", pairs(items)),
        Reply::Double(value) => format!("double {}", format_g(*value, 17)),
        Reply::Bool(value) => value.to_string(),
    }
}

/// Runs a section on one connection to a server of its own state.
pub fn play(url: &str, section: &Section, resp3: bool) -> Vec<Reply> {
    let mut client = RespClient::connect(url).unwrap();
    client.command(["FLUSHALL"]).unwrap();
    client.command(["SCRIPT", "FLUSH"]).unwrap();
    if resp3 {
        client.command(["HELLO", "3"]).unwrap();
    }
    section.steps.iter().map(|(line, _)| client.command(words(line)).unwrap()).collect()
}
