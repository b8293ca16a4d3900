//! Says what a refusal means: the deserialiser's words become a message, a place as narrow as it can be, and a
//! next step with the name that was probably meant.

use std::ops::Range;

use super::diagnose::{Finding, listed, nearest};
use super::schema::Discovery;
use crate::base::dist::Distribution;
use crate::fault;
use crate::policy::balancer::nest::subsetting;
use crate::policy::{balancer, hash_policy, health, limit};
use crate::workload::spec::{Arrivals, Keys};

/// Where a refusal is.
#[derive(Debug, Clone)]
pub struct Place {
    /// What was being read, `[calls]` say.
    pub what: String,
    /// The keys below it that lead to the place.
    pub path: Vec<String>,
    /// The place in the file.
    pub span: Range<usize>,
    /// The keys of the table at the place, if it is a table.
    pub keys_there: Vec<(String, Range<usize>)>,
    /// True if a date or a time of day stands there, which TOML knows and scenarios do not.
    pub is_time: bool,
}

/// True if a message about a table only says that `struck` is no longer in it.
pub fn follows(message: &str, struck: &str) -> bool {
    missing(message).is_some_and(|key| key == struck || nearest(struck, [key]).is_some())
        || message.starts_with("an empty table")
}

/// The key that a message says is missing.
fn missing(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.strip_suffix('`')
}

/// The finding that a refusal becomes.
pub fn finding(message: &str, place: &Place) -> Finding {
    let rules = [unknown_key, missing_key, unknown_member, wrong_type, wrong_length, alone];
    rules.iter().find_map(|rule| rule(message, place)).unwrap_or_else(|| as_said(message, place))
}

fn unknown_key(message: &str, place: &Place) -> Option<Finding> {
    let (wrong, known) = message.strip_prefix("unknown field `")?.split_once('`')?;
    let around = place.around();
    if let Some(later) = later(wrong) {
        return Some(not_yet(wrong, later, place.span.clone()));
    }
    let known = quoted(known);
    let all = if known.len() <= FEW { format!(" Known here: {}", listed(&known, "and")) } else { String::new() };
    let help = match meant(wrong, &known) {
        Some(near) => format!("did you mean `{near}`?{all}"),
        None if known.is_empty() => "there are no keys here: leave it out".to_owned(),
        None => format!("leave it out, or use one of {}", listed(&known, "and")),
    };
    Some(Finding::error(place.span.clone(), format!("{around} has no key `{wrong}`"), help).label("unknown key"))
}

/// The key that was probably meant: a common word for it, or one that is nearly the same.
fn meant<'k>(wrong: &str, known: &[&'k str]) -> Option<&'k str> {
    let said = SYNONYMS.iter().filter(|(word, _)| *word == wrong).map(|(_, key)| *key);
    let synonym = said.filter_map(|key| known.iter().copied().find(|name| *name == key)).next();
    synonym.or_else(|| nearest(wrong, known.iter().copied()))
}

fn missing_key(message: &str, place: &Place) -> Option<Finding> {
    let key = missing(message)?;
    let here = if place.path.is_empty() { place.what.clone() } else { format!("`{}`", place.path.join(".")) };
    let example = EXAMPLES.iter().find(|(name, _)| *name == key);
    let help = match example {
        Some((_, example)) => format!("add `{key}`, such as `{example}`"),
        None => format!("add `{key} = …`"),
    };
    Some(Finding::error(place.span.clone(), format!("{here} needs `{key}`"), help).label(format!("no `{key}` here")))
}

fn unknown_member(message: &str, place: &Place) -> Option<Finding> {
    let (wrong, known) = message.strip_prefix("unknown variant `")?.split_once('`')?;
    let span = place.key(wrong).unwrap_or(place.span.clone());
    if let Some(later) = later(wrong) {
        return Some(not_yet(wrong, later, span));
    }
    let known = quoted(known);
    let catalogue = CATALOGUES.iter().find(|catalogue| catalogue.names == known);
    let what = catalogue.map_or("", |catalogue| catalogue.what);
    let all = match catalogue.filter(|catalogue| !catalogue.list.is_empty()) {
        Some(catalogue) => format!("`plimsoll list {}` shows all of them", catalogue.list),
        None => format!("known here: {}", listed(&known, "and")),
    };
    let ambiguous = meanings(wrong).filter(|_| what == "balancer");
    let help = match (ambiguous, near_member(wrong, &known, catalogue)) {
        (Some(meanings), _) => format!("say which one is meant: {meanings}"),
        (None, Some(near)) => format!("did you mean `{near}`? Otherwise choose another; {all}"),
        (None, None) => format!("choose another; {all}"),
    };
    let name = place.path.last().map_or(place.what.clone(), |key| format!("`{key}`"));
    let (message, label) = match what {
        "" => (format!("{name} cannot be `{wrong}`"), "unknown here".to_owned()),
        _ => (format!("there is no {what} `{wrong}`"), format!("unknown {what}")),
    };
    Some(Finding::error(span, message, help).label(label))
}

