use std::path::Path;

use super::*;

fn load(text: &str) -> Result<AlertmanagerConfig, String> {
    load_text(Path::new("etc/am.yml"), text)
        .map(|l| l.document)
        .map_err(|e| e.to_string())
}

/// A document with one receiver of the given sections.
fn with_receiver(global: &str, sections: &str) -> Result<AlertmanagerConfig, String> {
    load(&format!(
        "global: {{{global}}}\nroute: {{receiver: r}}\nreceivers: [{{name: r, {sections}}}]\n"
    ))
}

#[test]
fn documents_are_refused_with_the_culprit() {
    let tail = "\nreceivers: [{name: r}]";
    for (text, error) in [
        ("", "no routes provided"),
        ("receivers: [{name: r}]", "no routes provided"),
        ("route: {}", "root route must specify a default receiver"),
        (
            "route: {receiver: r, matchers: ['a=b']}",
            "root route must not have any matchers",
        ),
        (
            "route: {receiver: r, match: {a: b}}",
            "root route must not have any matchers",
        ),
        (
            "route: {receiver: r, continue: true}",
            "cannot have continue in root route",
        ),
        (
            "route: {receiver: r, active_time_intervals: [t]}",
            "root route must not have any active time intervals",
        ),
        (
            "route: {receiver: r, routes: [{receiver: nope}]}",
            "undefined receiver \"nope\" used in route",
        ),
        (
            "route: {receiver: r, routes: [{mute_time_intervals: [nope]}]}",
            "undefined time interval \"nope\" used in route",
        ),
        (
            "route: {receiver: r, group_by: [a, a]}",
            "duplicated label \"a\" in group_by",
        ),
        (
            "route: {receiver: r, group_by: ['...', a]}",
            "cannot have wildcard group_by",
        ),
        (
            "route: {receiver: r, group_by: ['']}",
            "invalid label name \"\" in group_by list",
        ),
        (
            "route: {receiver: r, group_interval: 0s}",
            "group_interval cannot be zero",
        ),
        (
            "route: {receiver: r, repeat_interval: 0s}",
            "repeat_interval cannot be zero",
        ),
        ("route: {receiver: r, group_wait: 10}", "\"10\""),
        (
            "route: {receiver: r, routes: [{match: {a-b: x}}]}",
            "invalid label name \"a-b\"",
        ),
        ("route: {receiver: r, routes: [{match_re: {a: '('}}]}", "("),
        (
            "route: {receiver: r, routes: [{matchers: [nooperator]}]}",
            "bad matcher format: nooperator",
        ),
        (
            "route: {receiver: r}\nglobal: {smtp_host: x}",
            "field smtp_host not found",
        ),
        (
            "route: {receiver: r}\nglobal: {smtp_smarthost: host}",
            "missing port in address",
        ),
        (
            "route: {receiver: r}\nglobal: {slack_api_url: YOUR_URL}",
            "unsupported scheme \"\" for URL",
        ),
        (
            "route: {receiver: r}\nglobal: {slack_api_url: 'http://h/', slack_api_url_file: f}",
            "slack_api_url",
        ),
        (
            "route: {receiver: r}\ninhibit_rules: [{equal: ['']}]",
            "equal list",
        ),
        (
            "route: {receiver: r}\ntime_intervals: [{name: t}]\nmute_time_intervals: [{name: t}]",
            "time interval \"t\" is not unique",
        ),
        (
            "route: {receiver: r}\ntime_intervals: [{time_intervals: []}]",
            "missing name in time interval",
        ),
    ] {
        let text = match text.contains("route") {
            true => format!("{text}{tail}"),
            false => text.to_owned(),
        };
        let e = load(&text).unwrap_err();
        assert!(e.contains(error), "{text}: {e}");
    }
    let twice = load("route: {receiver: r}\nreceivers: [{name: r}, {name: r}]").unwrap_err();
    assert!(
        twice.contains("notification config name \"r\" is not unique"),
        "{twice}"
    );
    let nameless = load("route: {receiver: r}\nreceivers: [{webhook_configs: []}]").unwrap_err();
    assert!(nameless.contains("missing name in receiver"), "{nameless}");
}

