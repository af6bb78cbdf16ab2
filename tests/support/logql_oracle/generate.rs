//! Well-formed queries from a seed.
//!
//! Owns: the grammar. Knows nothing of: what a query means.

#[path = "../rng.rs"]
mod rng;

pub use rng::Rng;

const NAMES: [&str; 16] = [
    "status",
    "dur",
    "size",
    "level",
    "addr",
    "n",
    "user",
    "msg",
    "app",
    "env",
    "host",
    "trace_id",
    "obj_n",
    "level_extracted",
    "status_extracted",
    "pod",
];

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out + "\""
}

/// Makes queries.
pub struct Generator<'r> {
    pub rng: &'r mut Rng,
}

impl Generator<'_> {
    fn pick<'s>(&mut self, of: &[&'s str]) -> &'s str {
        self.rng.pick(of)
    }

    fn name(&mut self) -> &'static str {
        self.rng.pick(&NAMES)
    }

    fn selector(&mut self) -> String {
        let first = self.pick(&[
            "app=\"api\"",
            "app=~\"api|web\"",
            "app=~\".+\"",
            "env=~\".+\"",
            "app!=\"\"",
            "app=~\".+\"",
            "env=\"prod\"",
            "env=~\"d.*|prod\"",
            "app=~\"a.*\", app!=\"db\"",
            "app=\"nothing\"",
        ]);
        let more = match self.rng.below(12) {
            0 => ", env!=\"dev\"",
            1 => ", level=\"\"",
            2 => ", host!~\"h-.*\"",
            3 => ", level=~\"info|\"",
            _ => "",
        };
        format!("{{{first}{more}}}")
    }

    fn line_filter(&mut self) -> String {
        let words = [
            "error",
            "info",
            "status",
            "200",
            " 500",
            "\"",
            "=",
            "10.0.0",
            "ümlaut",
            "\n",
            "\\",
            "",
            "level=info",
            "GET",
            "x",
            "\u{0}",
            "nothing has this",
        ];
        match self.rng.below(10) {
            0..=3 => {
                let op = self.pick(&["|=", "|=", "!="]);
                let mut out = format!(
                    "{op} {}",
                    quoted(self.rng.pick(&words)).replace('\0', "\\x00")
                );
                for _ in 0..self.rng.below(3) / 2 + usize::from(self.rng.chance(10)) {
                    let more = if self.rng.chance(20) {
                        "ip(\"10.0.0.0/8\")".to_owned()
                    } else {
                        quoted(self.rng.pick(&words)).replace('\0', "\\x00")
                    };
                    out += &format!(" or {more}");
                }
                out
            }
            4..=6 => {
                let op = self.pick(&["|~", "|~", "!~"]);
                let re = self.pick(&[
                    "err(or)?",
                    "(?i)ERROR|warn",
                    "status=\"?[45]",
                    "^\\\\{",
                    "level=(info|error)",
                    "",
                    "[0-9]{3}$",
                    "l.vel",
                    "(?s)two.lines",
                ]);
                let more = if self.rng.chance(15) {
                    " or \"GET\""
                } else {
                    ""
                };
                format!("{op} {}{more}", quoted(&re.replace("\\\\", "\\")))
            }
            7 | 8 => {
                let op = self.pick(&["|>", "|>", "!>"]);
                let p = self.pick(&[
                    "<_>level=<_>",
                    "<_> - <_> [<_>] <_>",
                    "{<_>}",
                    "level=<_>",
                    "<_>",
                    "",
                    "<_>info",
                    "<_>ü<_>",
                ]);
                format!("{op} {}", quoted(p))
            }
            _ => {
                let op = self.pick(&["|=", "!="]);
                format!("{op} ip(\"{}\")", self.address())
            }
        }
    }

    fn address(&mut self) -> &'static str {
        self.rng.pick(&[
            "10.0.0.0/8",
            "10.0.0.7",
            "192.168.1.0-192.168.1.30",
            "2001:db8::/32",
            "0.0.0.0/0",
        ])
    }

    fn one_filter(&mut self) -> String {
        let compare = self.pick(&["=", "==", "!=", ">", ">=", "<", "<="]);
        match self.rng.below(9) {
            0..=2 => {
                let name = self.name();
                let value = self.pick(&["200", "info", "error", "bob", "", "x", "prod", "api"]);
                format!("{name}{}{}", self.pick(&["=", "!="]), quoted(value))
            }
            3 => {
                let name = self.name();
                let re = self.pick(&[
                    "info|error",
                    "4.*|500",
                    "^b.*",
                    ".+",
                    ".*",
                    "[0-9]+",
                    "bob",
                    "er.*r",
                ]);
                format!("{name}{}{}", self.pick(&["=~", "!~"]), quoted(re))
            }
            4 | 5 => {
                let name = self.pick(&["status", "n", "size", "level", "obj_n"]);
                format!(
                    "{name} {compare} {}",
                    self.pick(&["200", "3", "499.5", "-1", "1e3", "0"])
                )
            }
            6 => {
                let name = self.pick(&["dur", "n", "dur"]);
                format!(
                    "{name} {compare} {}",
                    self.pick(&["10ms", "1.5s", "1m", "250us"])
                )
            }
            7 => {
                let name = self.pick(&["size", "n", "size"]);
                format!(
                    "{name} {compare} {}",
                    self.pick(&["1KB", "2MB", "512B", "1KiB"])
                )
            }
            _ => {
                let name = self.pick(&["addr", "addr", "msg"]);
                format!(
                    "{name} {} ip(\"{}\")",
                    self.pick(&["=", "!="]),
                    self.address()
                )
            }
        }
    }

    fn label_filter(&mut self) -> String {
        let mut out = self.one_filter();
        for _ in 0..self.rng.below(6).saturating_sub(3) {
            let right = self.one_filter();
            out = match self.rng.below(6) {
                0 => format!("({out}) or {right}"),
                1 => format!("{out} and {right}"),
                2 => format!("{out}, {right}"),
                3 => format!("{out} {right}"),
                4 => format!("({right} or {out})"),
                _ => format!("{out} or {right}"),
            };
        }
        out
    }

    fn json_expressions(&mut self) -> String {
        let mut out = Vec::new();
        let mut used = Vec::new();
        for _ in 0..1 + self.rng.below(2) {
            let label = self.pick(&["status", "got", "app", "inner", "level"]);
            if used.contains(&label) {
                continue;
            }
            used.push(label);
            let path = self.pick(&[
                "status",
                "obj.n",
                "[\"user\"]",
                "obj[\"level\"]",
                "msg[0]",
                "n[1].k",
                ".dur",
                "obj",
            ]);
            if self.rng.chance(15) {
                out.push(label.to_owned());
            } else {
                out.push(format!("{label}={}", quoted(path)));
            }
        }
        out.join(", ")
    }

    fn logfmt(&mut self) -> String {
        let flags = self.pick(&[
            "",
            "",
            "",
            " --strict",
            " --keep-empty",
            " --strict --keep-empty",
        ]);
        if self.rng.chance(70) {
            return format!("logfmt{flags}");
        }
        let rest = self.pick(&[
            "status",
            "got=\"status\", level",
            "app=\"user\"",
            "inner=\"n.sub_1\"",
            "lvl=\"level\", dur",
        ]);
        format!("logfmt{flags} {rest}")
    }

    fn parser(&mut self) -> String {
        match self.rng.below(12) {
            0..=2 => "json".to_owned(),
            3 => format!("json {}", self.json_expressions()),
            4..=7 => self.logfmt(),
            8 | 9 => {
                let re = self.pick(&[
                    "status=\"?(?P<status>[0-9]+)(?P<rest> .*)?",
                    "(?P<addr>[0-9.]+) - (?P<user>[a-z]+)",
                    "level=(?P<level>\\\\w+)",
                    "(?P<n>[0-9]+)(x(?P<none>y))?",
                ]);
                format!("regexp {}", quoted(&re.replace("\\\\", "\\")))
            }
            10 => {
                let p = self.pick(&[
                    "<addr> - <user> [<n>] \"<method> <path> <_>\" <status> <size>",
                    "<_>level=<level> <rest>",
                    "{\"<key>\":<value>,<_>",
                    "<first>=<second>",
                ]);
                format!("pattern {}", quoted(p))
            }
            _ => "unpack".to_owned(),
        }
    }

    fn field(&mut self) -> String {
        format!(".{}", self.name())
    }

    fn template_call(&mut self) -> String {
        let f = self.field();
        match self.rng.below(44) {
            0 => format!("{f} | lower"),
            1 => format!("{f} | upper"),
            2 => format!("ToLower {f}"),
            3 => format!("ToUpper {f}"),
            4 => format!("{f} | trim"),
            5 => format!("TrimSpace {f}"),
            6 => format!("trimAll \"a0\" {f}"),
            7 => format!("Trim {f} \"a0\""),
            8 => format!("TrimLeft {f} \"2i\""),
            9 => format!("TrimRight {f} \"0o\""),
            10 => format!("trimPrefix \"in\" {f}"),
            11 => format!("trimSuffix \"00\" {f}"),
            12 => format!("TrimPrefix {f} \"b\""),
            13 => format!("TrimSuffix {f} \"b\""),
            14 => format!("{f} | replace \"o\" \"0-0\""),
            15 => format!("Replace {f} \"0\" \"\" {}", self.pick(&["-1", "1", "0"])),
            16 => format!("{f} | repeat {}", self.rng.below(4)),
            17 => format!("{f} | indent 2"),
            18 => format!("{f} | nindent 3"),
            19 => format!(
                "{f} | trunc {}",
                self.pick(&["2", "0", "-2", "100", "-100"])
            ),
            20 => format!(
                "{f} | substr {}",
                self.pick(&["0 2", "1 3", "-1 2", "1 -1", "0 100"])
            ),
            21 => format!("alignLeft {} {f}", self.rng.below(8)),
            22 => format!("alignRight {} {f}", self.rng.below(8)),
            23 => format!("contains \"o\" {f}"),
            24 => format!("hasPrefix \"b\" {f}"),
            25 => format!("hasSuffix \"b\" {f}"),
            26 => format!("{f} | default \"none\""),
            27 => format!("{f} | count \"[0-9]\""),
            28 => format!("regexReplaceAll \"([a-z])([0-9]*)\" {f} \"${{1}}_\""),
            29 => format!("regexReplaceAllLiteral \"[a-z]\" {f} \"$1\""),
            30 => format!("{f} | urlencode"),
            31 => format!("{f} | b64enc"),
            32 => format!("add {f} 1 {}", self.field()),
            33 => format!("sub {f} 3"),
            34 => format!("mul {f} 2"),
            35 => format!("div {} {f}", self.pick(&["100", "7"])),
            36 => format!("mod {f} {}", self.pick(&["7", "3", "0"])),
            37 => format!("{} {f} 100", self.pick(&["max", "min"])),
            38 => format!("int {f}"),
            39 => format!("len {f}"),
            40 => format!("printf \"<%s %q>\" {f} {}", self.field()),
            41 => format!(
                "__timestamp__ | {}",
                self.pick(&["unixEpoch", "unixEpochMillis", "unixEpochNanos"])
            ),
            42 => format!(
                "{f} | trim | upper | replace \"A\" (ToLower {})",
                self.field()
            ),
            _ => "__line__".to_owned(),
        }
    }

    fn template(&mut self) -> String {
        let mut out = String::new();
        for _ in 0..1 + self.rng.below(3) {
            let call = self.template_call();
            out += &match self.rng.below(7) {
                0 => format!("{{{{{}}}}}", self.field()),
                1 => {
                    let f = self.field();
                    let test = match self.rng.below(6) {
                        0 => format!("eq {f} \"{}\"", self.pick(&["200", "info", ""])),
                        1 => format!("ne {f} \"bob\""),
                        2 => format!("not {f}"),
                        3 => format!("and {f} {}", self.field()),
                        4 => format!("or (contains \"o\" {f}) (hasPrefix \"1\" {f})"),
                        _ => format!("{} {f} \"b\"", self.pick(&["lt", "gt"])),
                    };
                    format!("{{{{if {test}}}}}{{{{{call}}}}}{{{{else}}}}no {{{{end}}}}")
                }
                2 => "text ".to_owned(),
                _ => format!("{{{{{call}}}}}{}", self.pick(&["", " ", "="])),
            };
        }
        out
    }

    fn picks(&mut self) -> String {
        let mut out = Vec::new();
        for _ in 0..1 + self.rng.below(3) {
            let name = self.pick(&[
                "level",
                "status",
                "app",
                "env",
                "n",
                "user",
                "trace_id",
                "__error__",
                "__error_details__",
                "host",
            ]);
            out.push(if self.rng.chance(25) {
                let m = self.pick(&[
                    "=\"info\"",
                    "!=\"200\"",
                    "=~\"i.*|b.*\"",
                    "!~\"p.*\"",
                    "=\"JSONParserErr\"",
                ]);
                format!("{name}{m}")
            } else {
                name.to_owned()
            });
        }
        out.join(", ")
    }

    fn label_format(&mut self) -> String {
        let mut out = Vec::new();
        let mut used = Vec::new();
        for _ in 0..1 + self.rng.below(3) {
            let target = self.pick(&["level", "new", "app", "status", "n", "trace_id"]);
            if used.contains(&target) {
                continue;
            }
            used.push(target);
            out.push(if self.rng.chance(40) {
                format!("{target}={}", self.name())
            } else {
                format!("{target}={}", quoted(&self.template()))
            });
        }
        out.join(", ")
    }

    fn stage(&mut self) -> String {
        match self.rng.below(20) {
            0..=3 => self.line_filter(),
            4..=9 => format!("| {}", self.parser()),
            10..=12 => format!("| {}", self.label_filter()),
            13 | 14 => format!("| line_format {}", quoted(&self.template())),
            15 | 16 => format!("| label_format {}", self.label_format()),
            17 => format!("| drop {}", self.picks()),
            18 => format!("| keep {}", self.picks()),
            _ => "| decolorize".to_owned(),
        }
    }

    fn pipeline(&mut self, most: usize) -> String {
        let mut stages: Vec<String> = Vec::new();
        for _ in 0..self.rng.below(most + 1) {
            let next = self.stage();
            // `drop x != "y"` is one stage.
            let picks = |s: &String| s.starts_with("| drop") || s.starts_with("| keep");
            if !(next.starts_with('!') && stages.last().is_some_and(picks)) {
                stages.push(next);
            }
        }
        stages.join(" ")
    }

    pub fn log_query(&mut self) -> String {
        format!("{} {}", self.selector(), self.pipeline(4))
    }

    fn labels(&mut self) -> String {
        let of = [
            "app",
            "env",
            "level",
            "status",
            "user",
            "n",
            "host",
            "trace_id",
            "__error__",
            "none",
        ];
        let names: Vec<&str> = (0..self.rng.below(3)).map(|_| self.rng.pick(&of)).collect();
        names.join(", ")
    }

    fn grouping(&mut self) -> String {
        match self.rng.below(5) {
            0 => String::new(),
            1 => format!(" without ({})", self.labels()),
            _ => format!(" by ({})", self.labels()),
        }
    }

    fn window(&mut self) -> String {
        let range = self.pick(&["5m", "20m", "10m", "90s", "13s", "1s", "5m"]);
        let offset = match self.rng.below(8) {
            0 => " offset 3m",
            1 => " offset -2m",
            _ => "",
        };
        format!("[{range}]{offset}")
    }

    /// What keeps errors from failing the query, often.
    fn mended(&mut self) -> &'static str {
        if self.rng.chance(75) {
            self.rng.pick(&[
                " | __error__=\"\"",
                " | drop __error__, __error_details__",
                " | __error__=\"\" | __error_details__=\"\"",
            ])
        } else if self.rng.chance(15) {
            " | __error__!=\"x\" | drop __error_details__"
        } else {
            ""
        }
    }

    fn range(&mut self) -> String {
        let selector = self.selector();
        if self.rng.chance(45) {
            let f = self.pick(&[
                "count_over_time",
                "rate",
                "bytes_over_time",
                "bytes_rate",
                "absent_over_time",
                "count_over_time",
            ]);
            let pipeline = self.pipeline(3);
            let (mend, window) = (self.mended(), self.window());
            return match self.rng.below(6) {
                0 => format!("{f}({selector}{window} {pipeline}{mend})"),
                1 => format!("{f}(({selector} {pipeline}{mend}){window})"),
                _ => format!("{f}({selector} {pipeline}{mend} {window})"),
            };
        }
        let f = self.pick(&[
            "sum_over_time",
            "rate",
            "rate_counter",
            "avg_over_time",
            "min_over_time",
            "max_over_time",
            "stdvar_over_time",
            "stddev_over_time",
            "quantile_over_time",
            "first_over_time",
            "last_over_time",
        ]);
        let parser = self.parser();
        let pipeline = self.pipeline(2);
        let unwrap = match self.rng.below(6) {
            0 => self.pick(&["duration(dur)", "duration_seconds(dur)"]),
            1 => "bytes(size)",
            2 => "dur",
            _ => self.pick(&["n", "status", "n", "size", "obj_n"]),
        };
        let filter = if self.rng.chance(15) {
            format!(" | {}", self.one_filter())
        } else {
            String::new()
        };
        let mend = self.mended();
        let mend = mend.replace(" | drop __error__, __error_details__", " | __error__=\"\"");
        let mend = mend.replace(" | drop __error_details__", "");
        let window = self.window();
        let param = if f == "quantile_over_time" {
            self.pick(&["0.5, ", "0.99, ", "0, ", "1, ", "1.5, "])
        } else {
            ""
        };
        let may_group = !matches!(f, "sum_over_time" | "rate" | "rate_counter");
        let grouping = if may_group {
            self.grouping()
        } else {
            String::new()
        };
        format!(
            "{f}({param}{selector} | {parser} {pipeline} | unwrap {unwrap}{mend}{filter} {window}){grouping}"
        )
    }

    fn matching(&mut self, set: bool) -> String {
        let of = ["app", "app", "env", "level", "app, env", ""];
        let mut out = match self.rng.below(4) {
            0 => return String::new(),
            1 => format!(" ignoring ({})", self.pick(&of)),
            _ => format!(" on ({})", self.pick(&of)),
        };
        if !set && self.rng.chance(70) {
            out += self.pick(&[
                " group_left",
                " group_right",
                " group_left (env)",
                " group_right (level)",
            ]);
        }
        out
    }

    pub fn metric_query(&mut self, depth: usize) -> String {
        if depth == 0 {
            return match self.rng.below(20) {
                0 => format!("vector({})", self.pick(&["1", "2.5", "0"])),
                _ => self.range(),
            };
        }
        match self.rng.below(23) {
            0..=8 => {
                let op = self.pick(&[
                    "sum", "sum", "sum", "avg", "count", "min", "max", "stddev", "stdvar",
                ]);
                let grouping = self.grouping();
                let inner = self.metric_query(depth - 1);
                if self.rng.chance(30) {
                    format!("{op}({inner}){grouping}")
                } else {
                    format!("{op}{grouping}({inner})")
                }
            }
            9 | 10 => {
                let op = self.pick(&["topk", "bottomk"]);
                let grouping = self.grouping();
                format!(
                    "{op}{grouping}({}, {})",
                    1 + self.rng.below(3),
                    self.metric_query(depth - 1)
                )
            }
            11 => format!(
                "approx_topk({}, {})",
                1 + self.rng.below(3),
                self.metric_query(depth - 1)
            ),
            12 => {
                let op = self.pick(&["sort", "sort_desc"]);
                format!("{op}({})", self.metric_query(depth - 1))
            }
            13 => format!(
                "label_replace({}, \"{}\", \"{}\", \"{}\", \"{}\")",
                self.metric_query(depth - 1),
                self.pick(&["new", "app", "level"]),
                self.pick(&["$1", "x-${1}", "", "$1$1"]),
                self.pick(&["app", "level", "none"]),
                self.pick(&["(.*)", "(a).*", "([a-z])[a-z]*"]),
            ),
            14..=16 => {
                // With a number.
                let op = self.pick(&[
                    "+", "-", "*", "/", "%", "^", "==", "!=", ">", ">=", "<", "<=",
                ]);
                let bool = if op.contains(['=', '<', '>']) && self.rng.chance(40) {
                    " bool"
                } else {
                    ""
                };
                let number = self.pick(&["2", "0", "0.5", "10", "(1 + 2 * 3)"]);
                let inner = self.metric_query(depth - 1);
                if self.rng.chance(50) {
                    format!("({inner}) {op}{bool} {number}")
                } else {
                    format!("{number} {op}{bool} ({inner})")
                }
            }
            _ => {
                let op = self.pick(&[
                    "+", "-", "*", "/", "%", "^", "==", "!=", ">", ">=", "<", "<=", "and", "or",
                    "unless", "and", "or", "unless",
                ]);
                let set = matches!(op, "and" | "or" | "unless");
                let comparison = op.contains(['=', '<', '>']);
                let bool = if comparison && self.rng.chance(40) {
                    " bool"
                } else {
                    ""
                };
                let matching = self.matching(set);
                let groups = self.pick(&["app", "app, env", "level, app"]);
                let (l, r) = (self.metric_query(depth - 1), self.metric_query(depth - 1));
                let bare = self.rng.chance(25);
                let side = |q: String, by: &str| {
                    if bare {
                        format!("({q})")
                    } else {
                        format!("sum by ({by}) ({q})")
                    }
                };
                // Mostly sides that fit how they are matched.
                let fits = self.rng.chance(80);
                let (groups, right) = match (matching.as_str(), groups) {
                    (m, _) if fits && m.contains("group_left") => ("level, app", "app"),
                    (m, _) if fits && m.contains("group_right") => ("app", "app, env"),
                    (_, g) if fits => (g, g),
                    (_, g) => (g, "app"),
                };
                format!(
                    "{} {op}{bool}{matching} {}",
                    side(l, groups),
                    side(r, right)
                )
            }
        }
    }
}
