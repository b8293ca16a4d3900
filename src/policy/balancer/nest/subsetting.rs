//! The subsets that a client may keep to, as a setting beside its balancer: the balancer then picks inside of the subset.

use super::weighted_target::Child;
use super::{aperture, deterministic_subsetting, metadata_subsets, random_subsetting};
use crate::base::choice::choice;
use crate::policy::balancer::catalog;

choice! {
    /// `subset = { random_subsetting = { size = 20 } }`: short for the balancer of this name around that of the contender.
    pub enum Spec as "subset" {
        /// A few endpoints a client, by hash (gRFC A68).
        RandomSubsetting = "random_subsetting" ["random_subsetting_experimental"] => random_subsetting::Config,
        /// A few endpoints a client, dealt out (SRE book, chapter 20).
        DeterministicSubsetting = "deterministic_subsetting" => deterministic_subsetting::Config,
        /// A few endpoints a client, more under load (Finagle).
        Aperture = "aperture" ["finagle.aperture"] => aperture::Config,
        /// Each call to endpoints that are what it asks for (Envoy).
        MetadataSubsets = "metadata_subsets" ["lb_subset", "subset_lb", "envoy.subset"] => metadata_subsets::Config,
    }
}

impl Spec {
    /// The balancer inside of the subset, if the setting names one. That is the contender's to say.
    pub fn child(&self) -> Option<&catalog::Spec> {
        let (child, usual) = match self {
            Spec::RandomSubsetting(config) => (&config.child, random_subsetting::Config::default().child),
            Spec::DeterministicSubsetting(config) => (&config.child, deterministic_subsetting::Config::default().child),
            Spec::Aperture(config) => (&config.child, aperture::Config::default().child),
            Spec::MetadataSubsets(config) => (&config.child, metadata_subsets::Config::default().child),
        };
        (*child != usual).then(|| child.spec())
    }

    /// This subset around a balancer.
    pub fn around(self, balancer: catalog::Spec) -> catalog::Spec {
        let child = Child::of(balancer);
        match self {
            Spec::RandomSubsetting(config) => {
                catalog::Spec::RandomSubsetting(random_subsetting::Config { child, ..config })
            }
            Spec::DeterministicSubsetting(config) => {
                catalog::Spec::DeterministicSubsetting(deterministic_subsetting::Config { child, ..config })
            }
            Spec::Aperture(config) => catalog::Spec::Aperture(aperture::Config { child, ..config }),
            Spec::MetadataSubsets(config) => {
                catalog::Spec::MetadataSubsets(metadata_subsets::Config { child, ..config })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subset_is_the_balancer_of_its_name_around_another() {
        for (name, aliases) in Spec::ALIASES {
            for name in [name].into_iter().chain(*aliases) {
                let subset: Spec = serde_json::from_str(&format!("\"{name}\"")).unwrap();
                assert!(subset.child().is_none(), "{name}");
                let nested = format!(r#"{{ "{name}": {{ "child": "maglev" }} }}"#);
                let by_hand: catalog::Spec = serde_json::from_str(&nested).unwrap();
                assert_eq!(subset.around(serde_json::from_str("\"maglev\"").unwrap()), by_hand);
                let named: Spec = serde_json::from_str(&nested).unwrap();
                assert_eq!(named.child().map(catalog::Spec::name), Some("maglev"));
            }
        }
    }
}
