//! Escaping by place, against what Go's package documents and the reference recorded.

use std::sync::Arc;

use super::super::{Budget, Map, NoHost, Template, Value};

fn render(text: &str) -> Result<String, String> {
    let t = Template::parse("t", text, &[]).map_err(|e| e.to_string())?;
    let t = t.html().map_err(|e| e.to_string())?;
    let entries = [
        ("x", Value::from("<a b='c'>\"&+")),
        ("safe", Value::Safe("<b>bold</b> & x".into())),
        ("js", "javascript:alert(1)".into()),
        ("safejs", Value::SafeUrl("javascript:alert(1)".into())),
        ("url", "http://h/a b?c=d&e='f'".into()),
        ("n", Value::Int(3)),
        ("l", vec![Value::from("a\"b"), Value::Int(1)].into()),
        ("color", "red".into()),
        ("evil", "expression(alert(1))".into()),
        ("name", "title".into()),
        ("nil", Value::Nil),
    ];
    let data = Value::Map(Arc::new(Map {
        entries: entries.into_iter().map(|(k, v)| (k.into(), v)).collect(),
        texts: false,
    }));
    let mut out = String::new();
    t.execute(&data, &mut NoHost, Budget::default(), &mut out)
        .map_err(|e| e.to_string())?;
    Ok(out)
}

#[test]
fn values_are_escaped_for_their_place() {
    for (text, want) in [
        (
            "<p>{{.x}}</p>",
            "<p>&lt;a b=&#39;c&#39;&gt;&#34;&amp;&#43;</p>",
        ),
        ("<p>{{.safe}}{{.nil}}</p>", "<p><b>bold</b> & x</p>"),
        ("{{.x | html}}", "&lt;a b=&#39;c&#39;&gt;&#34;&amp;+"),
        (
            "<p title=\"{{.x}}\">",
            "<p title=\"&lt;a b=&#39;c&#39;&gt;&#34;&amp;&#43;\">",
        ),
        ("<p title=\"{{.safe}}\">", "<p title=\"bold & x\">"),
        ("<p title={{.color}} id=a>", "<p title=red id=a>"),
        (
            "<p title={{.x}}>",
            "<p title=&lt;a&#32;b&#61;&#39;c&#39;&gt;&#34;&amp;&#43;>",
        ),
        ("<p {{.name}}=\"x\">", "<p title=\"x\">"),
        (
            "<textarea>{{.safe}}</textarea>{{.safe}}",
            "<textarea>&lt;b&gt;bold&lt;/b&gt; & x</textarea><b>bold</b> & x",
        ),
        (
            "<a href=\"{{.url}}\">",
            "<a href=\"http://h/a%20b?c=d&amp;e=%27f%27\">",
        ),
        ("<a href=\"{{.js}}\">", "<a href=\"#ZgotmplZ\">"),
        (
            "<a href=\"{{.safejs}}\">",
            "<a href=\"javascript:alert%281%29\">",
        ),
        (
            "<a href=\"/q?x={{.url}}\">",
            "<a href=\"/q?x=http%3a%2f%2fh%2fa%20b%3fc%3dd%26e%3d%27f%27\">",
        ),
        (
            "<a href=\"/p/{{.js}}\">",
            "<a href=\"/p/javascript:alert%281%29\">",
        ),
        (
            "<a href=\"/q?x={{urlquery .name .n}}&y={{.color | urlquery}}&z={{.js | urlquery}}\">",
            "<a href=\"/q?x=title3&y=red&z=javascript%3Aalert%281%29\">",
        ),
        (
            "<a href={{.url}}>",
            "<a href=http://h/a%20b?c&#61;d&amp;e&#61;%27f%27>",
        ),
        (
            "<a onclick=\"f({{.color}}, {{.n}})\">",
            "<a onclick=\"f(&#34;red&#34;,  3 )\">",
        ),
        (
            "<script>var a = {{.l}}, b = '{{.x}}', c = {{.nil}};</script>{{.n}}",
            "<script>var a = [\"a\\\"b\",1], b = '\\u003ca b=\\u0027c\\u0027\\u003e\\u0022\\u0026\\u002b', c =  null ;</script>3",
        ),
        (
            "<script>/* {{.x}} */ a = 1 // b\n</script>",
            "<script> a = 1 \n</script>",
        ),
        (
            "<script>a = /{{.url}}/</script>",
            "<script>a = /http:\\/\\/h\\/a b\\?c=d\\u0026e=\\u0027f\\u0027/</script>",
        ),
        (
            "<p style=\"color: {{.color}}; b: {{.evil}}\">",
            "<p style=\"color: red; b: ZgotmplZ\">",
        ),
        (
            "<style>p { color: {{.color}} }</style>",
            "<style>p { color: red }</style>",
        ),
        ("a < b <!-- gone {{.x}} -->c", "a &lt; b c"),
        ("<!DOCTYPE html><p>{{.n}}", "<!DOCTYPE html><p>3"),
        (
            "{{if .n}}<b>{{else}}<i>{{end}}{{.x}}",
            "<b>&lt;a b=&#39;c&#39;&gt;&#34;&amp;&#43;",
        ),
        (
            "{{define \"d\"}}{{.}}{{end}}<a href=\"{{template \"d\" .js}}\">{{template \"d\" .js}}",
            "<a href=\"#ZgotmplZ\">javascript:alert(1)",
        ),
        ("{{range .l}}<i>{{.}}</i>{{end}}", "<i>a&#34;b</i><i>1</i>"),
    ] {
        assert_eq!(render(text).as_deref(), Ok(want), "{text}");
    }
}

#[test]
fn places_that_depend_on_choices_are_refused() {
    for (text, part) in [
        (
            "{{if .n}}<a href=\"{{else}}<a>{{end}}",
            "branches end in different contexts",
        ),
        ("<a href=\"{{.x}}", "ends in a non-text context"),
        (
            "{{range .l}}<a title=\"{{end}}",
            "branches end in different contexts",
        ),
        ("{{template \"nosuch\"}}", "no such template \"nosuch\""),
        ("<a \"b\">", "in attribute name"),
        (
            "<a href=\"{{if .n}}/a?b={{else}}/c{{end}}{{.x}}\">",
            "ambiguous context within a URL",
        ),
    ] {
        let e = render(text).unwrap_err();
        assert!(e.contains(part), "{text}: {e}");
    }
}

#[test]
fn scripts_may_have_characters_of_several_bytes_before_words() {
    let got = render("<a onclick='f\u{601}n({{.n}})'><script>\u{201c}return /{{.n}}/</script>");
    assert!(got.is_ok(), "{got:?}");
}
