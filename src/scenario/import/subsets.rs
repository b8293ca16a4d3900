//! Envoy's subsets by metadata: `lb_subset_config` of a cluster and the policy `Subset` say the same things
//! (<https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/subsets>).

use std::ops::Range;

use super::envoy;
use super::message::{At, Message, Reading, Shape};
use super::native::{Native, balancer};
use super::source::{Kind, Value};

/// `lb_subset_config` of a cluster around its policy.
pub fn legacy(at: &Range<usize>, config: &Value, child: Option<Native>, reading: &mut Reading<'_>) -> Option<Native> {
    let message = reading.message(config, &LEGACY)?;
    let selectors = reading.list(&message, SELECTORS);
    if message.has(SELECTORS) && selectors.is_none() {
        return None;
    }
    if selectors.is_none_or(<[Value]>::is_empty) {
        let said = "`lb_subset_config` counts for nothing without `subset_selectors`";
        reading.warning(at, said, "name the keys that make subsets, or leave it out to lose this warning");
        return child;
    }
    around(at, &message, child, reading)
}

/// The policy `Subset`, with the policy inside of it.
pub fn typed(at: &Range<usize>, config: &Value, panic: Option<&At<f64>>, reading: &mut Reading<'_>) -> Option<Native> {
    let message = reading.message(config, &TYPED)?;
    reading.needed(&message, "subset_lb_policy", "`subset_lb_policy: { policies: [ … ] }`");
    reading.needed(&message, SELECTORS, "`subset_selectors: [{ keys: [version] }]`");
    let child = message.field("subset_lb_policy").and_then(|policy| envoy::first_of(&policy.value, panic, reading));
    around(at, &message, child, reading)
}

/// Subsets around the policy inside of each.
fn around(
    at: &Range<usize>,
    message: &Message<'_>,
    child: Option<Native>,
    reading: &mut Reading<'_>,
) -> Option<Native> {
    refuse(message, reading);
    let mut given = Vec::new();
    let selectors = selectors(message, reading);
    let of_all = reading.word(message, "fallback_policy", &["NO_FALLBACK", "ANY_ENDPOINT", "DEFAULT_SUBSET"]);
    given.extend(of_all.as_ref().map(|policy| ("fallback", lower(policy))));
    let needs_default = of_all.as_ref().is_some_and(|policy| policy.value == DEFAULT)
        || selectors.iter().flatten().any(|selector| selector.is_to_default);
    given.extend(default_subset(at, message, needs_default, reading).map(|labels| ("default_subset", labels)));
    let falls_back = of_all.as_ref().is_some_and(|policy| policy.value != "NO_FALLBACK");
    match reading.truth(message, "panic_mode_any").filter(|panic| panic.value) {
        Some(panic) if !falls_back => {
            let said = "`panic_mode_any` counts for nothing without a `fallback_policy`: there is none that could fail";
            reading.warning(&panic.at, said, "leave it out to lose this warning");
        }
        panic => given.extend(panic.map(|panic| ("panic_mode_any", Native::plain(panic.at, true)))),
    }
    let redundant = reading.truth(message, "allow_redundant_keys").filter(|redundant| redundant.value);
    given.extend(redundant.map(|redundant| ("allow_redundant_keys", Native::plain(redundant.at, true))));
    let child = child?;
    if let Some(weights) = child.place_of("weighted_target") {
        let help = "leave it out: Envoy looks at them with `locality_weight_aware` only, which is not supported yet";
        reading.error(&weights, "weights of localities count for nothing inside of subsets", help);
        return None;
    }
    given.push(("child", child));
    let selectors: Option<Vec<Native>> = selectors?.into_iter().map(|selector| selector.native).collect();
    let place = message.field(SELECTORS).map_or(at, |member| &member.value.at);
    given.push(("selectors", Native::list(place.clone(), selectors?)));
    balancer(reading, at, ("metadata_subsets", "subsets"), given)
}

/// What Envoy does and nothing here.
fn refuse(message: &Message<'_>, reading: &mut Reading<'_>) {
    for (field, help) in [
        ("locality_weight_aware", "inside of a subset zones have no weights"),
        ("scale_locality_weight", "inside of a subset zones have no weights"),
        ("list_as_any", "a backend has one value for each key, and no list"),
    ] {
        if let Some(on) = reading.truth(message, field).filter(|on| on.value) {
            reading.not_yet(&on.at, field, help);
        }
    }
    let policies = ["METADATA_NO_FALLBACK", "FALLBACK_LIST"];
    let lists = reading.word(message, "metadata_fallback_policy", &policies);
    if let Some(list) = lists.filter(|policy| policy.value == "FALLBACK_LIST") {
        reading.not_yet(&list.at, list.value, "a class of calls asks for one thing, and not for one after another");
    }
}

/// One of `subset_selectors`.
struct Selector {
    /// `None` if something is wrong with it.
    native: Option<Native>,
    is_to_default: bool,
}

fn selectors(message: &Message<'_>, reading: &mut Reading<'_>) -> Option<Vec<Selector>> {
    let list = reading.list(message, SELECTORS)?;
    Some(list.iter().map(|value| selector(value, reading)).collect())
}

