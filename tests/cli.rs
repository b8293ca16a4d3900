//! The program as people and builds meet it: arguments in, exit code, output and files out.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A folder of its own, in which the program runs.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Place {
        Place { folder: tempfile::tempdir().expect("a folder can be made") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> &Self {
        fs::write(self.path(name), text).expect("a file can be written");
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
        command.current_dir(self.folder.path()).args(arguments);
        for name in ["NO_COLOR", "CLICOLOR_FORCE", "COLUMNS", "CI"] {
            command.env_remove(name);
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().expect("the program starts"))
    }

    /// Everything below the folder, sorted.
    fn listing(&self) -> Vec<String> {
        let mut names = Vec::new();
        list(self.folder.path(), self.folder.path(), &mut names);
        names.sort();
        names
    }
}

fn list(root: &Path, folder: &Path, names: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("its entries can be read").path();
        names.push(path.strip_prefix(root).expect("it lies below").to_string_lossy().into_owned());
        if path.is_dir() {
            list(root, &path, names);
        }
    }
}

#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    fn of(output: Output) -> Ran {
        let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
        Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    #[track_caller]
    fn ends_with(self, code: i32) -> Ran {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in\n{}", self.out))
    }
}

#[track_caller]
fn contains(text: &str, part: &str) {
    assert!(text.contains(part), "`{part}` is not in\n{text}");
}

/// A small fleet; `more` is put at the end.
fn scenario(name: &str, seeds: u32, more: &str) -> String {
    format!(
        r#"# Two choices or chance?
name = "{name}"
duration = "20s"
warmup = "2s"
seeds = {seeds}

[calls]
rate = "80/s"

[[backends]]
count = 10
service = {{ exponential = {{ mean = "100ms" }} }}

[contenders]
p2c = {{ balancer = "least_request" }}
random = {{ balancer = "random" }}
{more}"#
    )
}

fn gate(contender: &str, rule: &str) -> String {
    format!("\n[[expect]]\ncontender = \"{contender}\"\nmetric = \"latency_mean\"\n{rule}\n")
}

#[test]
fn a_run_prints_a_comparison_and_writes_the_whole_folder() {
    let place = Place::new();
    place.write("small.toml", scenario("small", 2, ""));
    let ran = place.run(&["run", "small.toml"]).ends_with(0);
    for name in ["p2c", "random", "small"] {
        contains(&ran.out, name);
    }
    assert!(!ran.out.contains('\u{1b}'), "no colour into a pipe");
    contains(&ran.err, "index.html");
    let files = place.listing();
    for name in ["summary.csv", "series.csv", "backends.csv", "run.json", "index.html"] {
        assert!(files.contains(&format!("reports/small/{name}")), "{name} is missing: {files:?}");
    }
    let charts = files.iter().filter(|name| name.starts_with("reports/small/charts/") && name.ends_with(".svg"));
    assert!(charts.count() >= 5, "{files:?}");
    let folders: Vec<&String> = files.iter().filter(|name| name.matches('/').count() == 1).collect();
    assert_eq!(folders, ["reports/small"], "nothing half-written is left beside it");

    let summary = fs::read_to_string(place.path("reports/small/summary.csv")).expect("it is there");
    assert!(summary.starts_with("scenario,contender,seed,metric,unit,value\n"), "{summary}");
    for row in ["small,p2c,1,calls,", "small,random,2,latency_p99,", "small,p2c,,latency_mean.ci_low,"] {
        contains(&summary, row);
    }
    let page = fs::read_to_string(place.path("reports/small/index.html")).expect("it is there");
    assert!(!page.contains("<script") && !page.contains("src=\"http"), "the page is self-contained");
}

