use super::*;
use crate::promql::print::pretty;

fn all(text: &str) -> Result<String, String> {
    parse(text, ParseOptions::all())
        .map(|e| e.to_string())
        .map_err(|e| e.to_string())
}

#[test]
fn canonical_form() {
    for (text, want) in [
        ("1h30m", "1h30m"),
        ("-2^2", "-2 ^ 2"),
        ("2^3^2", "2 ^ 3 ^ 2"),
        ("0x1f + 017 + 1_000", "31 + 15 + 1000"),
        ("SUM BY(a,b)(x)", "sum by (a, b) (x)"),
        ("sum(x)without(a)", "sum without (a) (x)"),
        ("topk(5, x)", "topk(5, x)"),
        ("a+on(x)group_left(y)b", "a + on (x) group_left (y) b"),
        ("a and ignoring() b", "a and b"),
        ("a < bool b", "a < bool b"),
        ("a + fill(0) b", "a + fill (0) b"),
        (
            "a + fill_right(-1) fill_left(2) b",
            "a + fill_left (2) fill_right (-1) b",
        ),
        ("fill + fill_left", "fill + fill_left"),
        (
            r#"{"na.me","la.bel"="v"}"#,
            r#"{"la.bel"="v",__name__="na.me"}"#,
        ),
        (r#"x{b="2",a='1',}"#, r#"x{a="1",b="2"}"#),
        ("x[5m] offset -1d @ 10.5", "x[5m] @ 10.500 offset -1d"),
        ("x @ end() offset 1h", "x @ end() offset 1h"),
        ("rate(x[5m:30s])", ""),
        ("x[300]", "x[5m]"),
        ("x[5m*2+step()]", "x[5m * 2 + step()]"),
        ("x offset -(1m*2)", "x offset -(1m * 2)"),
        (
            "x[max_of(1m,step())] smoothed",
            "x[max_of(1m, step())] smoothed",
        ),
        ("x anchored", "x anchored"),
        (
            "sum by (__name__) ({__name__=~\".+\"})",
            "sum by (__name__) ({__name__=~\".+\"})",
        ),
        ("a </ 5 >/ 1", "a </ 5 >/ 1"),
        ("sum + avg{a=\"b\"}", "sum + avg{a=\"b\"}"),
        ("`raw\\n`", "\"raw\\\\n\""),
        ("x # comment\n + y", "x + y"),
        ("limit_ratio(0.5, x)", "limit_ratio(0.5, x)"),
        ("-x + +y", "-x + +y"),
        ("--x", "--x"),
        ("NaN", "NaN"),
        ("-Inf", "-Inf"),
    ] {
        let got = all(text);
        if want.is_empty() {
            assert!(got.is_ok(), "{text}: {got:?}");
            continue;
        }
        assert_eq!(got.as_deref(), Ok(want), "{text}");
        assert_eq!(all(want).as_deref(), Ok(want), "printed form of {text}");
    }
}

#[test]
fn error_texts_and_positions() {
    for (text, want) in [
        (
            "",
            "unknown position: parse error: no expression found in input",
        ),
        ("# only", "1:1: parse error: no expression found in input"),
        ("foo bar", "1:5: parse error: unexpected identifier \"bar\""),
        (
            "foo\n  bar",
            "2:3: parse error: unexpected identifier \"bar\"",
        ),
        ("1 +", "1:4: parse error: unexpected end of input"),
        ("(1", "1:3: parse error: unclosed left parenthesis"),
        ("1)", "1:2: parse error: unexpected right parenthesis ')'"),
        ("\"abc", "1:1: parse error: unterminated quoted string"),
        ("a;b", "1:2: parse error: unexpected character: ';'"),
        (
            "a{",
            "1:3: parse error: unexpected end of input inside braces",
        ),
        (
            "5x",
            "1:1: parse error: bad number or duration syntax: \"5\"",
        ),
        (
            "x[1m1h]",
            "1:3: parse error: not a valid duration string: \"1m1h\"",
        ),
        ("x[0]", "1:3: parse error: duration must be greater than 0"),
        ("f(x)", "1:1: parse error: unknown function with name \"f\""),
        (
            "abs(1, 2)",
            "1:1: parse error: expected 1 argument(s) in call to \"abs\", got 2",
        ),
        (
            "round()",
            "1:1: parse error: expected at least 1 argument(s) in call to \"round\", got 0",
        ),
        (
            "round(x, 1, 2)",
            "1:1: parse error: expected at most 2 argument(s) in call to \"round\", got 3",
        ),
        (
            "rate(x)",
            "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector",
        ),
        (
            "topk(x)",
            "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1",
        ),
        (
            "sum()",
            "1:1: parse error: no arguments for aggregate expression provided",
        ),
        (
            "sum(1)",
            "1:5: parse error: expected type instant vector in aggregation expression, got scalar",
        ),
        (
            "abs(x,)",
            "1:6: parse error: trailing commas not allowed in function call args",
        ),
        (
            "{}",
            "1:1: parse error: vector selector must contain at least one non-empty matcher",
        ),
        (
            "a{__name__=\"b\"}",
            "1:1: parse error: metric name must not be set twice: \"a\" or \"b\"",
        ),
        (
            "a{b=~\"(\"}",
            "1:3: parse error: error parsing regexp: missing closing ): `(`",
        ),
        (
            "sum(a)[5m]",
            "1:7: parse error: ranges only allowed for vector selectors",
        ),
        (
            "1[5m:]",
            "1:1: parse error: subquery is only allowed on instant vector, got scalar instead",
        ),
        (
            "1 offset 1m",
            "1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
        ),
        (
            "1 @ 5",
            "1:1: parse error: @ modifier must be preceded by an instant vector selector or range vector selector or a subquery",
        ),
        (
            "a offset 1m offset 2m",
            "1:1: parse error: offset may not be set multiple times",
        ),
        (
            "a @ 1 @ 2",
            "1:1: parse error: @ <timestamp> may not be set multiple times",
        ),
        (
            "a @ NaN",
            "1:1: parse error: timestamp out of bounds for @ modifier: NaN",
        ),
        (
            "1 < 2",
            "1:3: parse error: comparisons between scalars must use BOOL modifier",
        ),
        (
            "a + bool b",
            "1:3: parse error: bool modifier can only be used on comparison operators",
        ),
        (
            "1 and 2",
            "1:1: parse error: set operator \"and\" not allowed in binary scalar expression",
        ),
        (
            "a + \"b\"",
            "1:5: parse error: binary expression must contain only scalar and instant vector types",
        ),
        (
            "1 + on(a) b",
            "1:1: parse error: vector matching only allowed between instant vectors",
        ),
        (
            "a and on(x) group_left b",
            "1:1: parse error: no grouping allowed for \"and\" operation",
        ),
        (
            "a + on(x) group_left(x) b",
            "1:3: parse error: label \"x\" must not occur in ON and GROUP clause at once",
        ),
        (
            "-a[5m]",
            "1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got \"range vector\"",
        ),
        (
            "sum by (a b) (x)",
            "1:11: parse error: unexpected identifier \"b\" in grouping opts, expected \",\" or \")\"",
        ),
        (
            "sum(foo bar)",
            "1:9: parse error: unexpected identifier \"bar\" in aggregation",
        ),
        (
            "a{b}",
            "1:4: parse error: unexpected \"}\" in label matching, expected label matching operator",
        ),
        ("by (x)", "1:4: parse error: unexpected \"(\""),
    ] {
        assert_eq!(all(text), Err(want.to_owned()), "{text}");
    }
}

#[test]
fn switches() {
    let off = |text: &str| {
        parse(text, ParseOptions::default())
            .map(|_| ())
            .map_err(|e| e.message)
    };
    assert_eq!(
        off("info(a)"),
        Err("function \"info\" is not enabled".into())
    );
    assert_eq!(
        off("limitk(1, a)"),
        Err("limitk() is experimental and must be enabled with --enable-feature=promql-experimental-functions".into())
    );
    assert_eq!(
        off("a anchored"),
        Err("anchored modifier is experimental and not enabled".into())
    );
    assert_eq!(
        off("a + fill(1) b"),
        Err("binop fill modifiers are experimental and not enabled".into())
    );
    assert_eq!(off("a[5m * 2]"), Ok(()));
}

#[test]
fn deep_and_long_texts_are_refused() {
    let deep = format!("{}1{}", "(".repeat(5000), ")".repeat(5000));
    assert!(all(&deep).is_err_and(|e| e.contains("nested deeper")));
    let chain = vec!["a"; 5000].join(" + ");
    assert!(all(&chain).is_err_and(|e| e.contains("levels")));
    let chain = vec!["a"; 200].join(" or ");
    assert!(all(&chain).is_ok());
    assert!(all(&"-".repeat(60_000)).is_err());
    assert!(all(&"a".repeat(QUERY_BYTES_MAX + 1)).is_err());
    let deep = format!("a{}", "[5m:]".repeat(300));
    assert!(all(&deep).is_err());
}

#[test]
fn pretty_printing_breaks_long_lines() {
    let pretty = |t: &str| {
        parse(t, ParseOptions::all())
            .map(|e| pretty(&e))
            .unwrap_or_default()
    };
    assert_eq!(pretty("sum by (a) (x)"), "sum by (a) (x)");
    let long = "a_metric_with_quite_a_long_name_for_this_test + on (instance, job) another_metric_with_a_long_name_too";
    assert_eq!(
        pretty(long),
        "  a_metric_with_quite_a_long_name_for_this_test\n+ on (instance, job)\n  another_metric_with_a_long_name_too"
    );
}
