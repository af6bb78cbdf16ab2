//! Flags of the verbs, and the times among them.

use clap::{Arg, ArgAction, ArgMatches, Command};
use jiff::tz::TimeZone;

/// A flag with a value.
pub(super) fn text(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).help(help)
}

/// A flag without one.
pub(super) fn switch(name: &'static str, help: &'static str) -> Arg {
    text(name, help).action(ArgAction::SetTrue)
}

fn count(name: &'static str, help: &'static str) -> Arg {
    text(name, help).value_parser(clap::value_parser!(u32))
}

/// Flags that may stand before or behind every verb.
pub(super) fn global(c: Command) -> Command {
    let own = [
        text("addr", "Address of the server")
            .env("LOKI_ADDR")
            .default_value("http://localhost:3100"),
        text("org-id", "Tenant: X-Scope-OrgID of the requests").env("LOKI_ORG_ID"),
        text("username", "User of basic authentication").env("LOKI_USERNAME"),
        text("password", "Password of basic authentication")
            .env("LOKI_PASSWORD")
            .hide_env_values(true),
        text("bearer-token", "Token of the Authorization header")
            .env("LOKI_BEARER_TOKEN")
            .hide_env_values(true),
        text("bearer-token-file", "File with that token").env("LOKI_BEARER_TOKEN_FILE"),
        text("auth-header", "Name of the Authorization header")
            .env("LOKI_AUTH_HEADER")
            .default_value("Authorization"),
        text("query-tags", "X-Query-Tags of the requests").env("LOKI_QUERY_TAGS"),
        switch("nocache", "Cache-Control: no-cache on the requests").env("LOKI_NO_CACHE"),
        text("ca-cert", "File with the server's authority").env("LOKI_CA_CERT_PATH"),
        switch("tls-skip-verify", "Accepts any certificate").env("LOKI_TLS_SKIP_VERIFY"),
        text("cert", "File with the client's certificate").env("LOKI_CLIENT_CERT_PATH"),
        text("key", "File with the key of that").env("LOKI_CLIENT_KEY_PATH"),
        text("proxy-url", "Proxy for the requests").env("LOKI_HTTP_PROXY_URL"),
        count("retries", "Further attempts after an error")
            .env("LOKI_CLIENT_RETRIES")
            .default_value("0"),
        switch("quiet", "Says nothing but the answer").short('q'),
        switch("stats", "Says what the query cost"),
        switch("stdin", "Runs a log query over standard input"),
        text("output", "raw: lines alone; jsonl: an object each")
            .short('o')
            .default_value("default")
            .value_parser(["default", "raw", "jsonl"]),
        text("timezone", "Zone of printed times")
            .short('z')
            .default_value("Local")
            .ignore_case(true)
            .value_parser(["Local", "UTC"]),
    ];
    c.args(own.map(|a| a.global(true)))
}

/// Where a verb looks.
pub(super) fn range(c: Command) -> Command {
    c.arg(text("since", "How far back").default_value("1h"))
        .arg(text(
            "from",
            "Start, RFC 3339; without a zone: that of --timezone",
        ))
        .arg(text(
            "to",
            "End, RFC 3339; without a zone: that of --timezone",
        ))
}

/// What is shown of labels.
pub(super) fn labels(c: Command) -> Command {
    c.arg(switch("no-labels", "Prints no labels"))
        .arg(text("exclude-label", "Leaves a label out; may be repeated").action(ArgAction::Append))
        .arg(
            text("include-label", "Prints only such labels; may be repeated")
                .action(ArgAction::Append),
        )
        .arg(switch(
            "include-common-labels",
            "Prints the labels that all have with each line",
        ))
        .arg(count("labels-length", "Pads labels to this length").default_value("0"))
        .arg(switch("colored-output", "Prints labels in colours"))
        .arg(switch("forward", "Oldest first"))
}

