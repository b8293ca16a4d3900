//! Configurations of other products as contenders. Each good one equals the contender that a person would have written,
//! to the digest of its runs; each bad one is refused with the exact text beside it.
//!
//! `INSTA_UPDATE=always cargo test --test imports` rewrites the snapshots.

use std::fs;
use std::path::{Path, PathBuf};

use plimsoll::scenario::diagnose::Findings;
use plimsoll::scenario::plan::{ContenderPlan, Plan};
use plimsoll::scenario::resolve::{Loaded, Options, load, parse};
use plimsoll::scenario::tree::MOST_BYTES;
use proptest::prelude::*;

#[path = "common/mod.rs"]
mod common;
#[path = "imports/subsets.rs"]
mod subsets;

/// A small fleet with keys, weights, versions and two zones, and these contenders.
fn scenario(contenders: &str) -> String {
    format!(
        r#"# What does this configuration do?
name = "small"
duration = "4s"
warmup = "1s"
drain = "2s"
seeds = 2
calls = {{ rate = "200/s", deadline = "300ms", keys = {{ zipf = {{ count = 1000, exponent = 1.1 }} }}, metadata = {{ version = "v2", stage = "prod" }} }}
clients = [{{ zone = "here/a", count = 2 }}, {{ zone = "here/b" }}]
[[backends]]
zone = "here/a"
count = 5
metadata = {{ version = "v1", stage = "prod" }}
service = {{ exponential = {{ mean = "8ms" }} }}
[[backends]]
zone = "here/b"
count = 5
weight = 3
metadata = {{ version = "v2" }}
service = {{ exponential = {{ mean = "8ms" }} }}
errors = "5%"
[contenders]
{contenders}
"#
    )
}

fn key_of(name: &str) -> &'static str {
    if name.starts_with("envoy") { "envoy_cluster" } else { "service_config" }
}

/// The scenario whose contender is the file of this name in the folder.
fn judge(folder: &Path, name: &str) -> Result<Loaded, Findings> {
    let text = scenario(&format!("mine = {{ {} = \"{name}\" }}", key_of(name)));
    parse(&text, "scenario.toml", &Options { folder: Some(folder.to_path_buf()), ..Options::default() })
}

/// Every finding of every file, with its place.
fn places(findings: &Findings) -> Vec<(String, Option<(usize, usize)>)> {
    let own = findings.iter().map(|finding| (finding.message.clone(), findings.place(finding)));
    own.chain(findings.files().iter().flat_map(places)).collect()
}

fn bad_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/imports");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "json" || ending == "yaml"));
    files.sort();
    files
}

#[test]
fn bad_files_are_refused_with_the_text_beside_them() {
    let files = bad_files();
    assert!(files.len() >= 50, "only {} files", files.len());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/imports");
    let mut settings = insta::Settings::new();
    settings.set_snapshot_path("imports");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for path in files {
        let name = path.file_name().unwrap().to_str().unwrap();
        let findings = judge(&folder, name).expect_err(name);
        for (message, place) in places(&findings) {
            let (line, column) = place.unwrap_or_else(|| panic!("{name}: no place: {message}"));
            assert!(line > 0 && column > 0 && message.len() < 300, "{name}: {message}");
        }
        let shown = findings.to_string().replace(&folder.display().to_string(), "imports");
        settings.bind(|| insta::assert_snapshot!(name, shown));
    }
}

#[test]
fn every_snapshot_has_its_file() {
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/imports")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "snap") {
            assert!(path.with_extension("").exists(), "{} belongs to no file", path.display());
        }
    }
}

/// A file of this name with this text, as a contender beside the one that a person would have written.
fn pair(name: &str, text: &str, native: &str) -> Plan {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), text).unwrap();
    let scenario = scenario(&format!("mine = {{ {} = \"{name}\" }}\nnative = {{ {native} }}", key_of(name)));
    let options = Options { folder: Some(folder.path().to_path_buf()), ..Options::default() };
    let mut loaded = parse(&scenario, "scenario.toml", &options).unwrap_or_else(|findings| panic!("{findings}"));
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    loaded.plans.remove(0)
}

