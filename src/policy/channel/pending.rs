//! Attempts that wait for the connection of their own endpoint, as those of a proxy's connection pool do.

use super::Channel;
use crate::base::id::EndpointId;
use crate::base::status::{Cause, Failure, Outcome};
use crate::base::time::Instant;
use crate::policy::balancer::Feedback;
use crate::policy::call::State;
use crate::policy::endpoints::Connectivity;

impl Channel {
    /// Binds an attempt to an endpoint that is not ready, and connects it.
    #[cold]
    pub(super) fn pend(&mut self, now: Instant, slot: u32, endpoint: EndpointId, counts: bool) {
        if counts && !self.is_admitted(now, slot, endpoint) {
            return;
        }
        let call = self.calls.at_mut(slot);
        call.state = State::Pending { endpoint, since: now, counts };
        call.attempts += 1;
        self.pending.push((slot, call.generation));
        if let Some(entry) = self.table.get(endpoint).filter(|entry| entry.connectivity == Connectivity::Idle) {
            self.connect(now, entry.address);
        }
        if counts {
            self.table.on_sent(endpoint);
            self.feed_back(now, &Feedback::Sent { endpoint });
        }
    }

    /// Sends the attempts whose connection is there, and fails those that wait for one in vain.
    #[cold]
    pub(super) fn settle_pending(&mut self, now: Instant) {
        for (slot, generation) in std::mem::take(&mut self.pending) {
            let Some((endpoint, counts)) = self.calls.pending_on(slot, generation) else { continue };
            match self.table.get(endpoint).map(|entry| (entry.connectivity, entry.address)) {
                Some((Connectivity::Connecting, _)) => self.pending.push((slot, generation)),
                Some((Connectivity::Ready, address)) if counts => self.dispatch(now, slot, endpoint, address),
                Some((Connectivity::Ready, _)) => self.send_pending(now, slot, endpoint),
                _ => {
                    let failure = Failure::of(Cause::Connection);
                    self.end_attempt(now, slot, Err(failure), None);
                    self.attempt_failed(now, slot, failure, false);
                }
            }
        }
    }

    /// Sends an attempt that did not count while it waited; a guard may still say no.
    fn send_pending(&mut self, now: Instant, slot: u32, endpoint: EndpointId) {
        if !self.is_admitted(now, slot, endpoint) {
            return;
        }
        let Some(address) = self.table.send_to(endpoint) else { return };
        self.dispatch(now, slot, endpoint, address);
        self.feed_back(now, &Feedback::Sent { endpoint });
    }

