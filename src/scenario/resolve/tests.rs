//! What files become, beyond what they are refused for (that is in `tests/diagnostics`).

use super::*;
use crate::base::id::{BackendId, RegionId, ZoneId};
use crate::base::time::Duration;
use crate::policy::balancer::catalog;
use crate::policy::balancer::own::Strategy;
use crate::scenario::plan::{Limit, TargetPick};
use crate::workload::spec::{Arrivals, Source};

/// A small file with more in it.
fn with(more: &str) -> String {
    format!("# Why?\nname = \"small\"\ncalls.rate = \"${{RATE:100/s}}\"\n{more}")
}

const REST: &str =
    "[[backends]]\nservice = \"10ms\"\n[contenders]\nb = { balancer = \"random\" }\na = { balancer = \"rr\" }\n";

fn load_with(text: &str, options: &Options) -> Loaded {
    parse(text, "small.toml", options).unwrap_or_else(|findings| panic!("{findings}"))
}

fn plan(more: &str) -> Plan {
    load_with(&with(more), &Options::default()).plans.remove(0)
}

fn warnings(more: &str) -> Vec<String> {
    let loaded = load_with(&with(more), &Options::default());
    loaded.warnings.iter().map(|finding| finding.message.clone()).collect()
}

fn shipped(name: &str) -> Loaded {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(name);
    load(&path, &Options::default()).unwrap_or_else(|findings| panic!("{findings}"))
}

#[test]
fn what_is_left_out_is_what_people_expect() {
    let plan = plan(REST);
    assert_eq!((plan.name.as_str(), plan.question.as_str()), ("small", "Why?"));
    let seconds = Duration::from_secs;
    assert_eq!((plan.duration, plan.warmup, plan.drain), (seconds(60), seconds(6), seconds(30)));
    assert_eq!(plan.seeds, [1, 2, 3, 4, 5]);
    assert!(matches!(plan.calls.source, Source::Open { arrivals: Arrivals::Poisson(_), .. }));
    assert_eq!((plan.calls.mix.len(), plan.calls.mix[0].name.as_str()), (1, "all"));
    assert_eq!((plan.client_count(), plan.clients[0].share, plan.clients[0].name.as_str()), (1, 1.0, "clients"));
    assert_eq!((plan.backend_count(), plan.backends[0].name.as_str()), (1, "backends"));
    assert_eq!((plan.zones.len(), plan.zones[0].name.as_str()), (1, "default"));
    assert_eq!(plan.network.delays[0].mean(), Some(Duration::from_micros(500)));
    assert_eq!(plan.discovery, Discovery::Static);
    assert_eq!((plan.baseline, plan.contenders[0].name.as_str()), (0, "b"), "the order is that of the file");
}

#[test]
fn the_supermarket() {
    let plan = shipped("supermarket.toml").plans.remove(0);
    assert_eq!(plan.question, "Two choices or one queue? The supermarket model at 90 % load.");
    assert_eq!((plan.backend_count(), plan.seeds.len(), plan.contenders.len()), (100, 4, 2));
    assert_eq!(plan.network.delays[0].mean(), Some(Duration::ZERO));
}

#[test]
fn the_region_outage() {
    let loaded = shipped("region-outage.toml");
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    let plan = &loaded.plans[0];
    assert_eq!(plan.regions, ["beijing", "shanghai", "shenzhen"]);
    assert_eq!((plan.client_count(), plan.backend_count()), (30, 37));
    let delay = |from, to| plan.delay(ZoneId(from), ZoneId(to)).mean().unwrap();
    assert_eq!((delay(0, 1), delay(2, 0)), (Duration::from_millis(13), Duration::from_millis(20)));
    assert_eq!(delay(1, 1), Duration::from_micros(250));
    assert_eq!((plan.faults.len(), plan.faults[0].fault.name()), (1, "partition"));
    assert!(plan.contenders.iter().all(|contender| contender.channel.health.is_some()), "`[health]` is for all");
    assert_eq!(plan.expects[0].contender, Some(1));
    assert_eq!((&plan.expects[0].limit, plan.expects[0].line), (&Limit::AtMost(30_000.0), 72));
}

#[test]
fn the_hot_keys() {
    let plan = shipped("hot-keys.toml").plans.remove(0);
    assert!(plan.calls.keys.is_some() && plan.backends[0].profile.cache.is_some());
    assert_eq!(plan.contenders.len(), 4);
}

