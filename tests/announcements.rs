//! What discovery announces under way reaches clients when and as it should, and balancers act on it: weights, zones and
//! health. A listener that is no part of the program competes, and writes down what it is shown.

mod common;

use std::sync::{Arc, Mutex};

use common::{plan, run, runs};
use plimsoll::base::time::Instant;
use plimsoll::measure::catalog::value;
use plimsoll::measure::summary::Summary;
use plimsoll::policy::balancer::{Balancer, Endpoints, Pick, Request};

/// An endpoint as it is shown: its id, its weight, its zone, whether it can be picked, when it was started in
/// seconds, where that is known, and the region of its zone.
type Row = (usize, u32, u16, bool, Option<u64>, u16);

/// What a client was shown, and when.
#[derive(Debug, Clone, PartialEq)]
struct Shown {
    client: u32,
    at_ms: u64,
    endpoints: Vec<Row>,
}

/// Always picks the first, and writes down what it is shown.
struct Listener {
    client: u32,
    shown: Arc<Mutex<Vec<Shown>>>,
}

impl Balancer for Listener {
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        let one = |id| {
            let endpoint = endpoints.get(id).expect("a member is known");
            let started = endpoint.started.map(|at| at.as_nanos() / 1_000_000_000);
            (id.slot(), endpoint.weight, endpoint.zone.0, endpoints.is_ready(id), started, endpoint.region.0)
        };
        let endpoints = endpoints.members.iter().copied().map(one).collect();
        let shown = Shown { client: self.client, at_ms: now.as_nanos() / 1_000_000, endpoints };
        self.shown.lock().unwrap().push(shown);
    }

    fn pick(&mut self, _now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        endpoints.ready.first().map_or_else(|| Pick::nobody(endpoints), |id| Pick::To(*id))
    }
}

/// Two clients in the north; two backends there, `near`, and two in the south, `far`; all weigh 1.
fn fleet(rest: &str) -> String {
    format!(
        "duration = '30s'\nwarmup = '12s'\nseeds = 1\n[calls]\nrate = '500/s'\nkeys = {{ uniform = {{ count = 5000 }} }}\n\
         [[clients]]\nzone = 'north/a'\ncount = 2\n\
         [[backends]]\nname = 'near'\nzone = 'north/a'\ncount = 2\nworkers = 90\nservice = '40ms'\n\
         [[backends]]\nname = 'far'\nzone = 'south/a'\ncount = 2\nworkers = 90\nservice = '40ms'\n\
         [network]\nbetween = {{ 'north south' = '5ms' }}\n{rest}\n"
    )
}

const PUSH: &str = "[discovery]\npush = { delay = '100ms' }\n";

/// What the listener is shown, after the beginning.
fn listen(rest: &str) -> Vec<Shown> {
    let mut plan = plan(&fleet(&format!("{rest}[contenders]\nrr = {{ balancer = 'round_robin' }}")));
    let shown = Arc::new(Mutex::new(Vec::new()));
    let ears = shown.clone();
    plan.compete("listener", move |context| Box::new(Listener { client: context.client.0, shown: ears.clone() }));
    plan.contenders.remove(0);
    run(&plan);
    let mut shown = shown.lock().unwrap().clone();
    shown.retain(|shown| shown.at_ms > 0);
    shown
}

/// The same for the first client alone: times, and what `of` reads off each endpoint.
fn told<T>(rest: &str, of: impl Fn(&Row) -> T) -> Vec<(u64, Vec<T>)> {
    let shown = listen(rest).into_iter().filter(|shown| shown.client == 0);
    shown.map(|shown| (shown.at_ms, shown.endpoints.iter().map(&of).collect())).collect()
}

fn fault(at: u64, lasts: u64, rest: &str) -> String {
    let lasts = if lasts > 0 { format!("for = '{lasts}s'\n") } else { String::new() };
    format!("[[faults]]\nat = '{at}s'\n{lasts}{rest}\n")
}

