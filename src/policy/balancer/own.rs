//! Who balances: a row of the catalogue, or a balancer of somebody else's.
//!
//! A scenario file can only name what is in the catalogue. A program that uses the library can let a balancer of
//! its own compete, through [`Plan::compete`](crate::scenario::plan::Plan::compete); `examples/own_balancer.rs`
//! does so in one file.

use std::fmt;
use std::sync::Arc;

use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Balancer;
use super::catalog::{Context, Need, Spec, needs, settled};
use super::read::Zone;

/// The balancer of a client configuration.
#[derive(Debug, Clone, PartialEq)]
pub enum Strategy {
    /// One of the catalogue.
    Listed(Spec),
    /// Somebody's own.
    Own(Own),
}

impl Strategy {
    /// Builds the balancer for one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        match self {
            Strategy::Listed(spec) => spec.build(context),
            Strategy::Own(own) => (own.build)(context),
        }
    }

    /// Its name in the catalogue, or the one that somebody gave it.
    pub fn name(&self) -> &str {
        match self {
            Strategy::Listed(spec) => spec.name(),
            Strategy::Own(own) => &own.name,
        }
    }

    /// Whether it sees what no client can see.
    pub fn is_oracle(&self) -> bool {
        self.listed().is_some_and(|spec| needs(spec).iter().any(|(_, need)| *need == Need::Truth))
    }

    /// Puts numbers where it names zones.
    ///
    /// # Errors
    /// With the zone that there is not.
    pub fn settle(&mut self, number: &dyn Fn(&Zone) -> Option<u16>) -> Result<(), Zone> {
        if let Strategy::Listed(spec) = self {
            *spec = settled(spec, number)?;
        }
        Ok(())
    }

    /// The row of the catalogue, if it is one.
    pub fn listed(&self) -> Option<&Spec> {
        match self {
            Strategy::Listed(spec) => Some(spec),
            Strategy::Own(_) => None,
        }
    }
}

impl From<Spec> for Strategy {
    fn from(spec: Spec) -> Strategy {
        Strategy::Listed(spec)
    }
}

/// Makes a balancer for each client.
type Build = dyn Fn(&Context) -> Box<dyn Balancer> + Send + Sync;

/// A balancer that is not in the catalogue. Two are equal if they are the same.
#[derive(Clone)]
pub struct Own {
    name: Arc<str>,
    build: Arc<Build>,
}

impl Own {
    /// A balancer of this name, for tables and charts, that `build` makes for each client.
    pub fn new(name: &str, build: impl Fn(&Context) -> Box<dyn Balancer> + Send + Sync + 'static) -> Own {
        Own { name: name.into(), build: Arc::new(build) }
    }
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Own").field(&self.name).finish()
    }
}

impl PartialEq for Own {
    fn eq(&self, other: &Own) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.build, &other.build)
    }
}

impl Serialize for Strategy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Strategy::Listed(spec) => spec.serialize(serializer),
            Strategy::Own(own) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("own", &*own.name)?;
                map.end()
            }
        }
    }
}

/// Only what is in the catalogue can be read.
impl<'de> Deserialize<'de> for Strategy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Strategy, D::Error> {
        Spec::deserialize(deserializer).map(Strategy::Listed)
    }
}

impl schemars::JsonSchema for Strategy {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        Spec::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Spec::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_and_written_like_the_catalogue() {
        let strategy: Strategy = serde_json::from_str(r#""random""#).unwrap();
        assert_eq!(serde_json::to_string(&strategy).unwrap(), r#"{"random":{}}"#);
        assert!(serde_json::from_str::<Strategy>(r#"{"own":"mine"}"#).is_err(), "code cannot be read from a file");
    }

    #[test]
    fn equal_if_the_same() {
        let spec = strategy_spec();
        let own = |name| Own::new(name, move |context| strategy_spec().build(context));
        let mine = own("mine");
        assert_eq!(Strategy::Own(mine.clone()), Strategy::Own(mine.clone()));
        assert_ne!(mine, own("mine"));
        assert_ne!(Strategy::Own(mine.clone()), Strategy::Listed(spec));
        assert_eq!(serde_json::to_string(&Strategy::Own(mine)).unwrap(), r#"{"own":"mine"}"#);
    }

    fn strategy_spec() -> Spec {
        serde_json::from_str(r#""round_robin""#).unwrap()
    }
}
