//! The scenario files that come with the program.

use super::plan::Plan;
use super::resolve::{self, Options};
use crate::policy::balancer::catalog;

/// `(path below scenarios/, text)` of each, sorted by path.
pub const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/scenarios.rs"));

/// A shipped file as it is resolved.
#[derive(Debug, Clone)]
pub struct Shipped {
    /// Its path below `scenarios/` without `.toml`, such as `slow-node`.
    pub name: &'static str,
    /// One plan, or one for each point of its sweep.
    pub plans: Vec<Plan>,
}

/// The shipped files that stand alone, resolved. One that reads configurations beside it is left out: those do not come
/// with the program.
pub fn plans() -> impl Iterator<Item = Shipped> {
    FILES.iter().filter_map(|(path, text)| {
        let plans = resolve::parse(text, path, &Options::default()).ok()?.plans;
        Some(Shipped { name: path.trim_end_matches(".toml"), plans })
    })
}

impl Shipped {
    /// True if a contender uses the balancer of this name in the catalogue, alone or inside of another.
    pub fn runs(&self, balancer: &str) -> bool {
        let specs = self.plans.iter().flat_map(|plan| &plan.contenders).filter_map(|c| c.channel.balancer.listed());
        specs.into_iter().any(|spec| catalog::names_in(spec).contains(&balancer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_but_those_with_configurations_stand_alone() {
        let alone: Vec<&str> = plans().map(|shipped| shipped.name).collect();
        for (path, text) in FILES {
            let imports = text.contains("service_config") || text.contains("envoy_cluster");
            assert_eq!(alone.contains(&path.trim_end_matches(".toml")), !imports, "{path}");
        }
    }

    #[test]
    fn a_balancer_is_found_inside_of_another() {
        let near = plans().find(|shipped| shipped.name == "near-or-even").unwrap();
        assert!(near.runs("locality_first") && near.runs("least_request"));
        assert!(!near.runs("ring_hash"));
    }
}
