//! One client's balancer with the books that a channel keeps, and nothing else: pick, count the call, tell of it; end
//! the oldest open call, count it, tell of it. Shared by `benches/pick.rs` and `benches/peers/pick`.

use std::hint::black_box;
use std::sync::Arc;

use plimsoll::base::id::{Address, EndpointId, RegionId, ZoneId};
use plimsoll::base::time::Instant;
use plimsoll::policy::balancer::catalog::{Context, Spec};
use plimsoll::policy::balancer::{Balancer, Feedback, Pick, Request};
use plimsoll::policy::endpoints::{Endpoints, Listing, SuspectRule, Table};

use crate::rounds::Job;

/// A row of the table: what is measured, and for how many endpoints it makes sense.
pub struct Row {
    pub name: &'static str,
    /// As in a scenario file, in JSON.
    pub balancer: &'static str,
    /// True: endpoints weigh 1 to 5 in turn; false: all weigh 1.
    pub weighted: bool,
    /// Whether calls have keys.
    pub keyed: bool,
    /// Largest number of endpoints that is measured.
    pub most: usize,
    /// The aims of the project at 10, 100, … endpoints, in ns a pick; 0: none.
    pub aims: [f64; 5],
}

pub const SIZES: [usize; 5] = [10, 100, 1_000, 10_000, 100_000];

const ALL: usize = 100_000;

const fn row(name: &'static str, balancer: &'static str, weighted: bool, most: usize, aims: [f64; 5]) -> Row {
    Row { name, balancer, weighted, keyed: false, most, aims }
}

/// A row whose calls have keys, of equal endpoints.
const fn keyed(name: &'static str, balancer: &'static str, most: usize, aims: [f64; 5]) -> Row {
    Row { name, balancer, weighted: false, keyed: true, most, aims }
}

/// The row of a balancer that decides nothing: what the books and the loop around them cost.
pub const BOOKS: &str = "the books alone";

