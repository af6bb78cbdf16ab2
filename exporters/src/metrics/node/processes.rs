//! Processes and threads by state, from every `/proc/PID/stat`.

use std::collections::BTreeMap;
use std::path::Path;

use super::Entry;
use super::read::{self, Outcome, Problem, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("processes", collect).on_request();

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let mut states: BTreeMap<String, u32> = BTreeMap::new();
    let mut thread_states: BTreeMap<String, u32> = BTreeMap::new();
    let (mut pids, mut threads) = (0u32, 0.0);
    for pid in read::names(&r.procfs)? {
        if !pid.bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        let folder = r.procfs.join(&pid);
        // A process may end while we look.
        let Some((state, n)) = stat(&folder.join("stat"))? else {
            continue;
        };
        pids += 1;
        threads += n;
        *states.entry(state.clone()).or_default() += 1;
        for task in read::names(&folder.join("task")).unwrap_or_default() {
            if !task.bytes().all(|b| b.is_ascii_digit()) {
                continue;
            }
            // The first thread is the process itself.
            let path = folder.join("task").join(&task).join("stat");
            if task == pid {
                *thread_states.entry(state.clone()).or_default() += 1;
            } else if let Some((state, _)) = stat(&path)? {
                *thread_states.entry(state).or_default() += 1;
            }
        }
    }
    out.gauge(
        "node_processes_threads",
        "Allocated threads in system",
        &[],
        threads,
    );
    let limit = read::count_in(&r.proc("sys/kernel/threads-max"))?;
    out.gauge(
        "node_processes_max_threads",
        "Limit of threads in the system",
        &[],
        limit,
    );
    for (state, n) in states {
        out.gauge(
            "node_processes_state",
            "Number of processes in each state.",
            &[("state", &state)],
            f64::from(n),
        );
    }
    for (state, n) in thread_states {
        out.gauge(
            "node_processes_threads_state",
            "Number of threads in each state.",
            &[("thread_state", &state)],
            f64::from(n),
        );
    }
    let limit = read::count_in(&r.proc("sys/kernel/pid_max"))?;
    out.gauge(
        "node_processes_max_processes",
        "Number of max PIDs limit",
        &[],
        limit,
    );
    out.gauge(
        "node_processes_pids",
        "Number of PIDs",
        &[],
        f64::from(pids),
    );
    Ok(())
}

/// State and number of threads of a stat file; none when the process has ended.
fn stat(path: &Path) -> Result<Option<(String, f64)>, Problem> {
    let text = match read::text(path) {
        Err(p) if p.is_absent() => return Ok(None),
        t => t?,
    };
    // The name may hold blanks and parentheses; the fields after its last one do not.
    let fields: Vec<&str> = text
        .rsplit_once(')')
        .map_or_else(Vec::new, |(_, f)| f.split_whitespace().collect());
    match (fields.first(), read::field(&fields, 17)) {
        (Some(state), Some(threads)) => Ok(Some(((*state).to_owned(), threads))),
        _ => Err(Problem::format(path, "no state and number of threads")),
    }
}
