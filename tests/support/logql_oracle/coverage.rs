//! What of the language the queries covered, and everything that has to be.

use std::collections::BTreeMap;

use query::logql::ast::{
    BinaryOp, Cardinality, Compare, Conversion, Grouping, LabelFilter, LabelPick, LineOp, LogExpr,
    MetricExpr, RangeOp, Stage, VectorOp,
};

/// How often each part of the language was in a query with an answer.
pub type Coverage = BTreeMap<String, u64>;

fn count(c: &mut Coverage, what: impl Into<String>) {
    *c.entry(what.into()).or_default() += 1;
}

/// Functions that templates may use here.
pub const FUNCTIONS: [&str; 57] = [
    "lower",
    "upper",
    "ToLower",
    "ToUpper",
    "trim",
    "TrimSpace",
    "trimAll",
    "Trim",
    "TrimLeft",
    "TrimRight",
    "trimPrefix",
    "trimSuffix",
    "TrimPrefix",
    "TrimSuffix",
    "replace",
    "Replace",
    "repeat",
    "indent",
    "nindent",
    "trunc",
    "substr",
    "alignLeft",
    "alignRight",
    "contains",
    "hasPrefix",
    "hasSuffix",
    "default",
    "count",
    "regexReplaceAll",
    "regexReplaceAllLiteral",
    "urlencode",
    "b64enc",
    "add",
    "sub",
    "mul",
    "div",
    "mod",
    "max",
    "min",
    "int",
    "len",
    "printf",
    "unixEpoch",
    "unixEpochMillis",
    "unixEpochNanos",
    "__timestamp__",
    "__line__",
    "if",
    "else",
    "eq",
    "ne",
    "not",
    "and",
    "or",
    "lt",
    "gt",
    "end",
];

fn cover_template(c: &mut Coverage, t: &str) {
    for action in t.split("{{").skip(1).filter_map(|a| a.split("}}").next()) {
        for word in action
            .split([' ', '(', ')', '|'])
            .filter(|w| FUNCTIONS.contains(w))
        {
            count(c, format!("template {word}"));
        }
    }
}

fn cover_filter(c: &mut Coverage, f: &LabelFilter) {
    let compare = |op: &Compare| op.text();
    match f {
        LabelFilter::Text(m) => count(c, format!("filter text {}", text_of(&m.op))),
        LabelFilter::Number(_, op, _) => count(c, format!("filter number {}", compare(op))),
        LabelFilter::Duration(_, op, _) => count(c, format!("filter duration {}", compare(op))),
        LabelFilter::Bytes(_, op, _) => count(c, format!("filter bytes {}", compare(op))),
        LabelFilter::Ip(_, equal, _) => count(c, format!("filter ip {equal}")),
        LabelFilter::And(a, b) => {
            count(c, "filter and");
            cover_filter(c, a);
            cover_filter(c, b);
        }
        LabelFilter::Or(a, b) => {
            count(c, "filter or");
            cover_filter(c, a);
            cover_filter(c, b);
        }
    }
}

fn text_of(op: &engine::model::MatchOp) -> &'static str {
    use engine::model::MatchOp as M;
    match op {
        M::Equal => "=",
        M::NotEqual => "!=",
        M::Regex(_) => "=~",
        M::NotRegex(_) => "!~",
    }
}

pub fn cover_log(c: &mut Coverage, q: &LogExpr) {
    for m in &q.matchers {
        count(c, format!("matcher {}", text_of(&m.op)));
    }
    for s in &q.stages {
        match s {
            Stage::Line(op, list) => {
                count(c, format!("line {}", op.text()));
                if list.len() > 1 {
                    count(c, "line or");
                }
                if list.iter().any(|m| m.ip) {
                    count(c, format!("line {} ip", op.text()));
                }
            }
            Stage::Json(e) => count(
                c,
                if e.is_empty() {
                    "json"
                } else {
                    "json expressions"
                },
            ),
            Stage::Logfmt {
                strict,
                keep_empty,
                expressions,
            } => {
                count(
                    c,
                    if expressions.is_empty() {
                        "logfmt"
                    } else {
                        "logfmt expressions"
                    },
                );
                if *strict {
                    count(c, "logfmt strict");
                }
                if *keep_empty {
                    count(c, "logfmt keep-empty");
                }
            }
            Stage::Regexp(_) => count(c, "regexp"),
            Stage::Pattern(_) => count(c, "pattern"),
            Stage::Unpack => count(c, "unpack"),
            Stage::Decolorize => count(c, "decolorize"),
            Stage::Label(f) => cover_filter(c, f),
            Stage::LineFormat(t) => {
                count(c, "line_format");
                cover_template(c, t);
            }
            Stage::LabelFormat(terms) => {
                for t in terms {
                    count(
                        c,
                        if t.rename {
                            "label_format rename"
                        } else {
                            "label_format template"
                        },
                    );
                    if !t.rename {
                        cover_template(c, &t.source);
                    }
                }
            }
            Stage::Drop(p) => cover_picks(c, "drop", p),
            Stage::Keep(p) => cover_picks(c, "keep", p),
        }
    }
}

fn cover_picks(c: &mut Coverage, stage: &str, picks: &[LabelPick]) {
    for p in picks {
        match p {
            LabelPick::Name(_) => count(c, format!("{stage} name")),
            LabelPick::Match(m) => count(c, format!("{stage} {}", text_of(&m.op))),
        }
    }
}

