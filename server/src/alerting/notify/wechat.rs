//! WeChat: a token first, then the message.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use reqwest::Method;
use serde_json::{Value, json};

use super::http::Http;
use super::{Built, Failure, Message, Notifier, Sent, secret};
use crate::config::alertmanager::WechatConfig;

/// How long a token is used; the service's own limit.
const TOKEN_LASTS: Duration = Duration::from_secs(2 * 3600);

struct Wechat {
    config: WechatConfig,
    http: Http,
    token: Mutex<Option<(String, Instant)>>,
}

/// The notifier of a section.
///
/// # Errors
/// When its HTTP options cannot be used.
pub(super) fn new(c: &WechatConfig) -> Built {
    let http = Http::new(c.http_config.as_deref(), &[])?;
    let (config, token) = (c.clone(), Mutex::new(None));
    let notifier = Wechat {
        config,
        http,
        token,
    };
    Ok((Box::new(notifier), 0.0))
}

impl Wechat {
    fn url(&self, path: &str, query: &[(&str, &str)]) -> Result<String, Failure> {
        let url = format!("{}{path}", self.config.api_url.expose());
        let mut url = url::Url::parse(&url).map_err(|e| Failure::last(e.to_string()))?;
        url.query_pairs_mut().extend_pairs(query);
        Ok(url.into())
    }

    async fn token(&self, m: &Message) -> Result<String, Failure> {
        let known = self.token.lock().clone();
        if let Some((token, since)) = known
            && since.elapsed() < TOKEN_LASTS
        {
            return Ok(token);
        }
        let c = &self.config;
        let corp = m.text(&c.corp_id)?;
        let secret = m.text(&secret(c.api_secret.expose(), &c.api_secret_file)?)?;
        let url = self.url("gettoken", &[("corpid", &corp), ("corpsecret", &secret)])?;
        let answer = self
            .http
            .request(Method::GET, &url, Vec::new(), &[])
            .await?;
        let answer = self.http.checked(answer)?;
        let d = answer.document();
        let token = d.get("access_token").and_then(Value::as_str);
        let token = token.filter(|t| !t.is_empty());
        let token = token.ok_or_else(|| Failure::last("invalid APISecret for CorpID"))?;
        *self.token.lock() = Some((token.to_owned(), Instant::now()));
        Ok(token.to_owned())
    }
}

impl Notifier for Wechat {
    fn send<'a>(&'a self, m: &'a Message) -> Pin<Box<dyn Future<Output = Sent> + Send + 'a>> {
        Box::pin(async move {
            let c = &self.config;
            let token = self.token(m).await?;
            let kind = c.message_type.as_str();
            let body = json!({
                "touser": m.text(&c.to_user)?,
                "toparty": m.text(&c.to_party)?,
                "totag": m.text(&c.to_tag)?,
                "agentid": m.text(&c.agent_id)?,
                "safe": "0",
                "msgtype": kind,
                kind: { "content": m.text(&c.message)? },
            });
            let mut body = body;
            if let Value::Object(o) = &mut body {
                o.retain(|_, v| v.as_str() != Some(""));
            }
            let url = self.url("message/send", &[("access_token", &token)])?;
            let answer = self.http.post(&url, &body).await?;
            let d = answer.document();
            match d.get("errcode").and_then(Value::as_i64) {
                Some(0) => Ok(String::new()),
                // The token is no longer good.
                Some(42_001) => {
                    *self.token.lock() = None;
                    Err(Failure::later("the token has expired"))
                }
                _ => {
                    let why = d.get("errmsg").and_then(Value::as_str);
                    Err(Failure::last(why.unwrap_or("no reason given").to_owned()))
                }
            }
        })
    }
}
