//! Bad scenario files, each with the exact text that it must be refused with. Snapshots stand beside the files;
//! `INSTA_UPDATE=always cargo test --test diagnostics` rewrites them.

#![expect(clippy::disallowed_methods, reason = "how long a refusal takes is what is tested")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use plimsoll::scenario::diagnose::Findings;
use plimsoll::scenario::resolve::{Loaded, Options, parse};
use plimsoll::scenario::tree::{MOST_BYTES, decode};

/// What becomes of the bytes of a file.
fn judge(origin: &str, bytes: &[u8], options: &Options) -> Result<Loaded, Findings> {
    parse(&decode(origin, bytes)?, origin, options)
}

/// Every finding has a place and a next step, and finding them takes no time worth mentioning.
fn check(origin: &str, bytes: &[u8]) -> Findings {
    let findings = judge(origin, bytes, &Options::default()).expect_err(origin);
    assert!(findings.has_errors(), "{origin} is refused for no reason");
    for finding in findings.iter() {
        let (line, column) = findings.place(finding).unwrap_or_else(|| panic!("{origin}: no place: {finding:?}"));
        assert!(line > 0 && column > 0, "{origin}: {finding:?}");
        assert!(!finding.help.is_empty() && !finding.message.is_empty(), "{origin}: no next step: {finding:?}");
        assert!(finding.message.len() < 300, "{origin}: a message as long as a page: {finding:?}");
    }
    let shown = findings.to_string();
    let steers = |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!shown.contains(steers), "{origin}: what is shown could steer a terminal:\n{shown:?}");
    // Others may want the machine, too: one quick try in twenty is proof enough.
    let quick = (0..20).any(|_| time(origin, bytes) < Duration::from_millis(100));
    assert!(quick, "{origin} takes {:?}", time(origin, bytes));
    findings
}

fn time(origin: &str, bytes: &[u8]) -> Duration {
    let start = Instant::now();
    let shown = judge(origin, bytes, &Options::default()).map_err(|findings| findings.to_string());
    assert!(shown.is_err());
    start.elapsed()
}

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
    files.sort();
    files
}

#[test]
fn bad_files_are_refused_with_the_text_beside_them() {
    let files = files("tests/diagnostics");
    assert!(files.len() >= 60, "only {} files", files.len());
    let mut settings = insta::Settings::new();
    settings.set_snapshot_path("diagnostics");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for path in files {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let findings = check(&format!("{stem}.toml"), &std::fs::read(&path).unwrap());
        settings.bind(|| insta::assert_snapshot!(stem, findings.to_string()));
    }
}

#[test]
fn every_snapshot_has_its_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        assert!(path.with_extension("toml").exists(), "{} belongs to no file", path.display());
    }
}

#[test]
fn huge_files_are_refused_at_the_limit() {
    let text = "# a line that says nothing\n".repeat(MOST_BYTES / 20);
    let findings = check("huge.toml", text.as_bytes());
    assert!(findings.to_string().contains("longer than 1 MiB"), "{findings}");
}

#[test]
fn many_mistakes_in_a_large_file_are_found_in_time() {
    let mut text =
        "[calls]\nrate = '1/s'\n[[backends]]\nservice = '1ms'\n[contenders]\nrr = { balancer = 'rr' }\n".to_owned();
    for number in 0..2_000 {
        text += &format!("[[faults]]\nat = {number}\ncrash = {{}}\n");
    }
    check("large.toml", text.as_bytes());
}
