//! Things that every room may use: time, randomness, identities, quantities. No knowledge of balancing.

pub mod bounds;
pub mod choice;
pub mod dist;
pub mod ewma;
pub mod hash;
pub mod hist;
pub mod id;
pub mod large_pages;
pub mod load;
pub mod lru;
pub mod math;
pub mod metadata;
pub mod quantity;
pub mod rand;
pub mod slots;
pub mod status;
pub mod time;
pub mod window;
pub mod zipf;
