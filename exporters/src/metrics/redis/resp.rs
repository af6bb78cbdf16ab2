//! The wire protocol of Redis, as a client of a few commands.
//!
//! Format: RESP version 2, <https://redis.io/docs/latest/develop/reference/protocol-spec/>.
//!
//! Invariants
//! - RESP1  Nothing waits past the deadline, whatever the server does.
//! - RESP2  A reply costs at most [`REPLY_BYTES_MAX`] of memory and [`DEPTH_MAX`] of stack, whatever
//!   it declares.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::metrics::unix;

/// Most bytes of one reply. `INFO ALL` has some ten kilobytes, a list of many clients megabytes.
const REPLY_BYTES_MAX: usize = 64 << 20;
/// How deep lists may be nested.
const DEPTH_MAX: usize = 8;
/// Shortest time that is asked of a socket; none would mean for ever.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// A socket, whatever is between us and the server.
pub trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// Makes an encrypted stream of a socket, for the server of that name.
pub type Encrypt = Arc<dyn Fn(TcpStream, &str) -> io::Result<Box<dyn Stream>> + Send + Sync>;

/// A reply.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reply {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
    /// Nothing.
    Nil,
    /// Several replies.
    List(Vec<Reply>),
}

impl Reply {
    /// The text, if it is one; a number as text.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Text(t) => Some(t.clone()),
            Self::Number(n) => Some(n.to_string()),
            _ => None,
        }
    }

    /// The number, also if it is written as a text.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Number(n) => Some(*n as f64),
            Self::Text(t) => t.parse().ok(),
            _ => None,
        }
    }

    /// The replies of a list.
    pub(super) fn list(&self) -> &[Self] {
        match self {
            Self::List(all) => all,
            _ => &[],
        }
    }
}

/// Why a command has no reply.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    /// The server does not want it; the connection is good for other commands.
    #[error("{0}")]
    Refused(String),
    /// The connection is of no use any more.
    #[error(transparent)]
    Broken(#[from] io::Error),
}

/// A connection with a deadline.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    /// The same socket, to set how long it may wait.
    patience: Patience,
    deadline: Instant,
    buffer: Vec<u8>,
    at: usize,
}