#[test]
fn each_client_hears_once_and_late_and_keeps_its_connections() {
    let delay = "[discovery]\npush = { delay = { uniform = { min = '100ms', max = '900ms' } } }\n";
    let shown = listen(&format!("{delay}{}", fault(10, 5, "target = { backends = 'far' }\nreweight = { weight = 7 }")));
    let weights = |shown: &Shown| shown.endpoints.iter().map(|of| of.1).collect::<Vec<u32>>();
    for client in 0..2 {
        let own: Vec<&Shown> = shown.iter().filter(|shown| shown.client == client).collect();
        assert_eq!(own.len(), 2, "{own:?}");
        assert_eq!([weights(own[0]), weights(own[1])], [[1, 1, 7, 7], [1, 1, 1, 1]]);
        for (shown, due) in own.iter().zip([10_000, 15_000]) {
            assert!((due + 100..=due + 900).contains(&shown.at_ms), "{shown:?}");
            assert!(shown.endpoints.iter().enumerate().all(|(i, of)| of.0 == i && of.3), "ids and connections stay");
        }
    }
    assert!((0..2).any(|i| shown[2 * i].at_ms != shown[2 * i + 1].at_ms), "each has a delay of its own: {shown:?}");
}

#[test]
fn of_two_that_overlap_the_later_speaks_and_each_ends_by_itself() {
    let near = |weight| format!("target = {{ backends = 'near' }}\nreweight = {{ weight = {weight} }}");
    let faults = [fault(4, 10, &near(3)), fault(8, 2, &near(5)), fault(12, 6, &near(9))].concat();
    let weights = told(&format!("{PUSH}{faults}"), |of| of.1);
    let expected = [(4_100, 3), (8_100, 5), (10_100, 3), (12_100, 9), (18_100, 1)];
    // At 14 s the first ends under the third, which is no news.
    assert_eq!(weights, expected.map(|(at, weight)| (at, vec![weight, weight, 1, 1])));
    let mixed = [
        fault(4, 0, &near(3)),
        fault(5, 0, "target = { count = 1 }\nrelabel = { zone = 'south' }"),
        fault(6, 2, "target = { count = 1 }\nannounce_health = {}"),
    ];
    let all = told(&format!("{PUSH}{}", mixed.concat()), |of| (of.1, (of.2, of.5), of.3));
    let last = all.last().unwrap();
    assert_eq!(
        (last.0, &last.1[..2]),
        (8_100, &[(3, (1, 1), true), (3, (0, 0), true)][..]),
        "one does not undo the other"
    );
    assert_eq!(all[2].1[0], (3, (1, 1), false));
}

#[test]
fn nobody_hears_of_it_during_an_outage() {
    for discovery in [PUSH, "[discovery]\nlease = { watch_delay = '100ms' }\n"] {
        let faults = [fault(5, 10, "discovery_outage = {}"), fault(8, 0, "reweight = { weight = 4 }")].concat();
        let weights = told(&format!("{discovery}{faults}"), |of| of.1);
        assert_eq!(weights, [(15_100, vec![4; 4])], "{discovery}");
        let over = [fault(5, 10, "discovery_outage = {}"), fault(8, 2, "reweight = { weight = 4 }")].concat();
        assert_eq!(told(&format!("{discovery}{over}"), |of| of.1), [], "it was over before: {discovery}");
    }
}

#[test]
fn who_is_away_comes_back_with_what_is_announced() {
    let faults =
        [fault(5, 10, "target = { count = 1 }\ncrash = {}"), fault(8, 0, "reweight = { weight = 4 }")].concat();
    let last = told(&format!("{PUSH}{faults}"), |of| (of.1, of.3)).pop().unwrap();
    assert_eq!(last.1, [(4, true); 4]);
    // Between two announcements it has started anew, and the second does not undo that.
    let faults = [
        fault(5, 0, "reweight = { weight = 4 }"),
        fault(6, 2, "target = { count = 1 }\ncrash = {}"),
        fault(9, 0, "reweight = { weight = 5 }"),
    ];
    let last = told(&format!("{PUSH}{}", faults.concat()), |of| (of.1, of.4)).pop().unwrap();
    assert_eq!(last.1[..2], [(5, Some(8)), (5, None)]);
}

#[test]
fn what_nobody_hears_of_changes_no_fair_share() {
    let faults =
        [fault(9, 0, "discovery_outage = {}"), fault(10, 0, "target = { count = 2 }\nreweight = { weight = 9 }")];
    let run = after(&faults.concat(), "'wrr_edf'");
    assert!(known(&run, "load_max_over_mean") < 1.01, "{}", known(&run, "load_max_over_mean"));
}