#[test]
fn shared_settings_are_filled_in_and_can_be_undone() {
    let text = "[[backends]]\nservice = '10ms'\n[health]\nthree_state = {}\n[client]\nbalancer = 'random'\nretry = { attempts = 5 }\n\
                [contenders]\na = {}\nb = { retry = 'none', health = 'none' }\nc = { balancer = 'rr', retry = { attempts = 2 } }\n";
    let contenders = plan(text).contenders;
    let attempts = |n: usize| contenders[n].channel.retry.as_ref().map(|retry| retry.attempts);
    assert_eq!([attempts(0), attempts(1), attempts(2)], [Some(5), None, Some(2)]);
    assert_eq!([0, 1, 2].map(|n: usize| contenders[n].channel.health.is_some()), [true, false, true]);
    assert_eq!(contenders[2].channel.balancer.name(), "round_robin");
}

#[test]
fn shares_add_up() {
    let clients =
        "[[clients]]\ncount = 3\nshare = '10%'\n[[clients]]\ncount = 1\n[[clients]]\nname = 'web'\ncount = 2\n";
    let plan = plan(&format!("{clients}{REST}"));
    let shares: Vec<f64> = plan.clients.iter().map(|group| group.share).collect();
    assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12 && (shares[1] - 0.3).abs() < 1e-12, "{shares:?}");
    let names: Vec<&str> = plan.clients.iter().map(|group| group.name.as_str()).collect();
    assert_eq!(names, ["clients-1", "clients-2", "web"]);
}

#[test]
fn what_is_said_of_zones_counts_more_than_what_is_said_of_regions() {
    let text = "[[clients]]\nzone = 'a/x'\n[[backends]]\nzone = 'b/y'\nservice = '1ms'\n[[backends]]\nzone = 'b/z'\nservice = '1ms'\n\
                [network.between]\n'b/y a/x' = '3ms'\n'a b' = '20ms'\n'b b' = '1ms'\n[contenders]\na = { balancer = 'random' }\n";
    let plan = plan(text);
    let delay = |from, to| plan.delay(ZoneId(from), ZoneId(to)).mean().unwrap().as_nanos() / 1_000;
    assert_eq!([delay(0, 1), delay(1, 0), delay(0, 2), delay(1, 2), delay(1, 1)], [3_000, 3_000, 20_000, 1_000, 500]);
    assert_eq!(plan.zones[2].region, RegionId(1));
}

#[test]
fn faults_are_aimed() {
    let text = "[[backends]]\nname = 'old'\nzone = 'eu/a'\ncount = 3\nservice = '1ms'\n[[backends]]\nzone = 'eu/b'\ncount = 4\nservice = '1ms'\n\
                [[clients]]\nzone = 'eu/a'\n[discovery]\npush = {}\n\
                [[faults]]\nat = '10s'\ntarget = { backends = 'old', count = 2 }\ncrash = {}\n\
                [[faults]]\nat = '10s'\ntarget = { zone = 'eu/b' }\nshare = '30%'\nhang = {}\n\
                [[faults]]\nat = '10s'\ntarget = { zone = 'eu' }\nslow = { factor = 2 }\n\
                [[faults]]\nat = '20s'\ntarget = { backends = 'old' }\nscale = { add = 2 }\n\
                [contenders]\na = { balancer = 'random' }\n";
    let plan = plan(text);
    assert_eq!((plan.backends[0].count, plan.backends[0].capacity, plan.backends[1].capacity), (3, 5, 4));
    let target = |n: usize| &plan.faults[n].target;
    assert_eq!(target(0).candidates, [0, 1, 2, 3, 4].map(BackendId), "reserves are candidates once they are there");
    assert_eq!(target(0).pick, TargetPick::Count(2));
    assert_eq!(target(1).candidates, [5, 6, 7, 8].map(BackendId));
    assert_eq!(target(1).pick, TargetPick::Random(2), "30 % of four, rounded up");
    assert_eq!((target(2).candidates.len(), target(2).pick), (9, TargetPick::All));
}

