//! The runtime under the names that dashboards of the family read (decision 0079).

use std::fs;

use super::{Family, Kind, Sample, Suffix};

/// Quantiles of the original's summary.
const QUANTILES: [&str; 5] = ["0", "0.25", "0.5", "0.75", "1"];

/// Tasks, threads and pauses. Cost: one directory of procfs.
pub(crate) fn families() -> Vec<Family> {
    let tasks = tokio::runtime::Handle::try_current().map(|r| r.metrics().num_alive_tasks());
    let mut all = vec![pauses()];
    if let Ok(tasks) = tasks {
        all.push(Family::single(
            "go_goroutines",
            "Number of tasks that currently exist, under the name that dashboards read.",
            Kind::Gauge,
            tasks as f64,
        ));
    }
    if let Ok(threads) = fs::read_dir("/proc/self/task") {
        all.push(Family::single(
            "go_threads",
            "Number of OS threads that currently exist, under the name that dashboards read.",
            Kind::Gauge,
            threads.count() as f64,
        ));
    }
    all
}

/// Nothing is collected here, so nothing ever waits for it.
fn pauses() -> Family {
    let sample = |suffix, labels| Sample {
        suffix,
        labels,
        value: 0.0,
    };
    let quantile = |q: &&str| sample(Suffix::None, vec![("quantile", (*q).to_owned())]);
    let mut samples: Vec<Sample> = QUANTILES.iter().map(quantile).collect();
    samples.extend([Suffix::Sum, Suffix::Count].map(|s| sample(s, Vec::new())));
    Family {
        name: "go_gc_duration_seconds".into(),
        help: "Pauses for garbage collection. There is none in this program, so all of them are zero.",
        kind: Kind::Summary,
        samples,
    }
}

#[cfg(test)]
mod tests {
    use super::families;

    #[tokio::test]
    async fn tasks_and_threads_are_counted() {
        let value = |name: &str| {
            let all = families();
            let found = all.iter().find(|f| f.name == name);
            found.map(|f| f.samples[0].value)
        };
        let before = value("go_goroutines").unwrap();
        let task = tokio::spawn(std::future::pending::<()>());
        assert_eq!(value("go_goroutines"), Some(before + 1.0));
        task.abort();
        assert!(value("go_threads").unwrap() >= 1.0);
        assert_eq!(value("go_gc_duration_seconds"), Some(0.0));
    }
}
