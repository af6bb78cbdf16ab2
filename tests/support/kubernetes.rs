//! An API server of Kubernetes as far as discovery needs it: lists in pages, watches with bookmarks,
//! and everything that goes wrong with them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};

use super::http::{Head, answer, answer_json, read_head};

/// Objects of a page, whatever is asked for: every list has several.
const PAGE: usize = 2;

/// What the server holds.
#[derive(Default)]
struct State {
    version: u64,
    /// By resource, then `namespace/name`.
    objects: BTreeMap<String, BTreeMap<String, Value>>,
    /// Version, resource, type and object of each change.
    events: Vec<(u64, String, &'static str, Value)>,
    /// Changes up to this version are not known any more.
    forgotten: u64,
    /// Resources that nobody may see.
    forbidden: BTreeSet<String>,
    /// Rises when all watches are to break.
    broken: u64,
    /// Watches that are open.
    watches: usize,
    /// No watch is let in.
    away: bool,
    requests: Vec<Head>,
}

/// A cluster.
#[derive(Clone)]
pub(crate) struct Cluster {
    /// `127.0.0.1:port`.
    pub(crate) address: String,
    token: Option<String>,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Cluster {
    /// A cluster whose API is spoken without TLS, for everybody.
    pub(crate) fn new() -> Self {
        Self::listen(None, None)
    }

    /// One for those who have `token`, over TLS; gives the certificate of its authority too.
    pub(crate) fn with_tls(token: &str) -> (Self, String) {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]);
        let made = made.expect("a certificate");
        let key = made.signing_key.serialize_der().try_into().expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a usable certificate");
        let cluster = Self::listen(Some(token.to_owned()), Some(Arc::new(tls)));
        (cluster, made.cert.pem())
    }

    fn listen(token: Option<String>, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let cluster = Self {
            address: listener.local_addr().expect("an address").to_string(),
            token,
            state: Arc::default(),
        };
        let served = cluster.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (served, tls) = (served.clone(), tls.clone());
                std::thread::spawn(move || served.serve(stream, tls));
            }
        });
        cluster
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.0.lock().expect("the cluster")
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.state.1.notify_all();
    }

    /// Adds or replaces an object of `resource` (`pods`, `nodes`, ...).
    pub(crate) fn put(&self, resource: &str, object: Value) {
        self.change(|s| {
            let key = key(&object);
            let all = s.objects.entry(resource.to_owned()).or_default();
            let what = if all.contains_key(&key) {
                "MODIFIED"
            } else {
                "ADDED"
            };
            s.version += 1;
            let mut object = object;
            object["metadata"]["resourceVersion"] = json!(s.version.to_string());
            all.insert(key, object.clone());
            s.events
                .push((s.version, resource.to_owned(), what, object));
        });
    }

    /// Removes an object.
    pub(crate) fn remove(&self, resource: &str, key: &str) {
        self.change(|s| {
            let all = s.objects.entry(resource.to_owned()).or_default();
            let mut object = all.remove(key).expect("an object to remove");
            s.version += 1;
            object["metadata"]["resourceVersion"] = json!(s.version.to_string());
            s.events
                .push((s.version, resource.to_owned(), "DELETED", object));
        });
    }

    /// Sends bookmarks to all watches.
    pub(crate) fn bookmark(&self) {
        self.change(|s| {
            s.version += 1;
            s.events.push((
                s.version,
                String::new(),
                "BOOKMARK",
                json!({
                    "metadata": {"resourceVersion": s.version.to_string()}
                }),
            ));
        });
    }

    /// Changes that no watch sees: all of them are broken and kept away meanwhile, and what has
    /// changed is forgotten before they come back.
    pub(crate) fn change_unseen(&self, changes: impl FnOnce(&Self)) {
        self.change(|s| {
            s.broken += 1;
            s.away = true;
        });
        super::wait("the end of all watches", || self.lock().watches == 0);
        changes(self);
        self.change(|s| {
            s.away = false;
            s.forgotten = s.version;
            s.events.clear();
        });
    }

    /// Breaks all connections of watches in the middle.
    pub(crate) fn disconnect(&self) {
        self.change(|s| s.broken += 1);
    }

    /// Lets nobody see `resource`, or everybody again.
    pub(crate) fn forbid(&self, resource: &str, forbidden: bool) {
        self.change(|s| {
            if forbidden {
                s.forbidden.insert(resource.to_owned());
            } else {
                s.forbidden.remove(resource);
            }
        });
    }

    /// All requests so far.
    pub(crate) fn requests(&self) -> Vec<Head> {
        self.lock().requests.clone()
    }

    fn serve(&self, stream: TcpStream, tls: Option<Arc<rustls::ServerConfig>>) {
        match tls {
            None => self.handle(stream),
            Some(tls) => {
                let session = rustls::ServerConnection::new(tls).expect("a session");
                self.handle(rustls::StreamOwned::new(session, stream));
            }
        }
    }

    fn handle(&self, mut stream: impl Read + Write) {
        let Some(head) = read_head(&mut stream) else {
            return;
        };
        let allowed = self
            .token
            .as_ref()
            .is_none_or(|t| head.headers.get("authorization") == Some(&format!("Bearer {t}")));
        self.lock().requests.push(head.clone());
        if !allowed {
            return refuse(&mut stream, 401, "Unauthorized");
        }
        if head.path == "/metrics" {
            let text = "Content-Type: text/plain; version=0.0.4\r\n";
            return answer(&mut stream, 200, text, "apiserver_up 1\n");
        }
        let Some((resource, namespace)) = place(&head.path) else {
            return refuse(
                &mut stream,
                404,
                "the server could not find the requested resource",
            );
        };
        if self.lock().forbidden.contains(&resource) {
            let scope = if namespace.is_empty() {
                "at the cluster scope".to_owned()
            } else {
                format!("in the namespace {namespace:?}")
            };
            let user = "system:serviceaccount:monitoring:default";
            let text = format!(
                "{resource} is forbidden: User {user:?} cannot list resource {resource:?} in API \
                 group \"\" {scope}"
            );
            return refuse(&mut stream, 403, &text);
        }
        if head.parameter("watch") == Some("true") {
            if self.lock().away {
                return refuse(&mut stream, 503, "the server is away");
            }
            self.watch(&mut stream, &head, &resource, &namespace);
        } else {
            self.list(&mut stream, &head, &resource, &namespace);
        }
    }

    fn list(&self, to: &mut impl Write, head: &Head, resource: &str, namespace: &str) {
        let s = self.lock();
        let nothing = BTreeMap::new();
        let all = s.objects.get(resource).unwrap_or(&nothing);
        let mut all: Vec<(&String, &Value)> = all
            .iter()
            .filter(|(_, o)| selected(o, head, namespace))
            .collect();
        if let Some(from) = head.parameter("continue") {
            all.retain(|(k, _)| k.as_str() >= from);
        }
        let next = all.get(PAGE).map_or("", |(k, _)| k.as_str());
        let items: Vec<&Value> = all.iter().take(PAGE).map(|(_, o)| *o).collect();
        let body = json!({
            "kind": "List",
            "metadata": {"resourceVersion": s.version.to_string(), "continue": next},
            // As servers send an empty list.
            "items": if items.is_empty() { Value::Null } else { json!(items) },
        });
        drop(s);
        answer_json(to, &body);
    }

    fn watch(&self, to: &mut impl Write, head: &Head, resource: &str, namespace: &str) {
        let from = head
            .parameter("resourceVersion")
            .and_then(|v| v.parse().ok());
        let mut seen: u64 = from.unwrap_or(0);
        let start = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                     Transfer-Encoding: chunked\r\n\r\n";
        if to
            .write_all(start.as_bytes())
            .and_then(|()| to.flush())
            .is_err()
        {
            return;
        }
        let mut s = self.lock();
        let broken = s.broken;
        s.watches += 1;
        loop {
            let mut lines = String::new();
            if seen < s.forgotten {
                let object = status(410, "too old resource version");
                lines = format!("{}\n", json!({"type": "ERROR", "object": object}));
            } else {
                let new = s.events.iter().filter(|(v, ..)| *v > seen);
                let new = new.filter(|(_, r, what, o)| {
                    *what == "BOOKMARK" || (r == resource && selected(o, head, namespace))
                });
                for (_, _, what, object) in new {
                    lines += &format!("{}\n", json!({"type": what, "object": object}));
                }
                seen = s.version;
            }
            let end = seen < s.forgotten;
            drop(s);
            if !lines.is_empty() {
                // In two pieces: nobody may rely on a line coming at once.
                let (a, b) = lines.split_at(lines.len() / 2);
                for piece in [a, b] {
                    let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
                    if !piece.is_empty() && to.write_all(chunk.as_bytes()).is_err() {
                        self.lock().watches -= 1;
                        return;
                    }
                    drop(to.flush());
                }
            }
            s = self.lock();
            if end || s.broken != broken {
                s.watches -= 1;
                // The connection ends without the last chunk: it is broken, not closed.
                return;
            }
            if s.version == seen {
                let wait = Duration::from_secs(1);
                s = self.state.1.wait_timeout(s, wait).expect("the cluster").0;
            }
        }
    }
}