/// The import of a file is the contender that a person would have written: in the plan, and to the last digest.
#[track_caller]
fn same(name: &str, text: &str, native: &str) {
    let plan = pair(name, text, native);
    let [mine, by_hand] = plan.contenders.as_slice() else { panic!("two contenders") };
    assert_eq!(mine.channel, by_hand.channel, "{text}");
    let imported = mine.imported.as_ref().expect("it says what it was read from");
    assert_eq!((imported.format, &*imported.text), (key_of(name), text));
    assert_eq!(by_hand.imported, None);
    let study = common::run(&plan);
    let digests = |name| common::runs(&study, name).iter().map(|run| run.digests.run.clone()).collect::<Vec<_>>();
    assert_eq!(digests("mine"), digests("native"), "{text}");
}

#[test]
fn service_configs_are_what_a_person_would_have_written() {
    let policy = |policy: &str| format!(r#"{{ "loadBalancingConfig": [{policy}] }}"#);
    for (list, native) in [
        (r#"{ "pick_first": {} }"#, "'grpc.pick_first'"),
        (r#"{ "pick_first": { "shuffleAddressList": true } }"#, "{ pick_first = { shuffle = 'uniform' } }"),
        (r#"{ "round_robin": {} }"#, "'grpc.round_robin'"),
        (r#"{ "least_request_experimental": {} }"#, "'grpc.least_request'"),
        (r#"{ "least_request_experimental": { "choiceCount": 5 } }"#, "{ least_request = { choices = 5 } }"),
        (r#"{ "ring_hash_experimental": {} }"#, "'grpc.ring_hash'"),
        (
            r#"{ "ring_hash_experimental": { "minRingSize": "64", "maxRingSize": 128, "requestHashHeader": "user" } }"#,
            "{ ring_hash = { connect = 'lazy', min_ring = 64, max_ring = 128 } }",
        ),
        (
            r#"{ "random_subsetting_experimental": { "subsetSize": 3, "childPolicy": [{ "least_request_experimental": {} }] } }"#,
            "{ random_subsetting = { size = 3, child = 'least_request' } }",
        ),
        (
            r#"{ "xds_override_host_experimental": { "childPolicy": [{ "ring_hash_experimental": {} }] } }"#,
            "{ session_affinity = { child = 'grpc.ring_hash' } }",
        ),
        (
            r#"{ "xds_override_host_experimental": { "overrideHostStatus": [], "childPolicy": [{ "round_robin": {} }] } }"#,
            "'session_affinity'",
        ),
        (
            r#"{ "xds_override_host_experimental": { "overrideHostStatus": ["HEALTHY", "DRAINING"], "childPolicy": [{ "round_robin": {} }] } }"#,
            "{ session_affinity = { override_host_status = ['healthy', 'draining'] } }",
        ),
    ] {
        same("config.json", &policy(list), &format!("balancer = {native}"));
    }
    same("config.json", r#"{ "loadBalancingPolicy": "ROUND_ROBIN" }"#, "balancer = 'grpc.round_robin'");
    same("config.json", "{}", "balancer = 'grpc.pick_first'");
}

#[test]
fn retries_and_deadlines_of_a_service_config_are_those_of_a_contender() {
    let text = r#"{
        "loadBalancingConfig": [{ "round_robin": {} }],
        "methodConfig": [{
            "name": [{}], "timeout": "0.150s", "waitForReady": true,
            "retryPolicy": {
                "maxAttempts": 4, "initialBackoff": "0.01s", "maxBackoff": "0.1s", "backoffMultiplier": 1.6,
                "retryableStatusCodes": ["UNAVAILABLE", 13, "resource_exhausted"], "perAttemptRecvTimeout": "0.05s"
            }
        }]
    }"#;
    let native = "balancer = 'round_robin', wait_for_ready = true, deadline = '150ms', retry = { attempts = 4, \
                  backoff = '10ms', max_backoff = '100ms', multiplier = 1.6, jitter = 'fifth', exclude_tried = false, \
                  per_try = '50ms', on = ['unavailable', 'internal', 'resource_exhausted'] }";
    same("config.json", text, native);
}

#[test]
fn the_deadline_of_a_contender_ends_its_calls() {
    let contenders = "short = { balancer = 'random', deadline = '3ms' }\nlong = { balancer = 'random' }\n\
                      longer = { balancer = 'random', deadline = '10s' }";
    let study = common::run(&common::plan(&scenario(contenders)));
    let worst = |name| common::runs(&study, name)[0].latency.max_ns;
    assert!(worst("short") <= 3_000_000, "{}", worst("short"));
    assert!(worst("long") > 10_000_000, "{}", worst("long"));
    let digest = |name| common::runs(&study, name)[0].digests.run.clone();
    assert_eq!(digest("long"), digest("longer"), "the shorter of the two deadlines counts");
}

/// The contender of a cluster that says nothing of panic: it panics where less than half of its hosts are healthy.
fn panics(native: &str) -> String {
    format!("balancer = {{ envoy_priority = {{ by = 'all', panic_threshold = 50, child = {native} }} }}")
}

#[test]
fn envoy_clusters_are_what_a_person_would_have_written() {
    for (cluster, native) in [
        ("{}", "'envoy.round_robin'"),
        ("name: shop\nlb_policy: ROUND_ROBIN\n", "'envoy.round_robin'"),
        ("lb_policy: RANDOM\n", "'envoy.random'"),
        ("- lb_policy: LEAST_REQUEST\n", "'envoy.least_request'"),
        ("clusters:\n- lb_policy: MAGLEV\n", "'envoy.maglev'"),
        ("static_resources:\n  clusters:\n  - lbPolicy: RING_HASH\n", "'envoy.ring_hash'"),
        (
            "lb_policy: LEAST_REQUEST\nleast_request_lb_config:\n  choice_count: 5\n  active_request_bias: { default_value: 0.5, runtime_key: x }\n",
            "{ weighted_least_request = { choices = 5, bias = 0.5 } }",
        ),
        (
            "lb_policy: RING_HASH\nring_hash_lb_config: { minimum_ring_size: 64, maximum_ring_size: { value: 512 }, hash_function: MURMUR_HASH_2 }\n",
            "{ ring_hash = { min_ring = 64, max_ring = 512, hash = 'murmur_hash_2' } }",
        ),
        ("lb_policy: MAGLEV\nmaglev_lb_config: { table_size: 251 }\n", "{ maglev = { table_size = 251 } }"),
        (
            "lb_policy: MAGLEV\ncommon_lb_config: { consistent_hashing_lb_config: { hash_balance_factor: 150 } }\n",
            "{ bounded_load = { factor = 1.5, walk = 'envoy', layout = 'maglev' } }",
        ),
        (
            "lb_policy: RING_HASH\ncommon_lb_config: { consistent_hashing_lb_config: { hash_balance_factor: 125 } }\n",
            "{ bounded_load = { factor = 1.25, walk = 'envoy', layout = { ring_hash = { min_ring = 1024, max_ring = 8388608 } } } }",
        ),
        (
            "lb_policy: ROUND_ROBIN\nround_robin_lb_config:\n  slow_start_config:\n    slow_start_window: 2.5s\n    aggression: { default_value: 2, runtime_key: x }\n    min_weight_percent: { value: 5 }\n",
            "{ 'envoy.slow_start' = { child = 'envoy.round_robin', window = '2.5s', aggression = 2.0, min_weight = 0.05 } }",
        ),
        (
            "lb_policy: ROUND_ROBIN\ncommon_lb_config:\n  locality_weighted_lb_config: {}\n  healthy_panic_threshold: {}\n",
            "{ 'envoy.locality_weighted' = { child = 'envoy.round_robin' } }",
        ),
        (
            "lb_policy: LEAST_REQUEST\nleast_request_lb_config: { slow_start_config: { slow_start_window: 3s } }\ncommon_lb_config:\n  healthy_panic_threshold: { value: 29.6 }\n  zone_aware_lb_config: { min_cluster_size: 3 }\n",
            "{ envoy_priority = { by = 'all', panic_threshold = 30, child = { zone_aware = { child = { 'envoy.slow_start' = { child = 'envoy.least_request', window = '3s' } }, min_cluster_size = 3, panic_threshold = 0 } } } }",
        ),
        (
            "lb_policy: RANDOM\ncommon_lb_config: { healthy_panic_threshold: { value: 30 } }\n",
            "{ envoy_priority = { child = 'envoy.random', by = 'all', panic_threshold = 30 } }",
        ),
        (
            "lb_policy: ROUND_ROBIN\ncommon_lb_config:\n  locality_weighted_lb_config: {}\n  healthy_panic_threshold: { value: 70.5 }\n",
            "{ envoy_priority = { child = { 'envoy.locality_weighted' = { child = 'envoy.round_robin' } }, by = 'all', panic_threshold = 71 } }",
        ),
        (
            "lb_policy: RANDOM\ncommon_lb_config:\n  zone_aware_lb_config: { routing_enabled: { value: 0 } }\n  healthy_panic_threshold: { value: 0 }\n",
            "'envoy.random'",
        ),
        (
            "lb_policy: RANDOM\ncommon_lb_config: { zone_aware_lb_config: { routing_enabled: { value: 0 }, fail_traffic_on_panic: true } }\n",
            "{ envoy_priority = { by = 'all', child = 'envoy.random', fail_traffic_on_panic = true } }",
        ),
        (
            "lb_policy: ROUND_ROBIN\ncommon_lb_config: { zone_aware_lb_config: { fail_traffic_on_panic: true }, healthy_panic_threshold: { value: 0 } }\n",
            "{ zone_aware = { child = 'envoy.round_robin', panic_threshold = 0 } }",
        ),
    ] {
        let says = ["healthy_panic_threshold", "routing_enabled"].iter().any(|field| cluster.contains(field));
        same("envoy.yaml", cluster, &if says { format!("balancer = {native}") } else { panics(native) });
    }
}

/// A cluster with one typed policy.
fn typed(kind: &str, fields: &str) -> String {
    format!(
        r#"{{ "load_balancing_policy": {{ "policies": [{{ "typed_extension_config": {{ "name": "x", "typed_config": {{
            "@type": "type.googleapis.com/envoy.extensions.load_balancing_policies.{kind}"{}{fields}
        }} }} }}] }} }}"#,
        if fields.is_empty() { "" } else { ", " }
    )
}

