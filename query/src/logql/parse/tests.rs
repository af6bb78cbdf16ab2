//! What is a query, what is not, and how it is printed.

use super::*;
use crate::logql::print::{pretty, print};

fn printed(text: &str) -> String {
    match parse(text) {
        Ok(e) => print(&e),
        Err(e) => panic!("{text}: {e}"),
    }
}

#[test]
fn queries_are_printed_canonically() {
    for (text, want) in [
        ("{a=\"b\",c=~`d.+`}", "{a=\"b\", c=~\"d.+\"}"),
        (
            "{a=\"b\"}|=\"x\"or ip(\"::1\")|json",
            "{a=\"b\"} |= \"x\" or ip(\"::1\") | json",
        ),
        (
            "{a=\"b\"} | json x=\"y[0]\", z",
            "{a=\"b\"} | json x=\"y[0]\",z=\"z\"",
        ),
        (
            "{a=\"b\"}|logfmt --strict --keep-empty x=\"y\"",
            "{a=\"b\"} | logfmt --strict --keep-empty x=\"y\"",
        ),
        (
            "{a=\"b\"} | a=1 or b>2 and c=\"d\"",
            "{a=\"b\"} | ( a==1 or ( b>2 , c=\"d\" ) )",
        ),
        (
            "{a=\"b\"} | a=1, b>2 or c=\"d\"",
            "{a=\"b\"} | ( a==1 , ( b>2 or c=\"d\" ) )",
        ),
        (
            "{a=\"b\"} | a=1 or b>2, c=\"d\"",
            "{a=\"b\"} | ( a==1 or ( b>2 , c=\"d\" ) )",
        ),
        (
            "{a=\"b\"} | a=1 b>2 or c=\"d\"",
            "{a=\"b\"} | ( a==1 , ( b>2 or c=\"d\" ) )",
        ),
        (
            "{a=\"b\"} | a>1.5h | b<4KB | c!=ip(\"10.0.0.0/8\")",
            "{a=\"b\"} | a>1h30m0s | b<4.0kB | c!=ip(\"10.0.0.0/8\")",
        ),
        (
            "{a=\"b\"} | label_format x=y,z=\"{{.w}}\" | drop a,b=\"c\"",
            "{a=\"b\"} | label_format x=y,z=\"{{.w}}\" | drop a,b=\"c\"",
        ),
        (
            "RATE({a=\"b\"}[5m] offset 1h)",
            "rate({a=\"b\"}[5m] offset 1h0m0s)",
        ),
        (
            "sum(rate({a=\"b\"}[5m]))by(c)",
            "sum by (c)(rate({a=\"b\"}[5m]))",
        ),
        (
            "quantile_over_time(0.5,{a=\"b\"}|unwrap bytes(x)|y=\"z\"[1m])by(c)",
            "quantile_over_time(0.5,{a=\"b\"} | unwrap bytes(x) | y=\"z\"[1m]) by (c)",
        ),
        (
            "count_over_time(({a=\"b\"} | json)[5m])",
            "count_over_time({a=\"b\"} | json[5m])",
        ),
        (
            "count_over_time({a=\"b\"}[5m] | json)",
            "count_over_time({a=\"b\"} | json[5m])",
        ),
        ("1 + 2 * 3 ^ 2 ^ 0", "7"),
        (
            "vector(1) - vector(2) - vector(3)",
            "((vector(1.000000) - vector(2.000000)) - vector(3.000000))",
        ),
        (
            "vector(1) > bool on (a) group_left (b) vector(2)",
            "(vector(1.000000) > bool on (a) group_left (b) vector(2.000000))",
        ),
        (
            "topk(3, rate({count=\"b\"}[1m]))",
            "topk(3,rate({count=\"b\"}[1m]))",
        ),
    ] {
        assert_eq!(printed(text), want, "{text}");
        // What is printed reads back as the same.
        assert_eq!(printed(want), want, "{want}");
    }
}

