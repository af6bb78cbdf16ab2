//! Documents as users write them: what loads, what is refused with which words, what is rendered.

use std::path::Path;

use super::prometheus::{LoadedConfig, load_text};

fn load(text: &str) -> Result<LoadedConfig, String> {
    load_text(Path::new("p.yml"), text).map_err(|e| e.to_string())
}

#[test]
fn empty_documents_hold_every_default() {
    for text in [
        "",
        "# nothing\n",
        "---\n",
        "global:\n",
        "scrape_configs:\nrule_files:\n",
    ] {
        let c = load(text).unwrap();
        let g = &c.document.global;
        assert_eq!(g.scrape_interval.to_string(), "1m", "{text:?}");
        assert_eq!(g.scrape_timeout.to_string(), "10s");
        assert_eq!(g.scrape_protocols.len(), 4);
    }
}

#[test]
fn jobs_inherit_from_global() {
    let c = load(
        "global: {scrape_interval: 5s, sample_limit: 7, scrape_native_histograms: true}\n\
         scrape_configs:\n- job_name: a\n- {job_name: b, sample_limit: 9, scrape_interval: 1m}\n",
    )
    .unwrap();
    let [a, b] = &c.jobs[..] else { panic!() };
    assert_eq!(a.scrape_interval.to_string(), "5s");
    assert_eq!(a.scrape_timeout.to_string(), "5s");
    assert_eq!((a.sample_limit, b.sample_limit), (7, 9));
    assert_eq!(b.scrape_timeout.to_string(), "5s");
    assert_eq!(a.scrape_protocols[0].name(), "PrometheusProto");
    assert_eq!(
        (a.metrics_path.as_str(), a.scheme.as_str()),
        ("/metrics", "http")
    );
}

#[test]
fn mistakes_are_named_in_the_familys_words() {
    for (text, want) in [
        (
            "foo: 1",
            "line 1 column 1: field foo not found in type config.Config",
        ),
        (
            "scrape_configs:\n- job_name: a\n  scrape_intervall: 5s\n",
            "line 3 column 3: field scrape_intervall not found in type config.ScrapeConfig \
             (did you mean scrape_interval?)",
        ),
        (
            "global: {scrape_interval: 5s, scrape_timeout: 10s}",
            "global scrape timeout greater than scrape interval",
        ),
        (
            "global:\n  scrape_interval: abc",
            r#"not a valid duration string: "abc""#,
        ),
        (
            "scrape_configs: [{job_name: a},{job_name: a}]",
            r#"found multiple scrape configs with job name "a""#,
        ),
        ("scrape_configs: [{}]", "job_name is empty"),
        (
            "scrape_configs: [null]",
            "empty or null scrape config section",
        ),
        (
            "scrape_configs: [{job_name: a, scrape_timeout: 2m}]",
            r#"scrape timeout greater than scrape interval for scrape config with job name "a""#,
        ),
        (
            r#"scrape_configs: [{job_name: a, static_configs: [{targets: ["http://x"]}]}]"#,
            r#""http://x" is not a valid hostname"#,
        ),
        (
            "scrape_configs: [{job_name: a, basic_auth: {username: u}, authorization: {credentials: x}}]",
            "at most one of basic_auth, oauth2 & authorization must be configured",
        ),
        (
            "scrape_configs: [{job_name: a, authorization: {type: Basic}}]",
            r#"authorization type cannot be set to "basic", use "basic_auth" instead"#,
        ),
        (
            "scrape_configs: [{job_name: a, oauth2: {}}]",
            "oauth2 client_id must be configured",
        ),
        (
            r#"scrape_configs: [{job_name: a, proxy_url: "::"}]"#,
            r#"parse "::": missing protocol scheme"#,
        ),
        (
            "scrape_configs: [{job_name: a, dns_sd_configs: [{names: [a], type: A}]}]",
            "a port is required in DNS-SD configs for all record types except SRV",
        ),
        (
            "scrape_configs: [{job_name: a, file_sd_configs: [{files: [x]}]}]",
            r#"path name "x" is not valid for file discovery"#,
        ),
        (
            "scrape_configs: [{job_name: a, http_sd_configs: [{}]}]",
            "URL is missing",
        ),
        (
            "scrape_configs: [{job_name: a, kubernetes_sd_configs: [{role: x}]}]",
            r#"unknown Kubernetes SD role "x""#,
        ),
        (
            "scrape_configs: [{job_name: a, kubernetes_sd_configs: [{role: pod, kubeconfig_file: k, \
             namespaces: {own_namespace: true}}]}]",
            "cannot use 'kubeconfig_file' and 'namespaces.own_namespace' simultaneously",
        ),
        (
            "scrape_configs: [{job_name: a, kubernetes_sd_configs: [{role: pod, selectors: \
             [{role: pod, label: a=b}, {role: pod, field: c=d}]}]}]",
            "duplicated selector role: pod",
        ),
        (
            "scrape_configs: [{job_name: a, docker_sd_configs: [{}]}]",
            "host missing",
        ),
        ("remote_write: [{}]", "url for remote_write is empty"),
        (
            r#"remote_write: [{url: "http://x", headers: {content-type: x}}]"#,
            "content-type is a reserved header. It must not be changed",
        ),
        (
            r#"rule_files: ["a*/b"]"#,
            r#"invalid rule file path "a*/b""#,
        ),
        (
            "alerting: {alertmanagers: [{api_version: v1}]}",
            "to be one of [v2] but got v1",
        ),
        ("tracing: {}", "tracing endpoint must be set"),
        (
            "scrape_configs: [{job_name: a, body_size_limit: 5x}]",
            "units: unknown unit x in 5x",
        ),
        (
            "global: {}\nglobal: {}",
            "line 2 column 1: duplicate mapping key: global",
        ),
    ] {
        let e = load(text).expect_err(text);
        assert!(e.starts_with("parsing YAML file p.yml: "), "{text}: {e}");
        assert!(e.contains(want), "{text}:\n  got  {e}\n  want {want}");
    }
}