enum Patience {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Patience {
    fn set(&self, left: Duration) -> io::Result<()> {
        let left = Some(left.max(WAIT_MIN));
        match self {
            Self::Tcp(s) => s.set_read_timeout(left).and(s.set_write_timeout(left)),
            Self::Unix(s) => s.set_read_timeout(left).and(s.set_write_timeout(left)),
        }
    }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the server did not answer in time")
}

impl Connection {
    /// Connects to `host:port`, through `encrypt` if there is one. `name` is what the server's
    /// certificate is for, when that is not its host.
    pub(super) fn tcp(
        address: &str,
        encrypt: Option<&Encrypt>,
        name: &str,
        deadline: Instant,
    ) -> io::Result<Self> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for a in address.to_socket_addrs()? {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(late());
            }
            match TcpStream::connect_timeout(&a, left) {
                Ok(socket) => {
                    socket.set_nodelay(true)?;
                    let patience = Patience::Tcp(socket.try_clone()?);
                    patience.set(deadline.saturating_duration_since(Instant::now()))?;
                    let stream: Box<dyn Stream> = match encrypt {
                        Some(e) => {
                            let host = address.rsplit_once(':').map_or(address, |(h, _)| h);
                            let host = host.trim_matches(['[', ']']);
                            e(socket, if name.is_empty() { host } else { name })?
                        }
                        None => Box::new(socket),
                    };
                    return Ok(Self::new(stream, patience, deadline));
                }
                Err(e) => last = e,
            }
        }
        Err(last)
    }

    /// Connects to a socket of the file system.
    pub(super) fn unix(path: &str, deadline: Instant) -> io::Result<Self> {
        let left = deadline.saturating_duration_since(Instant::now());
        let socket = unix::connect(Path::new(path), left.max(WAIT_MIN))?;
        let patience = Patience::Unix(socket.try_clone()?);
        Ok(Self::new(Box::new(socket), patience, deadline))
    }

    fn new(stream: Box<dyn Stream>, patience: Patience, deadline: Instant) -> Self {
        Self {
            stream,
            patience,
            deadline,
            buffer: Vec::new(),
            at: 0,
        }
    }

    /// Sends a command and reads its reply.
    pub(super) fn command(&mut self, words: &[&str]) -> Result<Reply, CommandError> {
        self.send(&[words.to_vec()])?;
        self.reply(0)
    }

    /// Sends commands together and reads their replies; none where the server refuses one. They
    /// share the bound of one reply.
    pub(super) fn commands(&mut self, commands: &[Vec<&str>]) -> io::Result<Vec<Option<Reply>>> {
        self.send(commands)?;
        let replies = commands.iter().map(|_| match self.reply(0) {
            Ok(r) => Ok(Some(r)),
            Err(CommandError::Refused(_)) => Ok(None),
            Err(CommandError::Broken(e)) => Err(e),
        });
        replies.collect()
    }

    fn send(&mut self, commands: &[Vec<&str>]) -> io::Result<()> {
        let mut request = String::new();
        for words in commands {
            request.push_str(&format!("*{}\r\n", words.len()));
            for w in words {
                request.push_str(&format!("${}\r\n{w}\r\n", w.len()));
            }
        }
        self.wait()?;
        self.stream.write_all(request.as_bytes())?;
        self.stream.flush()?;
        self.buffer.clear();
        self.at = 0;
        Ok(())
    }

    /// Sets the socket's patience to what is left.
    fn wait(&self) -> io::Result<()> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(late());
        }
        self.patience.set(left)
    }

    fn fill(&mut self) -> io::Result<()> {
        if self.buffer.len() >= REPLY_BYTES_MAX {
            return Err(io::Error::other("the reply is too long"));
        }
        self.wait()?;
        let mut piece = [0u8; 16 << 10];
        let n = match self.stream.read(&mut piece) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Err(late()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => 0,
            Err(e) => return Err(e),
        };
        self.buffer
            .extend_from_slice(piece.get(..n).unwrap_or_default());
        Ok(())
    }

    fn line(&mut self) -> io::Result<String> {
        let mut from = self.at;
        loop {
            let rest = self.buffer.get(from..).unwrap_or_default();
            if let Some(i) = rest.windows(2).position(|w| w == b"\r\n") {
                let line = self.buffer.get(self.at..from + i).unwrap_or_default();
                let line = String::from_utf8_lossy(line).into_owned();
                self.at = from + i + 2;
                return Ok(line);
            }
            from = self.buffer.len().saturating_sub(1).max(self.at);
            self.fill()?;
        }
    }

    fn reply(&mut self, depth: usize) -> Result<Reply, CommandError> {
        let strange = |what: &str| {
            let what = what.chars().take(40).collect::<String>();
            io::Error::other(format!("{what:?} is no reply of Redis"))
        };
        let line = self.line()?;
        let mut chars = line.chars();
        let kind = chars.next();
        let rest = chars.as_str();
        match kind {
            Some('+') => Ok(Reply::Text(rest.to_owned())),
            Some('-') => Err(CommandError::Refused(rest.to_owned())),
            Some(':') => Ok(Reply::Number(rest.parse().map_err(|_| strange(&line))?)),
            Some('$') => {
                let length: i64 = rest.parse().map_err(|_| strange(&line))?;
                let Ok(length) = usize::try_from(length) else {
                    return Ok(Reply::Nil);
                };
                if length > REPLY_BYTES_MAX {
                    return Err(io::Error::other("the reply is too long").into());
                }
                while self.buffer.len() < self.at + length + 2 {
                    self.fill()?;
                }
                let end = self.at + length;
                let text = self.buffer.get(self.at..end).unwrap_or_default();
                let text = String::from_utf8_lossy(text).into_owned();
                self.at = end + 2;
                Ok(Reply::Text(text))
            }
            Some('*') => {
                let n: i64 = rest.parse().map_err(|_| strange(&line))?;
                if depth >= DEPTH_MAX {
                    return Err(io::Error::other("the reply is nested too deep").into());
                }
                let mut all = Vec::new();
                for _ in 0..n {
                    // An error inside a list is a reply like any other.
                    match self.reply(depth + 1) {
                        Err(CommandError::Refused(why)) => all.push(Reply::Text(why)),
                        other => all.push(other?),
                    }
                }
                Ok(if n < 0 { Reply::Nil } else { Reply::List(all) })
            }
            _ => Err(strange(&line).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A server that answers each command with the next of `answers`.
    fn server(answers: Vec<Vec<u8>>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().expect("a client");
            let mut buffer = [0u8; 1024];
            for a in answers {
                let n = socket.read(&mut buffer).expect("a command");
                assert!(n > 0);
                // In two pieces, cut anywhere.
                let (head, tail) = a.split_at(a.len() / 2);
                socket.write_all(head).expect("sent");
                std::thread::sleep(Duration::from_millis(5));
                socket.write_all(tail).expect("sent");
            }
            // Stay open: who waits is to be ended by its deadline.
            drop(socket.read(&mut buffer));
        });
        address
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn replies_of_every_kind_are_read() {
        let address = server(vec![
            b"+OK\r\n".to_vec(),
            b"$5\r\na\r\nbc\r\n".to_vec(),
            b"*3\r\n:1\r\n$-1\r\n*1\r\n$1\r\nx\r\n".to_vec(),
            b"-ERR unknown command\r\n".to_vec(),
            b"+still here\r\n".to_vec(),
            b"hello\r\n".to_vec(),
        ]);
        let mut c = Connection::tcp(&address, None, "", soon()).expect("connected");
        let text = |t: &str| Reply::Text(t.into());
        assert_eq!(c.command(&["PING"]).expect("a reply"), text("OK"));
        assert_eq!(c.command(&["GET", "k"]).expect("a reply"), text("a\r\nbc"));
        let list = vec![Reply::Number(1), Reply::Nil, Reply::List(vec![text("x")])];
        assert_eq!(c.command(&["L"]).expect("a reply"), Reply::List(list));
        let refused = c.command(&["NOPE"]);
        assert!(matches!(refused, Err(CommandError::Refused(e)) if e == "ERR unknown command"));
        assert_eq!(c.command(&["PING"]).expect("a reply"), text("still here"));
        assert!(matches!(c.command(&["X"]), Err(CommandError::Broken(_))));
    }

    #[test]
    fn a_server_that_does_not_answer_costs_the_deadline() {
        let address = server(vec![b"$100\r\ncut".to_vec()]);
        let deadline = Instant::now() + Duration::from_millis(200);
        let mut c = Connection::tcp(&address, None, "", deadline).expect("connected");
        let e = c.command(&["INFO"]);
        assert!(matches!(e, Err(CommandError::Broken(e)) if e.kind() == io::ErrorKind::TimedOut));
    }

    #[test]
    fn a_reply_that_declares_too_much_is_refused() {
        let nested = b"*1\r\n".repeat(100);
        for bad in [b"$99999999999\r\n".to_vec(), nested, b"$x\r\n".to_vec()] {
            let mut c = Connection::tcp(&server(vec![bad]), None, "", soon()).expect("connected");
            assert!(matches!(c.command(&["X"]), Err(CommandError::Broken(_))));
        }
    }
}
