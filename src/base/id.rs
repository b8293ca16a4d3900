//! Identities. Newtypes, and never reused within a run: what is late names something that is gone, and
//! finds nothing.

use serde::{Deserialize, Serialize};

/// An endpoint as one client knows it: a place in its dense tables, and how often that place was given away
/// before. An address that leaves and returns is a new endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EndpointId {
    slot: u32,
    generation: u32,
}

impl EndpointId {
    /// The `generation`-th endpoint at place `slot`.
    pub const fn new(slot: u32, generation: u32) -> Self {
        EndpointId { slot, generation }
    }

    /// The place in dense tables.
    pub const fn slot(self) -> usize {
        self.slot as usize
    }

    /// How often the place was given away before.
    pub const fn generation(self) -> u32 {
        self.generation
    }
}

/// One try of a call on one endpoint, as its channel knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId {
    /// Place of the call in the channel's table.
    pub slot: u32,
    /// How often the place was given away before.
    pub generation: u32,
    /// 0 for the first try.
    pub number: u32,
}

macro_rules! newtype {
    ($(#[$meta:meta])* $Name:ident($inner:ty)) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        pub struct $Name(pub $inner);
        impl $Name {
            /// As an index into dense tables.
            pub const fn index(self) -> usize { self.0 as usize }
        }
    };
}

newtype!(
    /// A call: the order of its birth in the run.
    CallId(u64)
);
newtype!(
    /// Where a server can be reached. The world numbers addresses densely; the name is in the listing.
    Address(u32)
);
newtype!(
    /// A server itself. Client code never holds one.
    BackendId(u32)
);
newtype!(
    /// A client channel.
    ClientId(u32)
);
newtype!(
    /// `region/zone`, numbered by the plan.
    ZoneId(u16)
);
newtype!(
    /// The part of a zone before the slash, numbered by the plan.
    RegionId(u16)
);