#[test]
fn typed_policies_are_what_a_person_would_have_written() {
    let inner = typed("least_request.v3.LeastRequest", r#""selection_method": "FULL_SCAN""#);
    let inner: serde_json::Value = serde_json::from_str(&inner).unwrap();
    let child = inner["load_balancing_policy"].to_string();
    for (cluster, native) in [
        (typed("round_robin.v3.RoundRobin", ""), "'envoy.round_robin'"),
        (typed("random.v3.Random", ""), "'envoy.random'"),
        (typed("pick_first.v3.PickFirst", r#""shuffleAddressList": true"#), "{ pick_first = { shuffle = 'uniform' } }"),
        (
            typed("least_request.v3.LeastRequest", r#""enableFullScan": true"#),
            "{ weighted_least_request = { equal = 'full_scan' } }",
        ),
        (
            typed("ring_hash.v3.RingHash", r#""hash_function": "XX_HASH", "minimum_ring_size": "32""#),
            "{ 'envoy.ring_hash' = { min_ring = 32 } }",
        ),
        (
            typed("maglev.v3.Maglev", r#""consistent_hashing_lb_config": { "hash_balance_factor": 200 }"#),
            "{ bounded_load = { factor = 2.0, walk = 'envoy', layout = 'maglev' } }",
        ),
        (
            typed("wrr_locality.v3.WrrLocality", &format!(r#""endpoint_picking_policy": {child}"#)),
            "{ 'envoy.locality_weighted' = { child = { weighted_least_request = { equal = 'full_scan' } } } }",
        ),
        (
            typed("random_subsetting.v3.RandomSubsetting", &format!(r#""subset_size": 4, "child_policy": {child}"#)),
            "{ random_subsetting = { size = 4, child = { weighted_least_request = { equal = 'full_scan' } } } }",
        ),
        (
            typed(
                "round_robin.v3.RoundRobin",
                r#""slow_start_config": { "slow_start_window": "5s" }, "locality_lb_config": { "zone_aware_lb_config": {} }"#,
            ),
            "{ zone_aware = { child = { 'envoy.slow_start' = { child = 'envoy.round_robin', window = '5s' } }, panic_threshold = 0 } }",
        ),
    ] {
        // PickFirst and RandomSubsetting are gRPC's, and gRPC never panics.
        let calm = ["PickFirst", "RandomSubsetting"].iter().any(|kind| cluster.contains(kind));
        same("envoy.json", &cluster, &if calm { format!("balancer = {native}") } else { panics(native) });
    }
}

/// Digests of the runs of an Envoy cluster with these fields, and the part of its calls for which there is nobody.
fn outcome(fields: &str, fault: &str) -> (Vec<String>, f64) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("envoy.yaml"), fields).unwrap();
    let options = Options { folder: Some(folder.path().to_path_buf()), ..Options::default() };
    let text =
        scenario("mine = { envoy_cluster = 'envoy.yaml' }").replace("[contenders]", &format!("{fault}[contenders]"));
    let text = text.replace("drain =", "discovery = { push = { delay = '1ms' } }\ndrain =");
    let plan = parse(&text, "scenario.toml", &options).unwrap_or_else(|findings| panic!("{findings}")).plans.remove(0);
    let study = common::run(&plan);
    let runs = common::runs(&study, "mine");
    let nobody = plimsoll::measure::catalog::value(&runs[0], "error_rate.no_endpoint").unwrap().unwrap();
    (runs.iter().map(|run| run.digests.run.clone()).collect(), nobody)
}

#[test]
fn while_all_are_healthy_it_does_not_show_that_a_cluster_may_panic() {
    let never = "\ncommon_lb_config: { healthy_panic_threshold: { value: 0 } }\n";
    for fields in ["lb_policy: ROUND_ROBIN", "lb_policy: RANDOM", "lb_policy: LEAST_REQUEST", "lb_policy: MAGLEV"] {
        let calm = format!("{fields}{never}");
        assert_eq!(outcome(fields, ""), outcome(&calm, ""), "{fields}");
        // Everybody is announced as unhealthy: who may not panic has nobody to send to.
        let all = "[[faults]]\nat = '500ms'\nannounce_health = {}\n";
        assert_eq!((outcome(fields, all).1, outcome(&calm, all).1), (0.0, 1.0), "{fields}");
    }
}

/// What is wrong with a text as a file of this name.
fn wrong(name: &str, text: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), text).unwrap();
    match judge(folder.path(), name) {
        Ok(loaded) => places(&loaded.warnings).into_iter().map(|(message, _)| format!("warning: {message}")).collect(),
        Err(findings) => places(&findings).into_iter().map(|(message, _)| message).collect(),
    }
}

#[test]
fn weights_that_servers_report_are_looked_up_by_name() {
    let grpc = r#"{ "loadBalancingConfig": [{ "weighted_round_robin": { "blackoutPeriod": "5s" } }] }"#;
    let envoy = typed("client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin", r#""blackout_period": "5s""#);
    for (name, text) in [("config.json", grpc), ("envoy.json", envoy.as_str())] {
        let found = wrong(name, text);
        // They are understood; the fleet beside them has nothing to report.
        assert!(matches!(found.as_slice(), [one] if one.contains("lives on load reports")), "{found:?}");
    }
}

#[test]
fn what_grpc_does_not_look_at_is_a_warning() {
    for (text, warning) in [
        (
            r#"{ "loadBalancingConfig": [{ "our_own_policy": { "x": 1 } }, { "round_robin": {} }] }"#,
            "warning: gRPC has no policy `our_own_policy`: a client goes on to the next",
        ),
        (
            r#"{ "loadBalancingPolicy": "pick_first", "loadBalancingConfig": [{ "round_robin": {} }] }"#,
            "warning: `loadBalancingPolicy` counts for nothing beside `loadBalancingConfig`",
        ),
        (
            r#"{ "methodConfig": [{ "name": [{ "service": "shop.Cart" }], "timeout": "1s" }] }"#,
            "warning: calls have no service or method here: this entry counts for all of them",
        ),
        (
            r#"{ "loadBalancingConfig": [{ "least_request_experimental": { "choiceCount": 12 } }] }"#,
            "warning: gRPC compares 10 endpoints at most, and not 12",
        ),
        (
            r#"{ "loadBalancingConfig": [{ "xds_override_host_experimental": {
                "overrideHostStatus": ["UNKNOWN", "TIMEOUT"], "childPolicy": [{ "round_robin": {} }] } }] }"#,
            "warning: gRPC takes no notice of the status `TIMEOUT` (A55)",
        ),
    ] {
        assert_eq!(wrong("config.json", text), [warning]);
    }
}

#[test]
fn the_own_settings_of_a_contender_stand_beside_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let retry = r#"{ "methodConfig": [{ "name": [{}], "timeout": "0.2s" }] }"#;
    fs::write(folder.path().join("config.json"), retry).unwrap();
    let options = Options { folder: Some(folder.path().to_path_buf()), ..Options::default() };
    let contender = |text: &str| -> Result<ContenderPlan, Findings> {
        parse(&scenario(text), "scenario.toml", &options).map(|mut loaded| loaded.plans[0].contenders.remove(0))
    };
    let name = |contender: ContenderPlan| contender.channel.balancer.listed().unwrap().name();
    let file = "service_config = 'config.json'";
    assert_eq!(name(contender(&format!("mine = {{ {file} }}")).unwrap()), "pick_first", "gRPC's default");
    assert_eq!(name(contender(&format!("mine = {{ {file}, balancer = 'random' }}")).unwrap()), "random");
    let shared = contender(&format!("mine = {{ {file} }}\n[client]\nbalancer = 'random'")).unwrap();
    assert_eq!(name(shared), "random", "what all contenders share comes before a default");
    let shared = contender(&format!("mine = {{ balancer = 'random' }}\n[client]\n{file}")).unwrap();
    assert!(shared.imported.is_some() && shared.channel.deadline.is_some(), "the file may be shared, too");
    let twice = contender(&format!("mine = {{ {file}, deadline = '1s' }}")).unwrap_err();
    assert!(twice.to_string().contains("`deadline` is given here and in the service config, too"), "{twice}");
    let both = contender(&format!("mine = {{ {file}, envoy_cluster = 'x.yaml' }}")).unwrap_err();
    assert!(both.to_string().contains("a contender is read from one file"), "{both}");
}

#[test]
fn files_are_read_below_the_folder_of_the_scenario_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("below")).unwrap();
    fs::write(folder.path().join("below/config.json"), "{}").unwrap();
    fs::write(folder.path().join("huge.json"), " ".repeat(MOST_BYTES + 1)).unwrap();
    fs::write(folder.path().join("wide.json"), b"\xff\xfe{\0}\0").unwrap();
    let scenario_file = folder.path().join("scenario.toml");
    let read = |path: &str| {
        fs::write(&scenario_file, scenario(&format!("mine = {{ service_config = '{path}' }}"))).unwrap();
        load(&scenario_file, &Options::default()).map_err(|findings| findings.to_string())
    };
    assert!(read("below/config.json").is_ok() && read("./below/config.json").is_ok());
    let absolute = folder.path().join("below/config.json").display().to_string();
    for (path, part) in [
        ("../config.json", "leaves the folder of the scenario file"),
        ("below/../../config.json", "leaves the folder of the scenario file"),
        (absolute.as_str(), "leaves the folder of the scenario file"),
        ("", "leaves the folder of the scenario file"),
        ("below", "is no file"),
        ("missing.json", "cannot be read"),
        ("huge.json", "longer than 1 MiB"),
        ("wide.json", "looks like UTF-16"),
    ] {
        let said = read(path).unwrap_err();
        assert!(said.contains(part), "{path}: {said}");
    }
    let text = scenario("mine = { service_config = 'config.json' }");
    let said = parse(&text, "scenario.toml", &Options::default()).unwrap_err().to_string();
    assert!(said.contains("the scenario is no file"), "{said}");
}