#[test]
fn limits_are_read_in_the_unit_of_their_metric() {
    let gate = |metric: &str, limit: &str| {
        plan(&format!("{REST}[[expect]]\nmetric = '{metric}'\n{limit}\n")).expects.remove(0).limit
    };
    assert_eq!(gate("latency_p99", "at_most = '0.5s'"), Limit::AtMost(500.0));
    assert_eq!(gate("error_rate", "at_most = '1%'"), Limit::AtMost(0.01));
    assert_eq!(gate("error_rate.deadline", "at_most = 0.01"), Limit::AtMost(0.01));
    assert_eq!(gate("goodput", "at_least = '0.9k/s'"), Limit::AtLeast(900.0));
    assert_eq!(gate("attempts_per_call", "at_most = 1.5"), Limit::AtMost(1.5));
    assert_eq!(gate("calls_to_dead", "at_most = 10"), Limit::AtMost(10.0));
    let than = gate("latency_p99", "contender = 'a'\nno_worse_than = 'b'\nmargin = '5%'");
    assert_eq!(than, Limit::NoWorseThan { contender: 0, margin: Some(0.05) });
}

#[test]
fn the_command_line_has_the_last_word() {
    let text = with(&format!(
        "baseline = 'b'\nseeds = 3\nduration = '${{LENGTH:30s}}'\n{REST}[[expect]]\ncontender = 'b'\nmetric = 'calls'\nat_least = 1\n"
    ));
    let options = Options {
        sets: [("LENGTH", "50s"), ("RATE", "1/s")].map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        seeds: Some(2),
        first_seed: 7,
        contenders: vec!["a*".to_owned()],
        ..Options::default()
    };
    let plan = load_with(&text, &options).plans.remove(0);
    assert_eq!((plan.duration, plan.seeds.as_slice()), (Duration::from_secs(50), &[7, 8][..]));
    assert_eq!((plan.contenders.len(), plan.baseline, plan.expects.len()), (1, 0, 0));
    let none = Options { contenders: vec!["zz".to_owned()], ..Options::default() };
    assert!(parse(&text, "small.toml", &none).unwrap_err().to_string().contains("matches no contender"));
}

#[test]
fn variables_stand_for_numbers_too() {
    let plan = plan(
        &format!("seeds = '${{SEEDS:3}}'\n{REST}")
            .replace("service = \"10ms\"", "service = \"10ms\"\ncount = '${N:12}'"),
    );
    assert_eq!((plan.seeds.len(), plan.backend_count()), (3, 12));
}

#[test]
fn a_sweep_is_a_grid_of_plans() {
    let text =
        with(&format!("{REST}[sweep]\n'backends.0.workers' = [1, 2]\n'calls.rate' = ['50/s', '80/s', '1k/s']\n"));
    let plans = load_with(&text, &Options::default()).plans;
    let names: Vec<&str> = plans.iter().map(|plan| plan.name.as_str()).collect();
    let expected = ["1-50-s", "1-80-s", "1-1k-s", "2-50-s", "2-80-s", "2-1k-s"].map(|point| format!("small-{point}"));
    assert_eq!(names, expected);
    assert_eq!(plans[5].backends[0].profile.workers, 2);
    assert_eq!(plans[5].point, [("backends.0.workers".into(), "2".into()), ("calls.rate".into(), "1k/s".into())]);
    assert!(matches!(plans[5].calls.source, Source::Open { rate, .. } if rate.value() == 1000.0));
}

#[test]
fn no_two_points_of_a_sweep_have_the_same_name() {
    let plans = load_with(
        &with(&format!("{REST}[sweep]\n'calls.rate' = ['50/s', '50.0/s', '5/s', '50/s']\n")),
        &Options::default(),
    )
    .plans;
    let names: Vec<&str> = plans.iter().map(|plan| plan.name.as_str()).collect();
    let apart: std::collections::BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!((names.len(), apart.len(), names[0], names[3]), (4, 4, "small-50-s", "small-4"), "{names:?}");
}