fn key(object: &Value) -> String {
    let m = &object["metadata"];
    let name = m["name"].as_str().expect("a name");
    match m["namespace"].as_str() {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    }
}

/// Resource and namespace of a path.
fn place(path: &str) -> Option<(String, String)> {
    let rest = [
        "/api/v1/",
        "/apis/discovery.k8s.io/v1/",
        "/apis/networking.k8s.io/v1/",
        "/apis/apps/v1/",
        "/apis/batch/v1/",
    ]
    .iter()
    .find_map(|root| path.strip_prefix(root))?;
    let parts: Vec<&str> = rest.split('/').collect();
    match parts[..] {
        [resource] => Some((resource.into(), String::new())),
        ["namespaces", namespace, resource] => Some((resource.into(), namespace.into())),
        _ => None,
    }
}

/// Whether namespace and selectors (`name=value`, one of each) want the object.
fn selected(object: &Value, head: &Head, namespace: &str) -> bool {
    let m = &object["metadata"];
    let labels = head
        .parameter("labelSelector")
        .and_then(|s| s.split_once('='));
    let fields = head
        .parameter("fieldSelector")
        .and_then(|s| s.split_once('='));
    let field = |path: &str| {
        let found = path.split('.').fold(object, |o, part| &o[part]);
        found.as_str().unwrap_or_default().to_owned()
    };
    (namespace.is_empty() || m["namespace"] == namespace)
        && labels.is_none_or(|(name, value)| m["labels"][name] == value)
        && fields.is_none_or(|(path, value)| field(path) == value)
}

fn status(code: u16, message: &str) -> Value {
    json!({"kind": "Status", "status": "Failure", "message": message, "code": code})
}

fn refuse(to: &mut impl Write, code: u16, message: &str) {
    let body = status(code, message).to_string();
    answer(to, code, "Content-Type: application/json\r\n", body);
}
