//! `/federate`.

use crate::support::{Server, now_ms};
use crate::wire::{labels, store};

#[test]
fn newest_samples_are_given_with_time_and_external_labels() {
    let s = Server::with_config(
        "global: {external_labels: {dc: eu, job: never}}",
        &["--web.enable-remote-write-receiver"],
    );
    let t = now_ms() - 10_000;
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    store(
        &s,
        &[
            (
                labels(&[("__name__", "b"), ("job", "x")]),
                vec![(t, 1.0), (t + 1, 2.5)],
            ),
            (
                labels(&[("__name__", "a.dotted"), ("instance", "i")]),
                vec![(t, 3.0)],
            ),
            (
                labels(&[("__name__", "gone")]),
                vec![(t, 1.0), (t + 1, stale)],
            ),
            (labels(&[("__name__", "old")]), vec![(t - 600_000, 1.0)]),
        ],
    );
    let all = "{__name__=~\".+\"}";
    let a = s.query("/federate", &[("match[]", all)]);
    assert_eq!(
        a.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8; escaping=underscores")
    );
    assert_eq!(
        a.text(),
        format!(
            "# TYPE a_dotted untyped\na_dotted{{dc=\"eu\",instance=\"i\",job=\"never\"}} 3 {t}\n\
             # TYPE b untyped\nb{{dc=\"eu\",instance=\"\",job=\"x\"}} 2.5 {}\n",
            t + 1
        )
    );
    let a = s
        .request("GET", "/federate?match[]=%7B%22a.dotted%22%7D")
        .header("Accept", "text/plain;version=1.0.0;escaping=allow-utf-8")
        .send();
    assert!(a.text().contains("{\"a.dotted\",dc=\"eu\""), "{}", a.text());
    let a = s
        .request("GET", "/federate?match[]=b")
        .header(
            "Accept",
            "application/openmetrics-text;version=1.0.0,text/plain;q=0.1",
        )
        .send();
    assert!(
        a.header("content-type")
            .is_some_and(|c| c.starts_with("text/plain"))
    );
}

#[test]
fn selectors_are_optional_but_must_be_valid() {
    let s = Server::start(&[]);
    let a = s.get("/federate");
    assert_eq!((a.status, a.body.len()), (200, 0));
    let a = s.query("/federate", &[("match[]", "a{")]);
    assert_eq!(a.status, 400);
    assert!(
        a.header("content-type")
            .is_some_and(|c| c.starts_with("text/plain"))
    );
}
