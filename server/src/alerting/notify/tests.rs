//! Every kind of integration sends to a service that answers as the real one does.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver as Came, Sender, channel};

use serde_json::Value;

use super::*;
use crate::alerting::template::AlertData;
use crate::config::alertmanager::load_text;

/// Method and path, headers, body.
type Request = (String, String, Value);

fn service(answer: &'static str) -> (String, Came<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (tell, came) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let tell = tell.clone();
            std::thread::spawn(move || serve(stream, answer, &tell));
        }
    });
    (address, came)
}

fn serve(stream: TcpStream, answer: &str, tell: &Sender<Request>) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut lines, mut line) = (Vec::new(), String::new());
        while reader.read_line(&mut line).is_ok_and(|n| n > 0) && !line.trim().is_empty() {
            lines.push(line.trim().to_owned());
            line.clear();
        }
        let Some((first, headers)) = lines.split_first() else {
            return;
        };
        let length = headers.iter().find_map(|h| {
            let (name, value) = h.split_once(':')?;
            let length = name.eq_ignore_ascii_case("content-length");
            length.then(|| value.trim().parse::<usize>().ok())?
        });
        let mut body = vec![0; length.unwrap_or(0)];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let first = first.trim_end_matches(" HTTP/1.1").to_owned();
        let document = serde_json::from_slice(&body).unwrap_or_default();
        drop(tell.send((first, headers.join("\n").to_lowercase(), document)));
        let length = answer.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        if reader
            .get_mut()
            .write_all((head + answer).as_bytes())
            .is_err()
        {
            return;
        }
    }
}

fn message(fires: bool) -> Message {
    let status = if fires { "firing" } else { "resolved" }.to_owned();
    let labels = [("alertname".to_owned(), "A".to_owned())];
    let alert = AlertData {
        status: status.clone(),
        labels: labels.clone().into(),
        starts_at: "2026-01-01T00:00:00Z".into(),
        ends_at: "2026-01-01T01:00:00Z".into(),
        ..AlertData::default()
    };
    Message {
        group_key: "{}:{alertname=\"A\"}".into(),
        data: Data {
            receiver: "r".into(),
            status,
            alerts: vec![alert],
            group_labels: labels.clone().into(),
            common_labels: labels.into(),
            external_url: "http://am".into(),
            ..Data::default()
        },
        templates: Arc::new(Templates::load(&[]).unwrap()),
        now: "2026-01-01T00:00:30Z".parse().unwrap(),
        memo: String::new(),
    }
}

fn built(section: &str) -> Integration {
    let text = format!("route: {{receiver: r}}\nreceivers:\n- name: r\n  {section}\n");
    let loaded = load_text(Path::new("am.yml"), &text).unwrap_or_else(|e| panic!("{text}: {e}"));
    let (mut good, bad) = integrations(&loaded.document.receivers[0]);
    assert!(bad.is_empty() && good.len() == 1, "{section}: {bad:?}");
    good.remove(0)
}

