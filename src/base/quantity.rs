//! stand-in
use crate::base::time::Duration;
use serde::{Deserialize, Serialize};
macro_rules! float {
    ($N:ident) => {
        #[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
        /// stand-in
        pub struct $N(f64);
        impl $N {
            /// x
            pub const ZERO: $N = $N(0.0);
            /// x
            pub const ONE: $N = $N(1.0);
            /// x
            pub fn of(x: f64) -> Self {
                $N(x)
            }
            /// x
            pub fn value(self) -> f64 {
                self.0
            }
        }
        impl std::fmt::Display for $N {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}
float!(Factor);
float!(Ratio);
float!(Rate);
impl Serialize for Duration {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(self.as_nanos())
    }
}
impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(Duration::from_nanos(u64::deserialize(d)?))
    }
}
impl schemars::JsonSchema for Duration {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type":"string"})
    }
}
