//! What the Docker engine sends of a container's output.
//!
//! Owns: the stream of frames (each with 8 bytes in front: which output, three zeros, length as
//! big-endian 32 bits) and the bare stream of a container with a terminal, the time in front of
//! each piece, the joining of pieces.
//! Knows nothing of: sockets, HTTP, labels.
//!
//! Invariants
//! - DKR1  A line of many pieces is one line with the time of its first piece; one without an end
//!   is given out in parts of [`LINE_BYTES_MAX`]. What a container left without an end when it
//!   stopped is a line of its own: what comes next has another time.

use jiff::Timestamp;

/// Longest line that is joined.
pub const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Largest frame: the engine cuts lines at 16 KiB.
const FRAME_BYTES_MAX: usize = 1024 * 1024;
/// Where the engine cuts lines: a shorter piece without an end is all that its writer left.
const PIECE_BYTES: usize = 16 * 1024;
/// Bytes in front of a frame.
const HEADER: usize = 8;

/// Which output of the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Standard output; everything of a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Output {
    /// Its name in labels.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where it was written.
    pub output: Output,
    /// The engine's time, ns since 1970; none when it gave none.
    pub time_ns: Option<i64>,
    /// Its text without the end of line.
    pub text: String,
}

/// Why the stream cannot be read on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// Open the stream again.
    #[error("the engine's stream has a frame of kind {0}, which is none of 0, 1, 2")]
    Kind(u8),
    /// Open the stream again.
    #[error("the engine's stream has a frame of {0} bytes")]
    Length(usize),
}

#[derive(Debug, Default)]
struct Partial {
    time_ns: Option<i64>,
    text: Vec<u8>,
    began: bool,
    /// The last piece was as long as pieces get.
    cut: bool,
}

/// Bytes of a container's stream to lines.
#[derive(Debug)]
pub struct Stream {
    terminal: bool,
    buffer: Vec<u8>,
    partial: [Partial; 2],
}

/// A piece without the time in front of it.
fn timed(piece: &[u8]) -> (Option<i64>, &[u8]) {
    let Some(space) = piece.iter().take(64).position(|b| *b == b' ') else {
        return (None, piece);
    };
    let (head, rest) = piece.split_at(space);
    let time = std::str::from_utf8(head)
        .ok()
        .and_then(|t| t.parse::<Timestamp>().ok());
    match time.and_then(|t| i64::try_from(t.as_nanosecond()).ok()) {
        Some(ns) => (Some(ns), rest.get(1..).unwrap_or_default()),
        None => (None, piece),
    }
}

impl Stream {
    /// The stream of a container with or without a terminal.
    #[must_use]
    pub fn new(terminal: bool) -> Self {
        Self {
            terminal,
            buffer: Vec::new(),
            partial: Default::default(),
        }
    }

    /// Takes bytes and gives the lines that they end.
    ///
    /// # Errors
    /// When the stream makes no sense.
    pub fn push(&mut self, bytes: &[u8], take: &mut dyn FnMut(Line)) -> Result<(), StreamError> {
        self.buffer.extend_from_slice(bytes);
        let buffer = std::mem::take(&mut self.buffer);
        let used = if self.terminal {
            Ok(self.lines(&buffer, take))
        } else {
            self.frames(&buffer, take)
        };
        self.buffer = buffer;
        self.buffer.drain(..used?);
        Ok(())
    }

    /// Time of the oldest line that has begun and not ended.
    #[must_use]
    pub fn waiting_since(&self) -> Option<i64> {
        self.partial
            .iter()
            .filter(|p| p.began)
            .filter_map(|p| p.time_ns)
            .min()
    }

    /// What is left when the stream has ended.
    pub fn finish(&mut self, take: &mut dyn FnMut(Line)) {
        if self.terminal && !self.buffer.is_empty() {
            let rest = std::mem::take(&mut self.buffer);
            self.piece(Output::Stdout, &rest, take);
        }
        for output in [Output::Stdout, Output::Stderr] {
            self.end(output, take);
        }
    }

    fn frames(&mut self, buffer: &[u8], take: &mut dyn FnMut(Line)) -> Result<usize, StreamError> {
        let mut at = 0;
        while let Some(header) = buffer.get(at..at + HEADER) {
            let output = match header[0] {
                0 | 1 => Output::Stdout,
                2 => Output::Stderr,
                other => return Err(StreamError::Kind(other)),
            };
            let len = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            if len > FRAME_BYTES_MAX {
                return Err(StreamError::Length(len));
            }
            let Some(piece) = buffer.get(at + HEADER..at + HEADER + len) else {
                break;
            };
            self.piece(output, piece, take);
            at += HEADER + len;
        }
        Ok(at)
    }

    fn lines(&mut self, buffer: &[u8], take: &mut dyn FnMut(Line)) -> usize {
        let mut used = 0;
        for line in buffer.split_inclusive(|b| *b == b'\n') {
            if !line.ends_with(b"\n") && line.len() < LINE_BYTES_MAX {
                break;
            }
            self.piece(Output::Stdout, line, take);
            used += line.len();
        }
        used
    }

