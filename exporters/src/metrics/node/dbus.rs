//! D-Bus, as much of it as asking one service takes: calls with texts, answers of any kind.
//!
//! Owns: the bytes on the socket, the bounds of what is read and how long it may take.
//! Knows nothing of: what is asked.
//!
//! Format: "D-Bus Specification", sections "Authentication Protocol", "Marshaling" and "Message
//! Protocol". We write little endian; peers may write either.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::metrics::unix;

/// All calls of a connection together must be answered within this time.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest message that is read. Ten thousand units take about three megabytes.
const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// Longest line of the handshake that is read.
const LINE_BYTES_MAX: usize = 4096;
/// Values within values.
const NESTING_MAX: u32 = 16;

const CALL: u8 = 1;
const ANSWER: u8 = 2;
const REFUSAL: u8 = 3;

/// Fields of a header.
const FIELD_PATH: u8 = 1;
const FIELD_INTERFACE: u8 = 2;
const FIELD_MEMBER: u8 = 3;
const FIELD_ERROR: u8 = 4;
const FIELD_ANSWER_TO: u8 = 5;
const FIELD_DESTINATION: u8 = 6;
const FIELD_SIGNATURE: u8 = 8;

/// A value; what stands in a variant is its content.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// Any number, boolean or handle.
    Number(f64),
    /// A text, path or signature.
    Text(String),
    /// The elements of an array, or the parts of a structure.
    List(Vec<Value>),
}

impl Value {
    /// The text, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(t) => Some(t),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Number(n) => Some(*n),
            _ => None,
        }
    }

    /// The elements, none if it is no list.
    pub(super) fn list(&self) -> &[Self] {
        match self {
            Self::List(l) => l,
            _ => &[],
        }
    }
}

/// What is called.
#[derive(Debug, Clone, Copy)]
pub(super) struct Method<'a> {
    /// Who answers; not needed where only one can.
    pub(super) destination: &'a str,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'a str,
}

/// A connection.
pub(super) struct Bus {
    stream: UnixStream,
    serial: u32,
    deadline: Instant,
}