#[test]
fn who_is_no_longer_announced_as_unhealthy_starts_slowly() {
    let faults = fault(5, 6, "target = { backends = 'near' }\nannounce_health = {}");
    let near = |balancer: &str| known(&after(&faults, balancer), "share.near");
    assert!((near("'wrr_edf'") - 0.5).abs() < 0.01);
    // Of the minute that it takes 1 s to 19 s are seen: a sixth of its weight, more or less.
    let slowly = near("{ slow_start = { child = 'wrr_edf', window = '60s' } }");
    assert!((0.1..0.2).contains(&slowly), "{slowly}");
}

/// The last 18 s of 30, in which what was announced at 10 s is known to all.
fn after(faults: &str, contender: &str) -> Summary {
    let text = fleet(&format!("{PUSH}{faults}[contenders]\nit = {{ balancer = {contender} }}"));
    runs(&run(&plan(&text)), "it")[0].clone()
}

fn known(run: &Summary, key: &str) -> f64 {
    value(run, key).unwrap_or_else(|| panic!("there is no {key}")).unwrap_or_else(|| panic!("{key} is unknown"))
}

#[test]
fn shares_follow_the_weights() {
    let reweight = fault(10, 0, "target = { backends = 'far' }\nreweight = { weight = 9 }");
    for (balancer, tolerance) in [
        ("'weighted_random'", 0.02),
        ("'wrr_smooth'", 0.002),
        ("'wrr_edf'", 0.002),
        ("'wrr_list'", 0.002),
        ("'wrr_map'", 0.002),
        ("'wrr_dynamic'", 0.002),
        ("'wrr_static_stride'", 0.002),
        // A dozen open calls are split in whole ones.
        ("'least_connections'", 0.1),
        ("{ 'envoy.ring_hash' = { min_ring = 65536 } }", 0.04),
        ("'maglev'", 0.02),
        ("'rendezvous'", 0.02),
        ("{ locality_first = { child = 'wrr_smooth', min_healthy = '100%' } }", 0.0),
    ] {
        // Nine tenths; the nearest zone has nobody of the far group.
        let expected = if balancer.contains("locality") { 0.0 } else { 0.9 };
        let run = after(&reweight, balancer);
        let far = known(&run, "share.far");
        assert!((far - expected).abs() <= tolerance, "{balancer}: {far}");
        let even = known(&after("", balancer), "share.far");
        let expected = if balancer.contains("locality") { 0.0 } else { 0.5 };
        assert!((even - expected).abs() <= 0.05, "{balancer} before: {even}");
        if expected > 0.0 {
            let uneven = known(&run, "load_max_over_mean");
            assert!(uneven < 1.4, "what is fair follows the weights: {uneven} of {balancer}");
        }
    }
    let deaf = after(&reweight, "'round_robin'");
    assert!((known(&deaf, "share.far") - 0.5).abs() < 0.002, "turns look at no weights");
    // Half of the calls for two that weigh a tenth: 0.25 over 0.05, where the mean of that and 0.25 / 0.45 is 2.78.
    assert!((known(&deaf, "load_max_over_mean") - 1.8).abs() < 0.01, "{}", known(&deaf, "load_max_over_mean"));
}

#[test]
fn weight_0_takes_all_calls_away() {
    let run = after(&fault(10, 0, "target = { backends = 'near' }\nreweight = { weight = 0 }"), "'wrr_edf'");
    assert_eq!(known(&run, "share.near"), 0.0);
}

#[test]
fn weight_0_from_the_start_is_the_same_and_of_all_is_none() {
    let near = |near: u32, far: u32, balancer: &str| {
        let file = fleet(&format!("[contenders]\nit = {{ balancer = {balancer} }}"));
        let file = file.replace("name = 'near'", &format!("name = 'near'\nweight = {near}"));
        let study = run(&plan(&file.replace("name = 'far'", &format!("name = 'far'\nweight = {far}"))));
        known(&runs(&study, "it")[0], "share.near")
    };
    for balancer in ["'wrr_smooth'", "'wrr_edf'", "'weighted_random'", "'least_connections'", "'hash_ring_vnodes'"] {
        assert_eq!(near(0, 3, balancer), 0.0, "{balancer}");
        let even = near(0, 0, balancer);
        assert!((even - 0.5).abs() < 0.12, "{balancer}, all of weight 0: {even}");
    }
    assert!((near(0, 3, "'round_robin'") - 0.5).abs() < 0.01, "turns look at no weights");
}

