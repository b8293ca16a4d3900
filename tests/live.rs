//! The live world: real connections on loopback, counted, not timed.

use std::path::{Path, PathBuf};

/// Set to write the generated code anew instead of comparing it.
const REWRITE: &str = "PLIMSOLL_REWRITE";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn generate(into: &Path) {
    let descriptors =
        protox::compile(["plimsoll/v1/echo.proto"], [root().join("proto")]).expect("the protocol is sound");
    tonic_prost_build::configure().out_dir(into).compile_fds(descriptors).expect("code can be generated");
}

#[test]
fn the_generated_code_is_that_of_the_protocol() {
    let fresh = tempfile::tempdir().expect("a folder can be made");
    generate(fresh.path());
    let fresh = std::fs::read_to_string(fresh.path().join("plimsoll.v1.rs")).expect("it was just written");
    let committed = root().join("src/live/pb/plimsoll.v1.rs");
    if std::env::var_os(REWRITE).is_some() {
        std::fs::write(&committed, &fresh).expect("the source folder can be written");
    }
    let kept = std::fs::read_to_string(&committed).unwrap_or_default();
    assert!(kept == fresh, "src/live/pb is not what proto/ says: run this test with {REWRITE}=1");
}

#[cfg(feature = "live")]
mod worlds {
    //! The same scenario in both worlds: what should agree does, and what cannot be played is refused.

    use plimsoll::base::time::{Duration, Instant};
    use plimsoll::live::{self, Error, Settings};
    use plimsoll::measure::summary::Summary;
    use plimsoll::record::Nothing;
    use plimsoll::record::event::Record;
    use plimsoll::scenario::{self, plan::Plan};
    use plimsoll::study;

    fn plan(text: &str) -> Plan {
        let loaded = scenario::resolve::parse(text, "test.toml", &Default::default());
        loaded.unwrap_or_else(|findings| panic!("{}", findings.render(false))).plans.remove(0)
    }

    /// Both worlds: virtual, then live.
    fn both(plan: &Plan) -> (Summary, Summary) {
        let (seed, timeline) = (plan.seeds[0], plan.timeline(plan.seeds[0]));
        let lived = study::run_one_live(plan, 0, seed, &timeline, &Settings::default());
        (study::run_one(plan, 0, seed, &timeline), lived.expect("the run succeeds").0)
    }

    fn near(what: &str, virtually: f64, live: f64, tolerance: f64) {
        assert!((virtually - live).abs() <= tolerance, "{what}: {virtually} in virtual time, {live} live");
    }

    #[test]
    fn a_run_says_what_the_machine_was_up_to() {
        let plan = plan(
            r#"
            duration = "1s"
            warmup = "0s"
            drain = "2s"
            seeds = 1
            calls = { rate = "200/s" }
            backends = [{ count = 2, service = "1ms" }]
            contenders = { round_robin = { balancer = "round_robin" } }
            "#,
        );
        let timeline = plan.timeline(plan.seeds[0]);
        let lived = study::run_one_live(&plan, 0, plan.seeds[0], &timeline, &Settings::default());
        let (summary, finish) = lived.expect("the run succeeds");
        let vitals = &finish.vitals;
        assert_eq!(vitals.lag.count() as u64, summary.outcomes.attempts, "each call's first attempt is looked at");
        assert!((90..=99).contains(&vitals.probe.count()), "{} looks at the alarms in a second", vitals.probe.count());
        assert_eq!((vitals.skipped, vitals.crowded), (0, 0));
        if cfg!(target_os = "linux") {
            let share = vitals.cpu.expect("it can be read");
            assert!(share > 0.0 && share < 1.5, "{share} of the processor");
        }
    }

