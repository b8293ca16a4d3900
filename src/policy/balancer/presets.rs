//! Balancers as products ship them: a name for a balancer of the catalogue with the parameters that make it behave like
//! that product. A preset is a row here and nothing else; `{ "envoy.ring_hash" = { min_ring = 100 } }` changes a
//! parameter and keeps the others.
//!
//! Where a product's own name is a balancer of its own (`gozero.p2c`, `brpc.la`), it is an alias of that.

use super::catalog::{CARDS, Card, Spec};

/// What a preset is: its name and the balancer that it stands for.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// Its name in scenario files.
    pub name: &'static str,
    /// The balancer with its parameters, as JSON.
    pub stands_for: &'static str,
    /// The card of that balancer.
    pub card: &'static Card,
}

/// All presets, in the order of the list.
pub fn presets() -> impl Iterator<Item = Preset> {
    PRESETS.iter().map(|(name, stands_for)| {
        let spec: Spec = serde_json::from_str(stands_for).expect("a preset stands for a balancer");
        let card = CARDS.iter().find(|card| card.name == spec.name()).expect("every balancer has a card");
        Preset { name, stands_for, card }
    })
}

/// Name and balancer, by product.
pub const PRESETS: &[(&str, &str)] = &[
    // AWS Application Load Balancer: target group algorithms. Its slow start lasts 30 s to 15 min, and is off by default.
    ("alb.lor", r#"{ "least_connections": {} }"#),
    ("alb.round_robin", r#"{ "round_robin": {} }"#),
    ("alb.slow_start", r#"{ "slow_start": { "shape": "linear", "window": "30s" } }"#),
    ("alb.weighted_random", r#"{ "weighted_random": {} }"#),
    // brpc: docs/cn/client.md. Its `la` is `lalb`; its `p2c` is in `p2c_ewma_load_balancer.cpp`.
    ("brpc.c_ketama", r#"{ "ketama_md5": {} }"#),
    ("brpc.p2c", r#"{ "peak_ewma": { "variant": "brpc", "failure_penalty": "500ms" } }"#),
    ("brpc.p2c_ewma", r#"{ "peak_ewma": { "variant": "brpc", "failure_penalty": "500ms" } }"#),
    ("brpc.random", r#"{ "random": {} }"#),
    ("brpc.rr", r#"{ "round_robin": {} }"#),
    ("brpc.wr", r#"{ "weighted_random": {} }"#),
    // Dubbo: cluster/loadbalance. Its `shortestresponse` and `adaptive` are balancers of their own.
    ("dubbo.consistenthash", r#"{ "ketama_md5": { "points": "dubbo" } }"#),
    ("dubbo.leastactive", r#"{ "least_connections": { "ties": "weighted", "load": "count" } }"#),
    ("dubbo.random", r#"{ "weighted_random": {} }"#),
    ("dubbo.roundrobin", r#"{ "wrr_smooth": { "on_reweight": "reset" } }"#),
    ("dubbo.warmup", r#"{ "slow_start": { "shape": "dubbo", "window": "10m", "exempt_first": false } }"#),
    // Envoy: lb_policy. Round robin and least request schedule by weight only where weights differ; the ring may be
    // larger than gRPC's.
    (
        "envoy.client_side_weighted_round_robin",
        r#"{ "orca_wrr": { "variant": "envoy", "error_utilization_penalty": 0.0 } }"#,
    ),
    ("envoy.hash_balance_factor", r#"{ "bounded_load": { "walk": "envoy" } }"#),
    ("envoy.least_request", r#"{ "weighted_least_request": {} }"#),
    ("envoy.maglev", r#"{ "maglev": {} }"#),
    ("envoy.random", r#"{ "random": {} }"#),
    ("envoy.ring_hash", r#"{ "ring_hash": { "max_ring": 8388608 } }"#),
    ("envoy.round_robin", r#"{ "wrr_edf": {} }"#),
    ("envoy.locality_weighted", r#"{ "weighted_target": { "overprovisioning": 140 } }"#),
    ("envoy.slow_start", r#"{ "slow_start": { "exempt_first": false } }"#),
    // Finagle: loadbalancer.Balancers.
    ("finagle.heap", r#"{ "least_connections": {} }"#),
    ("finagle.p2c", r#"{ "least_request": { "sampling": "distinct" } }"#),
    ("finagle.p2c_peak_ewma", r#"{ "peak_ewma": { "variant": "finagle" } }"#),
    ("finagle.round_robin", r#"{ "round_robin": {} }"#),
    // gRPC: loadBalancingConfig. Its ring connects no endpoint before a call needs it.
    ("grpc.least_request", r#"{ "least_request": {} }"#),
    ("grpc.pick_first", r#"{ "pick_first": {} }"#),
    ("grpc.priority", r#"{ "priority": {} }"#),
    ("grpc.random_subsetting", r#"{ "random_subsetting": {} }"#),
    ("grpc.ring_hash", r#"{ "ring_hash": { "connect": "lazy" } }"#),
    ("grpc.round_robin", r#"{ "round_robin": {} }"#),
    ("grpc.weighted_round_robin", r#"{ "orca_wrr": {} }"#),
    ("grpc.weighted_target", r#"{ "weighted_target": {} }"#),
    // HAProxy: balance and hash-type.
    ("haproxy.first", r#"{ "pack": {} }"#),
    ("haproxy.hash", r#"{ "hash_mod": { "variant": "haproxy" } }"#),
    ("haproxy.hash_balance_factor", r#"{ "bounded_load": { "walk": "haproxy" } }"#),
    ("haproxy.hash_consistent", r#"{ "hash_ring_vnodes": { "entry": "nearest" } }"#),
    ("haproxy.leastconn", r#"{ "least_connections": { "ties": "round_robin", "load": "haproxy" } }"#),
    ("haproxy.random", r#"{ "least_request": { "weights": "ring", "ties": "request_rate" } }"#),
    ("haproxy.slowstart", r#"{ "slow_start": { "shape": "linear" } }"#),
    ("haproxy.static_rr", r#"{ "wrr_map": {} }"#),
    // Kratos: selector. Its `p2c` is a balancer of its own.
    ("kratos.random", r#"{ "random": {} }"#),
    ("kratos.wrr", r#"{ "wrr_smooth": {} }"#),
    // linkerd2-proxy: two choices by its own average.
    ("linkerd.peak_ewma", r#"{ "peak_ewma": { "variant": "linkerd" } }"#),
    // NGINX: ngx_http_upstream_module.
    ("nginx.hash", r#"{ "hash_mod": { "variant": "nginx" } }"#),
    ("nginx.hash_consistent", r#"{ "ketama_crc32": {} }"#),
    ("nginx.ip_hash", r#"{ "hash_mod": { "variant": "ip_hash" } }"#),
    ("nginx.least_conn", r#"{ "least_connections": { "ties": "smooth_wrr" } }"#),
    ("nginx.random", r#"{ "weighted_random": {} }"#),
    ("nginx.random_two", r#"{ "least_request": { "weights": "respect", "sampling": "distinct", "ties": "last" } }"#),
    ("nginx.round_robin", r#"{ "wrr_smooth": { "max_fails": 1 } }"#),
    // What nobody ships: upper bounds.
    ("oracle.jsq", r#"{ "oracle": {} }"#),
    ("oracle.least_work", r#"{ "oracle": { "sees": "work" } }"#),
    ("oracle.stale", r#"{ "oracle": { "age": "100ms" } }"#),
    // pingora: pingora_load_balancing::selection.
    ("pingora.fnv", r#"{ "hash_mod": { "variant": "pingora" } }"#),
    ("pingora.ketama", r#"{ "ketama_crc32": {} }"#),
    ("pingora.random", r#"{ "weighted_random": {} }"#),
    ("pingora.round_robin", r#"{ "wrr_list": { "reduce": false, "start": "zero" } }"#),
    // Ribbon: IRule. Its `weighted_response_time` is a balancer of its own.
    ("ribbon.best_available", r#"{ "least_connections": { "ties": "first" } }"#),
    ("ribbon.round_robin", r#"{ "round_robin": { "start": "zero", "on_update": "keep" } }"#),
    // tower: balance::p2c.
    ("tower.p2c", r#"{ "least_request": { "sampling": "distinct" } }"#),
    ("tower.p2c_peak_ewma", r#"{ "peak_ewma": { "variant": "tower" } }"#),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_read_as_the_balancer_it_stands_for() {
        for preset in presets() {
            let by_name: Spec = serde_json::from_str(&format!("\"{}\"", preset.name)).unwrap();
            assert_eq!(by_name, serde_json::from_str(preset.stands_for).unwrap(), "{}", preset.name);
            assert_eq!(by_name.name(), preset.card.name);
            assert!(preset.name.contains('.'), "{}: a product and its name for it", preset.name);
        }
    }

    #[test]
    fn the_names_of_the_products_work_in_scenario_files() {
        #[derive(serde::Deserialize)]
        struct Contender {
            balancer: Spec,
        }
        let read = |text: &str| toml::from_str::<Contender>(text).map(|contender| contender.balancer);
        for (name, balancer) in [
            ("envoy.least_request", "weighted_least_request"),
            ("grpc.ring_hash", "ring_hash"),
            ("nginx.least_conn", "least_connections"),
            ("haproxy.leastconn", "least_connections"),
            ("finagle.p2c_peak_ewma", "peak_ewma"),
            ("linkerd.peak_ewma", "peak_ewma"),
            ("gozero.p2c", "gozero_p2c"),
            ("kratos.p2c", "kratos_p2c"),
            ("brpc.la", "lalb"),
            ("dubbo.shortestresponse", "shortest_response"),
            ("alb.lor", "least_connections"),
        ] {
            assert_eq!(read(&format!("balancer = '{name}'")).unwrap().name(), balancer, "{name}");
            assert_eq!(read(&format!("balancer = {{ '{name}' = {{}} }}")).unwrap().name(), balancer, "{name}");
        }
        let changed = read("balancer = { 'envoy.ring_hash' = { min_ring = 100 } }").unwrap();
        let written = serde_json::to_value(&changed).unwrap();
        assert_eq!(
            (&written["ring_hash"]["min_ring"], &written["ring_hash"]["max_ring"]),
            (&100.into(), &8_388_608.into())
        );
        let error = read("balancer = { 'envoy.ring_hash' = { vnodes = 100 } }").unwrap_err();
        assert!(error.message().contains("the preset `envoy.ring_hash`: unknown field `vnodes`"), "{error}");
    }
}
