//! Messages in a stream: counted (`LEN SP MSG`) or ended by a line feed (RFC 6587). A sender's
//! choice shows in the first byte of each message: a digit, or `<`.

use super::SyslogError;

/// Digits of a count at most.
const COUNT_DIGITS_MAX: usize = 10;

/// How a message was told from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// By its length.
    Counted,
    /// By a line feed.
    Line,
}

/// Bytes of a connection that are no messages yet.
#[derive(Debug)]
pub struct Frames {
    buffer: Vec<u8>,
    /// Where the next message begins.
    start: usize,
    /// Bytes behind `start` without a line feed.
    searched: usize,
    /// The rest of a line that was too long is skipped.
    skipping: bool,
    max: usize,
}

impl Frames {
    /// Nothing yet; messages have at most `max` bytes.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            searched: 0,
            skipping: false,
            max,
        }
    }

    /// Takes bytes. Call [`Self::next_message`] until it gives none before the next call (SYL1).
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message that is complete; none without one. Nothing after
    /// [`SyslogError::OutOfStep`] has a meaning.
    pub fn next_message(&mut self) -> Option<Result<(&[u8], Framing), SyslogError>> {
        if self.skipping && !self.skip_line() {
            return None;
        }
        // Line feeds behind counted messages, and empty lines.
        while matches!(self.buffer.get(self.start), Some(b'\n' | b'\r' | 0)) {
            self.advance(1);
        }
        match self.buffer.get(self.start)? {
            b'0'..=b'9' => self.counted(),
            b'<' => self.line(),
            other => {
                let text = format!("expecting a digit or <, got {:?}", char::from(*other));
                Some(Err(SyslogError::OutOfStep(text)))
            }
        }
    }

    /// What is left at the end of the connection: a last line may lack its line feed.
    pub fn finish(&mut self) -> Option<&[u8]> {
        let rest = self.buffer.get(self.start..)?;
        self.start = self.buffer.len();
        (rest.first() == Some(&b'<') && !self.skipping).then_some(rest)
    }

    fn advance(&mut self, n: usize) {
        self.start += n;
        self.searched = 0;
    }

    fn counted(&mut self) -> Option<Result<(&[u8], Framing), SyslogError>> {
        let rest = self.buffer.get(self.start..)?;
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let out_of_step = |text: String| Some(Err(SyslogError::OutOfStep(text)));
        if digits > COUNT_DIGITS_MAX {
            return out_of_step("expecting a length of a message".into());
        }
        let behind = *rest.get(digits)?;
        if behind != b' ' {
            return out_of_step("expecting a space behind the length of a message".into());
        }
        let text = std::str::from_utf8(rest.get(..digits)?).unwrap_or_default();
        let len = text.parse::<usize>().unwrap_or(usize::MAX);
        if len > self.max {
            let max = self.max;
            return out_of_step(format!("message of {len} bytes, more than {max}"));
        }
        let from = self.start + digits + 1;
        if self.buffer.len() < from + len {
            return None;
        }
        self.advance(digits + 1 + len);
        Some(Ok((self.buffer.get(from..from + len)?, Framing::Counted)))
    }

    fn line(&mut self) -> Option<Result<(&[u8], Framing), SyslogError>> {
        let from = self.start + self.searched;
        let found = self.buffer.get(from..)?.iter().position(|b| *b == b'\n');
        let Some(n) = found else {
            self.searched = self.buffer.len() - self.start;
            if self.searched > self.max {
                self.skipping = true;
                let n = self.searched;
                self.advance(n);
                return Some(Err(SyslogError::TooLong { max: self.max }));
            }
            return None;
        };
        let (first, end) = (self.start, from + n);
        self.advance(end + 1 - first);
        if end - first > self.max {
            return Some(Err(SyslogError::TooLong { max: self.max }));
        }
        Some(Ok((self.buffer.get(first..end)?, Framing::Line)))
    }

    /// True when the line's end was found.
    fn skip_line(&mut self) -> bool {
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        let found = rest.iter().position(|b| *b == b'\n');
        let n = found.map_or(rest.len(), |n| n + 1);
        self.advance(n);
        self.skipping = found.is_none();
        !self.skipping
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(frames: &mut Frames) -> Vec<Result<String, SyslogError>> {
        let mut out = Vec::new();
        while let Some(f) = frames.next_message() {
            let f = f.map(|(b, _)| String::from_utf8_lossy(b).into_owned());
            let stop = matches!(f, Err(SyslogError::OutOfStep(_)));
            out.push(f);
            if stop {
                break;
            }
        }
        out
    }

    #[test]
    fn both_framings_in_any_pieces() {
        let stream = b"5 <1>ab<2>cd\n\n4 <3>e\n<4>f\n6 <5>\nxx";
        for size in 1..stream.len() {
            let mut frames = Frames::new(100);
            let mut seen = Vec::new();
            for piece in stream.chunks(size) {
                frames.push(piece);
                seen.extend(all(&mut frames).into_iter().map(Result::unwrap));
            }
            assert_eq!(
                seen,
                ["<1>ab", "<2>cd", "<3>e", "<4>f", "<5>\nxx"],
                "{size}"
            );
        }
    }

    #[test]
    fn too_long_lines_are_skipped_and_counts_end_the_stream() {
        let mut frames = Frames::new(8);
        let mut seen = Vec::new();
        for piece in b"<1>0123456789\n<2>ok\n".chunks(3) {
            frames.push(piece);
            seen.extend(all(&mut frames));
        }
        assert_eq!(
            seen,
            [Err(SyslogError::TooLong { max: 8 }), Ok("<2>ok".into())]
        );
        frames.push(b"9 <1>123456");
        assert!(matches!(
            all(&mut frames)[..],
            [Err(SyslogError::OutOfStep(_))]
        ));
        let mut frames = Frames::new(8);
        frames.push(b"hello\n");
        assert!(matches!(
            all(&mut frames)[..],
            [Err(SyslogError::OutOfStep(_))]
        ));
        let mut frames = Frames::new(8);
        frames.push(b"<1>end");
        assert!(all(&mut frames).is_empty());
        assert_eq!(frames.finish(), Some(&b"<1>end"[..]));
    }
}