/// What a name may mean that means different balancers in different products.
pub fn meanings(name: &str) -> Option<&'static str> {
    AMBIGUOUS.iter().find(|(ambiguous, _)| *ambiguous == name).map(|(_, meanings)| *meanings)
}

/// What a name is taken for that some use for another balancer, and what to write for that one.
pub fn taken_for(name: &str) -> Option<(&'static str, &'static str)> {
    TAKEN.iter().find(|(doubtful, ..)| *doubtful == name).map(|(_, meaning, others)| (*meaning, *others))
}

/// The member that was probably meant, also when its alias was, or the preset.
fn near_member<'k>(wrong: &str, known: &[&'k str], catalogue: Option<&'static Catalogue>) -> Option<&'k str> {
    let (aliases, presets) = catalogue.map_or_else(Default::default, |found| (found.aliases, found.presets));
    let spellings = aliases.iter().flat_map(|(_, aliases)| aliases.iter().copied());
    let presets = || presets.iter().map(|(name, _)| *name);
    let near = nearest(wrong, known.iter().copied().chain(spellings).chain(presets()))?;
    let member = aliases.iter().find(|(_, aliases)| aliases.contains(&near)).map_or(near, |(name, _)| name);
    known.iter().copied().chain(presets()).find(|name| *name == member)
}

fn wrong_type(message: &str, place: &Place) -> Option<Finding> {
    let message = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "))?;
    let (found, expected) = message.rsplit_once(", expected ")?;
    let name = place.path.last().map_or(place.what.clone(), |key| format!("`{key}`"));
    let found = if place.is_time { "a date or time of day".to_owned() } else { in_words(found) };
    let expected = in_words(expected);
    let message = format!("{name} is {expected}, and not {found}");
    Some(Finding::error(place.span.clone(), message, format!("write {expected}")).label(format!("this is {found}")))
}

/// The words of a deserialiser, for people.
fn in_words(said: &str) -> String {
    let quoted = |prefix: &str| said.strip_prefix(prefix).map(|rest| rest.trim_matches('`').to_owned());
    let numbers = |most: &str| format!("a whole number from 0 to {most}");
    match said {
        "u16" => numbers("65535"),
        "u32" => numbers("4294967295"),
        "u64" | "usize" => numbers("18446744073709551615"),
        "f64" => "a number like 0.5".to_owned(),
        "a string" => "text in quotation marks".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list `[…]`".to_owned(),
        "map" | "a map" => "a table `{ … }`".to_owned(),
        "sequence" => "a list".to_owned(),
        _ if said.starts_with("struct ") || said.starts_with("internally") => "a table `{ … }`".to_owned(),
        _ if said.starts_with("a tuple of size ") => format!("a list of {}", &said["a tuple of size ".len()..]),
        _ => quoted("integer ")
            .or_else(|| quoted("floating point "))
            .map(|number| format!("the number {number}"))
            .or_else(|| quoted("string ").map(|text| format!("the text {text}")))
            .or_else(|| quoted("boolean ").map(|truth| truth.to_owned()))
            .unwrap_or_else(|| said.to_owned()),
    }
}

/// A list that is too long or too short.
fn wrong_length(message: &str, place: &Place) -> Option<Finding> {
    let (found, expected) = message.strip_prefix("invalid length ")?.split_once(", expected ")?;
    let name = place.path.last().map_or(place.what.clone(), |key| format!("`{key}`"));
    let expected = in_words(expected);
    Some(Finding::error(
        place.span.clone(),
        format!("{name} is {expected}, and not of {found}"),
        format!("write {expected}"),
    ))
}

