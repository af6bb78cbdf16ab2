//! Lines that compress and parse worse than access logs: stack traces in pieces, nested JSON.
//!
//! Owns: what such lines look like. The same seed gives the same lines.
//! Knows nothing of: who stores them.

use std::fmt::Write as _;

/// Words of messages, packages and keys.
const WORDS: [&str; 24] = [
    "order", "payment", "session", "cache", "index", "invoice", "carrier", "ledger", "token",
    "profile", "shard", "quota", "basket", "refund", "tenant", "router", "policy", "upload",
    "search", "digest", "mailer", "worker", "signal", "region",
];

/// Exceptions with how often one comes.
const FAULTS: [&str; 6] = [
    "java.net.SocketTimeoutException: Read timed out",
    "java.lang.IllegalStateException: connection is closed",
    "java.lang.NullPointerException",
    "com.example.store.ConflictException: version changed",
    "java.util.concurrent.RejectedExecutionException: queue is full",
    "java.lang.OutOfMemoryError: Java heap space",
];

/// Makes lines.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    state: u64,
    /// Lines of a trace that come next, the last first.
    waiting: Vec<String>,
}

impl Lines {
    /// Lines of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            state: seed | 1,
            waiting: Vec::new(),
        }
    }

    fn below(&mut self, n: usize) -> usize {
        // xorshift64*, after Vigna.
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let high = self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        high as usize % n
    }

    fn word(&mut self) -> &'static str {
        WORDS[self.below(WORDS.len())]
    }

    fn frame(&mut self) -> String {
        let (a, b, c) = (self.word(), self.word(), self.word());
        // Few places throw most of the time.
        let line = 20 + self.below(12) * self.below(12) * 3;
        let (class, rest) = b.split_at(1);
        format!(
            "\tat com.example.{a}.{}{rest}Service.{c}(",
            class.to_uppercase()
        ) + &format!("{}{rest}Service.java:{line})", class.to_uppercase())
    }

    fn trace(&mut self) {
        let fault = FAULTS[self.below(FAULTS.len())];
        let mut all = vec![format!(
            "Exception in thread \"worker-{}\" {fault}",
            self.below(64)
        )];
        for _ in 0..6 + self.below(20) {
            all.push(self.frame());
        }
        if self.below(3) == 0 {
            all.push(format!("Caused by: {}", FAULTS[self.below(FAULTS.len())]));
            for _ in 0..2 + self.below(5) {
                all.push(self.frame());
            }
            all.push(format!("\t... {} more", 3 + self.below(30)));
        }
        all.reverse();
        self.waiting = all;
    }

    fn object(&mut self) -> String {
        let level = ["info", "info", "info", "warn", "error"][self.below(5)];
        let mut s = format!(
            "{{\"level\":\"{level}\",\"service\":\"{}\",\"trace\":{{\"id\":\"{:08x}{:08x}{:08x}\",\"span\":\"{:08x}\",\"sampled\":{}}}",
            self.word(),
            self.below(1 << 31),
            self.below(1 << 31),
            self.below(1 << 31),
            self.below(1 << 31),
            self.below(2) == 0,
        );
        let took = self.below(1000) * self.below(1000);
        let (verb, a, b) = (
            ["GET", "POST", "PUT"][self.below(3)],
            self.word(),
            self.word(),
        );
        let code = [200, 200, 200, 201, 404, 500][self.below(6)];
        let id = self.below(100_000);
        write!(
            s,
            ",\"http\":{{\"method\":\"{verb}\",\"path\":\"/{a}/{id}/{b}\",\"status\":{code},\"took_us\":{took}}},\"items\":["
        )
        .unwrap();
        for i in 0..self.below(4) {
            let comma = if i > 0 { "," } else { "" };
            let (sku, count, price) = (self.below(5000), 1 + self.below(9), self.below(90_000));
            write!(
                s,
                "{comma}{{\"sku\":\"S-{sku:05}\",\"count\":{count},\"price\":{}.{:02}}}",
                price / 100,
                price % 100
            )
            .unwrap();
        }
        let (c, d) = (self.word(), self.word());
        write!(
            s,
            "],\"msg\":\"{c} of {d} {} done\"}}",
            self.below(1_000_000)
        )
        .unwrap();
        s
    }
}

impl Iterator for Lines {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        if let Some(line) = self.waiting.pop() {
            return Some(line);
        }
        if self.below(12) == 0 {
            self.trace();
            return self.waiting.pop();
        }
        Some(self.object())
    }
}
