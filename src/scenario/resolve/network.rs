//! `[network]`: a law of the delay for each pair of zones.

use super::fleet::Fleet;
use super::sections::Sections;
use crate::base::dist::Law;
use crate::base::id::ZoneId;
use crate::scenario::diagnose::{Finding, Findings};
use crate::scenario::plan::Network;
use crate::scenario::tree::Node;
use crate::scenario::words::ZoneName;

/// A pair of zones or regions, and the law of the delay between them.
struct Pair<'f> {
    ends: [Vec<ZoneId>; 2],
    of_zones: bool,
    law: &'f Law,
}

/// The network, if it makes sense.
pub fn resolve(file: &Sections, root: &Node<'_, '_>, fleet: &Fleet, findings: &mut Findings) -> Option<Network> {
    let network = file.network.as_ref()?;
    let errors = findings.errors();
    let node = root.key("network");
    let zones = fleet.zones.len();
    let mut delays = vec![network.delay.clone(); zones * zones];
    let mut said = vec![false; zones * zones];
    let mut pairs = pairs(network, fleet, &node.key("between"), findings);
    // What is said of two zones counts more than what is said of their regions.
    pairs.sort_by_key(|pair| pair.of_zones);
    for pair in &pairs {
        for (from, to) in pair.ends[0].iter().flat_map(|a| pair.ends[1].iter().map(move |b| (a.index(), b.index()))) {
            if from != to || pair.of_zones {
                for at in [from * zones + to, to * zones + from] {
                    delays[at] = pair.law.clone();
                    said[at] = true;
                }
            }
        }
    }
    warn_of_gaps(fleet, &said, &node.key("between"), findings);
    if network.loss.value() > MOST_LOSS {
        let message = format!("`loss` is {}, and a network that loses more than half is down", network.loss);
        findings.push(Finding::error(node.key("loss").span(), message, "lower it, or use the fault `partition`"));
    }
    if !network.loss.is_zero() && network.retransmit.is_zero() {
        let message = "lost messages would be sent again at once";
        findings.push(Finding::error(node.key("retransmit").span(), message, "write `retransmit = \"200ms\"`"));
    }
    (findings.errors() == errors).then_some(Network {
        delays,
        loss: network.loss,
        retransmit: network.retransmit,
        connect: network.connect,
    })
}

fn pairs<'f>(
    network: &'f crate::scenario::schema::Network,
    fleet: &Fleet,
    node: &Node<'_, '_>,
    findings: &mut Findings,
) -> Vec<Pair<'f>> {
    let mut pairs = Vec::new();
    let mut seen: Vec<[String; 2]> = Vec::new();
    for (key, entry) in node.entries() {
        let Some(law) = network.between.get(key) else { continue };
        let names: Vec<&str> = key.split_whitespace().collect();
        let names = match names.as_slice() {
            [a, b] if ZoneName::parse(a).is_some() && ZoneName::parse(b).is_some() => [*a, *b],
            _ => {
                let message = format!("`{key}` does not name two regions or zones");
                let help = "write both with a blank between them: `\"beijing shanghai\" = \"13ms\"`";
                findings.push(Finding::error(entry.key_span(), message, help));
                continue;
            }
        };
        let ends = names.map(|name| {
            fleet.zones_named(name).map_err(|(message, help)| {
                findings.push(Finding::error(entry.key_span(), message, help));
            })
        });
        let [Ok(from), Ok(to)] = ends else { continue };
        let mut sorted = names.map(str::to_owned);
        sorted.sort();
        if seen.contains(&sorted) {
            let message = format!("the delay between `{}` and `{}` is given twice", names[0], names[1]);
            findings.push(Finding::error(entry.key_span(), message, "keep one: it counts in both directions"));
        }
        seen.push(sorted);
        let of_zones = names.iter().all(|name| name.contains('/'));
        pairs.push(Pair { ends: [from, to], of_zones, law });
    }
    pairs
}

/// Says which regions are as near to each other as neighbours because nothing was said.
fn warn_of_gaps(fleet: &Fleet, said: &[bool], node: &Node<'_, '_>, findings: &mut Findings) {
    let zones = fleet.zones.len();
    let region = |zone: usize| fleet.zones[zone].region.index();
    let gap = (0..zones * zones)
        .map(|at| (at / zones, at % zones))
        .find(|(from, to)| region(*from) < region(*to) && !said[from * zones + to]);
    if let (Some((from, to)), true) = (gap, node.exists()) {
        let (from, to) = (&fleet.regions[region(from)], &fleet.regions[region(to)]);
        let message = format!("nothing is said of the delay between `{from}` and `{to}`: it is that inside a zone");
        findings.push(Finding::warning(node.span(), message, format!("add `\"{from} {to}\" = \"10ms\"`")));
    }
}

/// Most of the messages that a network loses.
const MOST_LOSS: f64 = 0.5;
