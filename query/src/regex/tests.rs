use engine::model::StringMatcher;

use super::*;

fn full(pattern: &str, s: &str) -> bool {
    LabelRegex::new(pattern)
        .map(|r| r.is_match(s))
        .unwrap_or_else(|e| panic!("{pattern}: {e}"))
}

#[test]
fn perl_classes_are_ascii() {
    assert!(full(r"\d+", "123") && !full(r"\d", "٣"));
    assert!(full(r"\w+", "a_9") && !full(r"\w", "é"));
    assert!(full(r"\s", " ") && !full(r"\s", "\u{a0}") && !full(r"\s", "\u{b}"));
    assert!(full(r"[\d]", "1") && !full(r"[\w]", "é") && full(r"[^\d]", "é"));
}

#[test]
fn class_operators_of_the_library_are_literal() {
    assert!(full("[a&&b]", "&") && full("[a&&b]", "b"));
    assert!(full("[a~~b]", "~"));
    assert!(full("[[a]", "["));
    assert!(full("[]a]", "]"));
    assert!(full("[a-]", "-"));
    assert!(full("[^]a]", "b"));
    assert!(full("[[:alpha:]_]+", "ab_") && !full("[[:alpha:]]", "é"));
}

#[test]
fn quotes_octal_and_literal_braces() {
    assert!(full(r"\Qa.b\E.", "a.bx") && !full(r"\Qa.b\E", "axb"));
    assert!(full(r"\Qa.b", "a.b") && full(r"\Qab\E+", "abb") && !full(r"\Qab\E+", "abab"));
    assert!(full("a{", "a{") && full("a{,3}", "a{,3}") && full("a{x}", "a{x}"));
    assert!(full(r"\101\x41\x{41}", "AAA"));
    assert!(full("a{2,3}", "aaa") && !full("a{2,3}", "a"));
    assert!(full("<a>", "<a>") && full("a_b-c/d", "a_b-c/d"));
}

#[test]
fn anchoring_and_dot() {
    assert!(full("a.b", "a\nb"));
    assert!(!full("a", "ab") && !full("b", "ab"));
    assert!(full("a|b", "b") && !full("a|b", "ab"));
    assert!(full("", "") && !full("", "a"));
    assert!(full("(?i)k", "\u{212a}"));
}

#[test]
fn errors_carry_the_text_of_go() {
    for (pattern, text) in [
        ("(", "error parsing regexp: missing closing ): `(`"),
        ("a)", "error parsing regexp: unexpected ): `a)`"),
        ("[a", "error parsing regexp: missing closing ]: `[a`"),
        (
            "*",
            "error parsing regexp: missing argument to repetition operator: `*`",
        ),
        (
            "a**",
            "error parsing regexp: invalid nested repetition operator: `**`",
        ),
        (
            "x{1001}",
            "error parsing regexp: invalid repeat count: `{1001}`",
        ),
        (
            "(x{100}){100}",
            "error parsing regexp: invalid repeat count: `{100}`",
        ),
        (
            "x{2,1}",
            "error parsing regexp: invalid repeat count: `{2,1}`",
        ),
        (
            r"\q",
            r"error parsing regexp: invalid escape sequence: `\q`",
        ),
        (r"\<", ""),
        (
            "(?x)a",
            "error parsing regexp: invalid or unsupported Perl syntax: `(?x`",
        ),
        (
            "(?=a)",
            "error parsing regexp: invalid or unsupported Perl syntax: `(?=`",
        ),
        (
            "(?P<n",
            "error parsing regexp: invalid named capture: `(?P<n`",
        ),
        (
            "[z-a]",
            "error parsing regexp: invalid character class range: `z-a`",
        ),
        (
            r"\",
            "error parsing regexp: trailing backslash at end of expression: ``",
        ),
        (
            r"\C",
            r"error parsing regexp: invalid escape sequence: `\C`",
        ),
        (
            r"\8",
            r"error parsing regexp: invalid escape sequence: `\8`",
        ),
        (
            r"\p{Nope}",
            r"error parsing regexp: invalid character class range: `\p{Nope}`",
        ),
    ] {
        match LabelRegex::new(pattern) {
            Ok(r) => assert!(text.is_empty() && r.is_match("<"), "{pattern} accepted"),
            Err(e) => assert_eq!(e.to_string(), text, "{pattern}"),
        }
    }
}

#[test]
fn fast_paths_agree_with_the_automaton() {
    let subjects = [
        "", "a", "foo", "foobar", "barfoo", "xfoox", "/", "/var/log", "é", "éfooé", "foo\n",
    ];
    for pattern in [
        ".*",
        ".+",
        "foo",
        "foo|bar|",
        "foo.*",
        "foo.+",
        ".*foo",
        ".+foo",
        ".*foo.*",
        ".+foo.+",
        "/|/var/.*",
        "(foo|a)bar?",
        "[abc]",
        "f(oo)?",
        "(foo).*",
        ".*(foo|bar).*",
    ] {
        let fast = LabelRegex::new(pattern).unwrap_or_else(|e| panic!("{e}"));
        let slow = GoRegex::anchored(pattern).unwrap_or_else(|e| panic!("{e}"));
        for s in subjects {
            assert_eq!(fast.is_match(s), slow.is_match(s), "{pattern} on {s:?}");
        }
    }
}

#[test]
fn hints_for_the_store() {
    let r = LabelRegex::new("b|a|c").unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(
        r.literals(),
        Some(&["a".to_owned(), "b".to_owned(), "c".to_owned()][..])
    );
    let r = LabelRegex::new("host-0[0-4].*x").unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((r.literals(), r.prefix()), (None, "host-0"));
    assert_eq!(
        LabelRegex::new("node_.*_total")
            .map(|r| r.prefix().to_owned())
            .as_deref(),
        Ok("node_")
    );
}

#[test]
fn limits() {
    let many: Vec<String> = (0..5000).map(|i| format!("host-{i}")).collect();
    assert!(LabelRegex::new(&many.join("|")).is_ok());
    assert!(LabelRegex::new(&format!("{}.*x", "a".repeat(5000))).is_err());
    assert!(LabelRegex::new(r"(\pL{100}){10}").is_err());
    assert!(GoRegex::new(r"(\pL{100}){10}").is_err());
}

#[test]
fn expansion_follows_go() {
    let re = GoRegex::anchored("(?P<first>[a-z]+)-(x)?([0-9]+)").unwrap_or_else(|e| panic!("{e}"));
    let caps = re
        .find_submatch("abc-42")
        .unwrap_or_else(|| panic!("no match"));
    let expand = |t: &str| {
        let mut out = String::new();
        re.expand(t, &caps, &mut out);
        out
    };
    assert_eq!(expand("$1:$3"), "abc:42");
    assert_eq!(expand("${1}x$1x"), "abcx");
    assert_eq!(expand("$first-${first}_$2|$9"), "abc-abc_|");
    assert_eq!(expand("$$1 $ ${ ${} $-"), "$1 $ ${ ${} $-");
    assert_eq!(
        GoRegex::new("a(b)?")
            .map(|r| r.replace_all("ab a", "<$1>"))
            .as_deref(),
        Ok("<b> <>")
    );
}