    fn piece(&mut self, output: Output, piece: &[u8], take: &mut dyn FnMut(Line)) {
        let (time_ns, text) = timed(piece);
        let before = &self.partial[usize::from(output == Output::Stderr)];
        let other = time_ns.is_some() && time_ns != before.time_ns;
        if before.began && !before.cut && other {
            self.end(output, take);
        }
        let partial = &mut self.partial[usize::from(output == Output::Stderr)];
        if !partial.began {
            (partial.began, partial.time_ns) = (true, time_ns);
        }
        partial.cut = text.len() >= PIECE_BYTES;
        partial.text.extend_from_slice(text);
        if piece.ends_with(b"\n") || partial.text.len() >= LINE_BYTES_MAX {
            self.end(output, take);
        }
    }

    fn end(&mut self, output: Output, take: &mut dyn FnMut(Line)) {
        let whole = std::mem::take(&mut self.partial[usize::from(output == Output::Stderr)]);
        if !whole.began {
            return;
        }
        let text = whole.text.as_slice();
        let ends = |b: &&u8| matches!(b, b'\r' | b'\n');
        let end = text.len() - text.iter().rev().take_while(ends).count();
        let text = text.get(..end).unwrap_or(text);
        take(Line {
            output,
            time_ns: whole.time_ns,
            text: String::from_utf8_lossy(text).into_owned(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, text: &str) -> Vec<u8> {
        let mut out = vec![kind, 0, 0, 0];
        out.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
        out.extend(text.as_bytes());
        out
    }

    #[test]
    fn frames_are_joined_to_lines_in_any_pieces() {
        let at = |s: u8, text: &str| format!("2024-01-01T00:00:0{s}.000000001Z {text}");
        let long = "x".repeat(16 * 1024);
        let mut bytes = frame(1, &at(1, "out\n"));
        bytes.extend(frame(2, &at(2, "err\r\r\n")));
        bytes.extend(frame(1, &at(3, &long)));
        bytes.extend(frame(2, &at(4, "between\n")));
        bytes.extend(frame(1, &at(5, "end\n")));
        bytes.extend(frame(1, "\n"));
        bytes.extend(frame(1, &at(6, "cut")));
        for size in [1, 7, 100, bytes.len()] {
            let (mut s, mut seen) = (Stream::new(false), Vec::new());
            for piece in bytes.chunks(size) {
                s.push(piece, &mut |l| seen.push(l)).unwrap();
            }
            assert!(s.waiting_since().is_some());
            s.finish(&mut |l| seen.push(l));
            let base = 1_704_067_200_000_000_001;
            let times: Vec<_> = seen
                .iter()
                .map(|l| l.time_ns.map(|t| (t - base) / 1_000_000_000))
                .collect();
            assert_eq!(times, [Some(1), Some(2), Some(4), Some(3), None, Some(6)]);
            assert_eq!(seen[0].text, "out");
            assert_eq!(
                (seen[1].text.as_str(), seen[1].output),
                ("err", Output::Stderr)
            );
            assert_eq!(seen[3].text, format!("{long}end"));
            assert_eq!((seen[4].text.as_str(), seen[5].text.as_str()), ("", "cut"));
        }
    }

    /// A container that stops in the middle of a line, and is started again.
    #[test]
    fn what_was_left_without_an_end_is_a_line() {
        let at = |s: u8, text: &str| format!("2024-01-01T00:00:0{s}Z {text}");
        let (mut s, mut seen) = (Stream::new(false), Vec::new());
        for text in [
            at(1, "a"),
            at(1, "b"),
            at(2, "c\n"),
            at(3, "d"),
            at(4, "e\n"),
        ] {
            s.push(&frame(1, &text), &mut |l| seen.push(l.text))
                .unwrap();
        }
        assert_eq!(seen, ["ab", "c", "d", "e"]);
    }

    #[test]
    fn a_terminal_has_no_frames() {
        let (mut s, mut seen) = (Stream::new(true), Vec::new());
        for piece in b"2024-01-01T00:00:00Z a b\r\n2024-01-01T00:00:01Z c\nrest".chunks(5) {
            s.push(piece, &mut |l| seen.push(l.text)).unwrap();
        }
        assert_eq!(seen, ["a b", "c"]);
        s.finish(&mut |l| seen.push(l.text));
        assert_eq!(seen[2], "rest");
    }

    #[test]
    fn nonsense_is_refused() {
        let mut s = Stream::new(false);
        assert_eq!(s.push(b"HTTP/1.1", &mut drop), Err(StreamError::Kind(b'H')));
        let mut s = Stream::new(false);
        let huge = [1, 0, 0, 0, 255, 255, 255, 255];
        assert!(matches!(
            s.push(&huge, &mut drop),
            Err(StreamError::Length(_))
        ));
    }
}