pub const ROWS: &[Row] = &[
    row(BOOKS, "", false, ALL, [0.0; 5]),
    row("round_robin", r#""round_robin""#, false, ALL, [5.0; 5]),
    row("random", r#""random""#, false, ALL, [5.0; 5]),
    row("weighted_random", r#""weighted_random""#, true, ALL, [6.0; 5]),
    row("least_request, 2 choices", r#"{"least_request": {"sampling": "distinct"}}"#, false, ALL, [10.0; 5]),
    row("least_connections", r#""least_connections""#, false, ALL, [0.0, 30.0, 0.0, 0.0, 150.0]),
    row("least_connections, weighted", r#""least_connections""#, true, ALL, [0.0, 30.0, 0.0, 0.0, 150.0]),
    // Its sequence is recorded while it is played for the first time, which costs n a pick: see `Client::settle`.
    row("wrr_smooth", r#""wrr_smooth""#, true, 10_000, [40.0; 5]),
    row("wrr_edf", r#""wrr_edf""#, true, ALL, [0.0; 5]),
    row("wrr_static_stride", r#""wrr_static_stride""#, true, ALL, [40.0; 5]),
    // The list has a place for each unit of weight: 300,000 of them.
    row("wrr_list, interleaved", r#"{"wrr_list": {"order": "interleaved", "max_len": 1000000}}"#, true, ALL, [0.0; 5]),
    keyed("ring, 160 points each", r#""hash_ring_vnodes""#, 10_000, [0.0, 44.0, 92.0, 0.0, 0.0]),
    keyed("ketama_crc32", r#""ketama_crc32""#, 10_000, [0.0; 5]),
    Row { weighted: true, ..keyed("hash_mod, pingora's", r#"{"hash_mod": {"variant": "pingora"}}"#, ALL, [0.0; 5]) },
    keyed("ring_hash", r#""ring_hash""#, 10_000, [0.0; 5]),
    keyed("maglev", r#""maglev""#, 10_000, [13.0; 5]),
    keyed("jump", r#""jump""#, ALL, [0.0; 5]),
    keyed("rendezvous", r#""rendezvous""#, 1_000, [0.0; 5]),
    row("peak_ewma, tower's", r#"{"peak_ewma": {"variant": "tower"}}"#, false, ALL, [0.0; 5]),
];

/// These rows at every size for which they make sense, settled.
pub fn jobs(rows: impl IntoIterator<Item = &'static Row>) -> Vec<Job<'static>> {
    let sizes = |row: &'static Row| SIZES.into_iter().filter(|endpoints| *endpoints <= row.most).map(move |n| (row, n));
    let job = |(row, endpoints): (&'static Row, usize)| {
        let mut client = Client::new(row, endpoints);
        client.settle(row, endpoints);
        Job { name: row.name.to_owned(), endpoints, work: Box::new(move |count| client.calls(count)) }
    };
    rows.into_iter().flat_map(sizes).map(job).collect()
}

/// Walks over the endpoints without looking at them.
struct Nobody(usize);

impl Balancer for Nobody {
    fn on_endpoints(&mut self, _now: Instant, _endpoints: &Endpoints<'_>) {}

    fn pick(&mut self, _now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        self.0 = if self.0 + 1 < endpoints.ready.len() { self.0 + 1 } else { 0 };
        Pick::To(endpoints.ready[self.0])
    }

    fn only_picks(&self) -> bool {
        true
    }
}

fn built(balancer: &str) -> Box<dyn Balancer> {
    if balancer.is_empty() {
        return Box::new(Nobody(0));
    }
    let spec: Spec = serde_json::from_str(balancer).expect("rows are right");
    spec.build(&Context::lone(1))
}

/// A balancer over its endpoints, with calls open.
pub struct Client {
    table: Table,
    balancer: Box<dyn Balancer>,
    only_picks: bool,
    keyed: bool,
    now: Instant,
    /// Open calls, the oldest at `next`.
    open: Vec<(EndpointId, Instant)>,
    next: usize,
    keys: Keys,
}

/// Hashes of keys: a counter, mixed (SplitMix64: Steele, Lea, Flood, OOPSLA 2014).
pub struct Keys(u64);

impl Keys {
    pub fn new() -> Keys {
        Keys(1)
    }

    #[inline(always)]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Weight of the endpoint in this place.
pub fn weight(place: usize) -> u32 {
    1 + place as u32 % 5
}

/// Calls that are open at any time: half as many as there are endpoints, from 4 to 1,024.
pub fn open_calls(endpoints: usize) -> usize {
    (endpoints / 2).clamp(4, 1_024)
}

impl Client {
    pub fn new(row: &Row, endpoints: usize) -> Client {
        let listing = |place: usize| Listing {
            address: Address(place as u32),
            name: format!("10.{}.{}.{}:80", place >> 16, (place >> 8) & 255, place & 255).into(),
            weight: if row.weighted { weight(place) } else { 1 },
            zone: ZoneId(0),
            region: RegionId(0),
            started: None,
            health: Default::default(),
            metadata: Default::default(),
        };
        let mut balancer = built(row.balancer);
        let mut table = Table::new(SuspectRule::LastResort);
        let joined = table.update((0..endpoints).map(listing).collect::<Arc<[Listing]>>()).joined;
        table.connect_all(Instant::ZERO, &joined);
        balancer.on_endpoints(Instant::ZERO, &table.view());
        let only_picks = balancer.only_picks();
        let (now, keys) = (Instant::ZERO, Keys::new());
        let (keyed, open) = (row.keyed, Vec::new());
        let mut client = Client { table, balancer, only_picks, keyed, now, open, next: 0, keys };
        for _ in 0..open_calls(endpoints) {
            let sent = client.send::<false, false>(now, &mut Request::plain());
            client.open.push((sent, now));
        }
        client
    }

    /// Plays what is only played once: the first cycle of a rotation that is recorded.
    pub fn settle(&mut self, row: &Row, endpoints: usize) {
        let once = if row.name == "wrr_smooth" { (0..endpoints).map(|place| weight(place) as u64).sum() } else { 64 };
        self.calls(once);
    }

    /// So many calls, a microsecond apart: each is sent, and the oldest open one ends. What is the same for all calls is
    /// looked at before them: it is no part of a pick.
    pub fn calls(&mut self, count: u64) {
        match (self.keyed, self.only_picks) {
            (false, false) => self.run::<false, false>(count),
            (false, true) => self.run::<false, true>(count),
            (true, false) => self.run::<true, false>(count),
            (true, true) => self.run::<true, true>(count),
        }
    }

    fn run<const KEYED: bool, const ONLY_PICKS: bool>(&mut self, count: u64) {
        let mut request = Request::plain();
        let mut open = std::mem::take(&mut self.open);
        let (mut now, mut next, mut left) = (self.now, self.next, count as usize);
        while left > 0 {
            let lap = left.min(open.len() - next);
            for oldest in &mut open[next..next + lap] {
                now = Instant::from_nanos(now.as_nanos() + 1_000);
                let sent = self.send::<KEYED, ONLY_PICKS>(now, &mut request);
                let (endpoint, at) = std::mem::replace(oldest, (sent, now));
                self.end::<ONLY_PICKS>(now, endpoint, at);
            }
            (left, next) = (left - lap, (next + lap) % open.len());
        }
        (self.now, self.next, self.open) = (now, next, open);
    }

    /// Makes a key, asks and counts. Making a key is no part of a pick, so only calls that have one make one, here and in
    /// the crates beside us.
    #[inline(always)]
    fn send<const KEYED: bool, const ONLY_PICKS: bool>(
        &mut self,
        now: Instant,
        request: &mut Request<'_>,
    ) -> EndpointId {
        if KEYED {
            request.random = self.keys.next();
            request.hash = Some(request.random);
        }
        let Pick::To(endpoint) = self.balancer.pick(now, request, &self.table.view()) else {
            panic!("somebody is always ready");
        };
        black_box(self.table.send_to(endpoint).map_or(0, |address| address.0));
        if !ONLY_PICKS {
            self.balancer.on_feedback(now, &Feedback::Sent { endpoint }, &self.table.view());
        }
        endpoint
    }

    /// Counts and tells.
    #[inline(always)]
    fn end<const ONLY_PICKS: bool>(&mut self, now: Instant, endpoint: EndpointId, at: Instant) {
        self.table.on_ended(endpoint);
        if ONLY_PICKS {
            return;
        }
        let done = Feedback::Done { endpoint, took: now - at, outcome: Ok(()), retried: 0, load: None };
        self.balancer.on_feedback(now, &done, &self.table.view());
        while let Some(want) = self.balancer.poll_want() {
            black_box(want);
        }
    }
}
