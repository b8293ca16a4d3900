//! Scans: balancers that compare all ready endpoints at every pick, and the indexes that spare them the scan.

pub mod buckets;
pub mod least_conn_latency;
pub mod least_connections;
pub mod lowest;
pub mod oracle;
pub mod pack;
pub mod shortest_response;
pub mod tournament;
pub mod zone_avoidance;