    #[test]
    fn round_robin_shares_alike_in_both_worlds() {
        let plan = plan(
            r#"
            duration = "2s"
            warmup = "0s"
            drain = "2s"
            seeds = 1
            calls = { rate = "300/s" }
            clients = [{ count = 2 }]
            backends = [{ count = 4, workers = 8, service = { exponential = { mean = "5ms" } } }]
            contenders = { round_robin = { balancer = "round_robin" } }
            "#,
        );
        let (virtually, live) = both(&plan);
        assert_eq!(virtually.digests.workload, live.digests.workload, "the calls are the same calls");
        assert_eq!(virtually.outcomes.calls, live.outcomes.calls);
        assert_eq!(live.outcomes.ok, live.outcomes.calls);
        assert!(live.outcomes.calls > 500);
        let attempts = |summary: &Summary| summary.backends.iter().map(|tally| tally.attempts).collect::<Vec<_>>();
        // Turns are a matter of counting: two clients, each at most one ahead on any backend.
        for (a, b) in attempts(&virtually).into_iter().zip(attempts(&live)) {
            near("attempts on a backend", a as f64, b as f64, 4.0);
        }
        let busy = |summary: &Summary| summary.work.served_ns as f64 / 1e9;
        near("seconds of service", busy(&virtually), busy(&live), 0.35 * busy(&virtually));
    }