impl Bus {
    /// Connects to the bus, or with `direct` to a service itself, at `path` and logs in as the user
    /// of this process.
    pub(super) fn connect(path: &Path, direct: bool) -> Result<Self, String> {
        let at = |e: &dyn std::fmt::Display| format!("D-Bus at {}: {e}", path.display());
        let deadline = Instant::now() + PATIENCE;
        let mut bus = Self {
            stream: unix::connect(path, PATIENCE).map_err(|e| at(&e))?,
            serial: 0,
            deadline,
        };
        bus.log_in().map_err(|e| at(&e))?;
        if !direct {
            const HELLO: Method<'_> = Method {
                destination: "org.freedesktop.DBus",
                path: "/org/freedesktop/DBus",
                interface: "org.freedesktop.DBus",
                member: "Hello",
            };
            bus.call(HELLO, &[]).map_err(|e| at(&e))?;
        }
        Ok(bus)
    }

    fn log_in(&mut self) -> Result<(), String> {
        let user = rustix::process::getuid().as_raw().to_string();
        let hex: String = user.bytes().map(|b| format!("{b:02x}")).collect();
        self.write(format!("\0AUTH EXTERNAL {hex}\r\n").as_bytes())?;
        let line = self.line()?;
        if !line.starts_with("OK ") {
            return Err(format!("login was refused: {}", line.trim_end()));
        }
        self.write(b"BEGIN\r\n")
    }

    /// A line of the handshake. Byte by byte: what follows the last one is a message.
    fn line(&mut self) -> Result<String, String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            self.read(&mut byte)?;
            line.push(byte[0]);
            if line.len() > LINE_BYTES_MAX {
                return Err("a line of the login is too long".into());
            }
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    /// Time that is left; never zero, which would mean any time.
    fn left(&self) -> Result<Option<Duration>, String> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(format!("no answer within {} s", PATIENCE.as_secs()));
        }
        Ok(Some(left))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let left = self.left()?;
        let set = self.stream.set_write_timeout(left);
        set.and_then(|()| self.stream.write_all(bytes))
            .map_err(|e| e.to_string())
    }

    fn read(&mut self, mut buf: &mut [u8]) -> Result<(), String> {
        use std::io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
        while !buf.is_empty() {
            let left = self.left()?;
            self.stream
                .set_read_timeout(left)
                .map_err(|e| e.to_string())?;
            match self.stream.read(buf) {
                Ok(0) => return Err("the connection was closed".into()),
                Ok(n) => buf = &mut buf[n..],
                // The deadline decides.
                Err(e) if matches!(e.kind(), WouldBlock | TimedOut | Interrupted) => {}
                Err(e) => return Err(e.to_string()),
            }
        }
        Ok(())
    }

    /// Calls a method with texts and gives the values of its answer.
    ///
    /// # Errors
    /// When the connection fails, the answer is late or broken, or the call is refused.
    pub(super) fn call(&mut self, method: Method<'_>, args: &[&str]) -> Result<Vec<Value>, String> {
        self.serial += 1;
        self.write(&call_message(method, args, self.serial))?;
        loop {
            let m = self.message()?;
            // Signals and answers to others are none of ours.
            if m.field(FIELD_ANSWER_TO).and_then(Value::number) != Some(f64::from(self.serial)) {
                continue;
            }
            let body = m.body()?;
            match m.kind {
                ANSWER => return Ok(body),
                REFUSAL => {}
                _ => continue,
            }
            let name = m.field(FIELD_ERROR).and_then(Value::text);
            let text = body.first().and_then(Value::text).unwrap_or_default();
            let member = method.member;
            return Err(format!("{member}: {}: {text}", name.unwrap_or("refused")));
        }
    }

    /// The next message.
    fn message(&mut self) -> Result<Message, String> {
        let mut bytes = vec![0; 16];
        self.read(&mut bytes)?;
        let big = match bytes[0] {
            b'l' => false,
            b'B' => true,
            _ => return Err("a message with an unknown byte order".into()),
        };
        let word = |at: usize| {
            Cursor {
                bytes: &bytes,
                at,
                big,
            }
            .u32()
        };
        let (body, fields) = (word(4)? as usize, word(12)? as usize);
        let start = fields.saturating_add(16).next_multiple_of(8);
        let total = start.saturating_add(body);
        if fields > MESSAGE_BYTES_MAX || total > MESSAGE_BYTES_MAX {
            return Err(format!("a message of {total} bytes is too long"));
        }
        let kind = bytes[1];
        bytes.resize(total, 0);
        self.read(&mut bytes[16..])?;
        let mut header = Cursor {
            bytes: &bytes[..start],
            at: 12,
            big,
        };
        let fields = header.value(&mut &b"a(yv)"[..], 0)?;
        Ok(Message {
            kind,
            big,
            fields,
            body: bytes.split_off(start),
        })
    }
}

struct Message {
    kind: u8,
    big: bool,
    fields: Value,
    body: Vec<u8>,
}

impl Message {
    fn field(&self, code: u8) -> Option<&Value> {
        let code = Value::Number(f64::from(code));
        let mut fields = self.fields.list().iter().map(Value::list);
        fields.find_map(|f| (f.first() == Some(&code)).then(|| f.get(1))?)
    }

    fn body(&self) -> Result<Vec<Value>, String> {
        let signature = self.field(FIELD_SIGNATURE).and_then(Value::text);
        let mut rest = signature.unwrap_or_default().as_bytes();
        let mut cursor = Cursor {
            bytes: &self.body,
            at: 0,
            big: self.big,
        };
        let mut all = Vec::new();
        while !rest.is_empty() {
            all.push(cursor.value(&mut rest, 0)?);
        }
        Ok(all)
    }
}