fn selector(value: &Value, reading: &mut Reading<'_>) -> Selector {
    let Some(message) = reading.message(value, &SELECTOR) else {
        return Selector { native: None, is_to_default: false };
    };
    reading.needed(&message, "keys", "`keys: [version]`");
    let keys = texts(&message, "keys", reading);
    let fallback = reading.word(&message, "fallback_policy", &SELECTOR_FALLBACKS);
    let fallback_keys = texts(&message, "fallback_keys_subset", reading);
    let single = reading.truth(&message, "single_host_per_subset").filter(|single| single.value);
    let complete = ["keys", "fallback_keys_subset"].iter().zip([&keys, &fallback_keys]);
    let broken = complete.filter(|(name, read)| message.has(name) && read.is_none()).count() > 0;
    // Protobuf's default for an enum is its first value.
    let fallback = fallback.filter(|fallback| fallback.value != "NOT_DEFINED");
    let is_to_default = fallback.as_ref().is_some_and(|fallback| fallback.value == DEFAULT);
    let members = [
        ("keys", keys),
        ("fallback", fallback.as_ref().map(lower)),
        ("fallback_keys", fallback_keys),
        ("single_host_per_subset", single.map(|single| Native::plain(single.at, true))),
    ];
    let members = members.into_iter().filter_map(|(name, native)| Some((name.to_owned(), native?))).collect();
    let native = (message.has("keys") && !broken).then(|| Native::table(message.at.clone(), members));
    Selector { native, is_to_default }
}

/// A field that is a list of text.
fn texts(message: &Message<'_>, name: &str, reading: &mut Reading<'_>) -> Option<Native> {
    let list = reading.list(message, name)?;
    let text = |value: &Value| match &value.kind {
        Kind::Text(text) => Some(Native::plain(value.at.clone(), text.as_str())),
        other => {
            let said = format!("`{name}` is a list of text, and this is {}", other.in_words());
            reading.error(&value.at, said, "write the key in quotation marks");
            None
        }
    };
    let texts: Option<Vec<Native>> = list.iter().map(text).collect();
    Some(Native::list(message.field(name)?.value.at.clone(), texts?))
}

/// `default_subset`, if some fallback needs it. Left out it says nothing, and every endpoint says that much.
fn default_subset(
    at: &Range<usize>,
    message: &Message<'_>,
    is_needed: bool,
    reading: &mut Reading<'_>,
) -> Option<Native> {
    let Some(member) = message.field("default_subset") else {
        if is_needed {
            let said = "`DEFAULT_SUBSET` without a `default_subset` is any endpoint";
            reading.warning(at, said, "write `ANY_ENDPOINT`, or what the endpoints of the default subset are");
        }
        return is_needed.then(|| Native::table(at.clone(), Vec::new()));
    };
    if !is_needed {
        let said = "`default_subset` counts for nothing: no `fallback_policy` is `DEFAULT_SUBSET`";
        reading.warning(&member.key_at, said, "leave it out to lose this warning");
        return None;
    }
    let Kind::Table(pairs) = &member.value.kind else {
        let said = format!("`default_subset` is a table `{{ … }}`, and not {}", member.value.kind.in_words());
        reading.error(&member.value.at, said, "write `{ version: v1 }`");
        return None;
    };
    let mut labels = Vec::new();
    for pair in pairs {
        match &pair.value.kind {
            Kind::Text(text) => labels.push((pair.key.clone(), Native::plain(pair.value.at.clone(), text.as_str()))),
            other => {
                let said =
                    format!("metadata of backends is text, and this is {}: nobody could match it", other.in_words());
                reading.error(&pair.value.at, said, "write it in quotation marks, if the backends of the scenario do");
            }
        }
    }
    Some(Native::table(member.value.at.clone(), labels))
}

/// A word of protobuf as the scenario language spells it.
fn lower(word: &At<&'static str>) -> Native {
    Native::plain(word.at.clone(), word.value.to_ascii_lowercase())
}

const SELECTORS: &str = "subset_selectors";
const DEFAULT: &str = "DEFAULT_SUBSET";
const SELECTOR_FALLBACKS: [&str; 5] = ["NOT_DEFINED", "NO_FALLBACK", "ANY_ENDPOINT", DEFAULT, "KEYS_SUBSET"];

/// Fields of subsets; the last two only the policy has.
const FIELDS: &[&str] = &[
    "fallback_policy",
    "default_subset",
    SELECTORS,
    "locality_weight_aware",
    "scale_locality_weight",
    "panic_mode_any",
    "list_as_any",
    "metadata_fallback_policy",
    "subset_lb_policy",
    "allow_redundant_keys",
];
const LEGACY: Shape = Shape::of("`lb_subset_config`", FIELDS.split_at(FIELDS.len() - 2).0);
const TYPED: Shape = Shape::of("`Subset`", FIELDS);
const SELECTOR: Shape = Shape::of(
    "a member of `subset_selectors`",
    &["keys", "fallback_policy", "fallback_keys_subset", "single_host_per_subset"],
);
