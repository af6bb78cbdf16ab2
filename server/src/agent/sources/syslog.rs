//! Syslog senders over TCP, TLS and UDP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use exporters::logs::entry::{Entry, LabelSet};
use exporters::logs::syslog::{Format, Frames, Message, SyslogError};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::hosts::{Hosts, look_up};
use super::{Active, Common, count, unless_stopped};
use crate::agent::read::now_ns;
use crate::config::promtail::SyslogConfig;
use crate::config::web::TlsServerConfig;
use crate::http::tls_settings;

/// Connections at a time; more wait in the system's queue.
const CONNECTIONS_MAX: usize = 1024;
/// Bytes that are read at a time.
const READ_BYTES: usize = 16 * 1024;
/// Largest datagram.
const DATAGRAM_BYTES: usize = 64 * 1024;
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Pause after the system refused a connection (out of descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A socket of the section.
pub(super) enum Bound {
    Stream(TcpListener, Option<TlsAcceptor>),
    Datagrams(UdpSocket),
}

fn tls(c: &SyslogConfig) -> Result<Option<TlsAcceptor>, String> {
    let t = &c.tls_config;
    if t.cert_file.is_empty() {
        return Ok(None);
    }
    let settings = TlsServerConfig {
        cert_file: t.cert_file.clone(),
        key_file: t.key_file.clone(),
        client_ca_file: t.ca_file.clone(),
        client_auth_type: match t.ca_file.is_empty() {
            true => String::new(),
            false => "RequireAndVerifyClientCert".into(),
        },
        ..TlsServerConfig::default()
    };
    Ok(Some(Arc::new(tls_settings(&settings, false)?).into()))
}

/// Binds the address of the section.
///
/// # Errors
/// Names the address, or what is wrong with its TLS settings.
pub(super) async fn bind(c: &SyslogConfig) -> Result<Bound, String> {
    let address = match c.listen_address.strip_prefix(':') {
        Some(port) => format!("0.0.0.0:{port}"),
        None => c.listen_address.clone(),
    };
    let failed = |e: std::io::Error| format!("syslog: listen on {address}: {e}");
    let bound = if c.listen_protocol == "udp" {
        Bound::Datagrams(UdpSocket::bind(&address).await.map_err(failed)?)
    } else {
        let socket = TcpListener::bind(&address).await.map_err(failed)?;
        Bound::Stream(socket, tls(c).map_err(|e| format!("syslog: {e}"))?)
    };
    let local = match &bound {
        Bound::Stream(s, _) => s.local_addr(),
        Bound::Datagrams(s) => s.local_addr(),
    };
    if let Ok(address) = local {
        tracing::info!(%address, protocol = %c.listen_protocol, "syslog listening");
    }
    Ok(bound)
}

/// Takes messages until told to stop.
pub(super) async fn run(bound: Bound, c: SyslogConfig, common: Common) {
    let _active = Active::new(&common.numbers);
    let taker = Taker {
        format: match c.syslog_format.as_str() {
            "rfc3164" => Format::Rfc3164,
            _ => Format::Rfc5424,
        },
        c,
        common,
    };
    match bound {
        Bound::Stream(socket, tls) => taker.connections(socket, tls).await,
        Bound::Datagrams(socket) => taker.datagrams(&socket).await,
    }
}

#[derive(Clone)]
struct Taker {
    c: SyslogConfig,
    format: Format,
    common: Common,
}

/// The labels of a connection.
fn connection_labels(peer: SocketAddr, hostname: &str) -> LabelSet {
    LabelSet::from([
        (
            "__syslog_connection_ip_address".into(),
            peer.ip().to_canonical().to_string(),
        ),
        ("__syslog_connection_hostname".into(), hostname.to_owned()),
    ])
}

impl Taker {
    async fn connections(self, socket: TcpListener, tls: Option<TlsAcceptor>) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut tasks = JoinSet::new();
        let mut stop = self.common.stop.clone();
        loop {
            let accepted = unless_stopped(&mut stop, async {
                let slot = slots.clone().acquire_owned().await;
                (socket.accept().await, slot)
            });
            match accepted.await {
                None => break,
                Some((Ok((stream, peer)), slot)) => {
                    let (this, tls) = (self.clone(), tls.clone());
                    tasks.spawn(async move {
                        this.accepted(stream, peer, tls).await;
                        drop(slot);
                    });
                }
                Some((Err(e), _)) => {
                    tracing::warn!(error = %e, "a syslog connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
            while tasks.try_join_next().is_some() {}
        }
        drop(socket);
        while tasks.join_next().await.is_some() {}
    }

    async fn accepted(
        self,
        stream: tokio::net::TcpStream,
        peer: SocketAddr,
        tls: Option<TlsAcceptor>,
    ) {
        let labels = connection_labels(peer, &look_up(peer.ip().to_canonical()).await);
        let Some(tls) = tls else {
            return self.connection(stream, peer, &labels).await;
        };
        match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.connection(stream, peer, &labels).await,
            Ok(Err(e)) => tracing::warn!(%peer, error = %e, "syslog: TLS handshake failed"),
            Err(_) => tracing::warn!(%peer, "syslog: TLS handshake took too long"),
        }
    }

    async fn connection(
        &self,
        mut stream: impl AsyncRead + Unpin,
        peer: SocketAddr,
        labels: &LabelSet,
    ) {
        let mut stop = self.common.stop.clone();
        let mut frames = self.frames();
        let mut buffer = vec![0; READ_BYTES];
        let idle = self.c.idle_timeout.as_std();
        loop {
            let read = tokio::time::timeout(idle, stream.read(&mut buffer));
            let n = match unless_stopped(&mut stop, read).await {
                None => return,
                Some(Err(_)) => {
                    tracing::debug!(%peer, "syslog: idle connection is closed");
                    return;
                }
                Some(Ok(Err(e))) => {
                    tracing::debug!(%peer, error = %e, "syslog: connection broken");
                    return;
                }
                Some(Ok(Ok(n))) => n,
            };
            if n == 0 {
                break;
            }
            frames.push(buffer.get(..n).unwrap_or_default());
            let (entries, end) = self.messages(&mut frames, labels);
            self.common.feed.take(entries).await;
            if end {
                return;
            }
        }
        let mut last = Vec::new();
        if let Some(bytes) = frames.finish() {
            self.message(bytes, labels, &mut last);
        }
        self.common.feed.take(last).await;
    }

    async fn datagrams(self, socket: &UdpSocket) {
        let mut stop = self.common.stop.clone();
        let mut buffer = vec![0; DATAGRAM_BYTES];
        let mut hosts = Hosts::default();
        while let Some(came) = unless_stopped(&mut stop, socket.recv_from(&mut buffer)).await {
            let (n, peer) = match came {
                Ok(c) => c,
                Err(e) => {
                    tracing::warn!(error = %e, "a syslog datagram could not be received");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let labels = connection_labels(peer, hosts.name(peer.ip().to_canonical()).await);
            // Each datagram stands for itself: what one lacks does not come with the next.
            let mut frames = self.frames();
            frames.push(buffer.get(..n).unwrap_or_default());
            let (mut entries, end) = self.messages(&mut frames, &labels);
            if let Some(bytes) = frames.finish().filter(|_| !end) {
                self.message(bytes, &labels, &mut entries);
            }
            self.common.feed.take(entries).await;
        }
    }

    fn frames(&self) -> Frames {
        Frames::new(usize::try_from(self.c.max_message_length).unwrap_or(usize::MAX))
    }

    fn wrong(&self, e: &SyslogError) {
        count(&self.common.numbers.syslog_errors, 1);
        tracing::debug!(error = %e, "syslog: this is no message");
    }

    /// All messages that are complete; true when the stream cannot be read on.
    fn messages(&self, frames: &mut Frames, labels: &LabelSet) -> (Vec<Entry>, bool) {
        let mut out = Vec::new();
        while let Some(next) = frames.next_message() {
            match next {
                Ok((bytes, _)) => self.message(bytes, labels, &mut out),
                Err(e) => {
                    self.wrong(&e);
                    if let SyslogError::OutOfStep(_) = e {
                        return (out, true);
                    }
                }
            }
        }
        (out, false)
    }

    fn message(&self, bytes: &[u8], connection: &LabelSet, out: &mut Vec<Entry>) {
        let text = String::from_utf8_lossy(bytes);
        let now = now_ns();
        let m = match Message::parse(&text, self.format, now) {
            Ok(m) => m,
            Err(e) => return self.wrong(&e),
        };
        let Some(message) = m.message else {
            return count(&self.common.numbers.syslog_empty, 1);
        };
        let mut labels = connection.clone();
        m.put_labels(self.c.label_structured_data, &mut labels);
        let Some(labels) = self.common.feed.labels(&self.c.labels, &labels) else {
            return;
        };
        let whole = self.c.use_rfc5424_message && self.format == Format::Rfc5424;
        let line = match whole {
            true => text.as_ref(),
            false => message,
        };
        let time = m.time_ns.filter(|_| self.c.use_incoming_timestamp);
        count(&self.common.numbers.syslog_entries, 1);
        out.push(Entry::new(time.unwrap_or(now), line.to_owned(), labels));
    }
}
