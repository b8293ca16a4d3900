//! The faults. One row a fault.

use super::Fault;
use crate::base::choice::choice;

macro_rules! faults {
    ($( $(#[$meta:meta])* $Variant:ident = $name:literal => $module:ident; )*) => {
        choice! {
            /// A fault as a scenario file asks for it.
            pub enum Spec as "fault" {
                $( $(#[$meta])* $Variant = $name => super::$module::Config ),*
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
    /// Service takes longer.
    Slow = "slow" => slow;
}