    #[test]
    fn a_crash_costs_alike_in_both_worlds() {
        let scenario = |retry: &str| {
            plan(&format!(
                r#"
                duration = "2500ms"
                warmup = "0s"
                drain = "2s"
                seeds = 1
                calls = {{ rate = "300/s" }}
                clients = [{{ count = 2 }}]
                backends = [{{ count = 3, workers = 8, service = "20ms", errors = "2%" }}]
                faults = [{{ at = "800ms", for = "700ms", crash = {{}}, target = {{ count = 1 }} }}]
                contenders = {{ round_robin = {{ balancer = "round_robin"{retry} }} }}
                "#
            ))
        };
        let error_rate = |summary: &Summary| 1.0 - summary.outcomes.ok as f64 / summary.outcomes.calls as f64;
        let share = |summary: &Summary| {
            let all: u64 = summary.backends.iter().map(|tally| tally.attempts).sum();
            summary.backends[0].attempts as f64 / all as f64
        };
        let (virtually, live) = both(&scenario(""));
        near("error rate without retries", error_rate(&virtually), error_rate(&live), 0.02);
        near("share of the one that crashed", share(&virtually), share(&live), 0.05);
        assert!(error_rate(&live) > 0.005, "the fault and the errors are felt");
        let (virtually, live) = both(&scenario(r#", retry = { attempts = 4, backoff = "20ms" }"#));
        near("error rate with retries", error_rate(&virtually), error_rate(&live), 0.005);
        near("attempts per call", per_call(&virtually), per_call(&live), 0.02);
        assert!(per_call(&live) > 1.005, "there were retries");
    }

    fn per_call(summary: &Summary) -> f64 {
        summary.outcomes.attempts as f64 / summary.outcomes.calls as f64
    }

    #[test]
    fn records_come_in_order_and_account_for_every_call() {
        let plan = plan(
            r#"
            duration = "1s"
            warmup = "100ms"
            drain = "300ms"
            seeds = 1
            calls = { rate = "200/s", deadline = "30ms" }
            clients = [{ count = 2 }]
            backends = [{ count = 2, workers = 1, queue = 5, service = { exponential = { mean = "8ms" } } }]
            faults = [{ at = "500ms", for = "200ms", hang = {}, target = { count = 1 } }]
            contenders = { p2c = { balancer = "least_request" } }
            "#,
        );
        let mut records: Vec<(Instant, Record)> = Vec::new();
        let timeline = plan.timeline(1);
        let finish = live::run(&plan, 0, 1, &timeline.effects, &Settings::default(), &mut records);
        let books = finish.expect("the run succeeds").books;
        let count = |is: &dyn Fn(&Record) -> bool| records.iter().filter(|(_, record)| is(record)).count();
        assert!(records.is_sorted_by_key(|(at, _)| *at));
        let born = count(&|record| matches!(record, Record::Born { .. }));
        assert_eq!(born, count(&|record| matches!(record, Record::Ended { .. })));
        assert_eq!(born as u64, books.scheduled);
        assert_eq!(count(&|record| matches!(record, Record::Effect { .. })), 2);
        assert!(matches!(records.last(), Some((at, Record::Over { .. })) if *at == books.at));
        let (sent, done) = (
            count(&|record| matches!(record, Record::Sent { .. })),
            count(&|record| matches!(record, Record::Done { .. })),
        );
        assert!(sent >= done && sent - done <= 10, "{sent} attempts were sent, {done} ended");
        let late = count(&|record| {
            matches!(record, Record::Ended { outcome: Err(failure), .. }
                if failure.cause == plimsoll::base::status::Cause::Deadline)
        });
        assert!(late > 0, "a hanging backend makes calls run out of time");
    }

    #[test]
    fn calls_that_wait_behind_a_stall_are_not_forgotten() {
        // A tenth of the calls comes while everything stands still. A client that waits for replies would send hardly
        // any of them, and an average over what it did send would hide the stall.
        let plan = plan(
            r#"
            duration = "4s"
            warmup = "0s"
            drain = "2s"
            seeds = 1
            calls = { rate = "250/s", arrivals = "constant" }
            clients = [{ count = 1 }]
            backends = [{ count = 1, workers = 1000, service = "1ms" }]
            faults = [{ at = "2s", for = "400ms", hang = {} }]
            contenders = { round_robin = { balancer = "round_robin" } }
            "#,
        );
        let timeline = plan.timeline(1);
        let (mut virtually, mut live) = (Vec::new(), Vec::new());
        plimsoll::sim::run(&plan, 0, 1, &timeline.effects, &mut virtually);
        live::run(&plan, 0, 1, &timeline.effects, &Settings::default(), &mut live).expect("the run succeeds");
        let slow = |records: &[(Instant, Record)]| {
            let waited = |(at, record): &&(Instant, Record)| matches!(record, Record::Ended { born, .. } if at.since(*born) > Duration::from_millis(200));
            records.iter().filter(waited).count() as f64
        };
        near("calls that took longer than half the stall", slow(&virtually), slow(&live), 15.0);
        assert!(slow(&live) >= 40.0, "only {} calls felt the stall", slow(&live));
    }

    /// A fleet that is at rest for a long time, with a piece of a scenario file added.
    fn calm(extra: &str, calls: &str) -> Plan {
        plan(&format!(
            r#"
            duration = "10m"
            seeds = 1
            calls = {calls}
            clients = [{{ count = 2 }}]
            backends = [{{ count = 3, service = "5ms" }}]
            contenders = {{ random = {{ balancer = "random" }} }}
            {extra}
            "#
        ))
    }

    const CALLS: &str = r#"{ rate = "100/s", keys = { uniform = { count = 50 } } }"#;

    #[test]
    fn what_is_not_played_is_refused_before_anything_starts() {
        let refused = |extra: &str, calls: &str, needle: &str| {
            let plan = calm(extra, calls);
            match live::run(&plan, 0, 1, &plan.timeline(1).effects, &Settings::default(), &mut Nothing) {
                Err(Error::Refused(all)) => assert!(all.iter().any(|why| why.contains(needle)), "{needle}: {all:?}"),
                other => panic!("{needle}: {other:?}"),
            }
        };
        refused("", r#"{ rate = "1001/s" }"#, "faster than 1000/s");
        refused("", r#"{ rate = "900/s", arrivals = { steps = { at = [["5s", "2k/s"]] } } }"#, "in one second");
        refused("", r#"{ users = 5, think = "10ms" }"#, "closed workload");
        refused("discovery = { push = { delay = \"1ms\" } }", CALLS, "static discovery");
        refused("network = { loss = \"1%\" }", CALLS, "loses messages");
        refused("faults = [{ at = \"1s\", kill = {} }]", CALLS, "vanish");
        refused("faults = [{ at = \"1s\", for = \"1s\", partition = {} }]", CALLS, "cuts the network");
        refused("faults = [{ at = \"1s\", rolling_deploy = {} }]", CALLS, "drains");
        for said in ["reweight = { weight = 2 }", "relabel = { zone = \"default\" }", "announce_health = {}"] {
            let fault = format!("discovery = \"push\"\nfaults = [{{ at = \"1s\", {said} }}]");
            refused(&fault, CALLS, "announce");
        }
    }

    #[test]
    fn the_faults_that_are_said_to_be_played_are() {
        let faults = [
            ("crash", "{}"),
            ("restart", "{}"),
            ("churn", "{}"),
            ("slow", "{ factor = 2 }"),
            ("noisy_neighbour", "{}"),
            ("brownout", "{}"),
            ("errors", "{ rate = '10%' }"),
            ("hang", "{}"),
            ("pause", "{ length = '100ms' }"),
            ("surge", "{ factor = 2 }"),
            ("move_hot_keys", "{}"),
        ];
        for (name, config) in faults {
            let plan = calm(&format!("faults = [{{ at = '2m', {name} = {config} }}]"), CALLS);
            assert!(live::support::SUPPORTED.contains(name), "{name} is not said to be played");
            assert_eq!(live::support::refusals(&plan, &plan.timeline(1).effects), [""; 0], "{name}");
        }
    }

    /// Runs the program on a scenario. Hands out its exit code, what it said to standard error, and the report folder.
    fn program(text: &str) -> (Option<i32>, String, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let file = folder.path().join("small.toml");
        std::fs::write(&file, text).expect("a file can be written");
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_plimsoll"))
            .args(["live", "--out"])
            .args([folder.path().join("reports"), file])
            .output()
            .expect("the program starts");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned(), folder)
    }

    const SMALL: &str = r#"
        duration = "1s"
        seeds = 3
        calls = { rate = "100/s" }
        clients = [{ count = 1 }]
        backends = [{ count = 2, service = "2ms" }]
        contenders = { round_robin = { balancer = "round_robin" }, random = { balancer = "random" } }
    "#;

    #[test]
    fn the_program_plays_a_file_and_writes_the_same_folder() {
        let (code, said, folder) = program(SMALL);
        // A busy machine is a finding, and no failure.
        assert_eq!(code, Some(if said.contains("CLIENT-LIMITED") { 5 } else { 0 }), "{said}");
        assert!(said.contains("2 runs, one after the other") && said.contains("only the first seed"), "{said}");
        let report = folder.path().join("reports/small");
        for file in ["summary.csv", "series.csv", "backends.csv", "index.html"] {
            assert!(report.join(file).is_file(), "{file} is missing");
        }
        let run = std::fs::read_to_string(report.join("run.json")).expect("run.json is there");
        let run: serde_json::Value = serde_json::from_str(&run).expect("run.json is JSON");
        assert_eq!((&run["world"], &run["seeds"]), (&"live".into(), &serde_json::json!([1])));
        assert_eq!(run["live"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn the_program_refuses_with_every_reason_and_writes_nothing() {
        let (code, said, folder) = program(
            &SMALL
                .replace("100/s", "5k/s")
                .replace("seeds", "network = { loss = '1%' }\n seeds")
                .replace("\"random\"", "'oracle.jsq'"),
        );
        assert_eq!(code, Some(2), "{said}");
        for needle in
            ["faster than 1000/s", "loses messages", "`random` is an oracle", "`plimsoll run` plays everything"]
        {
            assert!(said.contains(needle), "{needle}: {said}");
        }
        assert!(!folder.path().join("reports").exists());
    }
}
