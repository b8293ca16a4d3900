//! Things that every room may use: time, randomness, identities, quantities. No knowledge of balancing.

pub mod choice;
pub mod hash;
pub mod id;
pub mod rand;
pub mod status;
pub mod time;
