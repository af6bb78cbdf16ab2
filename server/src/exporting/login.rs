//! One user with one password in front of an exporter's pages, given on the command line.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use hyper::header::{HeaderValue, WWW_AUTHENTICATE};
use hyper::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use subtle::ConstantTimeEq as _;

use crate::http::{credentials, plain};

/// What proves that it is the user.
pub(crate) enum Proof {
    /// The password itself.
    Password(String),
    /// Its hash in bcrypt's form.
    Hash(String),
}

/// Who may see the pages.
pub(crate) struct Login {
    user: String,
    proof: Proof,
    /// The last password that was found right for the hash.
    proven: Mutex<Option<Vec<u8>>>,
    /// One hash at a time: guessing must not take the machine.
    hashing: tokio::sync::Semaphore,
}

impl Login {
    /// A user; none when there is no name or nothing to prove it with.
    ///
    /// # Errors
    /// When both a password and a hash are given, or the hash is none.
    pub(crate) fn new(user: &str, password: &str, hash: &str) -> Result<Option<Self>, String> {
        if !password.is_empty() && !hash.is_empty() {
            return Err(
                "--basic-auth-password and --basic-auth-hash-password are mutually exclusive"
                    .into(),
            );
        }
        let known = ["$2a$", "$2b$", "$2y$", "$2x$"];
        let is_hash = hash.len() == 60 && known.iter().any(|k| hash.starts_with(k));
        if !hash.is_empty() && !is_hash {
            return Err("--basic-auth-hash-password is not a bcrypt hash".into());
        }
        let proof = match (password, hash) {
            ("", "") => return Ok(None),
            ("", hash) => Proof::Hash(hash.to_owned()),
            (password, _) => Proof::Password(password.to_owned()),
        };
        Ok((!user.is_empty()).then(|| Self {
            user: user.to_owned(),
            proof,
            proven: Mutex::default(),
            hashing: tokio::sync::Semaphore::new(1),
        }))
    }

    async fn knows(&self, headers: &HeaderMap) -> bool {
        let Some((user, password)) = credentials(headers) else {
            return false;
        };
        let right_user = bool::from(user.as_bytes().ct_eq(self.user.as_bytes()));
        let right = match &self.proof {
            Proof::Password(p) => bool::from(p.as_bytes().ct_eq(&password)),
            Proof::Hash(hash) => self.hashes(hash, password).await,
        };
        right_user && right
    }

    async fn hashes(&self, hash: &str, password: Vec<u8>) -> bool {
        let proven = self.proven.lock().clone();
        if proven.is_some_and(|p| bool::from(p.ct_eq(&password))) {
            return true;
        }
        let Ok(_turn) = self.hashing.acquire().await else {
            return false;
        };
        let (hash, given) = (hash.to_owned(), password.clone());
        let right =
            tokio::task::spawn_blocking(move || bcrypt::verify(given, &hash).unwrap_or(false));
        let right = right.await.unwrap_or(false);
        if right {
            *self.proven.lock() = Some(password);
        }
        right
    }
}

/// Lets requests of the user pass.
pub(super) async fn check(
    State(login): State<Arc<Login>>,
    request: Request,
    next: Next,
) -> Response {
    if login.knows(request.headers()).await {
        return next.run(request).await;
    }
    let mut r = plain(StatusCode::UNAUTHORIZED, "Unauthorized\n");
    let realm = HeaderValue::from_static("Basic realm=\"redis-exporter, charset=UTF-8\"");
    r.headers_mut().insert(WWW_AUTHENTICATE, realm);
    r
}

#[cfg(test)]
mod tests {
    use super::Login;

    #[test]
    fn what_proves_a_user_is_checked_at_the_start() {
        assert!(Login::new("", "p", "").is_ok_and(|l| l.is_none()));
        assert!(Login::new("u", "", "").is_ok_and(|l| l.is_none()));
        assert!(Login::new("u", "p", "").is_ok_and(|l| l.is_some()));
        let hash = format!("$2b$10${}", "a".repeat(53));
        assert!(Login::new("u", "", &hash).is_ok_and(|l| l.is_some()));
        assert!(Login::new("u", "p", &hash).is_err());
        assert!(Login::new("u", "", "secret").is_err_and(|e| !e.contains("secret")));
    }
}
