//! What helps to choose: the families that the cards belong to, and which strategy to take for which fleet. Each piece of
//! advice rests on a shipped scenario that shows it; `docs/strategies.md` puts the gates of that scenario beside it.

/// The families in the order of the page: the name of the folder, and the head of its `mod.rs`.
pub const FAMILIES: &[(&str, &str)] = &[
    ("rotate", include_str!("rotate/mod.rs")),
    ("sample", include_str!("sample/mod.rs")),
    ("scan", include_str!("scan/mod.rs")),
    ("weigh", include_str!("weigh/mod.rs")),
    ("probe", include_str!("probe/mod.rs")),
    ("learn", include_str!("learn/mod.rs")),
    ("hash", include_str!("hash/mod.rs")),
    ("nest", include_str!("nest/mod.rs")),
];

/// Which strategy to take for one kind of fleet.
#[derive(Debug, Clone, Copy)]
pub struct Advice {
    /// The fleet, or what may happen to it.
    pub fleet: &'static str,
    /// Contenders of the scenario that do well there.
    pub take: &'static [&'static str],
    /// Contenders of the scenario that do worse, or do as well and cost more.
    pub rather_than: &'static [&'static str],
    /// Why.
    pub why: &'static str,
    /// Name of the shipped scenario that shows it, such as `slow-node`.
    pub scenario: &'static str,
}