#[test]
fn a_second_run_writes_the_same_bytes() {
    let place = Place::new();
    place.write("small.toml", scenario("small", 2, ""));
    let read = |folder: &str| {
        let files = place.listing();
        let own = files.iter().filter(|name| name.starts_with(folder) && place.path(name).is_file());
        own.map(|name| (name[folder.len()..].to_owned(), fs::read(place.path(name)).unwrap())).collect::<Vec<_>>()
    };
    place.run(&["run", "small.toml", "--threads", "1", "--out", "one"]).ends_with(0);
    place.run(&["run", "small.toml", "--threads", "8", "--out", "two"]).ends_with(0);
    let (one, two) = (read("one/small"), read("two/small"));
    assert!(one.len() > 8, "{}", one.len());
    for ((name, one), (other, two)) in one.iter().zip(&two) {
        assert_eq!(name, other);
        assert!(one == two, "{name} differs between 1 thread and 8");
    }
    // The old folder is replaced as a whole.
    place.write("one/small/stale.txt", "old");
    place.run(&["run", "small.toml", "--out", "one"]).ends_with(0);
    assert!(!place.path("one/small/stale.txt").exists());
}

#[test]
fn seeds_contenders_and_quiet() {
    let place = Place::new();
    place.write("small.toml", scenario("small", 3, ""));
    let arguments = ["run", "small.toml", "--seeds", "2", "--seed", "7", "--contenders", "rand*", "--quiet"];
    let ran = place.run(&arguments).ends_with(0);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""));
    let summary = fs::read_to_string(place.path("reports/small/summary.csv")).expect("it is there");
    contains(&summary, "small,random,7,calls,");
    contains(&summary, "small,random,8,calls,");
    assert!(!summary.contains(",p2c,") && !summary.contains("small,random,9,"), "{summary}");
}

#[test]
fn json_goes_to_standard_output_and_parses() {
    let place = Place::new();
    place.write("small.toml", scenario("small", 2, ""));
    let run = place.run(&["run", "small.toml", "--format", "json"]).ends_with(0).json();
    assert_eq!(run["scenario"], "small");
    assert_eq!(run["seeds"], serde_json::json!([1, 2]));
    let contenders = run["contenders"].as_array().expect("a list");
    assert_eq!(contenders.len(), 2);
    assert_eq!(contenders[0]["runs"][0]["digest"].as_str().map(str::len), Some(32));
    assert_eq!(contenders[0]["runs"][0]["workload"], contenders[1]["runs"][0]["workload"]);
    let file = fs::read_to_string(place.path("reports/small/run.json")).expect("it is there");
    assert_eq!(serde_json::from_str::<Value>(&file).expect("it is JSON"), run);
}

#[test]
fn a_gate_passes_fails_or_stays_open() {
    let place = Place::new();
    let write = |name: &str, seeds, more: &str| {
        place.write(&format!("{name}.toml"), scenario(name, seeds, more));
    };
    write("good", 8, &gate("p2c", "at_most = \"10s\""));
    write("bad", 8, &gate("p2c", "at_most = \"1ms\""));
    write("open", 1, &gate("random", "no_worse_than = \"p2c\""));
    write("none", 1, "");

    let good = place.run(&["check", "good.toml"]).ends_with(0);
    contains(&good.out, "PASS");
    let bad = place.run(&["check", "bad.toml"]).ends_with(3);
    contains(&bad.out, "FAIL");
    contains(&bad.out, "latency_mean");
    contains(&bad.out, "8 seeds");
    assert!(place.path("reports/bad/index.html").exists(), "a report is written also when a gate fails");
    let open = place.run(&["check", "open.toml"]).ends_with(4);
    contains(&open.out, "UNDECIDED");
    place.run(&["check", "none.toml"]).ends_with(0);

    // Of several files the worst counts, and `run` only shows what `check` judges.
    place.run(&["check", "good.toml", "bad.toml", "open.toml"]).ends_with(3);
    place.run(&["check", "good.toml", "open.toml"]).ends_with(4);
    place.run(&["run", "bad.toml"]).ends_with(0);
}

#[test]
fn the_plan_is_printed_and_nothing_runs() {
    let place = Place::new();
    place.write("small.toml", scenario("small", 2, ""));
    let printed = place.run(&["run", "small.toml", "--print-plan", "--seeds", "4"]).ends_with(0).json();
    let plan = &printed["plan"];
    assert_eq!(plan["seeds"], serde_json::json!([1, 2, 3, 4]));
    assert_eq!(plan["name"], "small");
    assert!(plan["drain"].is_string(), "defaults are shown: {plan}");
    assert_eq!(place.listing(), ["small.toml"], "nothing is written");
}

