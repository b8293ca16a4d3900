//! How calls and attempts end: gRPC's status codes, and the causes that error rates are split by.

use serde::{Deserialize, Serialize};

/// A gRPC status code (<https://grpc.io/docs/guides/status-codes/>), named as in scenario files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
#[expect(missing_docs, reason = "the codes are gRPC's")]
pub enum Status {
    Ok = 0,
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

/// Why a call or an attempt did not end well. Finer than a status where a reader wants to know who said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Cause {
    /// The backend answered with an error of its own.
    Backend,
    /// The backend's queue was full.
    QueueFull,
    /// The connection was refused or reset.
    Connection,
    /// No endpoint could be picked.
    NoEndpoint,
    /// The deadline passed.
    Deadline,
    /// A guard of the client did not let it pass.
    Rejected,
    /// The balancer dropped it.
    Dropped,
    /// The client gave up, or another attempt won.
    Cancelled,
    /// Still open when the run was over.
    Unfinished,
}

impl Cause {
    /// All of them, in the order of tables.
    pub const ALL: [Cause; 9] = [
        Cause::Backend,
        Cause::QueueFull,
        Cause::Connection,
        Cause::NoEndpoint,
        Cause::Deadline,
        Cause::Rejected,
        Cause::Dropped,
        Cause::Cancelled,
        Cause::Unfinished,
    ];

    /// As in `error_rate.<cause>`.
    pub const fn name(self) -> &'static str {
        match self {
            Cause::Backend => "backend",
            Cause::QueueFull => "queue_full",
            Cause::Connection => "connection",
            Cause::NoEndpoint => "no_endpoint",
            Cause::Deadline => "deadline",
            Cause::Rejected => "rejected",
            Cause::Dropped => "dropped",
            Cause::Cancelled => "cancelled",
            Cause::Unfinished => "unfinished",
        }
    }

    /// The cause of this name.
    pub fn from_name(name: &str) -> Option<Cause> {
        Cause::ALL.into_iter().find(|cause| cause.name() == name)
    }

    /// The status an application sees, where the cause alone decides it.
    pub const fn status(self) -> Status {
        match self {
            Cause::Backend | Cause::Connection | Cause::NoEndpoint | Cause::Rejected | Cause::Dropped => {
                Status::Unavailable
            }
            Cause::QueueFull => Status::ResourceExhausted,
            Cause::Deadline => Status::DeadlineExceeded,
            Cause::Cancelled => Status::Cancelled,
            Cause::Unfinished => Status::Unknown,
        }
    }
}

/// Why something did not end well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Failure {
    /// What the application sees.
    pub status: Status,
    /// Who said it.
    pub cause: Cause,
}

impl Failure {
    /// A failure whose status follows from its cause.
    pub const fn of(cause: Cause) -> Failure {
        Failure { status: cause.status(), cause }
    }

    /// A backend's own error.
    pub const fn backend(status: Status) -> Failure {
        Failure { status, cause: Cause::Backend }
    }
}

/// How a call or an attempt ended.
pub type Outcome = Result<(), Failure>;
