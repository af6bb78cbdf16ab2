//! Mail to a server: greeting, TLS, authentication, envelope, data (RFC 5321, 3207, 4954).
//!
//! Owns: the conversation.
//! Knows nothing of: how a mail looks, templates.
//!
//! Invariants
//! - SMTP1  A password goes out by PLAIN only under TLS, or to this very machine; in the clear by
//!   LOGIN only when the configuration says that TLS is not required.
//! - SMTP2  What a server says is bounded: lines, and how many of them.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Failure;
use crate::config::Secret;

/// Longest answer, bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A server and how to speak to it.
#[derive(Debug, Clone)]
pub(super) struct Server {
    /// Name or address.
    pub(super) host: String,
    /// Port.
    pub(super) port: u16,
    /// Name we greet it with.
    pub(super) hello: String,
    /// TLS from the first byte.
    pub(super) implicit_tls: bool,
    /// Whether TLS has to be asked for when it is not implicit.
    pub(super) require_tls: bool,
    /// Settings of TLS.
    pub(super) tls: Arc<ClientConfig>,
    /// The name that the certificate must have.
    pub(super) tls_name: String,
}

/// Who we are.
#[derive(Debug, Clone)]
pub(super) struct Login {
    /// On whose behalf.
    pub(super) identity: String,
    /// Name; empty for nobody.
    pub(super) username: String,
    /// For PLAIN and LOGIN.
    pub(super) password: Secret,
    /// For CRAM-MD5.
    pub(super) secret: Secret,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// An answer: its code and its lines.
struct Answer {
    code: u16,
    lines: Vec<String>,
}

struct Conversation {
    stream: Box<dyn Stream>,
    read: Vec<u8>,
    encrypted: bool,
    local: bool,
}

fn broken(e: &std::io::Error) -> Failure {
    Failure::later(format!("mail server: {e}"))
}

/// Sends a mail; `data` has lines that end with CR LF.
///
/// # Errors
/// What the server refused, or why it cannot be spoken to.
pub(super) async fn send(
    server: &Server,
    login: &Login,
    (from, to): (&str, &[String]),
    data: &[u8],
) -> Result<(), Failure> {
    let mut c = Conversation::open(server).await?;
    c.expect(220).await?;
    let mut offers = c.hello(server).await?;
    if !server.implicit_tls && server.require_tls {
        if !offers.iter().any(|o| o == "STARTTLS") {
            return Err(Failure::later(format!(
                "'require_tls' is true (default) but {}:{} does not advertise the STARTTLS extension",
                server.host, server.port
            )));
        }
        c.say("STARTTLS", 220).await?;
        c = c.encrypt(server).await?;
        offers = c.hello(server).await?;
    }
    let mechanisms = offers.iter().find_map(|o| o.strip_prefix("AUTH "));
    if let (Some(m), false) = (mechanisms, login.username.is_empty()) {
        c.authenticate(login, m).await?;
    }
    let eight = offers.iter().any(|o| o == "8BITMIME");
    let body = if eight { " BODY=8BITMIME" } else { "" };
    c.say(&format!("MAIL FROM:<{from}>{body}"), 250).await?;
    for address in to {
        c.say(&format!("RCPT TO:<{address}>"), 250).await?;
    }
    c.say("DATA", 354).await?;
    c.data(data).await?;
    c.expect(250).await?;
    // The mail is theirs now, whatever they say to this.
    drop(c.say("QUIT", 221).await);
    Ok(())
}

impl Conversation {
    async fn open(server: &Server) -> Result<Self, Failure> {
        let address = (server.host.as_str(), server.port);
        let stream = TcpStream::connect(address).await.map_err(|e| broken(&e))?;
        let local = stream.peer_addr().is_ok_and(|a| a.ip().is_loopback());
        let plain = Self {
            stream: Box::new(stream),
            read: Vec::new(),
            encrypted: false,
            local,
        };
        match server.implicit_tls {
            true => plain.encrypt(server).await,
            false => Ok(plain),
        }
    }

    async fn encrypt(self, server: &Server) -> Result<Self, Failure> {
        let name = ServerName::try_from(server.tls_name.clone())
            .map_err(|_| Failure::last(format!("{:?} is no name of a server", server.tls_name)))?;
        let connector = tokio_rustls::TlsConnector::from(server.tls.clone());
        let stream = connector.connect(name, self.stream).await;
        Ok(Self {
            stream: Box::new(stream.map_err(|e| broken(&e))?),
            // What came before TLS does not count.
            read: Vec::new(),
            encrypted: true,
            local: self.local,
        })
    }