#[test]
fn each_point_of_a_sweep_has_a_folder_of_its_name() {
    let place = Place::new();
    place.write("small.toml", scenario("small", 1, "") + "\n[sweep]\n\"calls.rate\" = [\"40/s\", \"80/s\"]\n");
    place.run(&["run", "small.toml", "--out", "out", "--quiet"]).ends_with(0);
    let folders = fs::read_dir(place.path("out")).expect("it was written");
    let mut names: Vec<_> = folders.map(|folder| folder.expect("it is there").file_name()).collect();
    names.sort();
    assert_eq!(names, ["small-40-s", "small-80-s"]);
}

#[test]
fn values_can_be_set_from_outside() {
    let place = Place::new();
    place.write("small.toml", scenario("small", 1, "").replace("80/s", "${RATE:80/s}"));
    let rate = |plan: &Value| plan["plan"]["calls"]["source"]["open"]["rate"].clone();
    let plain = place.run(&["run", "small.toml", "--print-plan"]).ends_with(0).json();
    let set = place.run(&["run", "small.toml", "--print-plan", "--set", "RATE=40/s"]).ends_with(0).json();
    assert_ne!(rate(&plain), rate(&set));
    let mut command = place.command(&["run", "small.toml", "--print-plan"]);
    let from_environment = Ran::of(command.env("RATE", "40/s").output().expect("it starts")).ends_with(0).json();
    assert_eq!(rate(&from_environment), rate(&set));
    contains(&place.run(&["run", "small.toml", "--set", "RATE"]).ends_with(2).err, "NAME=VALUE");
}

#[test]
fn bad_input_ends_with_2_and_writes_nothing() {
    let place = Place::new();
    place.write("good.toml", scenario("good", 1, ""));
    place.write("unknown.toml", scenario("unknown", 1, "").replace("service", "servise"));
    place.write("unit.toml", scenario("unit", 1, "").replace("\"20s\"", "20"));
    place.write("two.toml", scenario("two", 1, "").replace("\"20s\"", "20").replace("\"random\"", "\"randon\""));
    place.write("empty.toml", "");
    place.write("bytes.toml", [0xff, 0xfe, 0x00]);
    let before = place.listing();

    contains(&place.run(&["run", "unknown.toml"]).ends_with(2).err, "servise");
    contains(&place.run(&["run", "unit.toml"]).ends_with(2).err, "unit.toml:3");
    let two = place.run(&["run", "two.toml"]).ends_with(2).err;
    contains(&two, "randon");
    contains(&two, "duration");
    contains(&place.run(&["run", "empty.toml"]).ends_with(2).err, "empty");
    place.run(&["run", "bytes.toml"]).ends_with(2);
    contains(&place.run(&["run", "absent.toml"]).ends_with(2).err, "absent.toml");
    // One wrong file stops the others too: nothing has run.
    place.run(&["run", "good.toml", "unit.toml"]).ends_with(2);
    place.run(&["check", "good.toml", "unit.toml"]).ends_with(2);
    contains(&place.run(&["run", "good.toml", "--contenders", "nobody"]).ends_with(2).err, "nobody");
    contains(&place.run(&["run", "good.toml", "--max-calls", "10"]).ends_with(2).err, "--max-calls");
    contains(&place.run(&["run", "good.toml", "--seeds", "10001"]).ends_with(2).err, "1..=10000");
    for arguments in
        [&["run"][..], &["walk"], &["run", "good.toml", "--nonsense"], &["run", "good.toml", "--seeds", "0"]]
    {
        place.run(arguments).ends_with(2);
    }
    assert_eq!(place.listing(), before, "nothing is written");
}

#[test]
fn a_report_that_cannot_be_written_ends_with_5() {
    let place = Place::new();
    place.write("small.toml", scenario("small", 1, "")).write("file", "in the way");
    contains(&place.run(&["run", "small.toml", "--out", "file"]).ends_with(5).err, "--out");
}

