//! What no compiler looks for: leftovers, clocks and hash order in the pure rooms, paths of somebody's machine,
//! scenario files without a question, files that have grown too long.

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms that own no clock, no randomness of their own and no order that the machine chooses.
const PURE: &[&str] =
    &["base", "policy", "backend", "workload", "fault", "record", "measure", "judge", "scenario", "sim", "report"];

/// Lines of code in one file, the tests at its end not counted. More usually hide a noun.
const LINES_MAX: usize = 600;

/// Files that were longer when this was first counted, and how long they may be: shorter, never longer.
const LONG: &[(&str, usize)] = &[("src/base/dist.rs", 692), ("src/base/quantity.rs", 643)];

const LEFTOVERS: &[&str] = &["todo!(", "dbg!(", "unimplemented!(", "FIXME", "XXX", "#[ignore]", "<<<<<<< ", ">>>>>>> "];

const IMPURE: &[(&str, &str)] = &[
    ("Instant::now", "time is handed over"),
    ("SystemTime", "time is handed over"),
    ("thread::sleep", "nothing waits in the pure rooms"),
    ("HashMap", "its order differs from run to run: BTreeMap, or dense slots"),
    ("HashSet", "its order differs from run to run: BTreeSet, or dense slots"),
    ("RandomState", "it seeds itself"),
    ("rand::rng", "randomness is handed over as a named stream"),
    ("thread_rng", "randomness is handed over as a named stream"),
    ("std::env::var", "a result must not depend on the environment"),
    ("TcpStream", "the pure rooms have no sockets"),
    ("UdpSocket", "the pure rooms have no sockets"),
];

struct File {
    path: String,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Text files of the repository, without what is built, fetched or hidden.
fn files() -> Vec<File> {
    let mut paths = Vec::new();
    collect(root(), &mut paths);
    paths.sort();
    let read = |path: PathBuf| {
        let text = String::from_utf8(fs::read(&path).ok()?).ok()?;
        let path = path.strip_prefix(root()).ok()?.to_string_lossy().replace('\\', "/");
        Some(File { path, text })
    };
    paths.into_iter().filter_map(read).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let skipped = ["target", "node_modules", "__pycache__", ".git", ".venv", "venv"].contains(&name.as_str());
        // Report folders are written by runs, and only the sample is kept.
        let written = folder == root().join("reports") && name != "sample" && name != "baseline";
        if path.is_dir() {
            if !skipped && !written {
                collect(&path, paths);
            }
        } else if !name.ends_with(".new") && name != "Cargo.lock" && name != ".git" {
            paths.push(path);
        }
    }
}

fn is_source(file: &File) -> bool {
    file.path.ends_with(".rs")
}

/// The code of a file without the tests at its end and without comments, each line with its number.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    code.lines().enumerate().map(|(at, line)| (at + 1, line.split("//").next().unwrap_or_default()))
}

fn nothing(found: &[String]) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

fn leftovers(file: &File) -> Vec<String> {
    let lines = file.text.lines().enumerate();
    let hits =
        lines.flat_map(|(at, line)| LEFTOVERS.iter().filter(move |word| line.contains(**word)).map(move |w| (at, w)));
    hits.map(|(at, word)| format!("{}:{}: `{word}` was left behind", file.path, at + 1)).collect()
}

fn impurities(file: &File) -> Vec<String> {
    let room = file.path.strip_prefix("src/").and_then(|rest| rest.split(['/', '.']).next()).unwrap_or_default();
    if !PURE.contains(&room) {
        return Vec::new();
    }
    let hit = |(at, line): (usize, &str)| {
        let found = IMPURE.iter().find(|(word, _)| line.contains(word))?;
        Some(format!("{}:{at}: `{}` in a pure room: {}", file.path, found.0, found.1))
    };
    code(&file.text).filter_map(hit).collect()
}

fn machine_paths(file: &File) -> Vec<String> {
    // Put together here, so that this file has none of them.
    let roots = ["tmp", "root", "work", "home"].map(|name| format!("/{name}/"));
    let inside_a_word =
        |line: &str, at: usize| line[..at].ends_with(|c: char| c.is_alphanumeric() || "_.-*}".contains(c));
    let hit = |(at, line): (usize, &str)| {
        let found =
            roots.iter().find(|root| line.match_indices(root.as_str()).any(|(at, _)| !inside_a_word(line, at)))?;
        Some(format!("{}:{}: `{found}` is a path of one machine", file.path, at + 1))
    };
    file.text.lines().enumerate().filter_map(hit).collect()
}

fn too_long(file: &File) -> Option<String> {
    let lines = code(&file.text).count();
    let known = LONG.iter().find(|(path, _)| *path == file.path);
    let most = known.map_or(LINES_MAX, |(_, most)| *most);
    (lines > most).then(|| format!("{}: {lines} lines of code, {most} are allowed", file.path))
}

#[test]
fn nothing_was_left_behind() {
    let files = files();
    assert!(files.len() > 150, "these are not all files");
    let own = |file: &&File| is_source(file) && file.path != "tests/tidy.rs" && file.path != "tests/layering.rs";
    nothing(&files.iter().filter(own).flat_map(leftovers).collect::<Vec<_>>());
}

#[test]
fn pure_rooms_are_pure() {
    nothing(&files().iter().filter(|file| is_source(file)).flat_map(impurities).collect::<Vec<_>>());
}

#[test]
fn no_path_of_a_machine() {
    nothing(&files().iter().flat_map(machine_paths).collect::<Vec<_>>());
}