#[test]
fn receivers_need_what_they_cannot_do_without() {
    for (global, sections, error) in [
        (
            "",
            "webhook_configs: [{}]",
            "one of url or url_file must be configured",
        ),
        (
            "",
            "webhook_configs: [{url: 'http://h/', url_file: f}]",
            "at most one of url & url_file",
        ),
        (
            "",
            "webhook_configs: [{url: 'ftp://h/'}]",
            "unsupported scheme \"ftp\"",
        ),
        ("", "slack_configs: [{channel: x}]", "no Slack API URL"),
        (
            "",
            "slack_configs: [{api_url: 'http://h/', fields: [{value: v}]}]",
            "missing title in Slack field",
        ),
        (
            "",
            "slack_configs: [{api_url: 'http://h/', actions: [{type: b, text: t}]}]",
            "missing name or url in Slack action",
        ),
        (
            "",
            "email_configs: [{to: a@b.c}]",
            "no global SMTP smarthost set",
        ),
        (
            "smtp_smarthost: 'h:25'",
            "email_configs: [{to: a@b.c}]",
            "no global SMTP from set",
        ),
        (
            "",
            "email_configs: [{smarthost: 'h:25', from: x@y.z}]",
            "missing to address",
        ),
        (
            "smtp_smarthost: 'h:25', smtp_from: x@y.z",
            "email_configs: [{to: a@b.c, headers: {subject: a, Subject: b}}]",
            "duplicate header \"Subject\"",
        ),
        (
            "",
            "pagerduty_configs: [{}]",
            "missing service or routing key",
        ),
        (
            "",
            "pagerduty_configs: [{routing_key: x, routing_key_file: y}]",
            "routing_key",
        ),
        (
            "",
            "opsgenie_configs: [{}]",
            "no global OpsGenie API Key set",
        ),
        (
            "",
            "opsgenie_configs: [{api_key: k, responders: [{type: team}]}]",
            "at least one of id, username or name",
        ),
        (
            "",
            "victorops_configs: [{api_key: x}]",
            "missing Routing key",
        ),
        (
            "",
            "victorops_configs: [{api_key: x, routing_key: r, custom_fields: {entity_id: x}}]",
            "entity_id",
        ),
        (
            "",
            "pushover_configs: [{user_key: u}]",
            "one of token or token_file",
        ),
        ("", "telegram_configs: [{bot_token: t}]", "missing chat_id"),
        ("", "telegram_configs: [{chat_id: 1}]", "missing bot_token"),
        (
            "",
            "telegram_configs: [{chat_id: 1, bot_token: t, parse_mode: X}]",
            "unknown parse_mode",
        ),
        (
            "",
            "discord_configs: [{}]",
            "one of webhook_url or webhook_url_file",
        ),
        (
            "",
            "webex_configs: [{http_config: {authorization: {credentials: x}}}]",
            "missing room_id",
        ),
        (
            "",
            "webex_configs: [{room_id: x}]",
            "http_config.authorization",
        ),
        ("", "wechat_configs: [{corp_id: c}]", "Wechat Api Secret"),
        (
            "",
            "sns_configs: [{subject: x}]",
            "Target ARN, Topic ARN, or Phone Number",
        ),
        ("", "jira_configs: [{issue_type: Bug}]", "missing project"),
        ("", "rocketchat_configs: [{token: t}]", "TokenID"),
        (
            "",
            "incidentio_configs: [{url: 'http://h/'}]",
            "alert_source_token",
        ),
        (
            "",
            "webhook_configs: [{url: 'http://h/', http_config: {basic_auth: {}, bearer_token: x}}]",
            "at most one of",
        ),
        ("", "nothing_configs: []", "field nothing_configs not found"),
    ] {
        let e = with_receiver(global, sections).unwrap_err();
        assert!(e.contains(error), "{sections}: {e}");
    }
}

#[test]
fn receivers_take_over_what_global_says() {
    let c = with_receiver(
        "smtp_smarthost: 'mail:587', smtp_from: a@b.c, smtp_auth_password_file: pw, \
         slack_api_url: 'https://h/hush', http_config: {proxy_url: 'http://p:1'}",
        "email_configs: [{to: x@y.z, require_tls: false}], slack_configs: [{channel: c}], \
         webhook_configs: [{url: 'http://h/{{ .Receiver }}', http_config: {}}], \
         opsgenie_configs: [{api_key: k, api_url: 'http://o/x'}]",
    )
    .unwrap();
    let r = &c.receivers[0];
    let mail = &r.email_configs[0];
    assert_eq!(mail.smarthost.to_string(), "mail:587");
    assert_eq!(mail.auth_password_file, "etc/pw");
    assert_eq!((mail.require_tls, mail.send_resolved), (Some(false), false));
    let slack = &r.slack_configs[0];
    assert_eq!(slack.api_url.expose(), "https://h/hush");
    let proxy = |h: &Option<Box<crate::config::prometheus::HttpClientFile>>| {
        h.as_ref().map(|h| h.proxy_url.to_string())
    };
    assert_eq!(proxy(&slack.http_config).as_deref(), Some("http://p:1"));
    // A receiver's own options replace the global ones as a whole.
    assert_eq!(
        proxy(&r.webhook_configs[0].http_config).as_deref(),
        Some("")
    );
    assert_eq!(r.opsgenie_configs[0].api_url.expose(), "http://o/x/");
    assert_eq!(r.integrations(), 4);
}

#[test]
fn secrets_are_never_rendered() {
    let c = with_receiver(
        "slack_api_url: 'https://h/hush', smtp_auth_password: hush, telegram_bot_token: hush",
        "slack_configs: [{channel: c}], pagerduty_configs: [{routing_key: hush}], \
         webhook_configs: [{url: 'http://h/hush', http_config: {basic_auth: {username: u, \
         password: hush}, http_headers: {X-A: {secrets: [hush]}}}}], \
         discord_configs: [{webhook_url: 'http://h/hush'}], \
         pushover_configs: [{user_key: hush, token: hush}]",
    )
    .unwrap();
    for text in [yaml::render(&c), format!("{c:?}")] {
        assert!(!text.contains("hush"), "{text}");
        assert!(text.contains("<secret>"), "{text}");
    }
}

#[test]
fn conditions_are_shown_as_in_group_keys() {
    let c = load(
        "route:\n  receiver: r\n  routes:\n  - {match_re: {service: web|db}, matchers: ['zone!=z9', 'b=~x'], match: {a: '1'}}\n\
         receivers: [{name: r}]",
    )
    .unwrap();
    let shown: Vec<String> = c.route.unwrap().routes[0]
        .conditions()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        shown.join(","),
        r#"a="1",b=~"x",service=~"^(?:web|db)$",zone!="z9""#
    );
}