#[test]
fn lists_have_names_and_words_about_them() {
    let place = Place::new();
    for what in ["scenarios", "balancers", "faults", "metrics", "arrivals", "laws"] {
        let rows = place.run(&["list", what, "--format", "json"]).ends_with(0).json();
        let rows = rows.as_array().expect("a list");
        assert!(rows.len() >= 3, "{what}");
        for row in rows {
            assert!(row["name"].as_str().is_some_and(|name| !name.is_empty()), "{what}: {row}");
            assert!(row["about"].is_string(), "{what}: {row}");
        }
        let people = place.run(&["list", what]).ends_with(0).out;
        assert_eq!(people.lines().count(), rows.len(), "one line each\n{people}");
    }
    for what in ["scenarios", "balancers", "faults", "metrics"] {
        let rows = place.run(&["list", what, "--format", "json"]).json();
        for row in rows.as_array().expect("a list") {
            assert!(row["about"].as_str().is_some_and(|about| about.len() > 8), "{what}: {row}");
        }
    }
}

#[test]
fn a_configuration_of_another_product_is_a_contender_or_is_refused_at_its_place() {
    let place = Place::new();
    let contender = "grpc = { service_config = \"config/grpc.json\" }\n";
    place.write("small.toml", scenario("small", 1, contender));
    fs::create_dir(place.path("config")).expect("a folder can be made");
    place.write("config/grpc.json", "{\n  \"loadBalancingConfig\": [{ \"round_robn\": {} }]\n}\n");
    let before = place.listing();
    let refused = place.run(&["run", "small.toml"]).ends_with(2);
    contains(&refused.err, "config/grpc.json:2:26");
    contains(&refused.err, "did you mean `round_robin`?");
    contains(&refused.err, "in config/grpc.json: nothing was run");
    assert_eq!((place.listing(), refused.out.as_str()), (before, ""), "nothing is written");

    place.write("config/grpc.json", "{ \"loadBalancingConfig\": [{ \"round_robin\": {} }] }");
    let plan = place.run(&["run", "small.toml", "--print-plan"]).ends_with(0).json();
    let grpc = &plan["plan"]["contenders"][2];
    assert!(grpc["channel"]["balancer"]["round_robin"].is_object(), "{grpc}");
    place.run(&["run", "small.toml", "--quiet"]).ends_with(0);
    let recorded = fs::read_to_string(place.path("reports/small/run.json")).expect("it was written");
    let recorded: Value = serde_json::from_str(&recorded).expect("it is JSON");
    let imported = &recorded["plan"]["contenders"][2]["imported"];
    assert_eq!(imported["text"], "{ \"loadBalancingConfig\": [{ \"round_robin\": {} }] }");
}

#[test]
fn things_are_explained_by_name_or_alias() {
    let place = Place::new();
    let card = place.run(&["explain", "least_request"]).ends_with(0).out;
    for label in ["Origin:", "Observes:", "Cost:", "Fails when:", "choices"] {
        contains(&card, label);
    }
    contains(&card, "scenarios/two-backends-one-hangs.toml");
    assert_eq!(place.run(&["explain", "p2c"]).ends_with(0).out, card, "an alias is as good as the name");
    contains(&place.run(&["explain", "partition"]).ends_with(0).out, "fault");
    contains(&place.run(&["explain", "latency_p99"]).ends_with(0).out, "metric");
    contains(&place.run(&["explain", "service_config"]).ends_with(0).out, "`loadBalancingConfig`");
    contains(&place.run(&["explain", "envoy_cluster"]).ends_with(0).out, "`lb_policy`");
    let unknown = place.run(&["explain", "round_robbin"]).ends_with(2);
    contains(&unknown.err, "did you mean `round_robin`?");
    assert_eq!(unknown.out, "");
    contains(&place.run(&["explain", "leastcon"]).ends_with(2).err, "did you mean `least_conn`?");
    for (ambiguous, meaning) in [("weighted_round_robin", "orca_wrr"), ("la", "lalb"), ("p2c_ewma", "brpc.p2c_ewma")] {
        contains(&place.run(&["explain", ambiguous]).ends_with(2).err, meaning);
    }
    place.run(&["list", "colours"]).ends_with(2);
}

