//! Targets from the catalogue of a Consul agent, by blocking queries.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::http::{Head, answer, serve};
use crate::support::{Server, wait};

#[derive(Default)]
struct State {
    index: u64,
    /// Tags and instances of each service.
    services: BTreeMap<String, (Vec<String>, Value)>,
    requests: Vec<Head>,
}

/// An agent of Consul.
#[derive(Clone, Default)]
struct Agent(Arc<(Mutex<State>, Condvar)>);

impl Agent {
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut s = self.0.0.lock().expect("the agent");
        change(&mut s);
        s.index += 1;
        self.0.1.notify_all();
    }

    fn handle(&self, head: &Head, to: &mut std::net::TcpStream) {
        let mut s = self.0.0.lock().expect("the agent");
        s.requests.push(head.clone());
        if head
            .headers
            .get("x-consul-token")
            .is_none_or(|t| t != "secret")
        {
            return answer(to, 403, "", "Permission denied");
        }
        let known: Option<u64> = head.parameter("index").and_then(|i| i.parse().ok());
        while known.is_some_and(|k| k >= s.index) {
            let wait = Duration::from_secs(1);
            s = self.0.1.wait_timeout(s, wait).expect("the agent").0;
        }
        let index = format!("X-Consul-Index: {}\r\n", s.index);
        let body = match head.path.strip_prefix("/consul/v1/") {
            Some("agent/self") => json!({"Config": {"Datacenter": "dc7"}}),
            Some("catalog/services") => {
                let all = s.services.iter();
                all.map(|(name, (tags, _))| (name.clone(), json!(tags)))
                    .collect()
            }
            Some(path) => match path.strip_prefix("health/service/") {
                Some(name) => s.services.get(name).map_or(json!([]), |(_, i)| i.clone()),
                None => return answer(to, 404, "", "no such path"),
            },
            None => return answer(to, 404, "", "no such path"),
        };
        answer(to, 200, &index, body.to_string());
    }
}

fn instance(id: &str, address: &str, checks: Value) -> Value {
    json!({
        "Node": {"ID": "x", "Node": "n1", "Address": "10.0.0.1", "Datacenter": "dc7",
            "TaggedAddresses": {"lan": "10.0.0.1", "wan-v4": "203.0.113.1"},
            "Meta": {"rack.row": "r1"}},
        "Service": {"ID": id, "Service": "web", "Tags": ["a", "b"], "Address": address,
            "Meta": {"team": "t"}, "Port": 8080, "Namespace": "default", "Partition": ""},
        "Checks": checks
    })
}

fn discovered(s: &Server, job: &str) -> Vec<BTreeMap<String, String>> {
    let data = s.get("/api/v1/targets").data();
    let active = data["activeTargets"].as_array().expect("targets");
    let own = active.iter().filter(|t| t["scrapePool"] == job);
    let labels = own.map(|t| t["discoveredLabels"].as_object().expect("labels"));
    let mut all: Vec<BTreeMap<String, String>> = labels
        .map(|l| {
            let own = |n: &str| n.starts_with("__meta_") || n == "__address__";
            let pairs = l.iter().filter(|(n, _)| own(n));
            pairs
                .map(|(n, v)| (n.clone(), v.as_str().unwrap_or_default().to_owned()))
                .collect()
        })
        .collect();
    all.sort();
    all
}