/// A choice without its parameters.
fn alone(message: &str, place: &Place) -> Option<Finding> {
    let (said, _) = message.split_once("; write ")?;
    let (said, needs) = said.split_once(": missing field ")?;
    let name = said.split('`').nth(1)?;
    let key = needs.trim().trim_matches('`');
    let example =
        EXAMPLES.iter().find(|(name, _)| *name == key).map_or(format!("{key} = …"), |(_, text)| (*text).to_owned());
    let message = format!("{said}: it needs `{key}`");
    Some(Finding::error(place.span.clone(), message, format!("write `{{ {name} = {{ {example} }} }}`")))
}

/// Messages of our own.
fn as_said(message: &str, place: &Place) -> Finding {
    let known = OTHERS.iter().find(|(beginning, ..)| message.starts_with(beginning));
    let (said, help) = match known {
        Some((_, "", help)) => (message.to_owned(), (*help).to_owned()),
        Some((_, said, help)) => ((*said).to_owned(), (*help).to_owned()),
        None => split(message, &place.default_help()),
    };
    Finding::error(place.span.clone(), said, help)
}

/// What is wrong, and how to write it, which most messages of our own say in their second half.
pub fn split(message: &str, otherwise: &str) -> (String, String) {
    if let Some((said, how)) = message.strip_suffix(')').and_then(|said| said.rsplit_once(" ("))
        && how.contains("is written like")
    {
        return (said.to_owned(), how.to_owned());
    }
    let second = VERBS.iter().find_map(|verb| message.rfind(&format!(": {verb} ")));
    match second.filter(|at| message[..*at].contains(' ')) {
        Some(at) => (message[..at].to_owned(), message[at + 2..].to_owned()),
        None => (message.to_owned(), otherwise.to_owned()),
    }
}

/// A word of the language that this version cannot do.
fn not_yet(word: &str, about: &str, span: Range<usize>) -> Finding {
    let message = format!("`{word}` is not supported yet in this version");
    Finding::error(span, message, format!("leave it out for now; {about}")).label("not supported yet")
}

fn later(word: &str) -> Option<&'static str> {
    LATER.iter().find(|(name, _)| *name == word).map(|(_, about)| *about)
}

impl Place {
    /// The table that a key stands in, as it is called in messages.
    fn around(&self) -> String {
        match self.path.split_last() {
            None | Some((_, [])) => self.what.clone(),
            Some((_, keys)) => format!("`{}`", keys.join(".")),
        }
    }

    fn key(&self, key: &str) -> Option<Range<usize>> {
        self.keys_there.iter().find(|(name, _)| name == key).map(|(_, span)| span.clone())
    }

    fn default_help(&self) -> String {
        match self.path.last() {
            Some(key) => format!("change `{key}`; `docs/scenarios.md` says what it may be"),
            None => format!("change it; `docs/scenarios.md` says what {} may hold", self.what),
        }
    }
}

/// The names in backquotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

struct Catalogue {
    names: &'static [&'static str],
    aliases: &'static [(&'static str, &'static [&'static str])],
    presets: &'static [(&'static str, &'static str)],
    what: &'static str,
    list: &'static str,
}

/// A row for a catalogue: its type, and what `plimsoll list` calls it, if it lists it.
macro_rules! catalogue {
    ($Type:ty, $list:literal) => {
        Catalogue {
            names: <$Type>::NAMES,
            aliases: <$Type>::ALIASES,
            presets: <$Type>::PRESETS,
            what: <$Type>::WHAT,
            list: $list,
        }
    };
}

const CATALOGUES: &[Catalogue] = &[
    catalogue!(balancer::catalog::Spec, "balancers"),
    catalogue!(fault::catalog::Spec, "faults"),
    catalogue!(limit::Spec, ""),
    catalogue!(subsetting::Spec, ""),
    catalogue!(hash_policy::Policy, ""),
    catalogue!(health::Spec, ""),
    catalogue!(Discovery, ""),
    catalogue!(Arrivals, ""),
    catalogue!(Keys, ""),
    catalogue!(Distribution, ""),
];

/// Words of the language that this version cannot do, and what to do instead.
const LATER: &[(&str, &str)] = &[
    ("hedge", "`retry` is what there is against slow calls"),
    ("breaker", "`limit` and `health` are what there is against failing backends"),
    ("outlier", "`health` finds backends that fail"),
    ("dns", "`\"push\"` with a `delay`, or a `lease`, comes closest"),
    ("replay", "`steps` can follow a measured rate"),
    ("method", "classes differ by `share`, `demand` and `deadline`"),
];