#[test]
fn who_prefers_the_near_follows_the_label_and_not_the_cable() {
    // The near zone always has somebody: one that was given up is not trusted at once.
    let labels = [
        fault(9, 0, "target = { backends = 'far' }\nrelabel = { zone = 'north/a' }"),
        fault(10, 0, "target = { backends = 'near' }\nrelabel = { zone = 'south/a' }"),
    ]
    .concat();
    for nearest in
        ["'locality_first'", "'priority'", "'envoy_priority'", "{ locality_first = { child = 'ring_hash' } }"]
    {
        let right = after("", nearest);
        assert_eq!((known(&right, "share.far"), known(&right, "cross_zone_share")), (0.0, 0.0), "{nearest}");
        let wrong = after(&labels, nearest);
        // What they believe to be near is far all the same: 5 ms each way.
        assert_eq!((known(&wrong, "share.far"), known(&wrong, "cross_zone_share")), (1.0, 1.0), "{nearest}");
        assert!((known(&wrong, "latency_p50") - 50.0).abs() < 0.5, "{nearest}: {}", known(&wrong, "latency_p50"));
    }
}

#[test]
fn unhealthy_ones_get_nothing_and_degraded_ones_what_nobody_else_can_take() {
    let say = |who: &str, status| fault(10, 0, &format!("{who}announce_health = {{ status = '{status}' }}"));
    let (near, far) = ("target = { backends = 'near' }\n", "target = { backends = 'far' }\n");
    for balancer in ["'round_robin'", "'least_request'", "'maglev'", "'ring_hash'", "'peak_ewma'", "'pick_first'"] {
        for status in ["unhealthy", "degraded"] {
            let run = after(&say(near, status), balancer);
            assert_eq!(known(&run, "share.near"), 0.0, "{balancer} sends calls to what is {status}");
            assert_eq!(known(&run, "error_rate"), 0.0, "{balancer}: {status}");
            assert_eq!(known(&run, "time_to_detect"), 100.0, "{balancer}: {status}");
        }
        let worse = after(&[say(near, "unhealthy"), say(far, "degraded")].concat(), balancer);
        assert_eq!((known(&worse, "share.far"), known(&worse, "error_rate")), (1.0, 0.0), "{balancer}");
        let nobody = after(&say("", "unhealthy"), balancer);
        assert_eq!(known(&nobody, "error_rate.no_endpoint"), 1.0, "{balancer}");
    }
    // One of two is below the threshold of both levels together, and calls that would go to it fail.
    let panic = "{ envoy_priority = { panic_threshold = 60, overprovisioning = 100, fail_traffic_on_panic = true } }";
    let first = [say("target = { zone = 'north/a', count = 1 }\n", "unhealthy"), say(far, "unhealthy")].concat();
    assert_eq!(known(&after(&first, panic), "error_rate"), 1.0);
}

/// One client with 300 sessions, and a fleet whose `a`, `b` and `c` are replaced one after another: each is announced as
/// draining when its successor joins, across which keys are compared, and goes ten seconds later.
fn sessions(statuses: &str, seconds: u64) -> Summary {
    let mut text = format!(
        "duration = '{seconds}s'\nwarmup = '4s'\nseeds = 1\n[calls]\nrate = '600/s'\n\
         keys = {{ uniform = {{ count = 300 }} }}\n[[clients]]\n\
         [[backends]]\nname = 'rest'\ncount = 3\nworkers = 90\nservice = '10ms'\n"
    );
    for name in ["a", "b", "c"] {
        text += &format!("[[backends]]\nname = '{name}'\nworkers = 90\nservice = '10ms'\n");
    }
    text += PUSH;
    for (at, name) in [(5, "a"), (6, "b"), (7, "c")] {
        let target = format!("target = {{ backends = '{name}' }}\n");
        text += &fault(at, 0, &format!("{target}announce_health = {{ status = 'draining' }}"));
        text += &fault(at, 0, "target = { backends = 'rest' }\nscale = { add = 1 }");
        if at + 10 < seconds {
            text += &fault(at + 10, 0, &format!("{target}scale = {{ remove = 1 }}"));
        }
    }
    text += &format!("[contenders]\nit = {{ balancer = {{ session_affinity = {{ {statuses} }} }} }}");
    runs(&run(&plan(&text)), "it")[0].clone()
}