#[test]
fn balancers_name_zones_and_plans_number_them() {
    let fleet = "[[backends]]\nzone = 'eu/a'\nservice = '1ms'\n[[backends]]\nzone = 'us/b'\nservice = '1ms'\n[[clients]]\nzone = 'eu/a'\n";
    let with_canary = |canary: &str| format!("{fleet}[contenders]\nit = {{ balancer = {canary} }}\n");
    for (written, number) in [
        ("{ canary = { zone = 'us/b' } }", 1),
        ("{ canary = { zone = 'us' } }", 1),
        ("{ canary = { zone = 'eu/a' } }", 0),
        ("{ slow_start = { child = { canary = { zone = 'eu/a' } } } }", 0),
        ("{ canary = { zone = 0 } }", 0),
        ("'canary'", 1),
    ] {
        let plans = load_with(&with(&with_canary(written)), &Options::default()).plans;
        let text = serde_json::to_string(&plans[0].contenders[0].channel).unwrap();
        assert!(text.contains(&format!("\"zone\":{number}")), "{written}: {text}");
    }
    let said = warnings(&with_canary("{ canary = { zone = 7 } }"));
    assert!(said.len() == 1 && said[0].contains("zone 7 of `it` has nobody: there are 2"), "{said:?}");
    let refused = parse(&with(&with_canary("{ canary = { zone = 'us/c' } }")), "x.toml", &Options::default());
    let said = refused.err().map(|findings| findings.to_string()).unwrap_or_default();
    assert!(said.contains("`us/c` is not one zone") && said.contains("us/b"), "{said}");
}

#[test]
fn doubts_are_carried_beside_the_plan() {
    assert!(warnings(REST).is_empty());
    let one = |more: &str, part: &str| {
        let said = warnings(more);
        assert!(said.len() == 1 && said[0].contains(part), "{said:?}");
    };
    one(&format!("[[faults]]\nat = '1s'\ncrash = {{}}\n{REST}"), "during the warm-up");
    one(&format!("[[faults]]\nat = '30s'\nfor = '5m'\ncrash = {{}}\n{REST}"), "longer than the run");
    one(&format!("[[faults]]\nat = '30s'\nscale = {{ add = 1 }}\n{REST}"), "discovery is static");
    one(&REST.replace("\"rr\"", "\"ring_hash\""), "routes by key");
    one(&format!("[[clients]]\nzone = 'eu/a'\n{REST}"), "has no zone");
}

#[test]
fn a_file_without_a_name_is_named_after_itself() {
    let text = with(REST).replace("name = \"small\"\n", "");
    assert_eq!(load_with(&text, &Options::default()).plans[0].name, "small");
    let refused = parse(&text, "My File.toml", &Options::default()).unwrap_err();
    assert!(refused.to_string().contains("name = \"my-file\""), "{refused}");
}

#[test]
fn a_file_that_is_not_there_is_said_to_be_missing() {
    let refused = load(Path::new("no/such/file.toml"), &Options::default()).unwrap_err();
    assert!(refused.to_string().contains("cannot be read"), "{refused}");
}

#[test]
fn who_lives_on_reports_where_nobody_reports_is_told() {
    let file = |backends: &str, balancer: &str| {
        format!(
            "backends = [{{ service = '10ms' }}, {{ service = '10ms'{backends} }}]\n[contenders]\nit = {{ balancer = {balancer} }}\n"
        )
    };
    let told = |backends: &str, balancer: &str| match warnings(&file(backends, balancer)).as_slice() {
        [] => false,
        [one] => one.contains("lives on load reports"),
        more => panic!("{more:?}"),
    };
    let (per_call, oob) = (", load_reports = {}", ", load_reports = { per_call = false, out_of_band = {} }");
    for (balancer, without, with_per_call, with_oob) in [
        ("'grpc.weighted_round_robin'", true, false, true),
        ("{ orca_wrr = { oob = true } }", true, true, false),
        ("{ locality_first = { child = 'orca_wrr' } }", true, false, true),
        ("'adaptive'", true, false, true),
        ("{ join_idle_queue = { idle = 'reported' } }", true, false, true),
        ("'join_idle_queue'", false, false, false),
        ("'least_request'", false, false, false),
    ] {
        assert_eq!(told("", balancer), without, "{balancer}");
        assert_eq!(told(per_call, balancer), with_per_call, "{balancer} with reports on replies of some");
        assert_eq!(told(oob, balancer), with_oob, "{balancer} with reports out of band of some");
        let nobody = ", load_reports = { share = '0%', out_of_band = {} }";
        assert_eq!(told(nobody, balancer), without, "{balancer} where the share that reports is none");
    }
}

