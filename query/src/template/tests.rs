//! Templates against what Go's own package gives.

use super::*;

fn run(text: &str, data: &Value) -> Result<String, String> {
    let t = Template::parse("t", text, &[]).map_err(|e| e.to_string())?;
    let mut out = String::new();
    t.execute(data, &mut NoHost, Budget::default(), &mut out)
        .map_err(|e| e.to_string())?;
    Ok(out)
}

fn data() -> Value {
    let list: Value = vec![Value::from("x"), Value::Int(2), Value::Nil].into();
    let entries = [
        ("a".into(), Value::from("A")),
        ("n".into(), Value::Int(7)),
        ("f".into(), Value::Float(1.5)),
        ("l".into(), list),
        ("m".into(), Value::texts([("k", "v"), ("b", "w")])),
    ];
    Value::Map(std::sync::Arc::new(Map {
        entries: entries.into_iter().collect(),
        texts: false,
    }))
}

#[test]
fn language() {
    for (text, want) in [
        ("x {{.a}} y", "x A y"),
        ("{{.nosuch}}", "<no value>"),
        ("{{.m.k}}{{.m.zz}}", "v<no value>"),
        ("a {{- /* c */ -}} b", "ab"),
        ("a {{- .a -}} b", "aAb"),
        ("{{if .a}}1{{else}}2{{end}}", "1"),
        ("{{if not .a}}1{{else if eq .n 7}}2{{else}}3{{end}}", "2"),
        (
            "{{with .m}}{{.k}}{{end}}{{with .zz}}x{{else}}y{{end}}",
            "vy",
        ),
        ("{{with .zz}}x{{else with .a}}{{.}}{{end}}", "A"),
        ("{{range .l}}<{{.}}>{{end}}", "<x><2><<no value>>"),
        (
            "{{range $i, $v := .l}}{{$i}}={{$v}};{{end}}",
            "0=x;1=2;2=<no value>;",
        ),
        ("{{range $k, $v := .m}}{{$k}}={{$v}};{{end}}", "b=w;k=v;"),
        ("{{range .zz}}x{{else}}none{{end}}", "none"),
        ("{{range 3}}{{.}}{{end}}", "012"),
        (
            "{{range 5}}{{if eq . 1}}{{continue}}{{end}}{{if eq . 3}}{{break}}{{end}}{{.}}{{end}}",
            "02",
        ),
        ("{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}", "2"),
        ("{{define \"d\"}}[{{.}}]{{end}}{{template \"d\" .a}}", "[A]"),
        ("{{block \"b\" .n}}({{.}}){{end}}", "(7)"),
        (
            "{{printf \"%05d|%-4s|%q|%.2f|%v\" .n .a .a .f .l}}",
            "00007|A   |\"A\"|1.50|[x 2 <nil>]",
        ),
        ("{{.a | printf \"%s-%s\" \"b\"}}", "b-A"),
        (
            "{{len .l}}{{index .l 1}}{{index .m \"k\"}}{{slice .a 0 1}}",
            "32vA",
        ),
        ("{{and 1 0}}{{or 0 \"x\"}}{{not 1}}", "0xfalse"),
        (
            "{{eq 1 2 1}} {{ne 1 2}} {{lt 1 2}} {{ge 1.5 1.5}}",
            "true true true true",
        ),
        ("{{print 1 2 \"x\" 3}}", "1 2x3"),
        (
            "{{html \"<a&'b'>\"}} {{urlquery \"a b&c\"}} {{js \"it's\"}}",
            "&lt;a&amp;&#39;b&#39;&gt; a+b%26c it\\'s",
        ),
        ("{{(index .l 0) | printf \"%s!\"}}", "x!"),
        ("{{printf \"%d\" .a}}", "%!d(string=A)"),
        (
            "{{printf \"%s\" 1}}{{printf \"%d\"}}",
            "%!s(int=1)%!d(MISSING)",
        ),
        (
            "{{printf \"%x %X %o %b %c %U\" 255 255 8 5 65 65}}",
            "ff FF 10 101 A U+0041",
        ),
        (
            "{{printf \"%e %g %6.2f|%+d\" 1500000.0 1e21 3.14159 5}}",
            "1.500000e+06 1e+21   3.14|+5",
        ),
        (
            "{{1000000.0}} {{123456789.0}} {{'a'}}",
            "1e+06 1.23456789e+08 97",
        ),
    ] {
        assert_eq!(run(text, &data()).as_deref(), Ok(want), "{text}");
    }
}

#[test]
fn refusals() {
    for (text, part) in [
        ("{{", "unclosed action"),
        ("{{.a", "unclosed action"),
        ("{{nofunc}}", "function \"nofunc\" not defined"),
        ("{{$x}}", "undefined variable \"$x\""),
        ("{{if .a}}x", "unexpected EOF"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{break}}", "outside {{range}}"),
        ("{{.a | }}", "missing value for command"),
        ("{{(.a}}", "unclosed left paren"),
        ("{{\"x}}", "unterminated quoted string"),
        ("{{if}}x{{end}}", "missing value for if"),
        ("{{.a | 1}}", "non executable command"),
    ] {
        let e = run(text, &data()).unwrap_err();
        assert!(
            e.starts_with("template: t:1: ") && e.contains(part),
            "{text}: {e}"
        );
    }
    for (text, part) in [
        ("{{.a.b}}", "can't evaluate field b in type string"),
        ("{{index .l 9}}", "index out of range: 9"),
        ("{{len 3}}", "len of type int"),
        ("{{eq 1 \"x\"}}", "incompatible types"),
        ("{{template \"no\"}}", "not defined"),
        (
            "{{.a 1}}",
            "a has arguments but cannot be invoked as function",
        ),
        ("{{range .a}}{{end}}", "range can't iterate over A"),
        (
            "{{define \"r\"}}{{template \"r\"}}{{end}}{{template \"r\"}}",
            "template depth",
        ),
        ("{{range 999999999}}{{end}}", "too many steps"),
    ] {
        let e = run(text, &data()).unwrap_err();
        assert!(e.contains("executing") && e.contains(part), "{text}: {e}");
    }
}

#[test]
fn html_mode_escapes_all_but_safe_values() {
    let t = Template::parse("t", "<b>{{.a}}</b>{{.s}}", &[]).unwrap();
    let entries = [
        ("a".into(), Value::from("<i>")),
        ("s".into(), Value::Safe("<u>".into())),
    ];
    let data = Value::Map(std::sync::Arc::new(Map {
        entries: entries.into_iter().collect(),
        texts: false,
    }));
    let mut out = String::new();
    let html = t.html().unwrap();
    let r = html.execute(&data, &mut NoHost, Budget::default(), &mut out);
    assert_eq!((r, out.as_str()), (Ok(()), "<b>&lt;i&gt;</b><u>"));
}

#[test]
fn fields_that_are_read() {
    let fields = |t: &str| Template::parse("t", t, &[]).unwrap().fields();
    assert_eq!(
        fields("{{.a}}{{if .b}}{{.c.d}}{{end}}"),
        Some(vec!["a".into(), "b".into(), "c".into()])
    );
    assert_eq!(fields("{{.}}"), None);
    assert_eq!(fields("{{range $k, $v := .}}{{end}}"), None);
    let single = Template::parse("t", "{{ .a }}", &[]).unwrap();
    assert_eq!(single.single_field(), Some("a"));
}