    /// An attempt that was never sent is over.
    #[cold]
    pub(super) fn end_pending(&mut self, now: Instant, slot: u32, outcome: Outcome) {
        let call = self.calls.at_mut(slot);
        let State::Pending { endpoint, since, counts } = call.state else { return };
        call.state = State::Between;
        let retried = call.attempts - 1;
        if self.retry.is_some() {
            self.calls.failed_on(slot, endpoint);
        }
        if counts {
            self.table.on_ended(endpoint);
            self.feed_back(now, &Feedback::Done { endpoint, took: now - since, outcome, retried, load: None });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::id::{Address, CallId};
    use crate::base::time::Duration;
    use crate::policy::balancer::catalog::Context;
    use crate::policy::balancer::testing::listing;
    use crate::policy::channel::{Action, ChannelSpec, Input, Start};
    use crate::policy::endpoints::Listing;

    /// A client of two servers; the connection to the first has just broken.
    struct Client {
        channel: Channel,
        now: Instant,
        calls: u32,
    }

    fn list(places: std::ops::Range<u32>) -> Arc<[Listing]> {
        places.map(|i| listing(i, 1)).collect()
    }

    impl Client {
        fn new(count_pending: bool, more: &str) -> Client {
            let child = r#"{ "least_connections": { "ties": "first" } }"#;
            let text = format!(
                r#"{{ "balancer": {{ "connect_on_pick": {{ "child": {child}, "count_pending": {count_pending} }} }} {more} }}"#
            );
            let spec: ChannelSpec = serde_json::from_str(&text).unwrap();
            let channel = Channel::new(&spec, &Context::lone(1));
            let mut client = Client { channel, now: Instant::ZERO, calls: 0 };
            assert_eq!(client.input(Input::Begin(list(0..2))), "");
            assert_eq!(client.input(Input::Disconnected(Address(0))), "", "nobody is connected before a call needs it");
            client
        }

        fn input(&mut self, input: Input) -> String {
            self.channel.on_input(self.now, input);
            self.done()
        }

        fn start(&mut self) -> String {
            let call = CallId(u64::from(self.calls));
            self.calls += 1;
            let deadline = Some(Duration::from_secs(9));
            self.input(Input::Start(Start { call, tag: call.0 as u32, hash: None, random: 0, class: 0, deadline }))
        }

        fn wait(&mut self, by: Duration) -> String {
            self.now += by;
            self.channel.on_timeout(self.now);
            self.done()
        }

        /// What it did.
        fn done(&mut self) -> String {
            let mut done = vec![];
            while let Some(action) = self.channel.poll_action() {
                done.push(match action {
                    Action::Connect(address) => format!("connect {}", address.0),
                    Action::Send { tag, address, attempt, .. } => {
                        format!("send {tag}.{} to {}", attempt.number, address.0)
                    }
                    Action::Complete { tag, outcome, attempts, .. } => match outcome {
                        Ok(()) => format!("end {tag} after {attempts}"),
                        Err(failure) => format!("fail {tag} after {attempts}: {:?}", failure.cause),
                    },
                    other => format!("{other:?}"),
                });
            }
            done.join(", ")
        }

        fn open(&self) -> Vec<u32> {
            let view = self.channel.table().view();
            view.members.iter().map(|id| view.in_flight(*id)).collect()
        }
    }

    #[test]
    fn calls_wait_for_the_connection_of_their_endpoint() {
        let mut client = Client::new(false, "");
        assert_eq!(client.start(), "connect 0");
        assert_eq!((client.start(), client.start()), (String::new(), String::new()), "who waits does not count");
        assert_eq!(client.open(), [0, 0]);
        assert_eq!(client.input(Input::Connected(Address(0))), "send 0.0 to 0, send 1.0 to 0, send 2.0 to 0");
        assert_eq!(client.open(), [3, 0]);
        assert_eq!(client.start(), "send 3.0 to 1");
    }

    #[test]
    fn calls_that_wait_can_count() {
        let mut client = Client::new(true, "");
        assert_eq!(client.start(), "connect 0");
        assert_eq!((client.start(), client.open()), ("send 1.0 to 1".to_owned(), vec![1, 1]));
        assert_eq!((client.start(), client.open()), (String::new(), vec![2, 1]));
        assert_eq!(client.input(Input::Connected(Address(0))), "send 0.0 to 0, send 2.0 to 0");
        assert_eq!(client.open(), [2, 1], "they counted already");
    }

    #[test]
    fn a_connection_that_fails_fails_the_calls_that_wait_for_it() {
        for counts in [false, true] {
            let mut client = Client::new(counts, "");
            client.start();
            assert_eq!(client.input(Input::ConnectFailed(Address(0))), "fail 0 after 1: Connection");
            assert_eq!(client.open(), [0, 0]);
            assert_eq!(client.start(), "send 1.0 to 1", "it is not picked until it is tried again");
            let mut client = Client::new(counts, r#", "retry": { "attempts": 3, "backoff": "10ms" }"#);
            client.start();
            assert_eq!(client.input(Input::ConnectFailed(Address(0))), "");
            assert_eq!(client.wait(Duration::from_millis(10)), "send 0.1 to 1");
        }
    }

    #[test]
    fn a_call_may_end_or_lose_its_endpoint_while_it_waits() {
        for counts in [false, true] {
            let mut client = Client::new(counts, "");
            client.start();
            assert_eq!(client.wait(Duration::from_secs(9)), "fail 0 after 1: Deadline");
            assert_eq!(client.open(), [0, 0]);
            assert_eq!(client.input(Input::Connected(Address(0))), "", "nobody waits any more");
            let mut client = Client::new(counts, "");
            client.start();
            assert_eq!(client.input(Input::Abandon(CallId(0))), "fail 0 after 1: Cancelled");
            client.start();
            assert_eq!(client.input(Input::Resolved(list(1..2))), "fail 1 after 1: Connection");
        }
    }

    #[test]
    fn a_retry_does_not_wait_for_an_endpoint_that_failed_it() {
        let retry = r#", "retry": { "attempts": 3, "backoff": "2s", "max_backoff": "2s" }"#;
        let mut client = Client::new(false, retry);
        client.start();
        client.input(Input::ConnectFailed(Address(0)));
        assert_eq!(client.wait(Duration::from_millis(1_300)), "connect 0", "after its backoff");
        assert_eq!(client.input(Input::Refreshed(list(0..2))), "");
        assert_eq!(client.wait(Duration::from_millis(700)), "send 0.1 to 1");
        assert_eq!(client.start(), "", "others do");
    }

    #[test]
    fn a_limit_holds_when_calls_are_sent() {
        let limit = r#", "limit": { "in_flight": { "max": 1 } }"#;
        let mut client = Client::new(false, limit);
        (0..3).for_each(|_| _ = client.start());
        let sent = client.input(Input::Connected(Address(0)));
        assert_eq!(sent, "send 0.0 to 0, fail 1 after 1: Dropped, fail 2 after 1: Dropped");
        assert_eq!(client.open(), [1, 0]);
        let mut client = Client::new(true, r#", "limit": { "in_flight": { "max": 2 } }"#);
        assert_eq!([client.start(), client.start()], ["connect 0", "send 1.0 to 1"]);
        assert_eq!(client.start(), "fail 2 after 0: Dropped", "the one that waits counts");
        assert_eq!(client.open(), [1, 1]);
    }
}