    async fn line(&mut self) -> Result<String, Failure> {
        loop {
            if let Some(end) = self.read.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            // SMTP2
            if self.read.len() > ANSWER_BYTES_MAX {
                return Err(Failure::later("mail server: a line without end"));
            }
            let mut piece = [0; 4096];
            let n = self.stream.read(&mut piece).await.map_err(|e| broken(&e))?;
            if n == 0 {
                return Err(Failure::later("mail server: the connection was closed"));
            }
            self.read
                .extend_from_slice(piece.get(..n).unwrap_or_default());
        }
    }

    async fn answer(&mut self) -> Result<Answer, Failure> {
        let mut lines = Vec::new();
        let mut bytes = 0;
        loop {
            let line = self.line().await?;
            bytes += line.len() + 1;
            let code = line.get(..3).and_then(|c| c.parse().ok());
            let (Some(code), true) = (code, bytes <= ANSWER_BYTES_MAX) else {
                return Err(Failure::later("mail server: the answer makes no sense"));
            };
            lines.push(line.get(4..).unwrap_or_default().to_owned());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(Answer { code, lines });
            }
        }
    }

    async fn expect(&mut self, code: u16) -> Result<Answer, Failure> {
        let a = self.answer().await?;
        // 251: it will be passed on.
        if a.code == code || (code == 250 && a.code == 251) {
            return Ok(a);
        }
        let text = a.lines.join(" ");
        Err(Failure::later(format!("mail server: {} {text}", a.code)))
    }

    async fn say(&mut self, line: &str, code: u16) -> Result<Answer, Failure> {
        if line.contains(['\r', '\n']) {
            return Err(Failure::last("an address or a name holds a line feed"));
        }
        let all = format!("{line}\r\n");
        let sent = self.stream.write_all(all.as_bytes()).await;
        sent.map_err(|e| broken(&e))?;
        self.stream.flush().await.map_err(|e| broken(&e))?;
        self.expect(code).await
    }

    /// What the server offers, in capital letters.
    async fn hello(&mut self, server: &Server) -> Result<Vec<String>, Failure> {
        let a = self.say(&format!("EHLO {}", server.hello), 250).await?;
        let offers = a.lines.iter().skip(1);
        Ok(offers.map(|l| l.to_ascii_uppercase()).collect())
    }

    /// The first mechanism of the server's list for which there is what it needs.
    async fn authenticate(&mut self, login: &Login, mechanisms: &str) -> Result<(), Failure> {
        let safe = self.encrypted || self.local;
        for mechanism in mechanisms.split_whitespace() {
            match mechanism {
                "CRAM-MD5" if !login.secret.is_empty() => return self.cram_md5(login).await,
                // SMTP1
                "PLAIN" if !login.password.is_empty() && safe => {
                    let Login {
                        identity, username, ..
                    } = login;
                    let all = format!("{identity}\0{username}\0{}", login.password.expose());
                    let line = format!("AUTH PLAIN {}", STANDARD.encode(all));
                    return self.say(&line, 235).await.map(drop);
                }
                "LOGIN" if !login.password.is_empty() => {
                    self.say("AUTH LOGIN", 334).await?;
                    self.say(&STANDARD.encode(&login.username), 334).await?;
                    let password = STANDARD.encode(login.password.expose());
                    return self.say(&password, 235).await.map(drop);
                }
                _ => {}
            }
        }
        Err(Failure::later(format!(
            "none of the server's ways to log in can be used: {mechanisms}"
        )))
    }

    async fn cram_md5(&mut self, login: &Login) -> Result<(), Failure> {
        let a = self.say("AUTH CRAM-MD5", 334).await?;
        let challenge = a.lines.first().map_or("", String::as_str);
        let challenge = STANDARD
            .decode(challenge.trim())
            .map_err(|_| Failure::later("mail server: the challenge makes no sense"))?;
        let mut mac = Hmac::<md5::Md5>::new_from_slice(login.secret.expose().as_bytes())
            .map_err(|e| Failure::last(e.to_string()))?;
        mac.update(&challenge);
        let digest = mac.finalize().into_bytes();
        let digest: String = digest.iter().map(|b| format!("{b:02x}")).collect();
        let line = STANDARD.encode(format!("{} {digest}", login.username));
        self.say(&line, 235).await.map(drop)
    }

    /// The mail, with a dot before lines that begin with one, and the line that ends it.
    async fn data(&mut self, data: &[u8]) -> Result<(), Failure> {
        let mut out = Vec::with_capacity(data.len() + 64);
        for line in data.split_inclusive(|b| *b == b'\n') {
            if line.first() == Some(&b'.') {
                out.push(b'.');
            }
            out.extend_from_slice(line);
        }
        if !out.ends_with(b"\r\n") {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
        self.stream.write_all(&out).await.map_err(|e| broken(&e))?;
        self.stream.flush().await.map_err(|e| broken(&e))
    }
}
