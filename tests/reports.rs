//! What servers say about themselves reaches clients when and as it should: a listener that is no part of the program
//! competes, and writes down what it is told.

mod common;

use std::sync::{Arc, Mutex};

use common::{plan, run};
use plimsoll::base::id::EndpointId;
use plimsoll::base::load::LoadReport;
use plimsoll::base::time::{Duration, Instant};
use plimsoll::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request, Want};

/// What was heard: when, of whom (by place in the list), what, how long it took.
#[derive(Debug, Clone, Copy)]
struct Heard {
    at: Instant,
    place: u32,
    took: Duration,
    what: What,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Reply(Option<LoadReport>),
    Probe(Option<LoadReport>),
    Report(LoadReport),
    Idle,
}

/// Turns in a fixed order; probes with every call and watches everybody, if it is to.
struct Listener {
    client: u32,
    asks: bool,
    turn: usize,
    wants: Vec<Want>,
    heard: Arc<Mutex<Vec<(u32, Heard)>>>,
}

impl Balancer for Listener {
    fn on_endpoints(&mut self, _now: Instant, endpoints: &Endpoints<'_>) {
        if self.asks {
            self.wants.extend(endpoints.ready.iter().map(|id| Want::Watch(*id)));
        }
    }

    fn pick(&mut self, _now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        if endpoints.ready.is_empty() {
            return Pick::nobody(endpoints);
        }
        self.turn = (self.turn + 1) % endpoints.ready.len();
        if self.asks {
            self.wants.push(Want::Probe(endpoints.ready[self.turn]));
        }
        Pick::To(endpoints.ready[self.turn])
    }

    fn on_feedback(&mut self, at: Instant, feedback: &Feedback<'_>, _endpoints: &Endpoints<'_>) {
        let (took, what) = match *feedback {
            Feedback::Done { took, load, .. } => (took, What::Reply(load.copied())),
            Feedback::Probed { took, load, .. } => (took, What::Probe(load.copied())),
            Feedback::Reported { load, .. } => (Duration::ZERO, What::Report(*load)),
            Feedback::Idle { .. } => (Duration::ZERO, What::Idle),
            Feedback::Sent { .. } => return,
        };
        let id: EndpointId = feedback.endpoint();
        self.heard.lock().unwrap().push((self.client, Heard { at, place: id.slot() as u32, took, what }));
    }

    fn poll_want(&mut self) -> Option<Want> {
        self.wants.pop()
    }
}

/// A fleet of five: three of one group, two of another; constant service of 10 ms, one way of 1 ms, 100 calls/s in all.
fn fleet(more: &str, first: &str, second: &str) -> String {
    format!(
        "name = 'reports'\nduration = '20s'\nwarmup = '1s'\nseeds = 1\n\
         calls = {{ rate = '100/s', arrivals = 'constant' }}\nclients = [{{ count = 2 }}]\nnetwork = {{ delay = '1ms' }}\n{more}\n\
         [[backends]]\ncount = 3\nservice = '10ms'\n{first}\n[[backends]]\ncount = 2\nservice = '10ms'\n{second}\n\
         [contenders]\nrr = {{ balancer = 'round_robin' }}\n"
    )
}

/// Lets the listener compete alone, and hands out what it heard, with the number of the client.
fn listen(text: &str, asks: bool) -> Vec<(u32, Heard)> {
    let mut plan = plan(text);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ears = heard.clone();
    plan.compete("listener", move |context| {
        Box::new(Listener { client: context.client.0, asks, turn: 0, wants: vec![], heard: ears.clone() })
    });
    plan.contenders.remove(0);
    run(&plan);
    let heard = heard.lock().unwrap();
    heard.clone()
}

const MS: u64 = 1_000_000;

#[test]
fn nobody_says_anything_unless_told_to() {
    let heard = listen(&fleet("", "", ""), false);
    assert!(heard.len() > 1_000 && heard.iter().all(|(_, heard)| matches!(heard.what, What::Reply(None))));
}

#[test]
fn replies_carry_reports_of_those_that_report() {
    let heard = listen(&fleet("", "load_reports = { share = '50%' }", ""), false);
    let warm = heard.iter().filter(|(_, heard)| heard.at.as_nanos() > 5_000 * MS);
    let mut reports = 0;
    for (_, heard) in warm {
        let What::Reply(load) = heard.what else { panic!("{heard:?}") };
        // Half of three, rounded up and spread: the first and the third.
        assert_eq!(load.is_some(), [0, 2].contains(&heard.place), "{heard:?}");
        let Some(load) = load else { continue };
        reports += 1;
        // 20 a second for 10 ms each; a reply comes just after an answer, and so just above the mean.
        assert!((19.0..22.0).contains(&load.qps) && load.eps == 0.0, "{load:?}");
        assert!((0.18..0.23).contains(&load.cpu) && load.utilization == 0.0, "{load:?}");
        assert_eq!((load.in_flight, load.waiting, load.latency), (0, 0, None), "{load:?}");
        assert_eq!(load.service.map(Duration::as_nanos), Some(10 * MS));
    }
    assert!(reports > 300, "{reports}");
}

