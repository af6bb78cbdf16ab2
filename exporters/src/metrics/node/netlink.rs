//! The kernel's routing socket: one dump of one table.
//!
//! Format: `rtnetlink(7)`. A dump is a series of messages, each a header of the table's own kind
//! followed by attributes: length and type of 16 bits each, then a value padded to four bytes.

use std::io;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::time::Timespec;

/// Interfaces.
pub(super) const GET_LINK: u16 = 18;
/// Routes.
pub(super) const GET_ROUTE: u16 = 26;
/// Queueing disciplines.
pub(super) const GET_QDISC: u16 = 38;

const REQUEST_DUMP: u16 = 0x301;
const MESSAGE_ERROR: u16 = 2;
const MESSAGE_DONE: u16 = 3;
/// Length, type, flags, sequence number, port.
const HEADER: usize = 16;
/// Most bytes of one dump: thousands of interfaces have some megabytes.
const DUMP_BYTES_MAX: usize = 64 << 20;
/// How long the kernel may take for one piece.
const PATIENCE_SECONDS: i64 = 5;

/// Asks for all entries of `table`, of which each begins with a header of `own_header` bytes, and
/// gives every entry to `each`.
pub(super) fn dump(
    table: u16,
    own_header: usize,
    each: &mut dyn FnMut(&[u8], Attributes<'_>),
) -> io::Result<()> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        // The routing protocol is the one with number 0, which is what none means.
        None,
    )?;
    let patience = Timespec {
        tv_sec: PATIENCE_SECONDS,
        tv_nsec: 0,
    };
    let mut request = Vec::with_capacity(HEADER + own_header);
    let length = u32::try_from(HEADER + own_header).unwrap_or(u32::MAX);
    request.extend_from_slice(&length.to_ne_bytes());
    request.extend_from_slice(&table.to_ne_bytes());
    request.extend_from_slice(&REQUEST_DUMP.to_ne_bytes());
    request.resize(HEADER + own_header, 0);
    rustix::net::sendto(
        &socket,
        &request,
        SendFlags::empty(),
        &SocketAddrNetlink::new(0, 0),
    )?;
    let mut buffer = vec![0u8; 64 << 10];
    let mut total = 0;
    loop {
        let mut ready = [rustix::event::PollFd::new(
            &socket,
            rustix::event::PollFlags::IN,
        )];
        if rustix::event::poll(&mut ready, Some(&patience))? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let (n, _) = rustix::net::recv(&socket, &mut buffer[..], RecvFlags::empty())?;
        total += n;
        if total > DUMP_BYTES_MAX {
            return Err(io::Error::other("the kernel's answer does not end"));
        }
        if messages(buffer.get(..n).unwrap_or_default(), own_header, each)? {
            return Ok(());
        }
    }
}

/// Reads the messages of one datagram; says whether the last one was among them.
fn messages(
    datagram: &[u8],
    own_header: usize,
    each: &mut dyn FnMut(&[u8], Attributes<'_>),
) -> io::Result<bool> {
    let mut rest = datagram;
    while rest.len() >= HEADER {
        let length = read_u32(rest, 0) as usize;
        let kind = read_u16(rest, 4);
        let Some(body) = rest.get(HEADER..length) else {
            return Err(io::Error::other("a message of the kernel is cut"));
        };
        match kind {
            MESSAGE_DONE => return Ok(true),
            MESSAGE_ERROR => {
                let code = i32::from_ne_bytes(read_u32(body, 0).to_ne_bytes());
                return Err(io::Error::from_raw_os_error(code.saturating_neg()));
            }
            _ => {
                if let Some((head, attributes)) = body.split_at_checked(own_header) {
                    each(head, Attributes(attributes));
                }
            }
        }
        rest = rest.get(padded(length)..).unwrap_or_default();
    }
    Ok(false)
}

fn padded(length: usize) -> usize {
    length.div_ceil(4) * 4
}

fn read_u16(bytes: &[u8], at: usize) -> u16 {
    let found = bytes.get(at..).and_then(|b| b.first_chunk());
    found.map_or(0, |b| u16::from_ne_bytes(*b))
}

/// A number of 32 bits; zero beyond the end.
pub(super) fn read_u32(bytes: &[u8], at: usize) -> u32 {
    let found = bytes.get(at..).and_then(|b| b.first_chunk());
    found.map_or(0, |b| u32::from_ne_bytes(*b))
}

/// A number of 64 bits, if the value is that long.
pub(super) fn read_u64(bytes: &[u8], at: usize) -> Option<u64> {
    let found = bytes.get(at..).and_then(|b| b.first_chunk());
    found.map(|b| u64::from_ne_bytes(*b))
}

/// Attributes: type and value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attributes<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(read_u16(self.0, 0));
        let value = self.0.get(4..length)?;
        // The highest bits say how the value is nested.
        let kind = read_u16(self.0, 2) & 0x3fff;
        self.0 = self.0.get(padded(length)..).unwrap_or_default();
        Some((kind, value))
    }
}

impl<'a> Attributes<'a> {
    /// The value of the first attribute of a type.
    pub(super) fn find(mut self, kind: u16) -> Option<&'a [u8]> {
        Iterator::find(&mut self, |(k, _)| *k == kind).map(|(_, v)| v)
    }
}

/// A text that ends with a zero byte.
pub(super) fn c_text(value: &[u8]) -> String {
    let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
    String::from_utf8_lossy(value.get(..end).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_and_hostile_messages_are_no_panic() {
        let mut seen = 0;
        let mut each = |_: &[u8], a: Attributes<'_>| seen += a.count();
        for bytes in [&[][..], &[1; 15], &[255; 64], &[0; 64]] {
            drop(messages(bytes, 16, &mut each));
        }
        let mut message = 28u32.to_ne_bytes().to_vec();
        message.extend_from_slice(&[16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        message.extend_from_slice(&7u32.to_ne_bytes());
        message.extend_from_slice(&6u16.to_ne_bytes());
        message.extend_from_slice(&3u16.to_ne_bytes());
        message.extend_from_slice(b"x\0\0\0");
        let mut name = String::new();
        let mut each = |head: &[u8], a: Attributes<'_>| {
            assert_eq!(read_u32(head, 0), 7);
            name = a.find(3).map(c_text).unwrap_or_default();
        };
        assert!(!messages(&message, 4, &mut each).expect("sound"));
        assert_eq!(name, "x");
    }
}
