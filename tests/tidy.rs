//! House rules over the source tree, as a test: who may import whom, how long a file may get, where
//! clocks and `unsafe` live, what a tracked file may not contain.

use std::fs;
use std::path::{Path, PathBuf};

/// Layers from the top; each may import the ones listed with it, and `base` and `sys` always.
/// (invariant I1; `sim` and `cli` may import everything.)
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("sys", &[]),
    ("base", &[]),
    ("transport", &[]),
    // Protocol machines implement the transport's Sink and Source, and use nothing else of it.
    ("proto", &["transport"]),
    ("path", &["proto", "transport"]),
    ("lun", &["path"]),
    ("front", &["lun", "path", "proto", "transport", "engine"]),
    ("engine", &["lun", "path"]),
    ("control", &["engine", "front", "lun", "path"]),
];

/// Files that may hold `unsafe`, each with its reason.
const UNSAFE_ALLOWED: &[(&str, &str)] = &[
    ("src/sys/", "the home of unsafe code"),
    ("src/transport/uring/ring.rs", "hands memory to the kernel"),
    (
        "src/base/sg.rs",
        "declares view_of, whose contract its caller signs",
    ),
    (
        "src/lun/plane/outcome.rs",
        "signs that contract where a request is split",
    ),
];

const LINES_MAX: usize = 1000;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(dir: &Path, out: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        // In a further worktree `.git` is a file, which names where the first one is.
        if name == ".git" {
            continue;
        }
        if path.is_dir() {
            if !matches!(name.as_str(), "target" | "corpus" | "artifacts") {
                files(&path, out);
            }
        } else {
            out.push(path);
        }
    }
}

/// Every file of the tree with its path relative to the root, where it is text.
fn tree() -> Vec<(String, String)> {
    let mut paths = Vec::new();
    files(&root(), &mut paths);
    paths.sort();
    let text = |p: PathBuf| {
        let name = p.strip_prefix(root()).ok()?.to_string_lossy().into_owned();
        Some((name, fs::read_to_string(p).ok()?))
    };
    paths.into_iter().filter_map(text).collect()
}

/// The code of a line: without `//` comments and without what stands in string literals.
fn code(line: &str) -> String {
    let mut out = String::new();
    let mut chars = line.chars().peekable();
    let mut in_string = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' if in_string => {
                chars.next();
            }
            '"' => in_string = !in_string,
            '/' if !in_string && chars.peek() == Some(&'/') => break,
            _ if !in_string => out.push(c),
            _ => {}
        }
    }
    out
}

/// Layers that a line of code names.
fn imports(line: &str) -> Vec<String> {
    let code = code(line);
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + 7..];
        if let Some(group) = rest.strip_prefix('{') {
            found.extend(
                group
                    .split([',', '}'])
                    .map(|p| p.trim().split("::").next().unwrap_or("").to_owned()),
            );
        } else {
            found.push(
                rest.chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect(),
            );
        }
    }
    found
}

fn layer_violation(file: &str, line: &str) -> Option<String> {
    let layer = file.strip_prefix("src/")?.split('/').next()?;
    let allowed = MAY_IMPORT.iter().find(|(l, _)| *l == layer)?.1;
    let known: Vec<&str> = MAY_IMPORT
        .iter()
        .map(|(l, _)| *l)
        .chain(["sim", "cli"])
        .collect();
    let bad = |i: &String| {
        let i = i.as_str();
        known.contains(&i) && i != layer && i != "base" && i != "sys" && !allowed.contains(&i)
    };
    imports(line)
        .into_iter()
        .find(bad)
        .map(|i| format!("{layer} imports {i}"))
}

/// Tests inside a file may reach further: a pair test needs both halves.
fn before_tests(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, l)| l.trim() != "#[cfg(test)]")
        .map(|(n, l)| (n + 1, l))
}

fn is_test_file(name: &str) -> bool {
    name.contains("/tests/") || name.ends_with("/tests.rs")
}

fn report(problems: &[String]) {
    assert!(
        problems.is_empty(),
        "{} problem(s):\n{}",
        problems.len(),
        problems.join("\n")
    );
}

#[test]
fn layers_import_downwards_only() {
    let mut problems = Vec::new();
    for (name, text) in tree()
        .iter()
        .filter(|(n, _)| n.starts_with("src/") && n.ends_with(".rs") && !is_test_file(n))
    {
        for (n, line) in before_tests(text) {
            problems.extend(layer_violation(name, line).map(|v| format!("{name}:{n}: {v}")));
        }
    }
    report(&problems);
}

#[test]
fn no_file_is_too_long() {
    let long = |(name, text): &(String, String)| {
        let lines = text.lines().count();
        (name.ends_with(".rs") && lines > LINES_MAX)
            .then(|| format!("{name}: {lines} lines, {LINES_MAX} at most"))
    };
    report(&tree().iter().filter_map(long).collect::<Vec<_>>());
}

