//! stand-in
use crate::base::rand::Bits;
use crate::base::time::Duration;
use serde::{Deserialize, Serialize};
/// stand-in
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum Law {
    /// x
    Constant {
        /// x
        value: Duration,
    },
}
/// stand-in
#[derive(Debug, Clone)]
pub struct Sampler(Duration);
impl Law {
    /// x
    pub fn compile(&self) -> Sampler {
        let Law::Constant { value } = self;
        Sampler(*value)
    }
}
impl Sampler {
    /// x
    pub fn sample<B: Bits>(&self, _b: &mut B) -> Duration {
        self.0
    }
    /// x
    pub fn sample_scaled<B: Bits>(&self, _b: &mut B, f: f64) -> Duration {
        self.0.scale(f)
    }
}
