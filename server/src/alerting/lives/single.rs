//! Lives of one instance.

use tokio::sync::watch;

use super::*;

/// Seconds after which the receiver is well and nothing crashes any more.
const TROUBLE_S: u64 = 180;
/// Seconds of a life.
const LIFE_S: u64 = 260;

/// What came of a life.
struct Lived {
    messages: usize,
    unanswered: usize,
    states: usize,
}

async fn live(seed: u64) -> Lived {
    let begin: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let clock = LifeClock::new(begin, 20);
    let mut random = Random::new(seed);
    let well_from = begin + seconds(TROUBLE_S as i64);
    let receiver = Receiver::new(seed, well_from, &clock);
    let keeper = Keeper::Memory(Arc::default());
    let mut crashes = random.moments(4, TROUBLE_S, 20_000);
    let changes: Vec<(u64, usize)> = (0..4 + random.below(12))
        .map(|_| (random.below(220), random.below(ALERTS as u64) as usize))
        .collect();
    let mut senders = Senders::default();
    let mut oracle = Oracle {
        seed,
        patience: seconds(RESEND_S + GROUP_WAIT_S.max(GROUP_INTERVAL_S) + 1),
        steady: begin,
        states: BTreeSet::new(),
    };
    let (_stop, stopped) = watch::channel(false);
    let start = || {
        let s = service(0, &receiver, &keeper, &clock, None);
        (s.clone(), tokio::spawn(s.run(stopped.clone())))
    };
    let mut running = Some(start());
    let mut back_at = 0;
    for second in 0..LIFE_S {
        let until = |ms: u64| begin + SignedDuration::from_millis(ms as i64);
        while let Some((at, down)) = crashes.first().copied().filter(|c| c.0 < second * 1000) {
            crashes.remove(0);
            if let Some((_, task)) = running.take() {
                clock.pass_until(until(at)).await;
                task.abort();
                drop(task.await);
            }
            back_at = (at + down).max(back_at);
        }
        clock.pass_until(until(second * 1000)).await;
        let now = clock.time();
        if running.is_none() && second * 1000 >= back_at {
            running = Some(start());
            oracle.steady = now;
        }
        for (_, i) in changes.iter().filter(|(s, _)| *s == second) {
            senders.turn(*i, now);
        }
        let changed = changes.iter().any(|(s, _)| *s == second);
        let again = second.is_multiple_of(RESEND_S as u64);
        if let (Some((s, _)), true) = (&running, changed || again) {
            assert!(s.put(senders.posts(now)).is_empty());
        }
        if running.is_some() {
            oracle.look(now, &senders, &receiver);
        }
    }
    if let Some((_, task)) = running {
        task.abort();
    }
    oracle.sequence(&receiver, 1, |_, _| false);
    let attempts = receiver.attempts.lock();
    let taken = attempts.iter().filter(|a| a.taken);
    Lived {
        messages: taken.clone().count(),
        unanswered: taken.filter(|a| a.answered.is_none()).count(),
        states: oracle.states.len(),
    }
}

#[test]
fn each_state_that_lasts_is_told_and_again_only_when_the_answer_was_not_seen() {
    let (mut messages, mut unanswered, mut states) = (0, 0, 0);
    for seed in 1..=1000 {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let lived = runtime.unwrap().block_on(live(seed));
        messages += lived.messages;
        unanswered += lived.unanswered;
        states += lived.states;
    }
    // The lives were worth living: there was a lot to tell, and enough went wrong.
    assert!(
        messages > 7_000 && unanswered > 700 && states > 5_000,
        "messages {messages}, unanswered {unanswered}, states {states}"
    );
}
