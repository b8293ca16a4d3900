//! Envoy's subsets by metadata, as clusters have them.

use super::*;

#[test]
fn subsets_by_metadata_are_what_a_person_would_have_written() {
    // Each subset panics for itself.
    let random = "{ envoy_priority = { by = 'all', panic_threshold = 50, child = 'envoy.random' } }";
    let selectors = "subset_selectors: [{ keys: [version, stage], fallback_policy: KEYS_SUBSET, fallback_keys_subset: [version] }, { keys: [version] }]";
    let native = "selectors = [{ keys = ['version', 'stage'], fallback = 'keys_subset', fallback_keys = ['version'] }, { keys = ['version'] }]";
    for (config, subsets) in [
        (format!("{{ {selectors} }}"), format!("child = {random}, {native}")),
        (
            format!("{{ fallbackPolicy: ANY_ENDPOINT, panic_mode_any: true, list_as_any: false, {selectors} }}"),
            format!("child = {random}, fallback = 'any_endpoint', panic_mode_any = true, {native}"),
        ),
        (
            "{ fallback_policy: DEFAULT_SUBSET, default_subset: { version: v1 }, metadata_fallback_policy: METADATA_NO_FALLBACK, \
             subset_selectors: [{ keys: [stage], single_host_per_subset: true, fallback_policy: NOT_DEFINED }] }"
                .to_owned(),
            format!(
                "child = {random}, fallback = 'default_subset', default_subset = {{ version = 'v1' }}, \
                 selectors = [{{ keys = ['stage'], single_host_per_subset = true }}]"
            ),
        ),
    ] {
        let cluster = format!("lb_policy: RANDOM\nlb_subset_config: {config}\n");
        same("envoy.yaml", &cluster, &format!("balancer = {{ metadata_subsets = {{ {subsets} }} }}"));
    }
    let cluster = format!(
        "lb_policy: ROUND_ROBIN\ncommon_lb_config: {{ healthy_panic_threshold: {{ value: 40 }} }}\nlb_subset_config: {{ {selectors} }}\n"
    );
    let child = "{ envoy_priority = { child = 'envoy.round_robin', by = 'all', panic_threshold = 40 } }";
    let inside = format!("balancer = {{ lb_subset = {{ child = {child}, {native} }} }}");
    same("envoy.yaml", &cluster, &inside);

    let inner: serde_json::Value = serde_json::from_str(&typed("maglev.v3.Maglev", "")).unwrap();
    let fields = format!(
        r#""subset_lb_policy": {}, "allow_redundant_keys": true, "subset_selectors": [{{ "keys": ["version"] }}]"#,
        inner["load_balancing_policy"]
    );
    let native = "{ lb_subset = { child = { envoy_priority = { by = 'all', child = 'envoy.maglev' } }, allow_redundant_keys = true, selectors = [{ keys = ['version'] }] } }";
    same("envoy.json", &typed("subset.v3.Subset", &fields), &format!("balancer = {native}"));
}

#[test]
fn what_envoys_subsets_do_not_look_at_is_a_warning() {
    let cluster = |config: &str| format!("lb_policy: RANDOM\nlb_subset_config: {{ {config} }}\n");
    let selectors = "subset_selectors: [{ keys: [version] }]";
    for (config, warning) in [
        (
            "fallback_policy: ANY_ENDPOINT".to_owned(),
            "`lb_subset_config` counts for nothing without `subset_selectors`",
        ),
        (
            format!("default_subset: {{ version: v1 }}, {selectors}"),
            "`default_subset` counts for nothing: no `fallback_policy` is `DEFAULT_SUBSET`",
        ),
        (
            format!("panic_mode_any: true, {selectors}"),
            "`panic_mode_any` counts for nothing without a `fallback_policy`: there is none that could fail",
        ),
        (
            format!("fallback_policy: DEFAULT_SUBSET, {selectors}"),
            "`DEFAULT_SUBSET` without a `default_subset` is any endpoint",
        ),
    ] {
        assert_eq!(wrong("envoy.yaml", &cluster(&config)), [format!("warning: {warning}")]);
    }
    let described = "load_assignment: { endpoints: [{ lb_endpoints: [{ metadata: { filter_metadata: { envoy.lb: { priority: v1 } } } }] }] }\n";
    assert_eq!(wrong("envoy.yaml", described).len(), 1, "without subsets it moves no call");
    let refused = wrong("envoy.yaml", &format!("{}{described}", cluster(selectors)));
    assert!(refused.iter().any(|message| message == "`metadata` is not supported yet in this version"), "{refused:?}");
}
