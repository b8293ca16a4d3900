//! `retryPolicy` of a service config (gRFC A6) as the settings of `retry`.

use super::message::{At, Message, Reading, Shape};
use super::source::{Kind, Value, shortened};
use crate::base::quantity::Factor;
use crate::base::status::Status;
use crate::policy::retry::{Config, Jitter};
use crate::scenario::diagnose::nearest;

/// The retries of an entry of `methodConfig`.
pub fn grpc(entry: &Message<'_>, reading: &mut Reading<'_>) -> Option<Config> {
    let policy = reading.table(entry, "retryPolicy", &POLICY)?;
    for (name, example) in NEEDED {
        reading.needed(&policy, name, example);
    }
    let attempts = attempts(&policy, reading);
    let backoff = reading.some_time(&policy, "initialBackoff");
    let longest = reading.some_time(&policy, "maxBackoff");
    let multiplier = multiplier(&policy, reading);
    let per_try = reading.some_time(&policy, "perAttemptRecvTimeout");
    let on = codes(&policy, reading);
    Some(Config {
        attempts: attempts?,
        backoff: backoff?.value,
        multiplier: multiplier?,
        max_backoff: longest?.value,
        // A6 as amended in 2024: every wait is spread by a fifth.
        jitter: Jitter::Fifth,
        per_try: per_try.map(|time| time.value),
        on,
        // A retry is a pick like any other: nothing keeps it from the endpoint that failed.
        exclude_tried: false,
    })
}

/// Attempts in all: 2 or more, and more than 5 count as 5.
fn attempts(policy: &Message<'_>, reading: &mut Reading<'_>) -> Option<u32> {
    let At { value, at } = reading.whole(policy, "maxAttempts", 2, u64::from(u32::MAX))?;
    if value > MOST_ATTEMPTS {
        let message = format!("gRPC makes {MOST_ATTEMPTS} attempts at most, and not {value}");
        reading.warning(&at, message, format!("write {MOST_ATTEMPTS} to lose this warning"));
    }
    Some(value.min(MOST_ATTEMPTS) as u32)
}

fn multiplier(policy: &Message<'_>, reading: &mut Reading<'_>) -> Option<Factor> {
    let At { value, at } = reading.number(policy, "backoffMultiplier")?;
    if value <= 0.0 {
        let message = format!("`backoffMultiplier` is a number above 0, and not {value}");
        reading.error(&at, message, "write how many times longer each wait is than the last, such as 2");
        return None;
    }
    Some(Factor::of(value))
}

/// The statuses that are tried again, by name or number.
fn codes(policy: &Message<'_>, reading: &mut Reading<'_>) -> Vec<Status> {
    let Some(list) = reading.list(policy, "retryableStatusCodes") else { return Vec::new() };
    if list.is_empty() {
        let place = policy.field("retryableStatusCodes").map_or(policy.at.clone(), |member| member.value.at.clone());
        reading.error(&place, "a policy that tries no status again", "write `[\"UNAVAILABLE\"]`, say");
    }
    let mut codes: Vec<Status> = Vec::new();
    for value in list {
        match code(value, reading) {
            Some(code) if codes.contains(&code) => {
                reading.error(&value.at, "this status is given twice", "keep one of the two");
            }
            code => codes.extend(code),
        }
    }
    codes
}

fn code(value: &Value, reading: &mut Reading<'_>) -> Option<Status> {
    let found = match &value.kind {
        Kind::Text(text) => CODES.iter().position(|code| code.eq_ignore_ascii_case(text)),
        Kind::Number(number) => number.parse().ok().filter(|code| *code < CODES.len()),
        _ => None,
    };
    let status = found.and_then(|code| serde_json::from_value(CODES[code].to_ascii_lowercase().into()).ok());
    if status.is_none() {
        let (said, near) = match &value.kind {
            Kind::Text(text) => (shortened(text).into_owned(), nearest(text, CODES.iter().copied())),
            Kind::Number(number) => (number.clone(), None),
            kind => (kind.in_words().to_owned(), None),
        };
        let help = near.map_or("write a name like \"UNAVAILABLE\", or its number".to_owned(), |near| {
            format!("did you mean `{near}`?")
        });
        reading.error(&value.at, format!("gRPC has no status `{said}`"), help);
    }
    status
}

const POLICY: Shape = Shape::of(
    "a `retryPolicy`",
    &[
        "maxAttempts",
        "initialBackoff",
        "maxBackoff",
        "backoffMultiplier",
        "retryableStatusCodes",
        "perAttemptRecvTimeout",
    ],
);

/// What no policy may leave out (A6), each with an example.
const NEEDED: &[(&str, &str)] = &[
    ("maxAttempts", "`\"maxAttempts\": 3`"),
    ("initialBackoff", "`\"initialBackoff\": \"0.1s\"`"),
    ("maxBackoff", "`\"maxBackoff\": \"1s\"`"),
    ("backoffMultiplier", "`\"backoffMultiplier\": 2`"),
    ("retryableStatusCodes", "`\"retryableStatusCodes\": [\"UNAVAILABLE\"]`"),
];

/// A6: clients treat more as this many.
const MOST_ATTEMPTS: u64 = 5;

/// The names of gRPC's status codes, by number (<https://grpc.io/docs/guides/status-codes/>).
const CODES: &[&str] = &[
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_the_status_of_its_number() {
        for (number, name) in CODES.iter().enumerate() {
            let status: Status = serde_json::from_value(name.to_ascii_lowercase().into()).unwrap();
            assert_eq!(status as usize, number, "{name}");
        }
    }
}