/// The decision table, from plain fleets to special trouble.
pub const ADVICE: &[Advice] = &[
    Advice {
        fleet: "Equal backends, and a client that makes most of the calls",
        take: &["p2c"],
        rather_than: &["random"],
        why: "two choices take most of what chance leaves on the table: mean 2.64 s instead of 9.87 s at 90 % load",
        scenario: "supermarket",
    },
    Advice {
        fleet: "Many clients with few calls each",
        take: &["random"],
        rather_than: &["least_connections"],
        why: "who has no call open has nothing to count, so counting is chance that costs more",
        scenario: "many-clients",
    },
    Advice {
        fleet: "Backends of different size, and weights that say so",
        take: &["wrr_smooth", "wrr_edf"],
        rather_than: &["round_robin"],
        why: "weights are kept to the call; an even split sends the small ones more than they can do",
        scenario: "heterogeneous-fleet",
    },
    Advice {
        fleet: "Backends of different size, and nobody who keeps weights",
        take: &["least_connections"],
        rather_than: &["round_robin"],
        why: "slower backends have more calls open, so counting finds the sizes nearly as well as weights do",
        scenario: "heterogeneous-fleet",
    },
    Advice {
        fleet: "A backend may become slow",
        take: &["peak_ewma", "least_connections"],
        rather_than: &["round_robin"],
        why: "latency and open calls show that it is slow; turns keep sending it two and a half times what it can serve",
        scenario: "slow-node",
    },
    Advice {
        fleet: "A backend may hang, and there are only a few",
        take: &["peak_ewma", "p2c_distinct"],
        rather_than: &["p2c_replacement", "round_robin"],
        why: "with replacement both draws are the hung one of two in a quarter of the picks, whatever is known about it",
        scenario: "two-backends-one-hangs",
    },
    Advice {
        fleet: "A backend may fail at once instead of answering (a black hole)",
        take: &["penalised"],
        rather_than: &["peak_ewma", "least_connections", "least_request"],
        why: "fast failures look like an idle backend, unless a failure counts as slow; turns lose their even share",
        scenario: "black-hole",
    },
    Advice {
        fleet: "Backends join cold",
        take: &["least_request"],
        rather_than: &["round_robin", "peak_ewma"],
        why: "open calls hold back while it is cold and let go when it is warm; turns drown it, and a peak that is \
              forgotten slowly starves it",
        scenario: "cold-join",
    },
    Advice {
        fleet: "Backends are replaced one by one, and say goodbye",
        take: &["least_request"],
        rather_than: &["round_robin"],
        why: "no call is lost either way, but turns do not wait for a node that comes back cold",
        scenario: "rolling-restart",
    },
    Advice {
        fleet: "Backends crash, and come back cold",
        take: &["least_request"],
        rather_than: &["round_robin"],
        why: "a retry saves the calls that a crash takes, and counting spares the newcomer",
        scenario: "node-churn",
    },
    Advice {
        fleet: "Backends pause for a moment, again and again",
        take: &["least_connections"],
        rather_than: &["round_robin"],
        why: "open calls pile up within the pause, and less than half as many calls follow them into it",
        scenario: "gc-pauses",
    },
    Advice {
        fleet: "Several regions, and room in the near one",
        take: &["nearest_first"],
        rather_than: &["round_robin", "least_request"],
        why: "a backend that is 70 % busy is still nearer than one 40 ms away",
        scenario: "near-or-even",
    },
    Advice {
        fleet: "A whole region may go dark",
        take: &["nearest_first"],
        rather_than: &["gslb", "round_robin"],
        why: "the callers of the other regions lose no call; names resolve late, and turns try the dark region until it is \
              found out",
        scenario: "region-outage",
    },
    Advice {
        fleet: "More calls than the fleet can serve, for a while",
        take: &["round_robin"],
        rather_than: &["with_retry"],
        why: "there is no better place to try: retries make a third more attempts and gain nothing",
        scenario: "flash-crowd",
    },
    Advice {
        fleet: "Deadlines near the time that a call takes under load",
        take: &["no_retry"],
        rather_than: &["three_attempts"],
        why: "retries without a budget keep the fleet down long after their cause is gone",
        scenario: "metastable-retries",
    },
    Advice {
        fleet: "Calls with keys, caches behind them, and a few keys that carry most calls",
        take: &["bounded_load"],
        rather_than: &["ring_hash", "maglev"],
        why: "a hot key is one backend's until a bound moves some of it on; it takes a client with many open calls for the \
              bound to be felt, and each call that moves is a miss",
        scenario: "hot-keys",
    },
    Advice {
        fleet: "A client that makes most of the calls, and every millisecond counts",
        take: &["least_connections"],
        rather_than: &["random", "round_robin"],
        why: "all looked at beats two drawn while a client sees most of the load; what it gains is gone with many clients",
        scenario: "client-dilution",
    },
    Advice {
        fleet: "The list is sent again before a rotation comes round",
        take: &["stride", "smooth"],
        rather_than: &["edf_zero", "list_zero", "map_zero"],
        why: "a schedule that begins anew begins with the heavy ones, and the light ones never have their turn",
        scenario: "wrr-rebuild-bias",
    },
    Advice {
        fleet: "Hundreds of clients that are sent the list at one instant",
        take: &["start_random", "ties_at_random"],
        rather_than: &["start_zero", "first_of_ties"],
        why: "who begins at the head of the list begins there together with all others",
        scenario: "synchronised-turns",
    },
    Advice {
        fleet: "So many backends that each client keeps to a few",
        take: &["deterministic", "arcs"],
        rather_than: &["random", "random_counting", "random_ewma", "aperture", "pick_first"],
        why: "subsets that are dealt out are even; what chance left uneven no child can repair, because it sees its subset only",
        scenario: "subset-imbalance",
    },
    Advice {
        fleet: "Learners where nothing differs",
        take: &["random", "greedy_counting"],
        rather_than: &["epsilon_greedy"],
        why: "the best so far is chance, and nine tenths of a client's calls go there until answers come",
        scenario: "bandit-collapse",
    },
    Advice {
        fleet: "Learners where a backend fails for good",
        take: &["softmax_annealed"],
        rather_than: &["ewma_dynamic_weights", "epsilon_greedy"],
        why: "a floor or a share for exploring is a share of failures for ever",
        scenario: "floor-leak",
    },
    Advice {
        fleet: "Retries, and a backend that fails at once",
        take: &["tried_excluded"],
        rather_than: &["peak_ewma", "shortest_response"],
        why: "the fastest is the broken one for the second attempt, too, unless those that were tried are left out",
        scenario: "black-hole-retries",
    },
    Advice {
        fleet: "Open calls and latency in one score",
        take: &["peak_ewma"],
        rather_than: &["conn_latency"],
        why: "a product has no units; a sum in which a millisecond outweighs a call follows latency alone",
        scenario: "score-units",
    },
    Advice {
        fleet: "Keys, and backends that come and go",
        take: &["vnodes", "rendezvous", "anchor"],
        rather_than: &["ring_hash", "hash_mod"],
        why: "no key moves but those of who left; gRPC's ring gives those that stay more points, and modulo moves most keys",
        scenario: "ring-resize",
    },
    Advice {
        fleet: "Keys that should be even over the backends",
        take: &["maglev", "multi_probe"],
        rather_than: &["ring_1", "ring_10"],
        why: "a ring is as even as it has points; a table is even without",
        scenario: "ring-imbalance",
    },
    Advice {
        fleet: "More backends than a ring has points",
        take: &["maglev"],
        rather_than: &["cap_64"],
        why: "somebody has no point and gets no call; a table gives everybody a slot first",
        scenario: "ring-too-small",
    },
    Advice {
        fleet: "One key that is a tenth of the calls",
        take: &["bounded"],
        rather_than: &["ring_hash", "maglev", "vnodes"],
        why: "nobody gets more than a quarter above the mean, for a third of the affinity",
        scenario: "hot-key",
    },
    Advice {
        fleet: "One key that is most of the calls",
        take: &["jumps"],
        rather_than: &["unbounded", "next"],
        why: "overflow that jumps keeps more affinity than overflow that fills one neighbour after another",
        scenario: "bounded-cascade",
    },
    Advice {
        fleet: "Sessions, and a fleet that grows",
        take: &["vnodes", "rendezvous"],
        rather_than: &["sessions", "counting"],
        why: "keys on a ring move to the new ones at once; sessions stay where they are",
        scenario: "sessions-stay",
    },
    Advice {
        fleet: "Newcomers that warm up in a large fleet",
        take: &["rebuilt"],
        rather_than: &["floor_1"],
        why: "a weight that is read only when a turn comes is read after the warm-up is over",
        scenario: "slow-start-dark-host",
    },
    Advice {
        fleet: "A first level that loses most of its hosts",
        take: &["no_over", "envoy_priority"],
        rather_than: &["priority"],
        why: "one that is ready is enough for all calls to stay where they cannot be served",
        scenario: "priority-cliff",
    },
    Advice {
        fleet: "A first level that is nearly full",
        take: &["factor_100", "factor_120"],
        rather_than: &["factor_140"],
        why: "over-provisioning declares the level healthy enough and nobody leaves",
        scenario: "over-provisioning-cliff",
    },
    Advice {
        fleet: "Zones of a few backends each",
        take: &["from_two_on"],
        rather_than: &["zone_aware", "nearest"],
        why: "below its smallest cluster zone awareness is off and half of all calls travel; who only stays at home is uneven",
        scenario: "zone-aware-cliff",
    },
    Advice {
        fleet: "Regions by weight through names",
        take: &["own_resolver"],
        rather_than: &["hundred"],
        why: "the fewer resolvers there are, the coarser the weights become",
        scenario: "gslb-granularity",
    },
    Advice {
        fleet: "Load that all clients read off one board, written now and then",
        take: &["c3", "random"],
        rather_than: &["lowest_on_board", "two_of_board"],
        why: "all run to whoever was idle when it was written; reports on replies are everybody's own, and chance has none",
        scenario: "herding",
    },
    Advice {
        fleet: "Weights from load reports, and backends that are restarted often",
        take: &["least_request", "choice_of_2"],
        rather_than: &["orca_wrr"],
        why: "reports that count only after a blackout never count; open calls do at once",
        scenario: "orca-blackout",
    },
    Advice {
        fleet: "Load reports, and a backend that fails with next to no work",
        take: &["prequal", "penalised"],
        rather_than: &["envoy", "c3", "choice_of_2"],
        why: "who has nothing to do reports that it is idle; only who counts failures against it stays away",
        scenario: "orca-errors",
    },
    Advice {
        fleet: "Endpoints that stay listed while they are not healthy",
        take: &["modulo", "maglev_walk"],
        rather_than: &["modulo_next", "one_point"],
        why: "who goes on to the next gives it all, and that one drowns; a further hash, or a next slot of many, shares it out",
        scenario: "successor-bias",
    },
    Advice {
        fleet: "Backends that take long to connect to, and a client that picks before it connects",
        take: &["connected", "counted"],
        rather_than: &["uncounted", "two_choices"],
        why: "calls that wait for a connection are load; who does not count them takes whoever is being connected for idle",
        scenario: "slow-connect",
    },
    Advice {
        fleet: "A new version that gets its calls by weight",
        take: &["weighted_random", "wrr_edf"],
        rather_than: &["edf_zero", "least_connections", "stride"],
        why: "1 % is 1 % and 0 is nothing; turns from the first never come to it, idle clients count open calls and not \
              weights, and where 0 means unknown it is the mean",
        scenario: "canary-by-weight",
    },
    Advice {
        fleet: "Calls that ask for one version of the backends",
        take: &["own_panic"],
        rather_than: &["no_fallback", "any_endpoint", "default_subset"],
        why: "a fallback helps once nobody of that version is listed, and not while they are listed and said to be \
              unhealthy; then only panic inside of the subset asks them",
        scenario: "subset-fallback",
    },
];
