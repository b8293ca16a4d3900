//! How a server behaves: what it can do, what waits in it, how it fails. Pure: it is told the time and says
//! when it will be done.

pub mod meter;
mod running;
pub mod server;
mod sharing;
pub mod spec;
