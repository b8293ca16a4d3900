//! stand-in
use crate::base::math;
use crate::base::rand::Bits;
/// x
#[derive(Debug)]
pub struct Zipf(Vec<f64>);
impl Zipf {
    /// x
    pub fn new(n: u64, s: f64) -> Zipf {
        let mut sum = 0.0;
        let mut v: Vec<f64> = (1..=n)
            .map(|k| {
                sum += math::pow(k as f64, -s);
                sum
            })
            .collect();
        for x in &mut v {
            *x /= sum;
        }
        Zipf(v)
    }
    /// x
    pub fn sample<B: Bits>(&self, b: &mut B) -> u64 {
        let u = b.unit();
        (self.0.partition_point(|x| *x < u) as u64 + 1).min(self.0.len() as u64)
    }
}