#[tokio::test]
async fn every_kind_sends_what_its_service_expects() {
    const OK: &str =
        "{\"ok\":true,\"success\":true,\"errcode\":0,\"access_token\":\"t\",\"issues\":[]}";
    for (section, requests, pointer, value) in [
        (
            "webhook_configs: [{url: 'http://@/w'}]",
            &["POST /w"][..],
            "/groupKey",
            "{}:{alertname=\"A\"}",
        ),
        (
            "slack_configs: [{api_url: 'http://@/s', channel: c}]",
            &["POST /s"],
            "/attachments/0/title",
            "[FIRING:1] A ",
        ),
        (
            "discord_configs: [{webhook_url: 'http://@/d'}]",
            &["POST /d"],
            "/embeds/0/title",
            "[FIRING:1] A ",
        ),
        (
            "msteams_configs: [{webhook_url: 'http://@/t'}]",
            &["POST /t"],
            "/themeColor",
            "8C1A1A",
        ),
        (
            "msteamsv2_configs: [{webhook_url: 'http://@/t'}]",
            &["POST /t"],
            "/attachments/0/content/body/0/color",
            "Attention",
        ),
        (
            "mattermost_configs: [{webhook_url: 'http://@/m'}]",
            &["POST /m"],
            "/username",
            "Alertmanager",
        ),
        (
            "webex_configs: [{api_url: 'http://@/x', room_id: q, http_config: {authorization: {credentials: z}}}]",
            &["POST /x"],
            "/roomId",
            "q",
        ),
        (
            "telegram_configs: [{api_url: 'http://@', bot_token: b, chat_id: 7}]",
            &["POST /botb/sendMessage"],
            "/chat_id",
            "7",
        ),
        (
            "rocketchat_configs: [{api_url: 'http://@', token: a, token_id: b}]",
            &["POST /api/v1/chat.postMessage"],
            "/attachments/0/color",
            "red",
        ),
        (
            "pagerduty_configs: [{routing_key: k, url: 'http://@/p'}]",
            &["POST /p"],
            "/event_action",
            "trigger",
        ),
        (
            "opsgenie_configs: [{api_key: k, api_url: 'http://@'}]",
            &["POST /v2/alerts"],
            "/message",
            "[FIRING:1] A ",
        ),
        (
            "victorops_configs: [{api_key: k, api_url: 'http://@/v', routing_key: q}]",
            &["POST /v/k/q"],
            "/message_type",
            "CRITICAL",
        ),
        (
            "incidentio_configs: [{url: 'http://@/i', alert_source_token: t}]",
            &["POST /i"],
            "/version",
            "1",
        ),
        (
            "wechat_configs: [{api_url: 'http://@', api_secret: s, corp_id: c}]",
            &[
                "GET /gettoken?corpid=c&corpsecret=s",
                "POST /message/send?access_token=t",
            ],
            "/msgtype",
            "text",
        ),
        (
            "jira_configs: [{api_url: 'http://@/rest/api/2', project: P, issue_type: Bug}]",
            &["POST /rest/api/2/search", "POST /rest/api/2/issue"],
            "/fields/summary",
            "[FIRING:1] A ",
        ),
        (
            "sns_configs: [{api_url: 'http://@', topic_arn: 'arn:x', sigv4: {region: r, access_key: a, secret_key: s}}]",
            &["POST /"],
            "",
            "",
        ),
    ] {
        let (address, came) = service(if section.starts_with("slack") {
            "{\"ok\":true}"
        } else {
            OK
        });
        let i = built(&section.replace('@', &address));
        let sent = i.notifier.send(&message(true)).await;
        assert_eq!(sent.as_ref().err(), None, "{section}");
        let mut last = Value::Null;
        for wanted in requests {
            let (first, headers, body) = came.recv().unwrap();
            assert_eq!(first, *wanted, "{section}");
            assert!(headers.contains("user-agent: alertmanager/"), "{headers}");
            last = body;
        }
        if !pointer.is_empty() {
            let found = last.pointer(pointer).and_then(Value::as_str);
            assert_eq!(found, Some(value), "{section}: {last}");
        }
    }
}

#[tokio::test]
async fn services_that_answer_ok_and_mean_no_are_understood() {
    for (section, answer) in [
        (
            "slack_configs: [{api_url: 'http://@/s', channel: c}]",
            "{\"ok\":false,\"error\":\"no\"}",
        ),
        (
            "telegram_configs: [{api_url: 'http://@', bot_token: b, chat_id: 7}]",
            "{\"ok\":false}",
        ),
        (
            "rocketchat_configs: [{api_url: 'http://@', token: a, token_id: b}]",
            "{\"success\":false}",
        ),
        (
            "wechat_configs: [{api_url: 'http://@', api_secret: s, corp_id: c}]",
            "{\"access_token\":\"t\",\"errcode\":5}",
        ),
    ] {
        let (address, _came) = service(answer);
        let i = built(&section.replace('@', &address));
        let e = i.notifier.send(&message(true)).await.unwrap_err();
        assert!(!e.retry, "{section}: {e:?}");
    }
    // Nobody is there: later somebody may be.
    let i = built("webhook_configs: [{url: 'http://127.0.0.1:1/secret'}]");
    let e = i.notifier.send(&message(true)).await.unwrap_err();
    assert!(e.retry && !e.text.contains("secret"), "{e:?}");
}

