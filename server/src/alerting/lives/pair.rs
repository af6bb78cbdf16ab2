//! Lives of two instances that know each other: both get all alerts, each may crash, and the line
//! between them may be cut.

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;
use crate::alerting::cluster::{ClusterOptions, Later, Link, Page, Pull};

/// Seconds after which everything is well.
const TROUBLE_S: u64 = 200;
/// Seconds of a life.
const LIFE_S: u64 = 300;
/// How long the second instance waits for the first one, ms. Everything else happens at whole
/// seconds: two instances that act in the same instant cannot know of each other.
const PEER_TIMEOUT_MS: i64 = 3_300;
/// Longest time until both know that both are there, and all that the other one knows, s.
const MEETING_S: i64 = 20;

type Instance = (Arc<Cluster>, Arc<Alertmanager>);

/// What connects the instances.
#[derive(Default)]
struct Net {
    there: Mutex<BTreeMap<String, Instance>>,
    cut: Mutex<bool>,
}

struct Wire(Arc<Net>);

impl Link for Wire {
    fn pull<'a>(&'a self, address: &'a str, pull: &'a Pull) -> Later<'a, Result<Page, String>> {
        Box::pin(async move {
            let lost = || *self.0.cut.lock();
            if lost() {
                return std::future::pending().await;
            }
            let there = self.0.there.lock().get(address).cloned();
            let Some((cluster, service)) = there else {
                return Err("connection refused".to_owned());
            };
            let answer = cluster.answer(&service, pull.clone()).await;
            if lost() {
                return std::future::pending().await;
            }
            // Who died while answering has not answered.
            let still = self.0.there.lock().get(address).cloned();
            match still.is_some_and(|(c, _)| Arc::ptr_eq(&c, &cluster)) {
                true => answer.map_err(|e| e.to_string()),
                false => Err("connection reset".to_owned()),
            }
        })
    }

    fn resolve<'a>(&'a self, peer: &'a str) -> Later<'a, Vec<String>> {
        Box::pin(async move { vec![peer.to_owned()] })
    }
}

fn address(number: usize) -> String {
    format!("10.0.0.{number}:9094")
}

fn options(number: usize) -> ClusterOptions {
    ClusterOptions {
        name: format!("n{number}"),
        advertise: address(number),
        label: String::new(),
        // Only one of them has to know the other one.
        peers: if number == 0 {
            vec![]
        } else {
            vec![address(0)]
        },
        peer_timeout: SignedDuration::from_millis(PEER_TIMEOUT_MS),
        settle_timeout: seconds(10),
        gossip_interval: SignedDuration::from_millis(500),
        probe_interval: seconds(1),
        tcp_timeout: seconds(2),
        reconnect_interval: seconds(4),
        reconnect_timeout: SignedDuration::from_hours(6),
    }
}

/// An instance that runs.
struct Running {
    service: Arc<Alertmanager>,
    tasks: [JoinHandle<()>; 2],
    /// A signal whose sender is gone says stop.
    _stop: watch::Sender<bool>,
}

/// One of the two.
struct Node {
    number: usize,
    keeper: Keeper,
    running: Option<Running>,
    crashes: Vec<(u64, u64)>,
    back_at: u64,
}

impl Node {
    fn start(&mut self, net: &Arc<Net>, receiver: &Arc<Receiver>, clock: &LifeClock) {
        let (stop, stopped) = watch::channel(false);
        let link = Arc::new(Wire(net.clone()));
        let cluster = Cluster::new(options(self.number), link, Arc::new(clock.clone()));
        let own = Some(cluster.clone());
        let s = service(self.number, receiver, &self.keeper, clock, own);
        let instance = (cluster.clone(), s.clone());
        net.there.lock().insert(address(self.number), instance);
        let tasks = [
            tokio::spawn(s.clone().run(stopped.clone())),
            tokio::spawn(cluster.run(s.clone(), stopped)),
        ];
        self.running = Some(Running {
            service: s,
            tasks,
            _stop: stop,
        });
    }

    async fn crash(&mut self, net: &Net) {
        net.there.lock().remove(&address(self.number));
        if let Some(r) = self.running.take() {
            for t in r.tasks {
                t.abort();
                drop(t.await);
            }
        }
    }
}

/// What came of a life.
struct Lived {
    messages: [usize; 2],
    states: usize,
    /// Messages while everything was well between the two.
    together: usize,
}