/// Reads values. Positions count from a multiple of eight, as alignment does.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    big: bool,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(n);
        let taken = end.and_then(|e| self.bytes.get(self.at..e));
        self.at = end.unwrap_or(usize::MAX);
        taken.ok_or_else(|| "a message ends early".into())
    }

    fn align(&mut self, n: usize) {
        self.at = self.at.next_multiple_of(n);
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.align(N);
        let mut own = [0; N];
        own.copy_from_slice(self.take(N)?);
        if self.big {
            own.reverse();
        }
        Ok(own)
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.fixed().map(u32::from_le_bytes)
    }

    fn text(&mut self, len: usize) -> Result<Value, String> {
        let text = String::from_utf8_lossy(self.take(len)?).into_owned();
        // It is followed by a byte of 0.
        self.take(1)?;
        Ok(Value::Text(text))
    }

    /// One value of the type that `signature` begins with.
    fn value(&mut self, signature: &mut &[u8], depth: u32) -> Result<Value, String> {
        if depth > NESTING_MAX {
            return Err("values are nested too deeply".into());
        }
        let (first, rest) = signature.split_first().ok_or("a type is missing")?;
        *signature = rest;
        Ok(match first {
            b'y' => Value::Number(f64::from(self.take(1)?[0])),
            b'n' => Value::Number(f64::from(i16::from_le_bytes(self.fixed()?))),
            b'q' => Value::Number(f64::from(u16::from_le_bytes(self.fixed()?))),
            b'i' => Value::Number(f64::from(i32::from_le_bytes(self.fixed()?))),
            b'b' | b'u' | b'h' => Value::Number(f64::from(self.u32()?)),
            b'x' => Value::Number(i64::from_le_bytes(self.fixed()?) as f64),
            b't' => Value::Number(u64::from_le_bytes(self.fixed()?) as f64),
            b'd' => Value::Number(f64::from_le_bytes(self.fixed()?)),
            b's' | b'o' => {
                let len = self.u32()? as usize;
                self.text(len)?
            }
            b'g' => {
                let len = usize::from(self.take(1)?[0]);
                self.text(len)?
            }
            b'v' => {
                let len = usize::from(self.take(1)?[0]);
                let own = self.take(len)?;
                self.take(1)?;
                self.value(&mut &*own, depth + 1)?
            }
            b'(' | b'{' => {
                self.align(8);
                let mut parts = Vec::new();
                while !matches!(signature.first(), Some(b')' | b'}')) {
                    parts.push(self.value(signature, depth + 1)?);
                }
                *signature = &signature[1..];
                Value::List(parts)
            }
            b'a' => {
                let len = self.u32()? as usize;
                self.align(alignment(signature.first()));
                let end = self.at.checked_add(len);
                let end = end.filter(|e| *e <= self.bytes.len());
                let end = end.ok_or("an array ends behind its message")?;
                let element = *signature;
                skip(signature, depth)?;
                let mut all = Vec::new();
                while self.at < end {
                    let before = self.at;
                    all.push(self.value(&mut &*element, depth + 1)?);
                    if self.at == before {
                        return Err("elements without bytes".into());
                    }
                }
                Value::List(all)
            }
            other => return Err(format!("unknown type {:?}", char::from(*other))),
        })
    }
}

fn alignment(kind: Option<&u8>) -> usize {
    match kind {
        Some(b'n' | b'q') => 2,
        Some(b'x' | b't' | b'd' | b'(' | b'{') => 8,
        Some(b'y' | b'g' | b'v') => 1,
        _ => 4,
    }
}

/// Goes over one type.
fn skip(signature: &mut &[u8], depth: u32) -> Result<(), String> {
    if depth > NESTING_MAX {
        return Err("types are nested too deeply".into());
    }
    let (first, rest) = signature.split_first().ok_or("a type is missing")?;
    *signature = rest;
    match first {
        b'a' => skip(signature, depth + 1),
        b'(' | b'{' => {
            while !matches!(signature.first(), Some(b')' | b'}')) {
                skip(signature, depth + 1)?;
            }
            *signature = &signature[1..];
            Ok(())
        }
        _ => Ok(()),
    }
}

fn pad(out: &mut Vec<u8>, n: usize) {
    out.resize(out.len().next_multiple_of(n), 0);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    pad(out, 4);
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
    out.push(0);
}

fn put_signature(out: &mut Vec<u8>, signature: &str) {
    out.push(signature.len() as u8);
    out.extend(signature.as_bytes());
    out.push(0);
}

/// The bytes of a call.
fn call_message(method: Method<'_>, args: &[&str], serial: u32) -> Vec<u8> {
    let mut body = Vec::new();
    args.iter().for_each(|a| put_text(&mut body, a));
    let mut fields = Vec::new();
    for (code, kind, text) in [
        (FIELD_PATH, "o", method.path),
        (FIELD_INTERFACE, "s", method.interface),
        (FIELD_MEMBER, "s", method.member),
        (FIELD_DESTINATION, "s", method.destination),
    ] {
        pad(&mut fields, 8);
        fields.push(code);
        put_signature(&mut fields, kind);
        put_text(&mut fields, text);
    }
    if !args.is_empty() {
        pad(&mut fields, 8);
        fields.push(FIELD_SIGNATURE);
        put_signature(&mut fields, "g");
        put_signature(&mut fields, &"s".repeat(args.len()));
    }
    message(CALL, serial, &fields, &body)
}

