//! AWS Signature Version 4: the header that proves a request to Amazon's services.
//!
//! Source: "Signature Version 4 signing process" of the AWS general reference; the published test
//! vectors are in the tests.
//!
//! Owns: the canonical request, the signature, where keys come from (configuration, environment,
//! the shared credentials file).
//! Knows nothing of: roles. Who must assume one is refused ([`Signer::new`]).

use std::path::PathBuf;

use hmac::{Hmac, Mac as _};
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::client::ClientError;
use crate::config::Secret;
use crate::config::prometheus::SigV4Config;

/// What is signed when no service is named: Amazon's managed Prometheus.
const SERVICE: &str = "aps";
/// Unreserved characters stay as they are.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// The same within a path.
const PATH: &AsciiSet = &QUERY.remove(b'/');

/// Signs requests.
#[derive(Debug)]
pub(crate) struct Signer {
    config: SigV4Config,
    region: String,
}

/// An access key with its secret.
#[derive(Debug)]
struct Key {
    id: String,
    secret: Secret,
    /// Of temporary keys.
    session: Option<Secret>,
}

impl Signer {
    /// A signer as `config` describes.
    ///
    /// # Errors
    /// Without a region, and for what is not supported: nothing may be sent unsigned then.
    pub(crate) fn new(config: &SigV4Config) -> Result<Self, String> {
        if !config.role_arn.is_empty() {
            return Err("sigv4 role_arn is not supported".into());
        }
        let named = [
            config.region.clone(),
            variable("AWS_REGION"),
            variable("AWS_DEFAULT_REGION"),
        ];
        let region = named.into_iter().find(|r| !r.is_empty());
        Ok(Self {
            config: config.clone(),
            region: region
                .ok_or("sigv4: no region in the configuration, AWS_REGION or AWS_DEFAULT_REGION")?,
        })
    }

    /// The region that requests are signed for.
    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    /// Headers that sign `method url` with `body`, sent at `now`.
    ///
    /// # Errors
    /// When there are no keys.
    pub(crate) fn sign(
        &self,
        method: &str,
        url: &Url,
        body: &[u8],
        now: Timestamp,
    ) -> Result<HeaderMap, ClientError> {
        let key = self.key()?;
        let date = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let mut host = url.host_str().unwrap_or_default().to_owned();
        if let Some(port) = url.port() {
            host.push_str(&format!(":{port}"));
        }
        let mut headers = vec![("host", host.as_str()), ("x-amz-date", &date)];
        if let Some(s) = &key.session {
            headers.push(("x-amz-security-token", s.expose()));
        }
        let service = if self.config.service_name.is_empty() {
            SERVICE
        } else {
            &self.config.service_name
        };
        let authorization = authorize(&key, &self.region, service, method, url, &headers, body);
        let mut out = HeaderMap::new();
        let mut put = |name: HeaderName, value: &str| {
            let mut v = HeaderValue::from_str(value)
                .map_err(|_| ClientError::Options(format!("sigv4: {name} is not valid")))?;
            v.set_sensitive(true);
            out.insert(name, v);
            Ok(())
        };
        put(HeaderName::from_static("x-amz-date"), &date)?;
        if let Some(s) = &key.session {
            put(HeaderName::from_static("x-amz-security-token"), s.expose())?;
        }
        put(AUTHORIZATION, &authorization)?;
        Ok(out)
    }

