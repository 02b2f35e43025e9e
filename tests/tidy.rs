//! House rules of `docs/STYLE.md` that a program can check; each test names all offenders at once.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const MOST_LINES: usize = 500;
const MOST_EXAMPLE_LINES: usize = 15;

#[test]
fn rust_files_are_short() {
    report("longer than 500 lines", |path, text| {
        let lines = text.lines().count();
        if is(path, "rs") && lines > MOST_LINES { vec![format!("{lines} lines")] } else { Vec::new() }
    });
}

#[test]
fn every_library_opens_with_a_compiled_example() {
    report("first page without a short compiled example", |path, text| {
        if path.ends_with("src/lib.rs") { first_page_faults(text) } else { Vec::new() }
    });
}

#[test]
fn nothing_is_left_for_later() {
    // Written in two parts, so that this file does not offend.
    let words =
        [concat!("to", "do!"), concat!("unimple", "mented!"), concat!("TO", "DO"), concat!("FIX", "ME")];
    report("left for later", |path, text| {
        let source = is(path, "rs") || is(path, "py") || is(path, "toml") || path.extension().is_none();
        let found = |line: &str| words.iter().any(|word| line.contains(word));
        if source { numbered(text, found) } else { Vec::new() }
    });
}

#[test]
fn no_path_of_one_machine() {
    report("absolute path of one machine", |_, text| numbered(text, has_machine_path));
}

#[test]
fn links_between_documents_resolve() {
    report("broken link", |path, text| {
        if !is(path, "md") {
            return Vec::new();
        }
        let folder = path.parent().unwrap();
        let local = link_targets(text).filter(|target| !target.contains("://") && !target.starts_with('#'));
        let files = local.map(|target| target.split('#').next().unwrap_or_default());
        files.filter(|file| !folder.join(file).exists()).map(str::to_owned).collect()
    });
}

#[test]
fn the_rules_find_offenders() {
    assert!(first_page_faults("//! Page.\n//!\n//! ```\n//! f();\n//! ```\nmod a;").is_empty());
    assert!(first_page_faults("//! Page.\n//! ```no_run\n//! f();\n//! ```").is_empty());
    assert_eq!(first_page_faults("//! Page.\n\nmod a;"), ["no example"]);
    assert_eq!(first_page_faults("//! Page.\n//! ```text\n//! f();\n//! ```"), ["no example"]);
    assert_eq!(first_page_faults("mod a;"), ["no first page"]);
    let long = format!("//! Page.\n//! ```\n{}//! ```\n", "//! f();\n".repeat(16));
    assert_eq!(first_page_faults(&long), ["example of 16 lines"]);

    for folder in ["work", "root", "home"] {
        assert!(has_machine_path(&format!("see /{folder}/x")), "{folder}");
        assert!(has_machine_path(&format!("\"/{folder}/x\"")), "{folder}");
        assert!(!has_machine_path(&format!("a/{folder}/x")), "{folder}");
    }
    assert_eq!(link_targets("[a](b.md), ![c](d.png)").collect::<Vec<_>>(), ["b.md", "d.png"]);
}

/// Runs `rule` over every text file of the repository; fails with what it found, file by file.
#[track_caller]
fn report(what: &str, rule: impl Fn(&Path, &str) -> Vec<String>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut offenders = Vec::new();
    let files = files(root);
    assert!(files.len() > 20, "only {} files found below {}", files.len(), root.display());
    for path in files {
        // Files that are not text are pictures, archives and tensors.
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        offenders.extend(rule(&path, &text).into_iter().map(|found| format!("{name}: {found}")));
    }
    assert!(offenders.is_empty(), "{what}:\n  {}", offenders.join("\n  "));
}

/// Tracked files; without git or its folder, everything but build output and hidden folders.
fn files(root: &Path) -> Vec<PathBuf> {
    let listed = Command::new("git").arg("-C").arg(root).args(["ls-files", "-z"]).output();
    match listed {
        Ok(output) if output.status.success() => {
            let names = String::from_utf8_lossy(&output.stdout).into_owned();
            names.split_terminator('\0').map(|name| root.join(name)).filter(|path| path.is_file()).collect()
        }
        _ => walk(root),
    }
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        let skipped = name == "target" || name == "demo-output" || name.to_string_lossy().starts_with('.');
        let kind = entry.file_type().unwrap();
        if kind.is_file() {
            found.push(entry.path());
        } else if kind.is_dir() && !skipped {
            found.extend(walk(&entry.path()));
        }
    }
    found
}

fn is(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

/// "line 3: ..." for every line that `found` is true of.
fn numbered(text: &str, found: impl Fn(&str) -> bool) -> Vec<String> {
    let lines = text.lines().enumerate().filter(|(_, line)| found(line));
    lines.map(|(i, line)| format!("line {}: {}", i + 1, line.trim())).collect()
}

/// What is wrong with the `//!` comment a library opens with. Hidden example lines do not count.
fn first_page_faults(text: &str) -> Vec<String> {
    let page: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
    if page.is_empty() {
        return vec!["no first page".into()];
    }
    let compiled = ["```", "```rust", "```no_run", "```rust,no_run"];
    let Some(start) = page.iter().position(|line| line.starts_with("```")) else {
        return vec!["no example".into()];
    };
    if !compiled.contains(&page[start]) {
        return vec!["no example".into()];
    }
    let example = page[start + 1..].iter().take_while(|line| !line.starts_with("```"));
    let lines = example.filter(|line| **line != "#" && !line.starts_with("# ")).count();
    match lines {
        0 => vec!["no example".into()],
        1..=MOST_EXAMPLE_LINES => Vec::new(),
        _ => vec![format!("example of {lines} lines")],
    }
}

/// Whether a line names a file below a home or working folder, from the root of the file system.
fn has_machine_path(line: &str) -> bool {
    ["work", "root", "home"].iter().any(|folder| {
        let path = format!("/{folder}/");
        line.match_indices(&path).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            before.is_none_or(|c| !(c.is_alphanumeric() || "._-~})/*".contains(c)))
        })
    })
}

/// Targets of Markdown links and pictures.
fn link_targets(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).filter(|target| !target.is_empty())
}