#[test]
fn the_bytes_of_a_file_count_and_its_path_does_not() {
    let plan = |name: &str, text: &str| {
        let json = serde_json::to_string(&pair(name, text, "balancer = 'random'")).unwrap();
        assert!(!json.contains(name), "{json}");
        json
    };
    let text = r#"{ "loadBalancingConfig": [{ "round_robin": {} }] }"#;
    assert_eq!(plan("a-file.json", text), plan("b-file.json", text));
    assert_ne!(plan("a-file.json", text), plan("a-file.json", &text.replace(' ', "  ")));
}

#[test]
fn all_findings_of_both_files_come_at_once() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), r#"{ "colour": 1, "loadBalancingConfig": [{ "grpclb": {} }] }"#)
        .unwrap();
    let options = Options { folder: Some(folder.path().to_path_buf()), ..Options::default() };
    let contenders = "a = { service_config = 'config.json', retri = {} }\nb = { service_config = 'config.json' }";
    let findings = parse(&scenario(contenders), "scenario.toml", &options).unwrap_err();
    assert_eq!(findings.errors(), 3, "the file is judged though the contender is wrong, and once:\n{findings}");
    assert!(findings.count().contains("3 errors in scenario.toml, "), "{}", findings.count());
}

/// Files that are right, to be spoilt.
fn seeds() -> Vec<(&'static str, String)> {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/configs");
    let mut seeds: Vec<(&'static str, String)> = vec![
        ("config.json", fs::read_to_string(shipped.join("service-config.json")).unwrap()),
        ("envoy.yaml", fs::read_to_string(shipped.join("envoy-cluster.yaml")).unwrap()),
        (
            "envoy.json",
            typed("ring_hash.v3.RingHash", r#""consistent_hashing_lb_config": { "hash_balance_factor": 125 }"#),
        ),
    ];
    seeds.extend(bad_files().into_iter().filter_map(|path| {
        let name = path.file_name()?.to_str()?.to_owned();
        let kind = match (name.starts_with("envoy"), name.ends_with("json")) {
            (true, true) => "envoy.json",
            (true, false) => "envoy.yaml",
            (false, _) => "config.json",
        };
        Some((kind, fs::read_to_string(path).ok()?))
    }));
    seeds
}

/// What a slip of the hand does to a text.
fn spoilt(text: &str, slips: &[(usize, usize, String)]) -> String {
    let mut text: Vec<char> = text.chars().collect();
    for (at, length, new) in slips {
        let at = at % (text.len() + 1);
        let end = (at + length).min(text.len());
        text.splice(at..end, new.chars());
    }
    text.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_file_makes_the_program_panic(
        which in any::<prop::sample::Index>(),
        slips in prop::collection::vec((any::<usize>(), 0usize..12, slip()), 0..4),
    ) {
        let seeds = seeds();
        let (name, text) = which.get(&seeds);
        let text = spoilt(text, &slips);
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), &text).unwrap();
        if let Err(findings) = judge(folder.path(), name) {
            prop_assert!(findings.has_errors(), "{}", text);
            prop_assert!(places(&findings).iter().all(|(_, place)| place.is_some()), "{}", findings);
            prop_assert!(!findings.to_string().is_empty());
        }
    }
}

/// Words and marks that mean something in these files, and some that do not.
fn slip() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "", "{", "}", "[", "]", "\"", "'", ":", ": ", ",", "\n", "\n  ", "- ", "#", "&a ", "*a", "!x ", "---\n",
            "? ", "| ", "null", "true", "-1", "1e999", "0", "\"1s\"", "{}", "[]", "é", "\u{202e}", "\t", "\\u12",
            "<<: ", "%", "@",
        ])
        .prop_map(str::to_owned),
        ".{0,6}",
    ]
}