/// Flags of queries over a range.
pub(super) fn query(c: Command) -> Command {
    labels(range(c))
        .arg(Arg::new("query").required(true))
        .arg(count("limit", "Entries at most; 0: all").default_value("30"))
        .arg(count("batch", "Entries of one request at most").default_value("1000"))
        .arg(text("step", "Distance of points"))
        .arg(text("interval", "Least distance of entries"))
        .arg(switch("tail", "Goes on with new lines").short('t'))
        .arg(switch("follow", "Goes on with new lines").short('f'))
        .arg(
            count(
                "delay-for",
                "Seconds that a followed query waits for late lines",
            )
            .default_value("0"),
        )
}

/// Flags of volumes.
pub(super) fn volume(c: Command) -> Command {
    range(c)
        .arg(Arg::new("query").required(true))
        .arg(count("limit", "Series at most").default_value("30"))
        .arg(
            text("targetLabels", "Labels to add up by; may be repeated")
                .action(ArgAction::Append)
                .value_delimiter(','),
        )
        .arg(switch(
            "aggregateByLabels",
            "Adds up by the names of labels only",
        ))
}

/// The value of a flag, when there is one.
pub(super) fn given<'m>(m: &'m ArgMatches, name: &str) -> Option<&'m str> {
    let known = m.try_get_one::<String>(name).ok().flatten();
    known.map(String::as_str).filter(|v| !v.is_empty())
}

/// All values of a flag.
pub(super) fn all<'m>(m: &'m ArgMatches, name: &str) -> Vec<&'m str> {
    let known = m.try_get_many::<String>(name).ok().flatten();
    known.into_iter().flatten().map(String::as_str).collect()
}

/// Whether a switch is on.
pub(super) fn on(m: &ArgMatches, name: &str) -> bool {
    m.try_get_one::<bool>(name).ok().flatten() == Some(&true)
}

/// The value of a flag that counts.
pub(super) fn number(m: &ArgMatches, name: &str) -> usize {
    let known = m.try_get_one::<u32>(name).ok().flatten();
    known.map_or(0, |n| usize::try_from(*n).unwrap_or(usize::MAX))
}

/// The zone of printed times.
pub(super) fn zone(m: &ArgMatches) -> TimeZone {
    match given(m, "timezone") {
        Some(z) if z.eq_ignore_ascii_case("utc") => TimeZone::UTC,
        _ => TimeZone::system(),
    }
}

fn nanoseconds(t: jiff::Timestamp) -> i64 {
    i64::try_from(t.as_nanosecond()).unwrap_or(i64::MAX)
}

/// The present, ns.
pub(super) fn now() -> i64 {
    nanoseconds(jiff::Timestamp::now())
}

/// Flag `name` as a time, ns.
///
/// # Errors
/// When it is none.
pub(super) fn time(m: &ArgMatches, name: &str) -> Result<Option<i64>, String> {
    let Some(text) = given(m, name) else {
        return Ok(None);
    };
    if let Ok(t) = text.parse::<jiff::Timestamp>() {
        return Ok(Some(nanoseconds(t)));
    }
    let local = text.parse::<jiff::civil::DateTime>();
    let zoned = local.and_then(|t| t.to_zoned(zone(m)));
    let t =
        zoned.map_err(|_| format!("--{name} {text:?} is not a time as 2006-01-02T15:04:05Z"))?;
    Ok(Some(nanoseconds(t.timestamp())))
}

/// Start and end in ns as the flags say.
///
/// # Errors
/// When they are no times.
pub(super) fn bounds(m: &ArgMatches) -> Result<(i64, i64), String> {
    let end = time(m, "to")?.unwrap_or_else(now);
    let since = given(m, "since").unwrap_or("1h");
    let back = query::text::go_duration::parse(since)
        .or_else(|| {
            query::text::duration::parse(since)
                .ok()?
                .checked_mul(1_000_000)
        })
        .ok_or_else(|| format!("--since {since:?} is not a duration"))?;
    let start = time(m, "from")?.unwrap_or(end.saturating_sub(back));
    Ok((start, end))
}
