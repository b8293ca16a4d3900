//! The faults. One row a fault.

use super::Fault;
use crate::base::choice::choice;

macro_rules! faults {
    ($( $(#[doc = $doc:literal])* $Variant:ident = $name:literal => $module:ident; )*) => {
        choice! {
            /// A fault as a scenario file asks for it.
            pub enum Spec as "fault" {
                $( $(#[doc = $doc])* $Variant = $name => super::$module::Config ),*
            }
        }

        impl Spec {
            /// The fault's behaviour.
            pub fn fault(&self) -> &dyn Fault {
                match self { $( Spec::$Variant(config) => config ),* }
            }
        }

        /// `(name, source of its file)`: the card is the `//!` head of the file.
        pub const CARDS: &[(&str, &str)] = &[ $( ($name, include_str!(concat!(stringify!($module), ".rs"))) ),* ];
    };
}

faults! {
    /// Connections are reset; it is back after `for`.
    Crash = "crash" => crash;
    /// Gone, and nobody says goodbye.
    Kill = "kill" => kill;
    /// Away for a while, then back, cold.
    Restart = "restart" => restart;
    /// Backends come and go all the time.
    Churn = "churn" => churn;
    /// A part of the network is cut off.
    Partition = "partition" => partition;
    /// Service takes longer.
    Slow = "slow" => slow;
    /// Calls fail.
    Errors = "errors" => errors;
    /// The process stands still.
    Hang = "hang" => hang;
    /// The process stands still for short times.
    Pause = "pause" => pause;
    /// Part of a server is lost.
    Brownout = "brownout" => brownout;
    /// Slower now and then.
    NoisyNeighbour = "noisy_neighbour" => noisy_neighbour;
    /// Groups grow or shrink.
    Scale = "scale" => scale;
    /// A new version is rolled out, batch by batch.
    RollingDeploy = "rolling_deploy" => rolling_deploy;
    /// Calls arrive more often.
    Surge = "surge" => surge;
    /// The hottest keys change.
    MoveHotKeys = "move_hot_keys" => move_hot_keys;
    /// Nobody learns anything new.
    DiscoveryOutage = "discovery_outage" => discovery_outage;
    /// Messages are lost.
    PacketLoss = "packet_loss" => packet_loss;
    /// Discovery announces another weight.
    Reweight = "reweight" => reweight;
    /// Discovery announces another zone.
    Relabel = "relabel" => relabel;
    /// Discovery announces who is healthy and who is not.
    AnnounceHealth = "announce_health" => announce_health;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of a card from the one that begins with `label`, until the next label.
    fn part(source: &str, label: &str) -> String {
        let head = source.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim);
        let mut lines = head.skip_while(|line| !line.starts_with(label));
        let first = lines.next().unwrap_or_default().trim_start_matches(label).to_owned();
        let rest = lines.take_while(|line| !LABELS.iter().any(|label| line.starts_with(label)));
        rest.fold(first, |text, line| text + " " + line)
    }

    const LABELS: [&str; 3] = ["Written:", "Unfolds into:", "Does not:"];

    fn read(text: &str) -> Result<Spec, String> {
        #[derive(serde::Deserialize)]
        struct File {
            faults: Vec<toml::Table>,
        }
        let file: File = toml::from_str(&format!("[[faults]]\n{text}")).map_err(|error| error.to_string())?;
        toml::Value::Table(file.faults[0].clone()).try_into().map_err(|error: toml::de::Error| error.to_string())
    }

    /// The examples of a card, as they stand in a scenario file.
    fn examples(source: &str) -> Vec<String> {
        part(source, "Written:").split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn every_card_is_complete_and_its_examples_can_be_read() {
        for (name, source) in CARDS {
            for label in LABELS {
                assert!(part(source, label).len() > 10, "the card of {name} has no part `{label}`");
            }
            assert!(!examples(source).is_empty(), "the card of {name} shows no example");
            for example in examples(source) {
                let spec = read(&example).unwrap_or_else(|error| panic!("{example}: {error}"));
                assert_eq!(spec.name(), *name, "{example}");
                assert_eq!(spec.fault().check(), Ok(()), "{example}");
                assert!(!spec.fault().label().is_empty());
                let json = serde_json::to_string(&spec).unwrap();
                assert_eq!(serde_json::from_str::<Spec>(&json).unwrap(), spec, "{json}");
            }
        }
    }

    #[test]
    fn bare_names_stand_for_the_defaults() {
        let needs = ["slow", "errors", "surge", "packet_loss", "reweight", "relabel"];
        for name in Spec::NAMES {
            let bare: Result<Spec, serde_json::Error> = serde_json::from_value(serde_json::json!(name));
            let empty: Result<Spec, serde_json::Error> = serde_json::from_value(serde_json::json!({ *name: {} }));
            assert_eq!(bare.is_ok(), !needs.contains(name), "{name}: {bare:?}");
            assert_eq!(bare.ok(), empty.ok());
        }
    }

    #[test]
    fn unknown_parameters_are_refused() {
        for name in Spec::NAMES {
            let text = format!("{name} = {{ colour = 'red' }}");
            assert!(read(&text).unwrap_err().contains("colour"), "{text}");
        }
        assert!(read("rolling_deploy = { batch = 0 }").is_err());
        assert!(read("surge = { factor = -1 }").is_err());
    }
}