#[test]
fn who_is_announced_as_draining_keeps_its_sessions_until_it_goes() {
    let draining = "override_host_status = ['unknown', 'healthy', 'draining']";
    let before = sessions(draining, 15);
    assert_eq!((known(&before, "keys_moved"), known(&before, "affinity_rate")), (0.0, 1.0));
    // Those that drain serve their half of the sessions to the end, and then nobody else loses one.
    let share: f64 = ["a", "b", "c"].iter().map(|name| known(&before, &format!("share.{name}"))).sum();
    assert!((share - 0.5).abs() < 0.05, "{share}");
    let gone = sessions(draining, 25);
    // At three of the six changes, less the keys that are not seen between two.
    assert!((known(&gone, "keys_moved") - 0.09).abs() < 0.02, "{}", known(&gone, "keys_moved"));
    assert_eq!((known(&gone, "keys_moved_collateral"), known(&gone, "error_rate")), (0.0, 0.0));
    // Without it they lose them as soon as their client hears of it: a sixth of all, and then also those that were taken
    // over from who drained before.
    let moved = sessions("", 15);
    assert!((known(&moved, "keys_moved") - 0.18).abs() < 0.03, "{}", known(&moved, "keys_moved"));
    assert!(known(&moved, "affinity_rate") < 0.99 && known(&moved, "error_rate") == 0.0);
    let share: f64 = ["a", "b", "c"].iter().map(|name| known(&moved, &format!("share.{name}"))).sum();
    // Of the 11 s that are measured they have a sixth each for 1, 2 and 3 s.
    assert!((share - 6.0 / 6.0 / 11.0).abs() < 0.03, "{share}");
}

#[test]
fn who_drains_gets_nothing_new_and_degraded_ones_what_is_too_much() {
    let near = |status: &str| {
        fault(10, 0, &format!("target = {{ backends = 'near' }}\nannounce_health = {{ status = '{status}' }}"))
    };
    for balancer in
        ["'round_robin'", "'least_request'", "'maglev'", "'ring_hash'", "'pick_first'", "'session_affinity'"]
    {
        let run = after(&near("draining"), balancer);
        assert_eq!((known(&run, "share.near"), known(&run, "error_rate")), (0.0, 0.0), "{balancer}");
        let nobody = after(&fault(10, 0, "announce_health = { status = 'draining' }"), balancer);
        assert_eq!(known(&nobody, "error_rate.no_endpoint"), 1.0, "{balancer}: it is no last resort");
    }
    // Half of all are healthy and bear 70 %; as two levels the far one bears everything that the near one does not.
    let (all, zones) = ("{ envoy_priority = { by = 'all' } }", "'envoy_priority'");
    let share = |status: &str, balancer: &str| known(&after(&near(status), balancer), "share.near");
    assert!((share("degraded", all) - 0.3).abs() < 0.02, "{}", share("degraded", all));
    assert_eq!((share("degraded", zones), share("draining", all), share("draining", zones)), (0.0, 0.0, 0.0));
}

#[test]
fn a_degraded_one_that_fails_gets_nothing_more() {
    // Two of four hang. At the first missed probe they are degraded and take 30 %, at the third they have failed, which
    // changes nothing about who is ready.
    let health = "[health]\nthree_state = { interval = '500ms', timeout = '500ms' }\n";
    let hung = fault(8, 0, "target = { backends = 'near' }\nhang = {}");
    for balancer in
        ["{ envoy_priority = { by = 'all' } }", "{ locality_first = { child = { envoy_priority = { by = 'all' } } } }"]
    {
        let run = after(&format!("{hung}{health}"), balancer);
        assert_eq!(known(&run, "share.near"), 0.0, "{balancer}");
    }
}

#[test]
fn an_announcement_does_not_overrule_a_probe() {
    let health = "[health]\nthree_state = { interval = '1s', timeout = '200ms' }\n";
    let hung = fault(5, 0, "target = { backends = 'near' }\nhang = {}");
    let healthy = fault(10, 0, "announce_health = { status = 'healthy' }");
    let run = after(&format!("{hung}{healthy}{health}"), "'round_robin'");
    assert_eq!(known(&run, "share.near"), 0.0);
    let unhealthy = fault(10, 0, "target = { backends = 'far' }\nannounce_health = {}");
    let run = after(&format!("{unhealthy}{health}"), "'round_robin'");
    assert_eq!(known(&run, "share.far"), 0.0, "probes that are answered do not overrule it either");
}