#[test]
fn a_gate_may_be_about_some_points_of_the_sweep() {
    let gate = |when: &str| format!("[[expect]]\nmetric = 'error_rate'\nat_most = '1%'\nwhen = {{ {when} }}\n");
    let gates = [gate(""), gate("'clients.0.count' = 1000"), gate("'clients.0.count' = 1, 'calls.rate' = '2k/s'")];
    let sweep = "[sweep]\n'clients.0.count' = [1, 1_000]\n'calls.rate' = ['1k/s', '2k/s']\n";
    let text = with(&format!("[[clients]]\n{REST}{}{sweep}", gates.concat()));
    let plans = load_with(&text, &Options::default()).plans;
    assert_eq!(plans.iter().map(|plan| plan.expects.len()).collect::<Vec<_>>(), [1, 2, 2, 2]);
}

#[test]
fn metadata_is_that_of_all_calls_unless_a_class_has_its_own() {
    let text = "[calls.metadata]\nversion = 'v2'\nstage = 'prod'\n\
                [[calls.mix]]\nname = 'plain'\nshare = 1\n\
                [[calls.mix]]\nname = 'own'\nshare = 1\nmetadata = { version = 'v3' }\n\
                [[calls.mix]]\nname = 'none'\nshare = 1\nmetadata = {}\n";
    let backends = "[[backends]]\nservice = '1ms'\ncount = 3\nmetadata = { version = 'v2' }\n";
    let plan = plan(&format!("{text}{backends}{REST}"));
    let asks: Vec<String> = plan.calls.asks().iter().map(ToString::to_string).collect();
    assert_eq!(asks, ["stage=prod,version=v2", "version=v3", ""]);
    assert_eq!(plan.backends[0].metadata.get("version"), Some("v2"));
    let printed = serde_json::to_string(&plan).unwrap();
    assert_eq!(printed.matches("metadata").count(), 3, "only where there is any: {printed}");
    let bare = self::plan(REST);
    assert!(!serde_json::to_string(&bare).unwrap().contains("metadata") && bare.calls.asks().is_empty());
}

#[test]
fn subsets_of_nobody_are_doubted() {
    let with = |calls: &str, metadata: &str| {
        let backends = format!("[[backends]]\nservice = '1ms'\n{metadata}\n");
        warnings(&format!(
            "calls.metadata = {calls}\n{backends}[contenders]\na = {{ balancer = {{ priority = {{ child = 'lb_subset' }} }} }}\n"
        ))
    };
    let some = "metadata = { version = 'v1' }";
    assert_eq!(with("{ version = 'v1' }", some), Vec::<String>::new());
    assert!(with("{ version = 'v1' }", "")[0].contains("`metadata_subsets` of `a` sorts backends by metadata"));
    assert!(with("{}", some)[0].contains("`metadata_subsets` of `a` sorts calls by metadata"));
    let of_a_class = format!("{{}}\n[[calls.mix]]\nname = 'a'\nshare = 1\n{some}");
    assert_eq!(with(&of_a_class, some), Vec::<String>::new());
}

#[test]
fn a_subset_goes_around_the_balancer_own_or_shared() {
    let plan = plan(
        "[[backends]]\nservice = \"10ms\"\ncount = 9\n[client]\nbalancer = \"maglev\"\nsubset = { random_subsetting = { size = 5 } }\n\
         [contenders]\na = {}\nb = { balancer = \"random\" }\nc = { subset = \"aperture\" }\nd = { subset = \"none\" }\n",
    );
    let balancer = |text: &str| serde_json::from_str::<catalog::Spec>(text).unwrap().into();
    let expected: Vec<Strategy> = [
        r#"{ "random_subsetting": { "size": 5, "child": "maglev" } }"#,
        r#"{ "random_subsetting": { "size": 5, "child": "random" } }"#,
        r#"{ "aperture": { "child": "maglev" } }"#,
        r#""maglev""#,
    ]
    .map(balancer)
    .into();
    assert_eq!(plan.contenders.iter().map(|c| c.channel.balancer.clone()).collect::<Vec<_>>(), expected);
    let doubt = warnings(
        "[[backends]]\nservice = \"10ms\"\n[contenders]\na = { balancer = \"random\", subset = \"metadata_subsets\" }\n",
    );
    assert!(
        doubt[0].starts_with("`metadata_subsets` of `a` sorts backends by metadata, and none has any"),
        "{doubt:?}"
    );
}