#[test]
fn rendering_fills_defaults_and_hides_secrets() {
    let c = load(
        "global: {external_labels: {a: b}}\n\
         scrape_configs:\n- job_name: a\n  basic_auth: {username: u, password: hush}\n  \
         static_configs: [{targets: ['localhost:9090'], labels: {x: y}}]\n  \
         relabel_configs: [{source_labels: [a,b], target_label: z}]\n\
         - job_name: k\n  oauth2: {client_id: c, client_secret: hush, token_url: 'http://t'}\n  \
         http_headers: {X: {secrets: [hush]}}\n  \
         consul_sd_configs: [{token: hush}]\n  ec2_sd_configs: [{secret_key: hush}]\n\
         remote_write:\n- url: http://u:hush@x/w\n  sigv4: {access_key: a, secret_key: hush}\n",
    )
    .unwrap();
    let text = c.render() + &c.render_job("k").unwrap();
    assert!(!text.contains("hush"), "{text}");
    assert!(!format!("{c:?}").contains("hush"));
    for line in [
        "global:\n  scrape_interval: 1m\n  scrape_timeout: 10s\n",
        "    password: <secret>\n",
        "- url: http://u:<secret>@x/w\n",
        "    separator: ;\n    regex: (.*)\n    target_label: z\n    replacement: $1\n    action: replace\n",
        "      x: \"y\"\n",
    ] {
        assert!(text.contains(line), "{line:?} in\n{text}");
    }
    assert!(
        c.warnings[0].starts_with("ec2_sd_configs of job \"k\""),
        "{:?}",
        c.warnings
    );
    let again = load(&c.render().replace("<secret>@", "s@")).unwrap();
    assert_eq!(again.document.global, c.document.global);
}

#[test]
fn alias_bombs_are_refused_quickly() {
    let mut text = String::from("x0: &x0 [a,a,a,a,a,a,a,a,a,a]\n");
    for i in 1..10 {
        let items = vec![format!("*x{}", i - 1); 10].join(",");
        text.push_str(&format!("x{i}: &x{i} [{items}]\n"));
    }
    text.push_str("rule_files: *x9\n");
    assert!(load(&text).is_err());
}

#[test]
fn job_files_and_rule_files_are_loaded() {
    let dir = std::env::temp_dir().join(format!("sextant-config-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("r")).unwrap();
    std::fs::write(dir.join("jobs.yml"), "scrape_configs: [{job_name: b}]").unwrap();
    let rules = "groups: [{name: g, rules: [{record: a:b, expr: up}]}]";
    std::fs::write(dir.join("r/1.yml"), rules).unwrap();
    let main =
        "scrape_configs: [{job_name: a}]\nscrape_config_files: ['j*.yml']\nrule_files: ['r/*.yml']";
    let c = load_text(&dir.join("p.yml"), main).unwrap();
    let names: Vec<_> = c.jobs.iter().map(|j| j.job_name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(c.rules[0].1.groups[0].rules[0].name(), "a:b");
    std::fs::write(
        dir.join("r/2.yml"),
        "groups: [{name: g, rules: [{expr: up}]}]",
    )
    .unwrap();
    let e = load_text(&dir.join("p.yml"), main).unwrap_err().to_string();
    assert!(e.contains("one of 'record' or 'alert' must be set"), "{e}");
    assert!(e.contains("2.yml"), "{e}");
    let broken = "groups: [{name: g, rules: [{record: a, expr: 'sum('}]}]";
    std::fs::write(dir.join("r/2.yml"), broken).unwrap();
    let e = load_text(&dir.join("p.yml"), main).unwrap_err().to_string();
    let want = "group \"g\", rule 1, \"a\": could not parse expression: 1:5: parse error";
    assert!(e.contains(want), "{e}");
    std::fs::remove_dir_all(dir).unwrap();
}
