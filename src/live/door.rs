//! Where a backend can be reached: a listening port while its process is there, a refusing one while it is not. The
//! port stays the same and stays ours, so a call never reaches somebody else.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use tonic::codegen::tokio_stream::StreamExt;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use super::link::{STREAMS, WINDOW};
use super::pb::echo_server::EchoServer;
use super::server::{Backend, EchoService};

/// The door of one backend.
#[derive(Debug)]
pub(super) struct Door {
    backend: Arc<Backend>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// A tonic server accepts connections.
    Open(JoinHandle<()>),
    /// The port is held, and nobody listens: connections are refused.
    Shut(TcpSocket),
    /// Between the two, and where something went wrong.
    Broken,
}

impl Door {
    /// A door on a free port, shut.
    pub(super) fn new(backend: Arc<Backend>) -> std::io::Result<Door> {
        let socket = bind(0)?;
        backend.set_port(socket.local_addr()?.port());
        Ok(Door { backend, state: State::Shut(socket) })
    }

    /// Connections are accepted from now on.
    pub(super) fn open(&mut self) -> std::io::Result<()> {
        self.state = match std::mem::replace(&mut self.state, State::Broken) {
            State::Shut(socket) => State::Open(tokio::spawn(serve(self.backend.clone(), socket.listen(BACKLOG)?))),
            other => other,
        };
        Ok(())
    }

    /// Connections are refused from now on.
    pub(super) async fn shut(&mut self) -> std::io::Result<()> {
        self.state = match std::mem::replace(&mut self.state, State::Broken) {
            State::Open(server) => {
                server.abort();
                // The listener is closed only when its task is gone.
                let _ = server.await;
                State::Shut(bind(self.backend.port())?)
            }
            other => other,
        };
        Ok(())
    }
}

fn bind(port: u16) -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    Ok(socket)
}

async fn serve(backend: Arc<Backend>, listener: TcpListener) {
    let service = EchoServer::new(EchoService(backend.clone()));
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let incoming = incoming.map(move |stream| stream.and_then(|stream| backend.admit(stream)));
    let server = Server::builder()
        .initial_connection_window_size(WINDOW)
        .max_concurrent_streams(STREAMS)
        // Every call whose deadline passes is reset: that is no attack.
        .http2_max_pending_accept_reset_streams(Some(STREAMS as usize))
        .http2_max_local_error_reset_streams(Some(STREAMS as usize))
        .add_service(service)
        .serve_with_incoming(incoming);
    // Errors of single connections do not end it, and nothing else can.
    let _ = server.await;
}

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;
