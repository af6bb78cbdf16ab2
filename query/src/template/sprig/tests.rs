//! What the functions do, by the answers of the library's documentation and its own tests.

use super::*;
use crate::template::{Budget, NoHost, Template, Value};

fn run(t: &str) -> Result<String, String> {
    let parsed = Template::parse("t", t, &TABLES).map_err(|e| e.to_string())?;
    let mut out = String::new();
    let data = Value::texts([("a", "Hello wide World"), ("p", "/var/log/a.b.log")]);
    let done = parsed.execute(&data, &mut NoHost, Budget::default(), &mut out);
    done.map(|()| out).map_err(|e| e.text)
}

fn all(cases: &[(&str, &str)]) {
    for (t, want) in cases {
        assert_eq!(run(t).as_deref(), Ok(*want), "{t}");
    }
}

#[test]
fn texts() {
    all(&[
        (r#"{{ abbrev 8 .a }}"#, "Hello..."),
        (r#"{{ abbrev 5 "hello world" }}"#, "he..."),
        (r#"{{ abbrev 3 "hello world" }}"#, "hello world"),
        (r#"{{ abbrevboth 5 10 "1234 5678 9123" }}"#, "...5678..."),
        (r#"{{ abbrevboth 5 7 "1234 5678 9123" }}"#, "...5..."),
        (
            r#"{{ abbrevboth 10 6 "1234 5678 9123" }}"#,
            "1234 5678 9123",
        ),
        (r#"{{ initials "First Try" }}"#, "FT"),
        (r#"{{ nospace "he l l o w o r l d" }}"#, "helloworld"),
        (
            r#"{{ plural "one anchovy" "many anchovies" (len "x") }}"#,
            "one anchovy",
        ),
        (r#"{{ plural "one" "many" 0 }}"#, "many"),
        (r#"{{ wrap 5 "Hello World" }}"#, "Hello\nWorld"),
        (r#"{{ wrap 3 "Hello World" }}"#, "Hello\nWorld"),
        (r#"{{ wrapWith 5 "\t" "Hello World" }}"#, "Hello\tWorld"),
        (r#"{{ wrapWith 3 "|" "Hello World" }}"#, "Hel|lo|Wor|ld"),
        (r#"{{ wrap 80 "" }}"#, ""),
        (r#"{{ quote .a nil 1 }}"#, r#""Hello wide World" "1""#),
        (r#"{{ squote 1 2 nil "b" }}"#, "'1' '2' 'b'"),
        (r#"{{ cat "a" nil 1 "c" }}"#, "a 1 c"),
        (r#"{{ toString 1 | kindOf }}"#, "string"),
        (r#"{{ toStrings (list 1 nil "b") }}"#, "[1 b]"),
        (
            r#"{{ $v := "foo$bar$baz" | split "$" }}{{ $v._0 }}{{ $v._2 }}"#,
            "foobaz",
        ),
        (
            r#"{{ $v := "foo$bar$baz" | splitn "$" 2 }}{{ $v._0 }}|{{ $v._1 }}"#,
            "foo|bar$baz",
        ),
        (r#"{{ splitn "$" 0 "a$b" | len }}"#, "0"),
        (r#"{{ splitList "" "ab" | join "-" }}"#, "a-b"),
        (r#"{{ splitList " " .a | join "-" }}"#, "Hello-wide-World"),
        (
            r#"{{ join "," "one" }}{{ join "-" (list "a" nil 1) }}"#,
            "onea-1",
        ),
        (
            r#"{{ sortAlpha (list "c" "a" 1) }}{{ sortAlpha 4 }}"#,
            "[1 a c][4]",
        ),
        (
            r#"{{ b32enc "coffee" }} {{ "MNXWMZTFMU======" | b32dec }}"#,
            "MNXWMZTFMU====== coffee",
        ),
        (
            r#"{{ b32dec "MNXW1" }}"#,
            "illegal base32 data at input byte 4",
        ),
        (
            r#"{{ b64dec "Y29mZmVl" }} {{ b64dec "a" }}"#,
            "coffee illegal base64 data at input byte 0",
        ),
        (r#"{{ "Hello World!" | adler32sum }}"#, "474547262"),
    ]);
    assert_eq!(
        run(r#"{{ fail "no" }}"#).unwrap_err(),
        "error calling fail: no"
    );
}

#[test]
fn letters_and_words() {
    all(&[
        (r#"{{ untitle "First Try" }}"#, "first try"),
        (r#"{{ swapcase "1First Try" }}"#, "1fIRST tRY"),
    ]);
    for (from, snake, pascal) in [
        ("FirstName", "first_name", "FirstName"),
        ("HTTPServer", "http_server", "Httpserver"),
        ("NoHTTPS", "no_https", "NoHTTPS"),
        ("GO_PATH", "go_path", "GoPath"),
        ("GO PATH", "go_path", "GoPath"),
        ("GO-PATH", "go_path", "GoPath"),
        ("http2xx", "http_2xx", "Http2xx"),
        ("HTTP20xOK", "http_20x_ok", "Http20xOK"),
        ("Duration2m3s", "duration_2m3s", "Duration2m3s"),
        ("Bld4Floor3rd", "bld4_floor_3rd", "Bld4Floor3rd"),
        ("http_server", "http_server", "HttpServer"),
        ("_complex__case_", "_complex__case_", "_Complex_Case_"),
        ("foo.bar", "foo.bar", "Foo.bar"),
        ("foo4", "foo4", "Foo4"),
        ("2fast", "2fast", "2fast"),
        ("", "", ""),
        ("__", "__", "__"),
    ] {
        let t = |f: &str| run(&format!("{{{{ {f} {from:?} }}}}")).unwrap();
        assert_eq!(t("snakecase"), snake, "{from}");
        assert_eq!(t("kebabcase"), snake.replace('_', "-"), "{from}");
        assert_eq!(t("camelcase"), pascal, "{from}");
    }
}

#[test]
fn numbers() {
    all(&[
        (
            r#"{{ add1f "1.5" }} {{ add1 "0x10" }} {{ int64 "1.00" }}"#,
            "2.5 17 1",
        ),
        (
            r#"{{ toDecimal "0777" }} {{ toDecimal 9 }} {{ atoi "42" }}"#,
            "511 0 42",
        ),
        (
            "{{ until 3 }} {{ until -3 }} {{ until 0 }}",
            "[0 1 2] [0 -1 -2] []",
        ),
        (
            "{{ untilStep 3 6 2 }} {{ untilStep 0 5 0 }} {{ untilStep 0 -6 -2 }}",
            "[3 5] [] [0 -2 -4]",
        ),
        (
            "{{ seq 5 }}|{{ seq -3 }}|{{ seq 0 2 }}|{{ seq 2 -2 }}|{{ seq 0 2 10 }}|{{ seq 0 -2 -5 }}",
            "1 2 3 4 5|1 0 -1 -2 -3|0 1 2|2 1 0 -1 -2|0 2 4 6 8 10|0 -2 -4",
        ),
        (
            "{{ seq 5 1 2 }}|{{ seq 0 -1 2 }}|{{ seq }}|{{ seq 1 2 3 4 }}",
            "|||",
        ),
    ]);
    assert!(run("{{ until 1000000 }}").is_err());
}

#[test]
fn lists() {
    all(&[
        (
            "{{ $l := list 1 2 3 4 5 }}{{ first $l }}{{ rest $l }}{{ last $l }}{{ initial $l }}",
            "1[2 3 4 5]5[1 2 3 4]",
        ),
        (r#"{{ first (list) }}"#, "<no value>"),
        (
            "{{ append (list 1 2) 3 }}{{ prepend (list 1 2) 3 }}{{ concat (list 1) (list 2 3) (list) }}",
            "[1 2 3][3 1 2][1 2 3]",
        ),
        (
            "{{ reverse (list 1 2 3) }}{{ uniq (list 1 2 1) }}{{ compact (list 0 1 \"\" 2) }}",
            "[3 2 1][1 2][1 2]",
        ),
        (
            r#"{{ without (list 1 2 3) 2 3 }}{{ has 2 (list 1 2) }}{{ has "2" (list 1 2) }}{{ has 1 nil }}"#,
            "[1]truefalsefalse",
        ),
        (
            "{{ $l := list 1 2 3 4 5 }}{{ slice $l }}{{ slice $l 3 }}{{ slice $l 1 3 }}",
            "[1 2 3 4 5][4 5][2 3]",
        ),
        (
            "{{ chunk 3 (list 1 2 3 4 5 6 7 8) }}",
            "[[1 2 3] [4 5 6] [7 8]]",
        ),
        (
            r#"{{ first (splitList "," "a,b") }}{{ rest (splitList "," "a,b,c") }}"#,
            "a[b c]",
        ),
        (
            r#"{{ uniq (list (list "1 2") (list "1" "2") (list "1 2")) | len }}"#,
            "2",
        ),
    ]);
    for t in [
        r#"{{ first "abc" }}"#,
        r#"{{ last 1 }}"#,
        r#"{{ slice "abc" 1 }}"#,
        "{{ slice (list 1) 0 5 }}",
        "{{ slice (list 1 2) 2 1 }}",
        "{{ reverse nil }}",
        "{{ chunk 0 (list 1) }}",
        "{{ concat (list 1) 2 }}",
        "{{ has 1 2 }}",
    ] {
        assert!(run(t).is_err(), "{t}");
    }
}

#[test]
fn maps() {
    all(&[
        (r#"{{ dict "k" 1 "odd" }}"#, "map[k:1 odd:]"),
        (
            r#"{{ get (dict "k" "v") "k" }}|{{ get (dict) "k" }}|"#,
            "v||",
        ),
        (
            r#"{{ keys (dict "a" 1 "b" 2) (dict "c" 3) }}{{ values (dict "a" 1 "b" 2) }}"#,
            "[a b c][1 2]",
        ),
        (r#"{{ hasKey (dict "a" 1) "a" }}"#, "true"),
        (
            r#"{{ pick (dict "a" 1 "b" 2) "a" "z" }}{{ omit (dict "a" 1 "b" 2) "a" }}"#,
            "map[a:1]map[b:2]",
        ),
        (
            r#"{{ pluck "a" (dict "a" 1) (dict "b" 2) (dict "a" 3) }}"#,
            "[1 3]",
        ),
        (r#"{{ dig "a" "b" "none" (dict "a" (dict "b" "x")) }}"#, "x"),
        (
            r#"{{ dig "a" "c" "none" (dict "a" (dict "b" "x")) }}"#,
            "none",
        ),
        (r#"{{ dict "a" 1 | dig "z" "none" }}"#, "none"),
        // Whoever holds a map sees that it was changed.
        (
            r#"{{ $d := dict "a" 1 }}{{ $e := $d }}{{ $_ := set $d "b" 2 }}{{ $d }}{{ $e.b }}"#,
            "map[a:1 b:2]2",
        ),
        (
            r#"{{ $d := dict "a" 1 "b" 2 }}{{ $_ := unset $d "a" }}{{ $d }}"#,
            "map[b:2]",
        ),
        (
            r#"{{ $_ := set . "x" "y" }}{{ .x }}{{ $.x }}{{ with . }}{{ .x }}{{ end }}"#,
            "yyy",
        ),
        (
            r#"{{ $d := dict "s" (dict "t" 1) }}{{ $_ := set $d.s "u" 2 }}{{ $d }}{{ $d.s.u }}"#,
            "map[s:map[t:1 u:2]]2",
        ),
        (
            r#"{{ $d := dict "s" (dict) }}{{ $s := $d.s }}{{ $_ := set $s "k" 1 }}{{ $_ := set $s "l" 2 }}{{ $d }}"#,
            "map[s:map[k:1 l:2]]",
        ),
        (
            r#"{{ $d := dict "a" 1 }}{{ $c := deepCopy $d }}{{ $_ := set $d "a" 2 }}{{ $c }}"#,
            "map[a:1]",
        ),
        (
            r#"{{ $l := list (dict "a" 1) }}{{ range $l }}{{ $_ := set . "a" 2 }}{{ .a }}{{ end }}{{ $l }}"#,
            "2[map[a:2]]",
        ),
        (
            r#"{{ $d := dict "a" 1 "c" "" "n" (dict "x" 1) }}{{ $_ := merge $d (dict "a" 2 "b" 3 "c" 4 "n" (dict "x" 9 "y" 2)) (dict "b" 5) }}{{ $d }}"#,
            "map[a:1 b:3 c:4 n:map[x:1 y:2]]",
        ),
        (
            r#"{{ mergeOverwrite (dict "a" 1 "n" (dict "x" 1)) (dict "a" 2 "b" 3 "n" (dict "x" 9 "y" 2)) (dict "b" 5) }}"#,
            "map[a:2 b:5 n:map[x:9 y:2]]",
        ),
    ]);
    for t in [
        r#"{{ dig "a" "b" (dict "a" 1) }}{{ dig "a" "b" "c" (dict "a" 1) }}"#,
        r#"{{ dig "a" "b" }}"#,
        r#"{{ get "x" "y" }}"#,
        r#"{{ set (list) "a" 1 }}"#,
    ] {
        assert!(run(t).is_err(), "{t}");
    }
}

#[test]
fn kinds_and_json() {
    all(&[
        (
            r#"{{ typeOf nil }} {{ typeOf 1 }} {{ kindOf (list) }} {{ kindIs "map" (dict) }}"#,
            "<nil> int slice true",
        ),
        (
            r#"{{ typeIs "string" .p }} {{ typeIsLike "semver.Version" (semver "1") }}"#,
            "true true",
        ),
        (
            r#"{{ deepEqual (list 1 2) (list 1 2) }} {{ deepEqual (list "1 2") (list "1" "2") }} {{ deepEqual 1 1.0 }}"#,
            "true false false",
        ),
        (
            r#"{{ ternary "y" "n" (eq 1 1) }} {{ false | ternary "y" "n" }}"#,
            "y n",
        ),
        (
            r#"{{ coalesce 0 "" (list) "x" }} {{ all 1 "" }} {{ any 0 "a" }} {{ empty 0.0 }}"#,
            "x false true true",
        ),
        (
            r#"{{ toJson (dict "a" "<") }} {{ toRawJson (dict "a" "<&>") }}"#,
            r#"{"a":"\u003c"} {"a":"<&>"}"#,
        ),
        (
            r#"{{ toPrettyJson (dict "a" "<") }}"#,
            "{\n  \"a\": \"\\u003c\"\n}",
        ),
        (r#"{{ (mustFromJson "{\"foo\": 55}").foo }}"#, "55"),
        (
            r#"{{ (semver "v1.2.3-beta.1+123").Major }}.{{ (semver "1.2.3").Minor }} {{ (semver "1.2.3-beta.1+c").Prerelease }}"#,
            "1.2 beta.1",
        ),
        (
            r#"{{ semver "1.2.3" | (semver "1.4.3").Compare }} {{ semverCompare "^1.2.0" "v1.3.0" }}"#,
            "1 true",
        ),
        (
            r#"{{ (urlParse "proto://auth@host:80/path?query#fragment").hostname }}"#,
            "host",
        ),
        (
            r#"{{ urlJoin (dict "fragment" "fragment" "host" "host:80" "path" "/path" "query" "query" "scheme" "proto" "userinfo" "auth") }}"#,
            "proto://auth@host:80/path?query#fragment",
        ),
        (
            "{{ base .p }} {{ dir .p }} {{ ext .p }} {{ isAbs .p }}",
            "a.b.log /var/log .log true",
        ),
        (
            r#"{{ clean "/a/../b//./c/" }} {{ clean "../a/.." }} {{ dir "a" }} {{ base "" }}"#,
            "/b/c .. . .",
        ),
    ]);
    assert!(run(r#"{{ mustFromJson "{" }}"#).is_err());
    assert!(run(r#"{{ semverCompare "x y" "1" }}{{ semver "x" }}"#).is_err());
}

#[test]
fn patterns() {
    all(&[
        (
            r#"{{ regexMatch "^[a-z]+$" "abc" }} {{ regexMatch "(" "abc" }}"#,
            "true false",
        ),
        (r#"{{ regexFind "[a-zA-Z][1-9]" "abcd1234" }}"#, "d1"),
        (
            r#"{{ regexFindAll "[2,4,6,8]" "123456789" -1 }}"#,
            "[2 4 6 8]",
        ),
        (r#"{{ regexFindAll "[2,4,6,8]" "123456789" 2 }}"#, "[2 4]"),
        (r#"{{ regexSplit "z+" "pizza" -1 }}"#, "[pi a]"),
        (
            r#"{{ regexSplit "a" "banana" -1 | toJson }}"#,
            r#"["b","n","n",""]"#,
        ),
        (r#"{{ regexSplit "a" "banana" 0 | toJson }}"#, "[]"),
        (
            r#"{{ regexSplit "a" "banana" 1 | toJson }}"#,
            r#"["banana"]"#,
        ),
        (
            r#"{{ regexSplit "a" "banana" 2 | toJson }}"#,
            r#"["b","nana"]"#,
        ),
        (
            r#"{{ regexSplit "" "abc" -1 | toJson }}"#,
            r#"["a","b","c"]"#,
        ),
        (r#"{{ regexSplit "x*" "" -1 | toJson }}"#, r#"[""]"#),
        (r#"{{ regexQuoteMeta "1.2.3-a&b" }}"#, r"1\.2\.3-a&b"),
    ]);
    for t in [
        r#"{{ mustRegexMatch "(" "a" }}"#,
        r#"{{ regexFind "(" "a" }}"#,
    ] {
        assert!(run(t).is_err(), "{t}");
    }
}

#[test]
fn values_stay_small() {
    for t in [
        "{{ $x := list 1 }}{{ range until 60 }}{{ $x = list $x $x }}{{ end }}{{ len $x }}",
        "{{ $x := list }}{{ range until 9000 }}{{ $x = list $x }}{{ end }}{{ len $x }}",
        r#"{{ $x := dict }}{{ range until 9000 }}{{ $_ := set $x "a" $x }}{{ end }}{{ len $x }}"#,
    ] {
        let e = run(t).unwrap_err();
        assert!(e.contains("the value "), "{t}: {e}");
    }
}