fn forbidden(name: &str, line: &str) -> Option<&'static str> {
    let code = code(line);
    let clock = code.contains("Instant::now") || code.contains("SystemTime");
    if clock && name.starts_with("src/") && name != "src/base/clock.rs" {
        return Some("reads a clock outside base::clock");
    }
    for word in ["todo!", "unimplemented!", "dbg!"] {
        if code.contains(word) && name.ends_with(".rs") {
            return Some("leaves something open");
        }
    }
    if name.starts_with("src/")
        && code
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .any(|w| w == "unsafe")
        && !UNSAFE_ALLOWED.iter().any(|(p, _)| name.starts_with(p))
    {
        return Some("unsafe outside its home");
    }
    None
}

#[test]
fn clocks_and_unsafe_stay_at_home_and_nothing_is_left_open() {
    let mut problems = Vec::new();
    for (name, text) in tree()
        .iter()
        .filter(|(n, _)| n.ends_with(".rs") && n != "tests/tidy.rs")
    {
        for (n, line) in text.lines().enumerate() {
            problems.extend(forbidden(name, line).map(|v| format!("{name}:{}: {v}", n + 1)));
        }
    }
    report(&problems);
}

/// What no tracked file may name: places of one machine, and registry hosts. Written in halves, so
/// that this file does not name them either.
fn machine_words() -> Vec<String> {
    let halves = [
        ("/wo", "rk/"),
        ("/ro", "ot/"),
        ("crates", ".io/"),
        ("deb.deb", "ian.org"),
        ("pypi", ".org"),
        ("registry.np", "mjs"),
    ];
    halves.iter().map(|(a, b)| format!("{a}{b}")).collect()
}

#[test]
fn nothing_names_one_machine_or_a_registry() {
    let words = machine_words();
    let mut problems = Vec::new();
    for (name, text) in tree().iter().filter(|(n, _)| !n.ends_with("Cargo.lock")) {
        for (n, line) in text.lines().enumerate() {
            problems.extend(
                words
                    .iter()
                    .filter(|w| line.contains(*w))
                    .map(|w| format!("{name}:{}: {w}", n + 1)),
            );
        }
    }
    report(&problems);
}

#[test]
fn no_line_ends_in_blanks() {
    let mut problems = Vec::new();
    for (name, text) in tree().iter().filter(|(n, _)| {
        n.ends_with(".rs") || n.ends_with(".sh") || n.ends_with(".toml") || n.ends_with(".py")
    }) {
        let bad = text
            .lines()
            .enumerate()
            .filter(|(_, l)| l.ends_with([' ', '\t']));
        problems.extend(bad.map(|(n, _)| format!("{name}:{}", n + 1)));
    }
    report(&problems);
}

/// Targets of the markdown links in a line that are files of the repository.
fn links(line: &str) -> Vec<String> {
    line.match_indices("](")
        .filter_map(|(at, _)| line[at + 2..].split(')').next())
        .map(|l| l.split('#').next().unwrap_or("").to_owned())
        .filter(|l| !l.is_empty() && !l.contains("://"))
        .collect()
}

#[test]
fn markdown_links_lead_somewhere() {
    let mut problems = Vec::new();
    for (name, text) in tree().iter().filter(|(n, _)| n.ends_with(".md")) {
        let dir = root()
            .join(name)
            .parent()
            .map(Path::to_path_buf)
            .unwrap_or_default();
        for link in text
            .lines()
            .flat_map(links)
            .filter(|l| !dir.join(l).exists())
        {
            problems.push(format!("{name}: {link} does not exist"));
        }
    }
    report(&problems);
}

#[test]
fn every_module_says_what_it_is() {
    let silent = |(name, text): &(String, String)| {
        (name.starts_with("src/") && name.ends_with(".rs") && !text.starts_with("//!"))
            .then(|| name.clone())
    };
    report(&tree().iter().filter_map(silent).collect::<Vec<_>>());
}

// The checks themselves can fail:

#[test]
fn planted_violations_are_found() {
    assert_eq!(
        layer_violation("src/path/x.rs", "use crate::lun::plane::Plane;").as_deref(),
        Some("path imports lun")
    );
    assert_eq!(
        layer_violation(
            "src/proto/x.rs",
            "    let x = crate::engine::reactor::Reactor;"
        )
        .as_deref(),
        Some("proto imports engine")
    );
    assert_eq!(
        layer_violation(
            "src/lun/x.rs",
            "use crate::{base::clock::Time, control::y};"
        )
        .as_deref(),
        Some("lun imports control")
    );
    assert_eq!(
        layer_violation("src/lun/x.rs", "// crate::control is far away"),
        None
    );
    assert_eq!(
        layer_violation("src/sim/x.rs", "use crate::control::y;"),
        None
    );
    assert!(forbidden("src/lun/x.rs", "let t = Instant::now();").is_some());
    assert!(forbidden("src/lun/x.rs", "unsafe { f() }").is_some());
    assert!(forbidden("src/lun/x.rs", "#![deny(unsafe_code)] // unsafe").is_none());
    assert!(forbidden("src/lun/x.rs", "say(\"unsafe\")").is_none());
    assert!(forbidden("src/lun/x.rs", "todo!()").is_some());
    assert_eq!(
        links("see [a](docs/x.md#part) and [b](http://y)"),
        ["docs/x.md"]
    );
}
