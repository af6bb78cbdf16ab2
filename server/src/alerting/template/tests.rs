//! The built-in definitions.

use super::*;

fn data(alerts: &[(&str, &str)]) -> Data {
    let alert = |(status, severity): &(&str, &str)| AlertData {
        status: (*status).to_owned(),
        labels: [("alertname", "A"), ("severity", severity)]
            .map(|(n, v)| (n.to_owned(), v.to_owned()))
            .into(),
        generator_url: "http://p/g?a=1&b=2".into(),
        ..AlertData::default()
    };
    let firing = alerts.iter().any(|(s, _)| *s == "firing");
    Data {
        receiver: "a\\.b".into(),
        status: if firing { "firing" } else { "resolved" }.into(),
        alerts: alerts.iter().map(alert).collect(),
        group_labels: [("alertname".to_owned(), "A".to_owned())].into(),
        common_labels: [("alertname".to_owned(), "A".to_owned())].into(),
        external_url: "http://am".into(),
        ..Data::default()
    }
}

fn render(text: &str, alerts: &[(&str, &str)]) -> String {
    let t = Templates::load(&[]).unwrap();
    t.text(text, &data(alerts), Timestamp::UNIX_EPOCH).unwrap()
}

#[test]
fn subjects_and_addresses() {
    let subject = "{{ template \"__subject\" . }}|{{ template \"__alertmanagerURL\" . }}";
    assert_eq!(
        render(subject, &[("firing", "x"), ("resolved", "x")]),
        "[FIRING:1] A |http://am/#/alerts?receiver=a%5C.b"
    );
    let over = render(
        "{{ template \"sns.default.subject\" . }}",
        &[("resolved", "x")],
    );
    assert_eq!(over, "[RESOLVED] A ");
}

#[test]
fn priorities_are_those_of_what_fires_or_else_of_what_is_over() {
    let text = "{{ template \"jira.default.priority\" . }}";
    for (alerts, want) in [
        (&[("firing", "warning"), ("firing", "critical")][..], "High"),
        (&[("firing", "critical"), ("firing", "warning")], "High"),
        (&[("firing", "info"), ("resolved", "critical")], "Low"),
        (&[("resolved", "warning")], "Medium"),
        (&[("firing", "other")], ""),
    ] {
        assert_eq!(render(text, alerts), want, "{alerts:?}");
    }
}

#[test]
fn mails_are_html_with_escaped_values() {
    let t = Templates::load(&[]).unwrap();
    let text = "{{ template \"email.default.html\" . }}";
    let mail = t
        .html(
            text,
            &data(&[("firing", "<b>"), ("resolved", "x")]),
            Timestamp::UNIX_EPOCH,
        )
        .unwrap();
    for part in [
        "2 alerts for alertname=A",
        "[1] Firing",
        "[1] Resolved",
        "severity = &lt;b&gt;",
        "href=\"http://p/g?a=1&amp;b=2\"",
        "href=\"http://am/#/alerts?receiver=a%5C.b\"",
    ] {
        assert!(mail.contains(part), "{part}: {mail}");
    }
}