#[test]
fn long_queries_are_broken() {
    let text = "sum by (a)(rate({app=\"some-long-name\", cluster=\"another-long-name\"} |= \"some text\" | json | level=\"error\"[5m]))";
    let e = parse(text).unwrap();
    assert_eq!(
        pretty(&e),
        "sum by (a)(\n  rate({app=\"some-long-name\", cluster=\"another-long-name\"} |= \"some text\" | json | level=\"error\"[5m])\n)"
    );
}

#[test]
fn errors_say_where() {
    for (text, want) in [
        (
            "",
            "parse error at line 1, col 1: syntax error: unexpected $end",
        ),
        (
            "{a}",
            "parse error at line 1, col 3: syntax error: unexpected }, expecting = or != or =~ or !~",
        ),
        (
            "{a=\"b\"}\n| ",
            "parse error at line 2, col 3: syntax error: unexpected $end",
        ),
        (
            "{a=\"b\"} |~",
            "parse error at line 1, col 11: syntax error: unexpected $end, expecting STRING",
        ),
        (
            "foo",
            "parse error at line 1, col 1: syntax error: unexpected IDENTIFIER",
        ),
        (
            "topk(0, rate({a=\"b\"}[1m]))",
            "parse error : invalid parameter (must be greater than 0) topk(0",
        ),
        (
            "sum(1, rate({a=\"b\"}[1m]))",
            "parse error : unsupported parameter for operation sum(1,",
        ),
        (
            "rate({a=\"b\"}[1m]) by (x)",
            "parse error : grouping not allowed for rate aggregation",
        ),
        (
            "avg_over_time({a=\"b\"}[1m])",
            "parse error : invalid aggregation avg_over_time without unwrap",
        ),
        (
            "1 and vector(1)",
            "parse error : unexpected literal for left leg of logical/set binary operation (and): 1",
        ),
        (
            "{a=\"b\"} | line_format \"{{.x | nofunc}}\"",
            "parse error : invalid line template: template: line:1: function \"nofunc\" not defined",
        ),
    ] {
        let e = parse(text).expect_err(text);
        assert_eq!(e.to_string(), want, "{text}");
    }
}

#[test]
fn what_is_no_query() {
    for text in [
        "{}",
        "{a=~\".*\"}",
        "{a!=\"x\"}",
        "{a=\"b\",}",
        "{a='b'}",
        "{\"a\"=\"b\"}",
        "{a.b=\"x\"}",
        "{a=\"b\"} |= 'x'",
        "{a=\"b\"} |~ ip(\"::1\")",
        "{a=\"b\"} |= \"x\" or |= \"y\"",
        "{a=\"b\"} | x > y",
        "{a=\"b\"} | x > \"1\"",
        "{a=\"b\"} | x => 1",
        "{a=\"b\"} | unwrap x",
        "{a=\"b\"} | json x=\"\"",
        "{a=\"b\"} | regexp \"(\"",
        "{a=\"b\"} | regexp \"x\"",
        "{a=\"b\"} | pattern \"<a><b>\"",
        "{a=\"b\"} | label_format a=b,a=c",
        "{a=\"b\"} | label_format __error__=b",
        "rate({a=\"b\"}[5])",
        "rate({a=\"b\"}[0.5h])",
        "rate({a=\"b\"}[5m]) offset 1h",
        "rate({a=\"b\"} | json [5m] | logfmt)",
        "vector(-1)",
        "sum(rate({a=\"b\"}[5m])) by a",
        "{a=\"b\"} + 1",
        "\"x\"",
        "topk(1.5, vector(1))",
        "sort(vector(1)) by (a)",
        "label_replace(vector(1), \"a\", \"b\", \"c\", \"(\")",
        "variants(rate({a=\"b\"}[1m])) of ({a=\"b\"}[1m])",
        "rate(0.5, {a=\"b\"}[5m])",
        "quantile_over_time({a=\"b\"} | unwrap x [5m])",
        "sum({a=\"b\"}[5m])",
        "vector(1) vector(2)",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
    let deep = "(".repeat(5000) + "vector(1)" + &")".repeat(5000);
    assert!(parse(&deep).is_err());
    assert!(parse(&"x".repeat(QUERY_BYTES_MAX)).is_err());
}
