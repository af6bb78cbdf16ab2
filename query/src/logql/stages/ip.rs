//! `ip("10.0.0.0/8")`: addresses, ranges and networks, searched in text.

use std::net::IpAddr;

/// What an address is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IpMatch {
    /// From, to; both included, of one family.
    Range(IpAddr, IpAddr),
}

impl IpMatch {
    /// Reads an address, `a-b` or a network in CIDR form.
    ///
    /// # Errors
    /// The text of the error.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let bad = || format!("ip: invalid pattern: {text:?}");
        if let Some((from, to)) = text.split_once('-') {
            let from: IpAddr = from.trim().parse().map_err(|_| bad())?;
            let to: IpAddr = to.trim().parse().map_err(|_| bad())?;
            if from.is_ipv4() != to.is_ipv4() || from > to {
                return Err(bad());
            }
            return Ok(Self::Range(from, to));
        }
        if let Some((net, bits)) = text.split_once('/') {
            let net: IpAddr = net.parse().map_err(|_| bad())?;
            let bits: u32 = bits.parse().map_err(|_| bad())?;
            return network(net, bits).ok_or_else(bad);
        }
        let one: IpAddr = text.parse().map_err(|_| bad())?;
        Ok(Self::Range(one, one))
    }

    fn holds(&self, ip: IpAddr) -> bool {
        let Self::Range(from, to) = self;
        ip.is_ipv4() == from.is_ipv4() && *from <= ip && ip <= *to
    }

    /// Whether some address in `text` is in the range. A run of address characters that is no
    /// address is skipped whole, with the character after it.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        let b = text.as_bytes();
        let mut i = 0;
        while i < b.len() {
            let rest = &b[i..];
            let run = if looks_like_v4(rest) {
                Some(span(rest, |c| c.is_ascii_digit() || c == b'.'))
            } else if looks_like_v6(rest) {
                Some(span(rest, |c| {
                    c.is_ascii_hexdigit() || matches!(c, b':' | b'.')
                }))
            } else {
                None
            };
            if let Some(len) = run {
                let address = text.get(i..i + len).and_then(|t| t.parse().ok());
                if address.is_some_and(|a| self.holds(a)) {
                    return true;
                }
                i += len;
            }
            i += 1;
        }
        false
    }
}

fn network(net: IpAddr, bits: u32) -> Option<IpMatch> {
    Some(match net {
        IpAddr::V4(a) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            let from = u32::from(a) & mask;
            IpMatch::Range(IpAddr::V4(from.into()), IpAddr::V4((from | !mask).into()))
        }
        IpAddr::V6(a) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            let from = u128::from(a) & mask;
            IpMatch::Range(IpAddr::V6(from.into()), IpAddr::V6((from | !mask).into()))
        }
        _ => return None,
    })
}

fn span(b: &[u8], wanted: impl Fn(u8) -> bool) -> usize {
    b.iter().take_while(|c| wanted(**c)).count()
}

fn looks_like_v4(b: &[u8]) -> bool {
    matches!(b, [first, rest @ ..] if first.is_ascii_digit() && rest.len() >= 3 && rest[..3].contains(&b'.'))
}

fn looks_like_v6(b: &[u8]) -> bool {
    if b.len() < 5 {
        return false;
    }
    if b.starts_with(b"::") {
        return b[2].is_ascii_hexdigit();
    }
    let digits = span(&b[..4], |c| c.is_ascii_hexdigit());
    digits > 0 && b[digits] == b':'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_addresses_in_text() {
        for (pattern, text, want) in [
            ("10.0.0.0/24", "from 10.0.0.7 port 1", true),
            ("10.0.0.0/24", "10.0.1.7", false),
            ("10.0.0.1", "10.0.0.1:80", true),
            ("10.0.0.1", "10.0.0.1.", false),
            ("10.0.0.1-10.0.0.9", "x=10.0.0.9", true),
            ("2001:db8::/32", "addr=2001:db8:0:1::5 x", true),
            ("::1", "[::1]:80 ", true),
            ("0.0.0.0/0", "no address 1.2.3", false),
        ] {
            assert_eq!(
                IpMatch::new(pattern).unwrap().is_in(text),
                want,
                "{pattern} {text}"
            );
        }
        for bad in [
            "",
            "x",
            "10.0.0.0/33",
            "10.0.0.9-10.0.0.1",
            "1.2.3.4-::1",
            "10.0.0.256",
        ] {
            assert!(IpMatch::new(bad).is_err(), "{bad}");
        }
    }
}