fn message(kind: u8, serial: u32, fields: &[u8], body: &[u8]) -> Vec<u8> {
    let mut out = vec![b'l', kind, 0, 1];
    out.extend((body.len() as u32).to_le_bytes());
    out.extend(serial.to_le_bytes());
    out.extend((fields.len() as u32).to_le_bytes());
    out.extend(fields);
    pad(&mut out, 8);
    out.extend(body);
    out
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;

    use super::*;

    /// What a fake service says to a call: the signature and bytes of an answer, or an error.
    pub(in crate::metrics::node) type Answer = Result<(String, Vec<u8>), String>;

    /// Answers calls at `path`, one connection after the other: gets the path, the member and the
    /// arguments of each.
    pub(in crate::metrics::node) fn serve(
        path: &Path,
        answer: impl Fn(&str, &str, &[Value]) -> Answer + Send + 'static,
    ) {
        let listener = UnixListener::bind(path).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut bus = Bus {
                    stream,
                    serial: 0,
                    deadline: Instant::now() + PATIENCE,
                };
                let line = bus.line().unwrap();
                assert!(line.starts_with("\0AUTH EXTERNAL "), "{line:?}");
                bus.write(b"OK 0123456789abcdef\r\n").unwrap();
                assert_eq!(bus.line().unwrap(), "BEGIN\r\n");
                while let Ok(m) = bus.message() {
                    let text = |code| m.field(code).and_then(Value::text).unwrap_or_default();
                    let args = m.body().unwrap();
                    let said = answer(text(FIELD_PATH), text(FIELD_MEMBER), &args);
                    bus.serial += 1;
                    let (kind, signature, body) = match said {
                        Ok((signature, body)) => (ANSWER, signature, body),
                        Err(e) => {
                            let mut body = Vec::new();
                            put_text(&mut body, &e);
                            (REFUSAL, "s".to_owned(), body)
                        }
                    };
                    let mut fields = vec![FIELD_ANSWER_TO];
                    put_signature(&mut fields, "u");
                    fields.extend(bus.serial.to_le_bytes());
                    if kind == REFUSAL {
                        pad(&mut fields, 8);
                        fields.push(FIELD_ERROR);
                        put_signature(&mut fields, "s");
                        put_text(&mut fields, "org.example.Refused");
                    }
                    pad(&mut fields, 8);
                    fields.push(FIELD_SIGNATURE);
                    put_signature(&mut fields, "g");
                    put_signature(&mut fields, &signature);
                    let sent = message(kind, bus.serial, &fields, &body);
                    bus.write(&sent).unwrap();
                }
            }
        });
    }

    /// A text as it stands in a body.
    pub(in crate::metrics::node) fn text(out: &mut Vec<u8>, text: &str) {
        put_text(out, text);
    }

    /// The content of a variant, with its type.
    pub(in crate::metrics::node) fn variant(signature: &str, align: usize, value: &[u8]) -> Answer {
        let mut body = Vec::new();
        put_signature(&mut body, signature);
        pad(&mut body, align);
        body.extend(value);
        Ok(("v".into(), body))
    }

    /// Aligned as structures are.
    pub(in crate::metrics::node) fn structure(out: &mut Vec<u8>) {
        pad(out, 8);
    }

    /// A place for a socket.
    pub(in crate::metrics::node) fn socket(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("sextant-{name}-{}", std::process::id()));
        drop(std::fs::remove_file(&path));
        path
    }

    fn read(signature: &str, bytes: &[u8], big: bool) -> Result<Value, String> {
        let mut rest = signature.as_bytes();
        Cursor { bytes, at: 0, big }.value(&mut rest, 0)
    }

    #[test]
    fn values_of_both_byte_orders() {
        let n = Value::Number;
        assert_eq!(read("u", &[1, 2, 0, 0], false), Ok(n(513.0)));
        assert_eq!(read("u", &[0, 0, 2, 1], true), Ok(n(513.0)));
        assert_eq!(read("n", &[0xff, 0xff], false), Ok(n(-1.0)));
        assert_eq!(read("t", &[0, 0, 0, 0, 0, 0, 1, 0], true), Ok(n(256.0)));
        assert_eq!(read("d", &1.5_f64.to_le_bytes(), false), Ok(n(1.5)));
        let text = Value::Text("ab".into());
        assert_eq!(read("s", b"\x02\0\0\0ab\0", false), Ok(text.clone()));
        assert_eq!(read("g", b"\x02ab\0", true), Ok(text.clone()));
        assert_eq!(read("v", b"\x01s\0\0\x02\0\0\0ab\0", false), Ok(text));
        // Array, padding to eight, two structures of a byte and an unsigned of 32 bits.
        let pairs = b"\x10\0\0\0\0\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0";
        let pair = |a, b| Value::List(vec![n(a), n(b)]);
        let want = Value::List(vec![pair(1.0, 2.0), pair(3.0, 4.0)]);
        assert_eq!(read("a(yu)", pairs, false), Ok(want));
        assert_eq!(read("aas", &[0; 4], false), Ok(Value::List(vec![])));
    }

    #[test]
    fn broken_values_are_errors() {
        for (signature, bytes) in [
            ("", &b"\0"[..]),
            ("u", b"\0\0\0"),
            ("s", b"\xff\xff\xff\xff"),
            ("s", b"\x01\0\0\0a"),
            ("z", b"\0"),
            ("a", &[0; 8]),
            ("(u", &[0; 8]),
            ("a(u", &[0; 8]),
            ("au", b"\xff\xff\xff\x7f"),
            ("v", b"\x01(\0\0\0\0\0\0"),
            ("a()", b"\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        ] {
            assert!(read(signature, bytes, false).is_err(), "{signature}");
        }
        let deep = "a".repeat(200) + "y";
        assert!(read(&deep, &[0; 8], false).is_err());
        // A variant in a variant in a variant.
        assert!(read("v", &b"\x01v\0".repeat(200), false).is_err());
    }

    #[test]
    fn calls_are_answered_or_refused() {
        let path = socket("dbus");
        serve(&path, |_, member, args| match member {
            "Hello" => Ok((String::new(), Vec::new())),
            "Say" => {
                let mut body = Vec::new();
                put_text(&mut body, args[1].text().unwrap());
                Ok(("s".into(), body))
            }
            _ => Err("not today".into()),
        });
        let mut bus = Bus::connect(&path, false).unwrap();
        let method = |member| Method {
            destination: "a.b",
            path: "/c",
            interface: "d.e",
            member,
        };
        let said = bus.call(method("Say"), &["x", "yes"]).unwrap();
        assert_eq!(said, [Value::Text("yes".into())]);
        let refused = bus.call(method("Run"), &[]).unwrap_err();
        assert_eq!(refused, "Run: org.example.Refused: not today");
        let nobody = Bus::connect(Path::new("/nowhere/bus"), false);
        assert!(nobody.is_err_and(|e| e.contains("/nowhere/bus")));
    }

    /// The reference implementation, where it is installed, understands us and we understand it.
    #[test]
    fn a_real_bus_answers() {
        let path = socket("real-dbus");
        let address = format!("--address=unix:path={}", path.display());
        let daemon = std::process::Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--nopidfile", &address])
            .spawn();
        let Ok(mut daemon) = daemon else {
            println!("dbus-daemon is not installed: not compared");
            return;
        };
        let until = Instant::now() + Duration::from_secs(30);
        while !path.exists() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        let own = Method {
            destination: "org.freedesktop.DBus",
            path: "/org/freedesktop/DBus",
            interface: "org.freedesktop.DBus",
            member: "ListNames",
        };
        let asked = Bus::connect(&path, false).and_then(|mut bus| {
            let names = bus.call(own, &[])?;
            let properties = Method {
                interface: "org.freedesktop.DBus.Properties",
                member: "Get",
                ..own
            };
            let features = bus.call(properties, &["org.freedesktop.DBus", "Features"])?;
            Ok((names, features))
        });
        drop(daemon.kill());
        drop(daemon.wait());
        let (names, features) = asked.unwrap();
        let bus = Value::Text("org.freedesktop.DBus".into());
        assert!(names[0].list().contains(&bus), "{names:?}");
        assert!(matches!(features[0], Value::List(_)), "{features:?}");
    }
}