#[test]
fn two_folders_stand_side_by_side() {
    let place = Place::new();
    let fleet = |service: &str| scenario("small", 5, "").replace("100ms", service);
    place.write("old.toml", fleet("100ms")).write("new.toml", fleet("105ms"));
    place.write("fewer.toml", fleet("100ms").replace("random =", "chance ="));
    place.run(&["run", "old.toml", "--out", "old"]).ends_with(0);
    place.run(&["run", "new.toml", "--out", "new"]).ends_with(0);
    place.run(&["run", "fewer.toml", "--out", "fewer", "--seeds", "3"]).ends_with(0);
    let before = place.listing();

    let same = place.run(&["compare", "old/small", "old/small"]).ends_with(0).out;
    assert_eq!(same.matches(": identical").count(), 2, "{same}");
    let changed = place.run(&["compare", "old/small", "new/small"]).ends_with(0).out;
    for part in ["p2c", "random", "latency_mean", "worse"] {
        contains(&changed, part);
    }
    let fewer = place.run(&["compare", "old/small", "fewer/small"]).ends_with(0).out;
    for part in ["only in A: contender random", "only in B: contender chance", "not comparable: 5 and 3 seeds"] {
        contains(&fewer, part);
    }

    let found = place.run(&["compare", "old/small", "new/small", "--format", "json"]).ends_with(0).json();
    let p2c = &found["contenders"][0];
    assert_eq!((&p2c["name"], &p2c["paired"], &p2c["identical"]), (&"p2c".into(), &true.into(), &false.into()));
    let metrics = p2c["metrics"].as_array().expect("a list");
    let mean = metrics.iter().find(|row| row["metric"] == "latency_mean").expect("it is compared");
    let delta = mean["delta"].as_f64().expect("it is known");
    let ends = [0, 1].map(|end| mean["interval"][end].as_f64().expect("pairs have an interval"));
    assert!(ends[0] <= delta && delta <= ends[1] && ends[0] > 0.0 && delta < 0.5, "{mean}");

    let none = place.run(&["compare", "old/small", "old"]).ends_with(2);
    contains(&none.err, "old/run.json");
    contains(&none.err, "help: give two folders");
    assert_eq!(none.out, "");
    place.write("old/small/summary.csv", "torn");
    contains(&place.run(&["compare", "old/small", "new/small"]).ends_with(2).err, "old/small/summary.csv");
    assert_eq!(place.listing(), before, "nothing is written");
}

#[test]
fn the_simulator_is_held_against_theory() {
    let place = Place::new();
    let people = place.run(&["validate", "JSQ"]).ends_with(0).out;
    for part in ["JSQ, 3 servers", "agrees", "expected", "2 of 2 facts agree"] {
        contains(&people, part);
    }
    let found = place.run(&["validate", "JSQ", "--format", "json"]).ends_with(0).json();
    assert_eq!(found["agrees"], true);
    let check = &found["checks"][0];
    assert_eq!(check["source"], "exact");
    let off = check["simulated"].as_f64().expect("a number") / check["expected"].as_f64().expect("a number") - 1.0;
    assert!(off.abs() <= check["allowed"].as_f64().expect("a number"), "{check}");
    contains(&place.run(&["validate", "M/X/1"]).ends_with(2).err, "M/X/1");
    assert!(place.listing().is_empty(), "nothing is written");
}

#[test]
fn the_schema_is_a_schema() {
    let schema = Place::new().run(&["schema"]).ends_with(0).json();
    contains(schema["$schema"].as_str().expect("it says which"), "json-schema.org");
    for key in ["calls", "backends", "contenders", "faults", "expect"] {
        assert!(schema["properties"][key].is_object(), "{key}");
    }
}

#[test]
fn help_version_and_completions() {
    let place = Place::new();
    contains(&place.run(&["--version"]).ends_with(0).out, env!("CARGO_PKG_VERSION"));
    let help = place.run(&["--help"]).ends_with(0).out;
    for verb in ["run", "check", "compare", "validate", "list", "explain", "schema"] {
        contains(&help, verb);
    }
    place.run(&[]).ends_with(2);
    for shell in ["bash", "zsh", "fish"] {
        let script = place.run(&["completions", shell]).ends_with(0).out;
        for word in ["plimsoll", "compare", "validate", "seeds", "max-calls"] {
            contains(&script, word);
        }
    }
}