fn cover_grouping(c: &mut Coverage, of: &str, g: Option<&Grouping>) {
    let how = match g {
        None => "no grouping",
        Some(g) if g.without => "without",
        Some(_) => "by",
    };
    count(c, format!("{of} {how}"));
}

pub fn cover_metric(c: &mut Coverage, e: &MetricExpr) {
    match e {
        MetricExpr::Literal(_) => count(c, "number"),
        MetricExpr::VectorOf(_) => count(c, "vector()"),
        MetricExpr::LabelReplace(l) => {
            count(c, "label_replace");
            cover_metric(c, &l.inner);
        }
        MetricExpr::Range(r) => {
            let unwrapped = if r.unwrap.is_some() { " unwrap" } else { "" };
            count(c, format!("{}{unwrapped}", r.op.name()));
            if r.offset != 0 {
                count(
                    c,
                    if r.offset > 0 {
                        "offset"
                    } else {
                        "offset back"
                    },
                );
            }
            if let Some(u) = &r.unwrap {
                count(c, conversion(u.conversion));
                if !u.filters.is_empty() {
                    count(c, "filter after unwrap");
                }
            }
            if r.grouping.is_some() {
                cover_grouping(c, "range", r.grouping.as_ref());
            }
            cover_log(c, &r.log);
        }
        MetricExpr::Vector(v) => {
            count(c, v.op.name());
            if !matches!(
                v.op,
                VectorOp::Sort | VectorOp::SortDesc | VectorOp::ApproxTopk
            ) {
                cover_grouping(c, v.op.name(), v.grouping.as_ref());
            }
            cover_metric(c, &v.inner);
        }
        MetricExpr::Binary(b) => {
            count(c, format!("operator {}", b.op.text()));
            if b.return_bool {
                count(c, format!("bool {}", b.op.text()));
            }
            if let Some(m) = &b.matching {
                count(c, if m.on { "on" } else { "ignoring" });
                match &m.cardinality {
                    Cardinality::OneToOne => {}
                    Cardinality::GroupLeft(i) => count(c, format!("group_left {}", i.len())),
                    Cardinality::GroupRight(i) => count(c, format!("group_right {}", i.len())),
                }
            }
            cover_metric(c, &b.left);
            cover_metric(c, &b.right);
        }
    }
}

fn conversion(c: Conversion) -> &'static str {
    match c {
        Conversion::Float => "unwrap number",
        Conversion::Bytes => "unwrap bytes",
        Conversion::Duration => "unwrap duration",
        Conversion::DurationSeconds => "unwrap duration_seconds",
    }
}

/// Everything that has to be covered.
pub fn required() -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut add = |s: String| out.push(s);
    for op in [
        LineOp::Contains,
        LineOp::NotContains,
        LineOp::Matches,
        LineOp::NotMatches,
        LineOp::Pattern,
        LineOp::NotPattern,
    ] {
        add(format!("line {}", op.text()));
    }
    for s in [
        "line or",
        "line |= ip",
        "line != ip",
        "json",
        "json expressions",
        "logfmt",
        "logfmt expressions",
        "logfmt strict",
        "logfmt keep-empty",
        "regexp",
        "pattern",
        "unpack",
        "decolorize",
        "filter and",
        "filter or",
        "filter ip true",
        "filter ip false",
        "line_format",
        "label_format rename",
        "label_format template",
        "drop name",
        "keep name",
        "number",
        "vector()",
        "label_replace",
        "offset",
        "offset back",
        "unwrap number",
        "unwrap bytes",
        "unwrap duration",
        "unwrap duration_seconds",
        "filter after unwrap",
        "range by",
        "range without",
        "on",
        "ignoring",
        "group_left 0",
        "group_left 1",
        "group_right 0",
        "group_right 1",
        "forward",
        "backward",
        "limit cuts",
        "interval",
        "categorized",
        "instant",
        "steps",
        "answer from memory",
        "answer from parts",
        "answer from both",
    ] {
        add(s.to_owned());
    }
    for op in ["=", "!=", "=~", "!~"] {
        add(format!("matcher {op}"));
        add(format!("filter text {op}"));
        add(format!("drop {op}"));
        add(format!("keep {op}"));
    }
    for kind in ["number", "duration", "bytes"] {
        for op in ["==", "!=", "<", "<=", ">", ">="] {
            add(format!("filter {kind} {op}"));
        }
    }
    for f in FUNCTIONS {
        add(format!("template {f}"));
    }
    for op in RangeOp::ALL {
        use RangeOp as R;
        if matches!(
            op,
            R::CountOverTime | R::Rate | R::BytesOverTime | R::BytesRate | R::AbsentOverTime
        ) {
            add(op.name().to_owned());
        }
        if !matches!(
            op,
            R::CountOverTime | R::BytesOverTime | R::BytesRate | R::AbsentOverTime
        ) {
            add(format!("{} unwrap", op.name()));
        }
    }
    for op in VectorOp::ALL {
        add(op.name().to_owned());
        if !matches!(
            op,
            VectorOp::Sort | VectorOp::SortDesc | VectorOp::ApproxTopk
        ) {
            for g in ["no grouping", "by", "without"] {
                add(format!("{} {g}", op.name()));
            }
        }
    }
    for op in BinaryOp::ALL {
        add(format!("operator {}", op.text()));
        if op.is_comparison() {
            add(format!("bool {}", op.text()));
        }
    }
    out
}