#[test]
fn files_are_short() {
    let files = files();
    let source = |file: &&File| is_source(file) && !file.path.contains("/pb/");
    nothing(&files.iter().filter(source).filter_map(too_long).collect::<Vec<_>>());
    for (path, most) in LONG {
        let file = files.iter().find(|file| file.path == *path);
        let lines = file.map_or(0, |file| code(&file.text).count());
        assert!(lines > LINES_MAX, "{path} is no longer long ({lines} lines): take it off the list");
        assert!(lines + 40 > *most, "{path} has shrunk to {lines} lines: lower its mark");
    }
}

#[test]
fn every_scenario_opens_with_a_question() {
    let files = files();
    let scenarios: Vec<&File> =
        files.iter().filter(|file| file.path.starts_with("scenarios/") && file.path.ends_with(".toml")).collect();
    assert!(scenarios.len() >= 3, "the three first files are there");
    let wrong = |file: &&File| {
        let first = file.text.lines().find(|line| !line.is_empty() && !line.starts_with("#:")).unwrap_or_default();
        let question = first.strip_prefix("# ").is_some_and(|text| text.contains('?'));
        (!question).then(|| format!("{}: the first line is `{first}`, not `# A question?`", file.path))
    };
    nothing(&scenarios.iter().filter_map(wrong).collect::<Vec<_>>());
}

/// What the documents show as a whole scenario is one, and their fragments at least are TOML.
#[test]
fn scenarios_in_the_documents_can_be_run() {
    use plimsoll::scenario::resolve::{Options, parse};
    let mut wrong = Vec::new();
    let mut whole = 0;
    for file in files().iter().filter(|file| file.path.ends_with(".md")) {
        for block in file.text.split("\n```toml\n").skip(1).map(|rest| rest.split("\n```").next().unwrap_or_default()) {
            if block.contains("[contenders") && block.contains("[[backends]]") {
                whole += 1;
                if let Err(findings) = parse(block, "block.toml", &Options::default()) {
                    wrong.push(format!("{}:\n{}", file.path, findings.render(false)));
                }
            } else if let Err(error) = toml::from_str::<toml::Table>(block) {
                wrong.push(format!("{}: {error}\n{block}", file.path));
            }
        }
    }
    nothing(&wrong);
    assert!(whole > 0, "the README shows a whole scenario");
}

#[test]
fn every_balancer_has_a_whole_card() {
    use plimsoll::policy::balancer::catalog::{CARDS, LABELS};
    let mut wrong = Vec::new();
    for card in CARDS {
        for label in LABELS {
            if card.line(label).is_none_or(|text| text.len() < 4) {
                wrong.push(format!("{}: its card has no line `{label}`", card.name));
            }
        }
        if card.text().lines().next().is_none_or(|line| line.is_empty() || LABELS.iter().any(|l| line.starts_with(l))) {
            wrong.push(format!("{}: its card does not begin with what it is", card.name));
        }
    }
    nothing(&wrong);
}

/// Every file of a family that holds a balancer is in the catalogue: a file without a row can be used by nobody.
#[test]
fn every_file_of_a_catalogue_has_its_row() {
    let files = files();
    let catalog = |path: &str| &files.iter().find(|file| file.path == path).expect("the catalogue is there").text;
    let balancers = catalog("src/policy/balancer/catalog.rs");
    let faults = catalog("src/fault/catalog.rs");
    let mut wrong = Vec::new();
    for file in &files {
        let module = file.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
        let config = file.text.contains("pub struct Config");
        if file.path.starts_with("src/policy/balancer/") && config && file.text.contains("Box<dyn Balancer>") {
            let family = file.path.split('/').rev().nth(1).unwrap_or_default();
            if !balancers.contains(&format!("{family}::{module}")) {
                wrong.push(format!("{}: no row in the catalogue of balancers", file.path));
            }
        }
        if file.path.starts_with("src/fault/") && config && !faults.contains(module) {
            wrong.push(format!("{}: no row in the catalogue of faults", file.path));
        }
    }
    nothing(&wrong);
}

// The checks themselves.

fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), text: text.to_owned() }
}

#[test]
fn each_check_finds_what_it_looks_for() {
    assert_eq!(leftovers(&file("src/a.rs", "fn f() { todo!() }")), ["src/a.rs:1: `todo!(` was left behind"]);
    let clock = file("src/sim/engine.rs", "\nlet now = Instant::now();");
    assert_eq!(impurities(&clock), ["src/sim/engine.rs:2: `Instant::now` in a pure room: time is handed over"]);
    assert!(impurities(&file("src/cli/run.rs", "Instant::now()")).is_empty(), "the command line may");
    assert!(impurities(&file("src/sim/engine.rs", "// not a HashMap")).is_empty(), "a comment is no code");
    let path = format!("see /{}/notes", "tmp");
    assert_eq!(machine_paths(&file("docs/a.md", &path)).len(), 1);
    assert!(machine_paths(&file("docs/a.md", &format!("target/{}/x", "tmp"))).is_empty(), "a part of a longer path");
    assert!(too_long(&file("src/a.rs", &"let x = 1;\n".repeat(LINES_MAX + 1))).is_some());
    let tests = format!("{}#[cfg(test)]\nmod tests {{\n{}}}", "x\n".repeat(LINES_MAX), "y\n".repeat(900));
    assert!(too_long(&file("src/a.rs", &tests)).is_none(), "tests are not counted");
}