#[test]
fn services_are_followed() {
    let agent = Agent::default();
    let check = |id: &str, status: &str| json!({"CheckID": id, "Status": status});
    agent.change(|s| {
        let warns = json!([check("serfHealth", "passing"), check("c", "warning")]);
        let fails = json!([check("c", "warning"), check("d", "critical")]);
        let instances = json!([
            instance("web-1", "", warns),
            instance("web-2", "fd00::2", fails)
        ]);
        s.services
            .insert("web".into(), (vec!["a".into(), "b".into()], instances));
        let rests = json!([check("_service_maintenance:db-1", "critical")]);
        let db = json!([instance("db-1", "10.0.0.9", rests)]);
        s.services.insert("db".into(), (vec!["b".into()], db));
    });
    let served = agent.clone();
    let address = serve(move |head, to| served.handle(head, to));
    let own =
        format!("server: '{address}', path_prefix: /consul, token: secret, refresh_interval: 1s");
    let s = Server::with_config(
        &format!(
            "global: {{scrape_interval: 1h}}\nscrape_configs:\n\
             - {{job_name: all, consul_sd_configs: [{{{own}, tag_separator: '|', filter: 'x == y', \
             node_meta: {{k: v}}}}]}}\n\
             - {{job_name: tagged, consul_sd_configs: [{{{own}, tags: [a], datacenter: dc9, \
             namespace: ns1, partition: p1, allow_stale: false}}]}}\n\
             - {{job_name: named, consul_sd_configs: [{{{own}, services: [db, none]}}]}}\n\
             - {{job_name: barred, consul_sd_configs: [{{server: '{address}', path_prefix: \
             /consul}}]}}\n"
        ),
        &[],
    );
    wait("the targets", || discovered(&s, "all").len() == 3);
    let all = discovered(&s, "all");
    let wanted = |address: &str, service: &str, id: &str, own: &str, health: &str| {
        let pairs = [
            ("__address__", address),
            ("__meta_consul_address", "10.0.0.1"),
            ("__meta_consul_dc", "dc7"),
            ("__meta_consul_health", health),
            ("__meta_consul_metadata_rack_row", "r1"),
            ("__meta_consul_namespace", "default"),
            ("__meta_consul_node", "n1"),
            ("__meta_consul_service", service),
            ("__meta_consul_service_address", own),
            ("__meta_consul_service_id", id),
            ("__meta_consul_service_metadata_team", "t"),
            ("__meta_consul_service_port", "8080"),
            ("__meta_consul_tagged_address_lan", "10.0.0.1"),
            ("__meta_consul_tagged_address_wan_v4", "203.0.113.1"),
            ("__meta_consul_tags", "|a|b|"),
        ];
        let set = pairs.into_iter().filter(|(_, v)| !v.is_empty());
        set.map(|(n, v)| (n.to_owned(), v.to_owned()))
            .collect::<BTreeMap<_, _>>()
    };
    assert_eq!(
        all,
        [
            wanted("10.0.0.1:8080", "web", "web-1", "", "warning"),
            wanted("10.0.0.9:8080", "db", "db-1", "10.0.0.9", "maintenance"),
            wanted("[fd00::2]:8080", "web", "web-2", "fd00::2", "critical"),
        ]
    );
    wait("those with a tag", || discovered(&s, "tagged").len() == 2);
    assert!(
        discovered(&s, "tagged")
            .iter()
            .all(|l| l["__meta_consul_dc"] == "dc9")
    );
    wait("those with a name", || discovered(&s, "named").len() == 1);
    wait("the refusal", || {
        s.log()
            .iter()
            .any(|l| l.contains("job=barred") && l.contains("Permission denied"))
    });

    // Changes come by queries that block, and services that are gone take their targets along.
    agent.change(|s| {
        s.services.get_mut("web").expect("web").1 =
            json!([instance("web-3", "10.0.0.3", json!([]))]);
    });
    wait("a change", || discovered(&s, "all").len() == 2);
    agent.change(|s| {
        s.services.remove("db");
    });
    wait("an end", || {
        discovered(&s, "all").len() == 1 && discovered(&s, "named").is_empty()
    });

    let state = agent.0.0.lock().expect("the agent");
    let asked = |path: &str, pairs: &[(&str, &str)]| {
        let own = state.requests.iter().filter(|r| r.path == path);
        own.into_iter()
            .any(|r| pairs.iter().all(|(n, v)| r.parameter(n) == Some(v)))
    };
    let services = "/consul/v1/catalog/services";
    assert!(asked(
        services,
        &[("stale", ""), ("filter", "x == y"), ("node-meta", "k:v")]
    ));
    assert!(asked(services, &[("wait", "120000ms"), ("index", "1")]));
    assert!(asked(
        services,
        &[("dc", "dc9"), ("ns", "ns1"), ("partition", "p1")]
    ));
    assert!(asked(
        "/consul/v1/health/service/web",
        &[("tag", "a"), ("dc", "dc9")]
    ));
    let fresh = state
        .requests
        .iter()
        .filter(|r| r.parameter("dc") == Some("dc9"));
    assert!(fresh.into_iter().all(|r| r.parameter("stale").is_none()));
}
