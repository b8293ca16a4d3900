//! What a call is hashed by, for balancers that look up hashes: by default the call's key, or several things combined.
//!
//! gRFC A42 and Envoy's route `hash_policy` combine alike: the first policy that has a hash begins, each further one is
//! mixed in, and a terminal one ends the list once there is a hash. A call without any is routed by its own random
//! number.

use serde::{Deserialize, Serialize};

use crate::base::choice::choice;
use crate::base::hash::xxh64;
use crate::base::id::ClientId;

choice! {
    /// A thing that calls are hashed by.
    pub enum Policy as "hash policy" {
        /// The call's key: a header or a cookie, say. A call without a key has none.
        Key = "key" => Config,
        /// The client: Envoy's `source_ip`. All calls of a client have the same.
        Client = "client" => Config,
        /// The class of the call in the mix: its path, say.
        Class = "class" => Config,
    }
}

/// Parameters of a hash policy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What stands behind it is not looked at once there is a hash.
    pub terminal: bool,
}

impl Policy {
    fn is_terminal(&self) -> bool {
        let (Policy::Key(config) | Policy::Client(config) | Policy::Class(config)) = self;
        config.terminal
    }
}

/// The policies of one client.
#[derive(Debug)]
pub struct Hasher {
    policies: Vec<Policy>,
    client: u64,
}

impl Hasher {
    /// Those that a contender asks for; none are the same as the key alone.
    pub fn new(policies: &[Policy], client: ClientId) -> Hasher {
        Hasher { policies: policies.to_vec(), client: of("client", client.0) }
    }

    /// The hash of a call, from that of its key and its class.
    #[inline]
    pub fn hash(&self, key: Option<u64>, class: u16) -> Option<u64> {
        if self.policies.is_empty() { key } else { self.combined(key, class) }
    }

    fn combined(&self, key: Option<u64>, class: u16) -> Option<u64> {
        let mut hash: Option<u64> = None;
        for policy in &self.policies {
            let own = match policy {
                Policy::Key(_) => key,
                Policy::Client(_) => Some(self.client),
                Policy::Class(_) => Some(of("class", u32::from(class))),
            };
            // A42, Envoy's `hash_policy.cc`: rotated left by one, so that equal hashes do not cancel out.
            hash = own.map(|own| hash.map_or(own, |hash| hash.rotate_left(1) ^ own)).or(hash);
            if policy.is_terminal() && hash.is_some() {
                break;
            }
        }
        hash
    }
}

/// The hash of a numbered thing.
fn of(what: &str, number: u32) -> u64 {
    xxh64(&number.to_le_bytes(), what.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(policies: &str, key: Option<u64>, client: u32, class: u16) -> Option<u64> {
        #[derive(Deserialize)]
        struct Read {
            hash: Vec<Policy>,
        }
        let read: Read = toml::from_str(&format!("hash = {policies}")).unwrap();
        Hasher::new(&read.hash, ClientId(client)).hash(key, class)
    }

    #[test]
    fn hashes_are_rotated_and_mixed_in() {
        let (client, class) = (of("client", 7), of("class", 2));
        assert_ne!(of("client", 1), of("class", 1));
        for (policies, key, expected) in [
            ("[]", Some(5), Some(5)),
            ("[]", None, None),
            ("['key']", Some(5), Some(5)),
            ("['key']", None, None),
            ("['client']", Some(5), Some(client)),
            ("['key', 'client']", Some(5), Some(10 ^ client)),
            ("['key', 'client']", None, Some(client)),
            ("['client', 'key']", None, Some(client)),
            ("['key', 'key']", Some(1 << 63), Some(1 ^ (1 << 63))),
            ("['key', 'client', 'class']", Some(5), Some((10 ^ client).rotate_left(1) ^ class)),
        ] {
            assert_eq!(hash(policies, key, 7, 2), expected, "{policies}");
        }
    }

    #[test]
    fn a_terminal_policy_ends_the_list_once_there_is_a_hash() {
        let terminal = "[{ key = { terminal = true } }, 'client']";
        assert_eq!(hash(terminal, Some(5), 7, 0), Some(5));
        assert_eq!(hash(terminal, None, 7, 0), Some(of("client", 7)), "it had none itself");
        let later = "['client', { key = { terminal = true } }, 'class']";
        assert_eq!(hash(later, None, 7, 0), Some(of("client", 7)), "there is a hash, if not its own");
    }
}