/// Interrupts the program once it listens, which its signal mask says.
#[cfg(target_os = "linux")]
fn interrupted(place: &Place, arguments: &[&str]) -> Ran {
    let mut command = place.command(arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let status = format!("/proc/{}/status", child.id());
    let listens = || {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0");
        // Signal 2 is the second bit.
        u64::from_str_radix(caught.trim(), 16).expect("a mask is hexadecimal") & 2 != 0
    };
    while !listens() && child.try_wait().expect("it can be asked").is_none() {
        std::thread::yield_now();
    }
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    let ran = Ran::of(child.wait_with_output().expect("it ends"));
    assert!(sent.expect("a signal can be sent").success(), "it ended by itself: {ran:?}");
    ran
}

#[test]
#[cfg(target_os = "linux")]
fn an_interrupted_run_leaves_the_old_folder_or_none() {
    let place = Place::new();
    place.write("small.toml", scenario("small", 2, ""));
    place.run(&["run", "small.toml"]).ends_with(0);
    let files = |place: &Place| {
        let files = place.listing().into_iter().filter(|name| place.path(name).is_file());
        files.map(|name| (fs::read(place.path(&name)).expect("it is there"), name)).collect::<Vec<_>>()
    };
    let before = files(&place);
    // Enough to do for minutes, in runs of milliseconds.
    for verb in ["run", "check"] {
        let ran = interrupted(&place, &[verb, "small.toml", "--seeds", "10000"]).ends_with(130);
        contains(&ran.err, "interrupted: the report of small is as it was before");
        assert_eq!(ran.out, "");
        assert!(files(&place) == before, "{verb}: the old folder is as it was, and nothing stands beside it");
    }
    place.write("other.toml", scenario("other", 2, ""));
    interrupted(&place, &["run", "other.toml", "--seeds", "10000"]).ends_with(130);
    let beside =
        place.listing().into_iter().filter(|name| name.starts_with("reports/") && name.matches('/').count() == 1);
    assert_eq!(beside.collect::<Vec<_>>(), ["reports/small"]);
    interrupted(&place, &["validate"]).ends_with(130);
}

#[test]
fn colour_is_a_choice() {
    let place = Place::new();
    place.write("small.toml", scenario("small", 2, "")).write("bad.toml", "name = 3");
    let coloured = |text: &str| text.contains('\u{1b}');
    assert!(coloured(&place.run(&["run", "small.toml", "--color", "always"]).ends_with(0).out));
    assert!(!coloured(&place.run(&["run", "small.toml", "--color", "never"]).ends_with(0).out));
    assert!(coloured(&place.run(&["run", "bad.toml", "--color", "always"]).ends_with(2).err));
    let with = |name: &str, value: &str| {
        let mut command = place.command(&["run", "small.toml"]);
        if name == "NO_COLOR" {
            command.env("CLICOLOR_FORCE", "1");
        }
        Ran::of(command.env(name, value).output().expect("it starts")).ends_with(0).out
    };
    assert!(coloured(&with("CLICOLOR_FORCE", "1")));
    assert!(!coloured(&with("NO_COLOR", "1")), "NO_COLOR wins over a wish for colour");
    assert!(coloured(&with("NO_COLOR", "")), "an empty NO_COLOR says nothing");
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let place = Place::new();
    place.write("small.toml", scenario("small", 1, ""));
    for arguments in [
        &["list", "metrics"][..],
        &["schema"],
        &["explain", "p2c"],
        &["completions", "bash"],
        &["--help"],
        &["run", "small.toml"],
        &["run", "small.toml", "--print-plan"],
    ] {
        let mut child =
            place.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        drop(child.stdout.take());
        let mut err = String::new();
        child.stderr.take().expect("it is piped").read_to_string(&mut err).expect("it is UTF-8");
        let status = child.wait().expect("it ends");
        assert_eq!(status.code(), Some(0), "{arguments:?}: {err}");
        assert!(!err.contains("panicked") && !err.contains("error"), "{arguments:?}: {err}");
    }
}
