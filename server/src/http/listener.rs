//! The listener: sockets to requests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tower::Service as _;

use super::Guard;
use crate::config::limits;
use crate::telemetry::{Counter, Metrics};

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Pause after the system refused a connection (out of descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Settings of the listener.
#[derive(Debug, Clone)]
pub(crate) struct ListenerOptions {
    /// Connections at a time; more wait in the system's queue.
    pub(crate) connections_max: usize,
    /// How long a client may take for a request's headers, and be idle between two requests.
    pub(crate) read_timeout: Duration,
}

/// Binds `host:port`; an empty host means every address.
pub(crate) async fn bind(address: &str) -> std::io::Result<TcpListener> {
    match address.strip_prefix(':') {
        Some(port) => match TcpListener::bind(format!("[::]:{port}")).await {
            Ok(l) => Ok(l),
            // Machines without IPv6.
            Err(_) => TcpListener::bind(format!("0.0.0.0:{port}")).await,
        },
        None => TcpListener::bind(address).await,
    }
}

/// Returns once the server stops.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that nobody can say stop any more, which is a stop.
    drop(stop.wait_for(|s| *s).await);
}

/// Serves `router` on sockets.
#[derive(Clone)]
pub(crate) struct Listener {
    router: Router,
    guard: Arc<Guard>,
    metrics: Arc<Metrics>,
    options: ListenerOptions,
    connections: Arc<Semaphore>,
}

impl Listener {
    /// A listener without sockets.
    pub(crate) fn new(
        router: Router,
        guard: Arc<Guard>,
        metrics: Arc<Metrics>,
        options: ListenerOptions,
    ) -> Self {
        let connections = Arc::new(Semaphore::new(options.connections_max.max(1)));
        Self {
            router,
            guard,
            metrics,
            options,
            connections,
        }
    }

    /// Takes connections from `socket` until `stop` says so, then waits for requests in progress,
    /// at most `drain` long.
    pub(crate) async fn serve(
        self,
        socket: TcpListener,
        mut stop: watch::Receiver<bool>,
        drain: Duration,
    ) {
        let mut tasks = tokio::task::JoinSet::new();
        loop {
            let permit = tokio::select! {
                p = self.connections.clone().acquire_owned() => p,
                () = stopped(&mut stop) => break,
            };
            let Ok(permit) = permit else { break };
            let accepted = tokio::select! {
                a = socket.accept() => a,
                () = stopped(&mut stop) => break,
            };
            match accepted {
                Ok((stream, peer)) => {
                    self.metrics.add(Counter::Connections, 1);
                    let (this, stop) = (self.clone(), stop.clone());
                    tasks.spawn(async move {
                        this.connection(stream, peer, stop).await;
                        this.metrics.add(Counter::ConnectionsClosed, 1);
                        drop(permit);
                    });
                }
                Err(e) => {
                    tracing::warn!(error = %e, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
            while tasks.try_join_next().is_some() {}
        }
        drop(socket);
        let all = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(drain, all).await.is_err() {
            tracing::warn!("requests still in progress after the drain time are cut off");
        }
    }

    async fn connection(&self, stream: TcpStream, peer: SocketAddr, stop: watch::Receiver<bool>) {
        let nodelay = stream.set_nodelay(true);
        let settings = match self.guard.settings() {
            Ok(s) => s,
            Err(e) => {
                tracing::error!(error = %e, "web configuration file cannot be used");
                return;
            }
        };
        if let Err(e) = nodelay {
            tracing::debug!(error = %e, %peer, "a connection broke before its first request");
            return;
        }
        let Some(tls) = settings.and_then(|s| s.tls.clone()) else {
            self.requests(stream, stop).await;
            return;
        };
        let handshake = tokio_rustls::TlsAcceptor::from(tls).accept(stream);
        match tokio::time::timeout(HANDSHAKE, handshake).await {
            Ok(Ok(stream)) => self.requests(stream, stop).await,
            Ok(Err(e)) => tracing::debug!(error = %e, %peer, "TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "TLS handshake was not finished in time"),
        }
    }

    async fn requests<S>(&self, stream: S, mut stop: watch::Receiver<bool>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.options.read_timeout)
            .max_headers(limits::HEADERS_MAX);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(self.options.read_timeout)
            .max_concurrent_streams(limits::HTTP2_STREAMS_MAX)
            .max_header_list_size(u32::try_from(limits::HEADER_BYTES_MAX).unwrap_or(u32::MAX));
        let this = self.clone();
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let mut this = this.clone();
            async move { Ok::<_, std::convert::Infallible>(this.answer(request).await) }
        });
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            r = connection.as_mut() => r,
            () = stopped(&mut stop) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(e) = ended {
            tracing::debug!(error = %e, "a connection ended with an error");
        }
    }

    async fn answer(&mut self, request: Request<Incoming>) -> axum::response::Response {
        let settings = match self.guard.check(request.headers()).await {
            Ok(s) => s,
            Err(refusal) => {
                self.metrics.add(Counter::Unauthorized, 1);
                return refusal;
            }
        };
        let called = self.router.call(request.map(Body::new)).await;
        let mut answer = called.unwrap_or_else(|never| match never {});
        if let Some(s) = settings {
            for (name, value) in &s.headers {
                answer.headers_mut().insert(name, value.clone());
            }
        }
        answer
    }
}
