//! Sockets of the file system, connected to within a time.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};

/// Connects to the socket at `path`. A listener whose queue is full is waited for, `patience` at
/// most: the kernel takes the time to send for that.
///
/// # Errors
/// When nobody listens there, or the queue stays full.
pub(super) fn connect(path: &Path, patience: Duration) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(path)?;
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(patience))?;
    loop {
        match rustix::net::connect(&socket, &address) {
            Ok(()) => return Ok(socket.into()),
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "nobody took the connection in time",
                ));
            }
            Err(e) => return Err(e.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_queue_that_is_full_costs_the_patience() {
        let folder = std::env::temp_dir().join(format!("sextant-unix-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("s");
        let listener = UnixListener::bind(&path).expect("a socket");
        // Shorter than what the standard library asks for.
        rustix::net::listen(&listener, 0).expect("a queue");
        let patience = Duration::from_millis(50);
        let mut kept = Vec::new();
        // Nobody accepts, so sooner or later there is no place.
        let e = loop {
            match connect(&path, patience) {
                Ok(s) => kept.push(s),
                Err(e) => break e,
            }
            assert!(kept.len() < 10_000, "the queue has an end");
        };
        assert_eq!(e.kind(), io::ErrorKind::TimedOut, "{e}");
        // As soon as somebody does, there is.
        drop(listener.accept().expect("a connection"));
        connect(&path, Duration::from_secs(60)).expect("a place");
        let e = connect(&folder.join("nobody"), patience).expect_err("nobody");
        assert_eq!(e.kind(), io::ErrorKind::NotFound, "{e}");
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