/// Names that mean different balancers in different products.
const AMBIGUOUS: &[(&str, &str)] = &[
    ("weighted_round_robin", "in gRPC weights from load reports, `orca_wrr`, elsewhere static weights, `wrr_smooth`"),
    ("ewma", "plain averages of the latency, or those that follow peaks, `peak_ewma`"),
    (
        "p2c_ewma",
        "go-zero's, `gozero.p2c_ewma`, Kratos', `kratos.p2c_ewma`, brpc's, `brpc.p2c_ewma`, or by peaks of the latency as \
         in tower, `peak_ewma`",
    ),
    ("la", "in brpc a policy by latency, `lalb`, elsewhere one by locality, `locality_first`"),
    ("locality_aware", "in brpc a policy by latency, `lalb`, elsewhere one by locality, `locality_first`"),
];

/// Names that most use for one balancer and some for another: what they are taken for, and what the others are called.
const TAKEN: &[(&str, &str, &str)] = &[(
    "p2c",
    "`least_request`: two choices, and fewer open calls win",
    "`peak_ewma`, `gozero_p2c`, `kratos_p2c` or `brpc.p2c_ewma`",
)];

/// Examples for keys that must not be left out.
const EXAMPLES: &[(&str, &str)] = &[
    ("service", "service = { exponential = { mean = \"10ms\" } }"),
    ("at", "at = \"30s\""),
    ("metric", "metric = \"latency_p99\""),
    ("share", "share = 1"),
    ("name", "name = \"reads\""),
    ("mean", "mean = \"10ms\""),
    ("cv", "cv = 0.5"),
    ("factor", "factor = 10"),
    ("count", "count = 10"),
    ("exponent", "exponent = 1.1"),
    ("entries", "entries = 1000"),
    ("for", "for = \"10s\""),
    ("to", "to = 10"),
    ("rate", "rate = \"1%\""),
];

/// How the second half of our own messages begins.
const VERBS: &[&str] = &["write", "the units of", "leave", "lower", "give", "for less choose"];

/// Common words for keys of ours.
const SYNONYMS: &[(&str, &str)] = &[
    ("timeout", "deadline"),
    ("concurrency", "workers"),
    ("threads", "workers"),
    ("replicas", "count"),
    ("instances", "count"),
    ("labels", "metadata"),
    ("tags", "metadata"),
    ("size", "count"),
    ("latency", "service"),
    ("service_time", "service"),
    ("queue_limit", "queue"),
    ("region", "zone"),
    ("qps", "rate"),
    ("rps", "rate"),
    ("think_time", "think"),
    ("warm-up", "warmup"),
    ("warm_up", "warmup"),
    ("length", "duration"),
    ("replications", "seeds"),
    ("runs", "seeds"),
    ("policy", "balancer"),
    ("strategy", "balancer"),
    ("lb", "balancer"),
    ("retries", "retry"),
    ("latency", "delay"),
    ("rtt", "delay"),
    ("gate", "expect"),
    ("max", "at_most"),
    ("min", "at_least"),
];

/// Further messages: how one begins, what to say instead (nothing: as it is), and the next step.
const OTHERS: &[(&str, &str, &str)] = &[
    ("integer number overflowed", "the number is too large", "write a smaller one"),
    ("floating-point number overflowed", "the number is too large", "write a smaller one"),
    ("a ratio is at most 1", "", "write a share from \"0%\" to \"100%\", or from 0 to 1"),
    ("a factor is a number above 0", "", "write a number above 0, like 1.25"),
    ("one ", "", "keep one of the two"),
    ("an empty table", "", "write the name, or `{ NAME = { … } }` with its parameters"),
];

/// A list of this many names is short enough to be shown beside a suggestion.
const FEW: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::balancer::catalog::Spec;

    fn is_balancer(name: &str) -> bool {
        serde_json::from_str::<Spec>(&format!("\"{name}\"")).is_ok()
    }

    #[test]
    fn what_is_offered_for_a_name_in_doubt_is_there() {
        let refused = AMBIGUOUS.iter().map(|(name, meanings)| (*name, false, vec![*meanings]));
        let taken = TAKEN.iter().map(|(name, meaning, others)| (*name, true, vec![*meaning, *others]));
        for (name, is_taken, texts) in refused.chain(taken) {
            assert_eq!(is_balancer(name), is_taken, "{name}");
            for text in texts {
                let offered = quoted(text);
                assert!(!offered.is_empty(), "{name}: nothing is offered in: {text}");
                assert!(offered.iter().all(|other| is_balancer(other)), "{name}: {offered:?}");
            }
        }
    }
}