/// A life; with `troubled`, instances crash, the line is cut and the receiver is not well.
async fn live(seed: u64, troubled: bool) -> Lived {
    let begin: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let clock = LifeClock::new(begin, 40);
    let mut random = Random::new(seed);
    let well_from = match troubled && seed.is_multiple_of(2) {
        true => begin + seconds(TROUBLE_S as i64),
        false => begin,
    };
    let receiver = Receiver::new(seed, well_from, &clock);
    let net = Arc::new(Net::default());
    let most = if troubled { 3 } else { 1 };
    let mut nodes: Vec<Node> = (0..2)
        .map(|number| Node {
            number,
            keeper: Keeper::Memory(Arc::default()),
            running: None,
            crashes: random.moments(most, TROUBLE_S, 40_000),
            back_at: 0,
        })
        .collect();
    let cuts = random.moments(most, TROUBLE_S, 60_000);
    let changes: Vec<(u64, usize)> = (0..6 + random.below(14))
        .map(|_| (random.below(260), random.below(ALERTS as u64) as usize))
        .collect();
    let mut senders = Senders::default();
    let calm = RESEND_S + GROUP_WAIT_S.max(GROUP_INTERVAL_S) + PEER_TIMEOUT_MS / 1000 + 3;
    let mut oracle = Oracle {
        seed,
        patience: seconds(calm + 10),
        steady: begin,
        states: BTreeSet::new(),
    };
    // Periods in which both were there and saw each other.
    let mut together: Vec<(Timestamp, Timestamp)> = Vec::new();
    for n in &mut nodes {
        n.start(&net, &receiver, &clock);
    }
    for second in 0..LIFE_S {
        let now = begin + seconds(second as i64);
        clock.pass_until(now).await;
        for n in &mut nodes {
            while let Some((at, down)) = n.crashes.first().copied().filter(|c| c.0 < second * 1000)
            {
                n.crashes.remove(0);
                n.back_at = (at + down).max(n.back_at);
                n.crash(&net).await;
                oracle.steady = now;
            }
            if n.running.is_none() && second * 1000 >= n.back_at {
                n.start(&net, &receiver, &clock);
                oracle.steady = now;
            }
        }
        let cut = cuts
            .iter()
            .any(|(at, long)| (*at..at + long).contains(&(second * 1000)));
        if std::mem::replace(&mut *net.cut.lock(), cut) != cut {
            oracle.steady = now;
        }
        for (_, i) in changes.iter().filter(|(s, _)| *s == second) {
            senders.turn(*i, now);
        }
        let changed = changes.iter().any(|(s, _)| *s == second);
        if changed || second.is_multiple_of(RESEND_S as u64) {
            for r in nodes.iter().filter_map(|n| n.running.as_ref()) {
                assert!(r.service.put(senders.posts(now)).is_empty());
            }
        }
        if nodes.iter().any(|n| n.running.is_some()) {
            oracle.look(now, &senders, &receiver);
        }
        let met = oracle.steady + seconds(MEETING_S);
        if !cut && now >= met && nodes.iter().all(|n| n.running.is_some()) {
            match together.last_mut() {
                Some(last) if last.0 == met => last.1 = now,
                _ => together.push((met, now)),
            }
        }
    }
    for n in &mut nodes {
        n.crash(&net).await;
    }
    let both = |a: &Attempt, b: &Attempt| {
        together
            .iter()
            .any(|(from, to)| (*from..*to).contains(&a.begun) && (*from..*to).contains(&b.begun))
    };
    // While an attempt of one goes wrong the other one does not know whether it was seen.
    let attempts = receiver.attempts.lock().clone();
    let answered = |a: &Attempt, b: &Attempt| {
        let between = |x: &&Attempt| {
            x.group == a.group && x.begun >= a.begun - seconds(30) && x.begun <= b.begun
        };
        let well = |x: &Attempt| x.answered == Some(x.begun);
        attempts.iter().filter(between).all(well)
    };
    oracle.sequence(&receiver, 2, |a, b| !both(a, b) || !answered(a, b));
    let of = |n: usize| attempts.iter().filter(|a| a.by == n && a.taken).count();
    let well = attempts.windows(2).filter(|p| both(&p[0], &p[1])).count();
    Lived {
        messages: [of(0), of(1)],
        states: oracle.states.len(),
        together: well,
    }
}

fn lives(seeds: std::ops::RangeInclusive<u64>, troubled: bool) -> Lived {
    let mut all = Lived {
        messages: [0, 0],
        states: 0,
        together: 0,
    };
    for seed in seeds {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let lived = runtime.unwrap().block_on(live(seed, troubled));
        all.messages[0] += lived.messages[0];
        all.messages[1] += lived.messages[1];
        all.states += lived.states;
        all.together += lived.together;
    }
    all
}

#[test]
fn two_instances_tell_each_state_and_once_while_they_see_each_other() {
    let all = lives(1..=300, true);
    // Both had to tell something, and enough was told while both were well.
    assert!(
        all.messages[0] > 1_000 && all.messages[1] > 150 && all.states > 1_000,
        "messages {:?}, states {}",
        all.messages,
        all.states
    );
    assert!(all.together > 500, "{}", all.together);
}

#[test]
fn while_both_are_well_nothing_is_told_twice_and_the_first_one_tells() {
    let all = lives(1..=40, false);
    let [first, second] = all.messages;
    // Their ticks are not the same: the second one tells what its tick sees before that of the
    // first one, and what begins again while it waits for its turn.
    assert!(first > 200 && second < first / 4, "{first} {second}");
}
