//! Connections of our own: a socket, hyper's HTTP/2 over it, and the generated client over that. Which connection a
//! call takes is the channel's decision, so nothing here balances, reconnects or retries.

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tonic::Streaming;
use tonic::body::Body;
use tonic::metadata::{MetadataMap, MetadataValue};
use tower_service::Service;

use super::clock::to_std;
use super::pb::echo_client::EchoClient;
use super::pb::{CheckRequest, EchoRequest, WatchReply, WatchRequest};
use super::reports::{read, signature};
use crate::base::load::LoadReport;
use crate::base::status::{Cause, Failure, Outcome, Status};
use crate::base::time::Duration;

/// The largest window that HTTP/2 knows. With the default one, h2 takes a server that is behind for an attacked one
/// and closes its connections.
pub(super) const WINDOW: u32 = 2_147_483_647;

/// Calls open on one connection: more than there ever are, so that no queue forms where nobody looks.
pub(super) const STREAMS: u32 = 1_000_000;

/// After this long an answer to a connection request no longer comes (gRPC's minimum connect timeout).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Trailer of an error that a backend's model decided on. An error without it came from the transport.
const CAUSE: &str = "plimsoll-cause";

/// The part of a connection that has to be driven for anything to move.
pub(super) type Driver = Connection<TokioIo<TcpStream>, Body, TokioExecutor>;

/// A connection that is there.
#[derive(Debug, Clone)]
pub(super) struct Link {
    sender: SendRequest<Body>,
    origin: Uri,
}

/// Connects to a port of this machine.
pub(super) async fn dial(port: u16) -> std::io::Result<(Link, Driver)> {
    match tokio::time::timeout(to_std(CONNECT_TIMEOUT), shake_hands(port)).await {
        Ok(result) => result,
        Err(late) => Err(late.into()),
    }
}

async fn shake_hands(port: u16) -> std::io::Result<(Link, Driver)> {
    let stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    stream.set_nodelay(true)?;
    let (sender, driver) = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_connection_window_size(WINDOW)
        .initial_max_send_streams(STREAMS as usize)
        .max_concurrent_reset_streams(STREAMS as usize)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(std::io::Error::other)?;
    let origin = format!("http://127.0.0.1:{port}/").parse().map_err(std::io::Error::other)?;
    Ok((Link { sender, origin }, driver))
}

impl Link {
    /// One attempt, to its end, with the report on the answer.
    pub(super) async fn echo(self, request: EchoRequest) -> (Outcome, Option<LoadReport>) {
        match self.client().echo(request).await {
            Ok(reply) => (Ok(()), signature(reply.metadata())),
            Err(status) => (Err(failure_of(&status)), signature(status.metadata())),
        }
    }

    /// One probe: whether it serves, and what it says of its load if it is asked.
    pub(super) async fn check(self, request: CheckRequest) -> (bool, Option<LoadReport>) {
        match self.client().check(request).await {
            Ok(reply) => (reply.get_ref().serving, reply.get_ref().load.as_ref().map(read)),
            Err(_) => (false, None),
        }
    }

    /// What the other side says by itself, until the connection ends.
    pub(super) async fn watch(self) -> Result<Streaming<WatchReply>, tonic::Status> {
        self.client().watch(WatchRequest {}).await.map(tonic::Response::into_inner)
    }

    fn client(self) -> EchoClient<Link> {
        let origin = self.origin.clone();
        EchoClient::with_origin(self, origin)
    }
}

impl Service<Request<Body>> for Link {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.sender.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.sender.send_request(request))
    }
}

/// A failure as it travels.
pub(super) fn status_of(failure: Failure) -> tonic::Status {
    let mut metadata = MetadataMap::new();
    metadata.insert(CAUSE, MetadataValue::from_static(failure.cause.name()));
    tonic::Status::with_metadata(tonic::Code::from_i32(failure.status as i32), "as the model says", metadata)
}

/// A failure as it arrives.
fn failure_of(status: &tonic::Status) -> Failure {
    let cause = status.metadata().get(CAUSE).and_then(|value| value.to_str().ok()).and_then(Cause::from_name);
    match cause {
        Some(cause) => Failure { status: STATUSES[(status.code() as usize).min(STATUSES.len() - 1)], cause },
        None => Failure::of(Cause::Connection),
    }
}

/// By number.
const STATUSES: [Status; 17] = [
    Status::Ok,
    Status::Cancelled,
    Status::Unknown,
    Status::InvalidArgument,
    Status::DeadlineExceeded,
    Status::NotFound,
    Status::AlreadyExists,
    Status::PermissionDenied,
    Status::ResourceExhausted,
    Status::FailedPrecondition,
    Status::Aborted,
    Status::OutOfRange,
    Status::Unimplemented,
    Status::Internal,
    Status::Unavailable,
    Status::DataLoss,
    Status::Unauthenticated,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_survive_the_way() {
        for (number, status) in STATUSES.into_iter().enumerate() {
            assert_eq!(status as usize, number);
            let failure = Failure::backend(status);
            assert_eq!(failure_of(&status_of(failure)), failure);
        }
        let full = Failure::of(Cause::QueueFull);
        assert_eq!(failure_of(&status_of(full)), full);
        assert_eq!(failure_of(&tonic::Status::unavailable("reset")), Failure::of(Cause::Connection));
    }
}