/// A mail server that takes everything; gives what it was told, line by line.
fn mail_server(offers: &'static str) -> (u16, Came<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, came) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream);
            let say = |r: &mut BufReader<TcpStream>, s: &str| {
                drop(r.get_mut().write_all(format!("{s}\r\n").as_bytes()));
            };
            say(&mut reader, "220 hello");
            let (mut line, mut data) = (String::new(), false);
            while reader.read_line(&mut line).is_ok_and(|n| n > 0) {
                let l = line.trim_end().to_owned();
                line.clear();
                drop(tell.send(l.clone()));
                match l.split(' ').next().unwrap_or_default() {
                    "." => {
                        data = false;
                        say(&mut reader, "250 ok");
                    }
                    _ if data => {}
                    "EHLO" => say(&mut reader, offers),
                    "AUTH" if l.ends_with("CRAM-MD5") => say(&mut reader, "334 PDEuMUBzaW5rPg=="),
                    "AUTH" if l.ends_with("LOGIN") => say(&mut reader, "334 VXNlcm5hbWU6"),
                    "AUTH" => say(&mut reader, "235 ok"),
                    "DATA" => {
                        data = true;
                        say(&mut reader, "354 go");
                    }
                    "MAIL" | "RCPT" => say(&mut reader, "250 ok"),
                    "QUIT" => say(&mut reader, "221 bye"),
                    // A word of LOGIN or the answer of CRAM-MD5.
                    "dQ==" => say(&mut reader, "334 UGFzc3dvcmQ6"),
                    _ => say(&mut reader, "235 ok"),
                }
            }
        }
    });
    (port, came)
}

#[tokio::test]
async fn mail_is_sent_in_the_servers_order_of_ways_to_log_in() {
    for (offers, wanted) in [
        ("250-x\r\n250 AUTH CRAM-MD5 PLAIN", "AUTH CRAM-MD5"),
        ("250-x\r\n250 AUTH PLAIN LOGIN", "AUTH PLAIN AHUAcA=="),
        ("250-x\r\n250 AUTH LOGIN PLAIN", "AUTH LOGIN"),
        ("250 x", "MAIL FROM:<a@b>"),
    ] {
        let (port, came) = mail_server(offers);
        let i = built(&format!(
            "email_configs: [{{to: 'X <x@y>, z@y', from: 'A <a@b>', smarthost: '127.0.0.1:{port}', \
             require_tls: false, auth_username: u, auth_password: p, auth_secret: s, \
             text: \"a\\n.b\", headers: {{subject: 'ü'}}}}]"
        ));
        let sent = i.notifier.send(&message(true)).await;
        assert_eq!(sent.as_ref().err(), None, "{offers}");
        let mut lines = Vec::new();
        while let Ok(l) = came.recv() {
            lines.push(l);
            if lines.last().is_some_and(|l| l == "QUIT") {
                break;
            }
        }
        assert_eq!(lines[0], "EHLO localhost");
        assert_eq!(lines[1], wanted, "{lines:?}");
        for part in [
            "RCPT TO:<x@y>",
            "RCPT TO:<z@y>",
            "Subject: =?utf-8?q?=C3=BC?=",
            "..b",
            "MIME-Version: 1.0",
        ] {
            assert!(lines.iter().any(|l| l == part), "{part}: {lines:#?}");
        }
    }
    let (port, _came) = mail_server("250 x");
    let i = built(&format!(
        "email_configs: [{{to: 'x@y', from: 'a@b', smarthost: '127.0.0.1:{port}'}}]"
    ));
    let e = i.notifier.send(&message(true)).await.unwrap_err();
    assert!(e.retry && e.text.contains("STARTTLS"), "{e:?}");
}