    /// The keys: of the configuration, the environment, or a profile of the credentials file.
    fn key(&self) -> Result<Key, ClientError> {
        let c = &self.config;
        if !c.access_key.is_empty() {
            return Ok(Key {
                id: c.access_key.clone(),
                secret: c.secret_key.clone(),
                session: None,
            });
        }
        let id = variable("AWS_ACCESS_KEY_ID");
        if c.profile.is_empty() && !id.is_empty() {
            let session = variable("AWS_SESSION_TOKEN");
            return Ok(Key {
                id,
                secret: Secret::new(variable("AWS_SECRET_ACCESS_KEY")),
                session: (!session.is_empty()).then(|| Secret::new(&session)),
            });
        }
        let file = credentials_file();
        let text = std::fs::read_to_string(&file).map_err(|e| ClientError::File {
            what: "sigv4: no access_key, no AWS_ACCESS_KEY_ID, credentials file",
            file: file.display().to_string(),
            reason: e.to_string(),
        })?;
        let profile = match c.profile.as_str() {
            "" => "default",
            p => p,
        };
        profile_key(&text, profile).ok_or_else(|| ClientError::File {
            what: "sigv4: credentials file",
            file: file.display().to_string(),
            reason: format!("has no keys for profile {profile:?}"),
        })
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn credentials_file() -> PathBuf {
    match variable("AWS_SHARED_CREDENTIALS_FILE") {
        f if !f.is_empty() => f.into(),
        _ => PathBuf::from(variable("HOME")).join(".aws/credentials"),
    }
}

/// Keys of a profile: sections in brackets, `name = value` lines.
fn profile_key(text: &str, profile: &str) -> Option<Key> {
    let (mut inside, mut found) = (false, [const { String::new() }; 3]);
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            inside = name.trim() == profile;
        } else if inside && let Some((name, value)) = line.split_once('=') {
            let at = match name.trim() {
                "aws_access_key_id" => 0,
                "aws_secret_access_key" => 1,
                "aws_session_token" => 2,
                _ => continue,
            };
            value.trim().clone_into(&mut found[at]);
        }
    }
    let [id, secret, session] = found;
    (!id.is_empty() && !secret.is_empty()).then(|| Key {
        id,
        secret: Secret::new(&secret),
        session: (!session.is_empty()).then(|| Secret::new(&session)),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    // The algorithm takes keys of any length.
    Hmac::<Sha256>::new_from_slice(key).map_or_else(
        |_| Vec::new(),
        |mut m| {
            m.update(text.as_bytes());
            m.finalize().into_bytes().to_vec()
        },
    )
}

/// Name and value of each parameter, encoded once, sorted.
fn canonical_query(url: &Url) -> String {
    let raw = url.query().unwrap_or_default();
    let again = |t: &str| {
        let plain: Vec<u8> = percent_decode_str(t).collect();
        percent_encoding::percent_encode(&plain, QUERY).to_string()
    };
    let pairs = raw.split('&').filter(|p| !p.is_empty());
    let mut pairs: Vec<(String, String)> = pairs
        .map(|p| p.split_once('=').unwrap_or((p, "")))
        .map(|(n, v)| (again(n), again(v)))
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs.iter().map(|(n, v)| format!("{n}={v}")).collect();
    pairs.join("&")
}

/// The path as sent, without empty segments, encoded a second time.
fn canonical_path(url: &Url) -> String {
    let mut path = url.path().to_owned();
    while path.contains("//") {
        path = path.replace("//", "/");
    }
    utf8_percent_encode(&path, PATH).to_string()
}

/// The `Authorization` header. `headers` are those that are signed, in lower case, sorted; one of
/// them is `x-amz-date`.
fn authorize(
    key: &Key,
    region: &str,
    service: &str,
    method: &str,
    url: &Url,
    headers: &[(&str, &str)],
    body: &[u8],
) -> String {
    let date = headers.iter().find(|(n, _)| *n == "x-amz-date");
    let date = date.map_or("", |(_, v)| *v);
    let day = date.get(..8).unwrap_or_default();
    let names: Vec<&str> = headers.iter().map(|(n, _)| *n).collect();
    let names = names.join(";");
    let lines: String = headers
        .iter()
        .map(|(n, v)| format!("{n}:{}\n", v.trim()))
        .collect();
    let request = format!(
        "{method}\n{}\n{}\n{lines}\n{names}\n{}",
        canonical_path(url),
        canonical_query(url),
        hex(&Sha256::digest(body))
    );
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{date}\n{scope}\n{}",
        hex(&Sha256::digest(request.as_bytes()))
    );
    let secret = format!("AWS4{}", key.secret.expose());
    let signing = [day, region, service, "aws4_request"]
        .iter()
        .fold(secret.into_bytes(), |k, part| mac(&k, part));
    format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={}",
        key.id,
        hex(&mac(&signing, &to_sign))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key {
            id: "AKIDEXAMPLE".into(),
            secret: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session: None,
        }
    }

    /// Signatures of the published test suite.
    #[test]
    fn published_vectors_are_signed_alike() {
        const DATE: (&str, &str) = ("x-amz-date", "20150830T123600Z");
        for (method, url, want) in [
            (
                "GET",
                "https://example.amazonaws.com/",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "POST",
                "https://example.amazonaws.com/",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "GET",
                "https://example.amazonaws.com/?Param2=value2&Param1=value1",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
        ] {
            let url: Url = url.parse().unwrap();
            let headers = [("host", "example.amazonaws.com"), DATE];
            let got = authorize(&key(), "us-east-1", "service", method, &url, &headers, b"");
            assert_eq!(
                got,
                format!(
                    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                     SignedHeaders=host;x-amz-date, Signature={want}"
                )
            );
        }
        let url = "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08";
        let headers = [
            (
                "content-type",
                "application/x-www-form-urlencoded; charset=utf-8",
            ),
            ("host", "iam.amazonaws.com"),
            DATE,
        ];
        let url: Url = url.parse().unwrap();
        let got = authorize(&key(), "us-east-1", "iam", "GET", &url, &headers, b"");
        assert!(
            got.ends_with("5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"),
            "{got}"
        );
    }

    #[test]
    fn requests_carry_date_and_signature() {
        let config = SigV4Config {
            region: "eu-west-1".into(),
            access_key: "AK".into(),
            secret_key: Secret::new("sk"),
            ..SigV4Config::default()
        };
        let signer = Signer::new(&config).unwrap();
        let url: Url = "http://h:8080/workspaces/a%20b//api".parse().unwrap();
        let now = "2015-08-30T12:36:00Z".parse().unwrap();
        let h = signer.sign("POST", &url, b"x", now).unwrap();
        assert_eq!(h["x-amz-date"], "20150830T123600Z");
        let value = h[AUTHORIZATION].to_str().unwrap();
        assert!(
            value.contains("AK/20150830/eu-west-1/aps/aws4_request"),
            "{value}"
        );
        assert_eq!(canonical_path(&url), "/workspaces/a%2520b/api");
        let role = SigV4Config {
            role_arn: "arn:x".into(),
            ..config
        };
        assert!(Signer::new(&role).is_err());
    }

    #[test]
    fn profiles_are_found() {
        let text = "[default]\naws_access_key_id=a\naws_secret_access_key = b\n\n[ p ]\naws_access_key_id = c\n\
                    aws_secret_access_key = d=\naws_session_token = e\n";
        let k = profile_key(text, "p").unwrap();
        assert_eq!((k.id.as_str(), k.secret.expose()), ("c", "d="));
        assert_eq!(k.session.unwrap().expose(), "e");
        assert_eq!(profile_key(text, "default").unwrap().id, "a");
        assert!(profile_key(text, "q").is_none());
    }
}