#[test]
fn overload_shows_in_the_applications_utilization_only() {
    let reporting = "load_reports = { utilization = 'application', window = '500ms' }";
    let busy = fleet("", reporting, "").replace("'100/s'", "'750/s'").replace("'20s'", "'3s'");
    let mut most: f64 = 0.0;
    for (_, heard) in listen(&busy, false) {
        if let What::Reply(Some(load)) = heard.what {
            assert!(load.cpu <= 1.0 + 1e-9, "{load:?}");
            assert!(load.in_flight == load.waiting + u32::from(load.in_flight > 0), "one worker: {load:?}");
            most = most.max(load.utilization);
        }
    }
    assert!(most > 10.0, "{most}");
}

#[test]
fn reports_out_of_band_come_by_themselves_and_some_are_lost() {
    let backends = "load_reports = { per_call = false, out_of_band = { period = '500ms', loss = '20%' } }";
    let heard = listen(&fleet("", backends, ""), true);
    assert!(heard.iter().all(|(_, heard)| !matches!(heard.what, What::Reply(Some(_)))));
    let times = |client: u32, place: u32| -> Vec<u64> {
        let own = heard.iter().filter(|(who, heard)| *who == client && heard.place == place);
        let reports = own.filter_map(|(_, heard)| match heard.what {
            What::Report(load) => Some((heard.at.as_nanos(), load)),
            _ => None,
        });
        let checked = reports.inspect(|(at, load)| {
            assert!(*at < 5_000 * MS || (15.0..25.0).contains(&load.qps) && load.cpu > 0.1, "{load:?}");
        });
        checked.map(|(at, _)| at).collect()
    };
    let mut all = 0;
    for (client, place) in [0, 1].into_iter().flat_map(|client| [0, 1, 2].map(|place| (client, place))) {
        let times = times(client, place);
        all += times.len();
        assert!(
            times.windows(2).all(|pair| (pair[1] - pair[0]) % (500 * MS) == 0),
            "on the beat, though some are lost"
        );
    }
    // Six pairs, 40 reports each until the end, a fifth of them lost.
    assert!((170..215).contains(&all), "{all}");
    let heard = listen(&fleet("", backends, ""), false);
    assert!(heard.iter().all(|(_, heard)| !matches!(heard.what, What::Report(_))), "nobody who has not asked is told");
}

#[test]
fn a_probe_takes_its_own_round_trip_and_the_work_of_its_answer() {
    let heard = listen(&fleet("", "", "probe_demand = 0.1"), true);
    let (mut free, mut dear) = (vec![], vec![]);
    for (_, heard) in heard.iter().filter(|(_, heard)| heard.at.as_nanos() > 2_000 * MS) {
        let What::Probe(load) = heard.what else { continue };
        let load = load.expect("every backend answers what it is asked");
        let latency = load.latency.expect("by now it knows what calls take").as_nanos();
        assert!((10 * MS..40 * MS).contains(&latency), "{load:?}");
        // A call that finds nobody takes its service, neither more nor less.
        assert!(load.in_flight > 0 || heard.place >= 3 || latency == 10 * MS, "{load:?}");
        if heard.place < 3 { free.push(heard.took) } else { dear.push(heard.took) }
    }
    assert!(free.len() > 500 && free.iter().all(|took| took.as_nanos() == 2 * MS), "no work, only the way");
    // And a tenth of a call's work, behind whoever is there already.
    assert!(dear.len() > 300 && dear.iter().all(|took| took.as_nanos() >= 3 * MS), "{:?}", dear.iter().min());
}

#[test]
fn an_idle_server_tells_one_of_those_who_listen() {
    let heard = listen(&fleet("", "", ""), true);
    let idle =
        |client: u32| heard.iter().filter(|(who, heard)| *who == client && matches!(heard.what, What::Idle)).count();
    let replies = heard.iter().filter(|(_, heard)| matches!(heard.what, What::Reply(_))).count();
    // At a fifth of its load a server is idle after most calls, and says so once each time, to either client alike.
    let (first, second) = (idle(0), idle(1));
    assert!((replies / 2..=replies + 5).contains(&(first + second)), "{first} and {second} of {replies}");
    assert!(first.abs_diff(second) < replies / 8, "{first} and {second}");
}

#[test]
fn whoever_is_cut_off_is_not_told_and_the_others_are() {
    let cut =
        "faults = [{ at = '5s', for = '5s', partition = { zone = 'far/a' } }]\n[[clients]]\nzone = 'far/a'\ncount = 1";
    let text = fleet(cut, "zone = 'near/a'", "zone = 'near/a'")
        .replace("clients = [{ count = 2 }]\n", "")
        .replace("[[clients]]", "[[clients]]\nzone = 'near/a'\ncount = 1\n[[clients]]");
    let heard = listen(&text, true);
    let idle = |client: u32, from: u64, to: u64| {
        let within = |heard: &Heard| (from * 1_000 * MS..to * 1_000 * MS).contains(&heard.at.as_nanos());
        heard.iter().filter(|(who, heard)| *who == client && matches!(heard.what, What::Idle) && within(heard)).count()
    };
    let before = (idle(0, 2, 5), idle(1, 2, 5));
    assert!(before.0 > 80 && before.1 > 80, "{before:?} in three seconds");
    assert_eq!(idle(1, 6, 10), 0, "it is cut off");
    // Only the near client's calls, 50 a second, are served and make a server idle: it hears of every one.
    assert!(idle(0, 6, 10) > 180, "{} in four seconds", idle(0, 6, 10));
}
