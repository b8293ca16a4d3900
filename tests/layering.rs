//! Who may know whom. In one package the compiler does not guard the walls between the rooms, so this reads
//! every `crate::room` under `src/` against a table and prints the pairs that offend.
//!
//! Two absences matter most. Policy never sees a backend: the type that holds the truth is not in scope, so a
//! strategy cannot cheat. A report never sees a world: a page can be made again from its numbers years later.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A room, and the rooms that it may import besides itself.
const TABLE: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("policy", &["base"]),
    ("backend", &["base"]),
    ("workload", &["base"]),
    ("fault", &["base"]),
    ("record", &["base"]),
    ("measure", &["base", "record"]),
    ("judge", &["base", "measure"]),
    // A file is checked against every catalogue, that of the metrics included, and holds the rules of its gates.
    ("scenario", &["base", "policy", "backend", "workload", "fault", "measure", "judge"]),
    ("sim", &["base", "policy", "backend", "workload", "fault", "record", "scenario"]),
    ("live", &["base", "policy", "backend", "workload", "fault", "record", "scenario"]),
    ("report", &["base", "measure", "judge"]),
    ("study", &["base", "policy", "backend", "workload", "fault", "record", "measure", "scenario", "sim", "live"]),
    ("theory", &["base", "measure", "scenario", "study"]),
    (
        "cli",
        &[
            "base", "policy", "backend", "workload", "fault", "record", "measure", "judge", "scenario", "sim", "live",
            "report", "study", "theory",
        ],
    ),
    ("lib", &["cli"]),
    ("main", &["cli"]),
];

/// Crates that only some rooms may use.
const CRATES: &[(&str, &[&str])] = &[
    ("tokio", &["live"]),
    ("tonic", &["live"]),
    ("prost", &["live"]),
    ("hyper", &["live"]),
    ("rayon", &["study"]),
    ("clap", &["cli"]),
    ("indicatif", &["cli"]),
    ("ctrlc", &["cli"]),
    ("plotters", &["report"]),
    ("maud", &["report"]),
    ("csv", &["report", "theory"]),
    ("comfy_table", &["report"]),
    ("annotate_snippets", &["scenario"]),
    ("toml", &["scenario"]),
    ("jsonc_parser", &["scenario"]),
    ("saphyr_parser", &["scenario"]),
];

/// A source file: its path below `src/` and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// `policy` for `policy/call.rs`, `study` for `study.rs`.
    fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.trim_end_matches(".rs")
    }
}

/// The code without comments, and without the tests at the end: a test may build whatever it needs.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// Every room or crate that follows `prefix`, also inside braces: `crate::{base, fault::effect}`.
fn named_after(code: &str, prefix: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(top_names(group)),
            None => found.extend(Some(word(rest)).filter(|word| !word.is_empty())),
        }
    }
    found
}

fn word(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The first word of each entry of a group whose opening brace is gone.
fn top_names(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut names = vec![word(group)];
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(word(&group[at + 1..])),
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// One line for each pair that the tables do not allow.
fn offences(sources: &[Source]) -> Vec<String> {
    let rooms: BTreeMap<&str, &[&str]> = TABLE.iter().copied().collect();
    let mut found = Vec::new();
    for source in sources {
        let room = source.room();
        let Some(allowed) = rooms.get(room) else {
            found.push(format!("src/{}: the room `{room}` is not in the table", source.path));
            continue;
        };
        let code = code(&source.text);
        for other in named_after(&code, "crate::") {
            if other != room && rooms.contains_key(other.as_str()) && !allowed.contains(&other.as_str()) {
                found.push(format!("{room} must not know {other}: src/{}", source.path));
            }
        }
        for (name, users) in CRATES {
            if uses_crate(&code, name) && !users.contains(&room) {
                found.push(format!("{room} must not use the crate {name}: src/{}", source.path));
            }
        }
    }
    found
}

/// `use name`, `name::` at the start of a path, or `::name::`.
fn uses_crate(code: &str, name: &str) -> bool {
    let path = format!("{name}::");
    let starts = |at: usize| {
        let before = &code[..at];
        let before =
            before.strip_suffix("::").filter(|b| !b.ends_with(|c: char| c.is_alphanumeric())).unwrap_or(before);
        !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
    };
    let named = code.match_indices(&path).any(|(at, _)| starts(at));
    // A module of ours may have the name of a crate: `self::csv` and `super::csv` are no uses of it.
    named && !code.contains(&format!("mod {name};"))
        || code.lines().any(|line| line.trim_start().starts_with(&format!("use {name};")))
}

fn sources(folder: &Path) -> Vec<Source> {
    let mut files: Vec<PathBuf> = Vec::new();
    collect(folder, &mut files);
    files.sort();
    let read = |path: PathBuf| Source {
        text: fs::read_to_string(&path).expect("source files are UTF-8"),
        path: path.strip_prefix(folder).expect("it lies below").to_string_lossy().replace('\\', "/"),
    };
    files.into_iter().map(read).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("its entries can be read").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}

#[test]
fn rooms_know_only_whom_they_may() {
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(sources.len() > 100, "these are not all files");
    let offences = offences(&sources);
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
}

/// Every room of the table leads down: there is no circle, except through a room's own files.
#[test]
fn the_table_has_no_circle() {
    let mut placed: BTreeSet<&str> = BTreeSet::new();
    while placed.len() < TABLE.len() {
        let free = |(room, below): &&(&str, &[&str])| {
            !placed.contains(room) && below.iter().all(|below| placed.contains(below))
        };
        let next = TABLE.iter().find(free).map(|(room, _)| *room);
        placed.insert(next.expect("some rooms know each other in a circle"));
    }
}

fn found(path: &str, text: &str) -> Vec<String> {
    offences(&[Source { path: path.to_owned(), text: text.to_owned() }])
}

#[test]
fn a_forbidden_import_is_found() {
    let offence = ["policy must not know backend: src/policy/balancer/cheat.rs"];
    for text in [
        "use crate::backend::server::Server;",
        "use crate::{base::time::Instant, backend::server};",
        "use crate::{\n    base::{id, time},\n    backend,\n};",
        "fn peek() -> crate::backend::server::Server { todo!() }",
        "    pub(crate) use crate::backend as truth;",
    ] {
        assert_eq!(found("policy/balancer/cheat.rs", text), offence, "{text}");
    }
    assert_eq!(found("report/html.rs", "use crate::sim;"), ["report must not know sim: src/report/html.rs"]);
    assert_eq!(found("study.rs", "use crate::cli::Exit;"), ["study must not know cli: src/study.rs"]);
    assert_eq!(
        found("policy/retry/mod.rs", "use tokio::time::sleep;"),
        ["policy must not use the crate tokio: src/policy/retry/mod.rs"]
    );
    assert_eq!(found("attic/old.rs", ""), ["src/attic/old.rs: the room `attic` is not in the table"]);
}

#[test]
fn what_is_allowed_or_not_code_is_let_be() {
    for (path, text) in [
        ("policy/call.rs", "use crate::base::time::Instant;\nuse crate::policy::retry;"),
        ("policy/call.rs", "// use crate::backend::server;\n//! `crate::sim` drives it."),
        ("policy/call.rs", "#[cfg(test)]\nmod tests {\n    use crate::sim;\n}"),
        ("base/choice.rs", "$crate::base::choice::bare"),
        ("sim/engine.rs", "use crate::{backend, base, fault, policy, record, scenario, workload};"),
        ("report/html.rs", "use super::csv::summary_csv;\nuse crate::report::csv::series_csv;"),
    ] {
        assert_eq!(found(path, text), [""; 0], "{text}");
    }
}
