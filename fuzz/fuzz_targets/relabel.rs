//! Relabelling rules from YAML, applied to labels: nothing panics, and the result is a label set.
#![no_main]
#![allow(dead_code, reason = "the modules serve the server, here only relabelling")]

use std::path::Path;

use engine::model::Labels;
use libfuzzer_sys::fuzz_target;

#[path = "../../server/src/config/mod.rs"]
mod config;
#[path = "../../server/src/relabel/mod.rs"]
mod relabel;

use config::prometheus::PrometheusConfig;

fuzz_target!(|data: &[u8]| {
    // Labels, a line each, an empty line, then the rules.
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Some((labels, rules)) = text.split_once("\n\n") else {
        return;
    };
    let indented: String = rules.lines().map(|l| format!("  {l}\n")).collect();
    let yaml = format!("scrape_configs:\n- job_name: j\n  relabel_configs:\n{indented}");
    let Ok(c) = config::parse_yaml::<PrometheusConfig>(Path::new("fuzz.yml"), &yaml) else {
        return;
    };
    let pairs = labels.lines().filter_map(|l| l.split_once('='));
    let labels = Labels::from_pairs(pairs.filter(|(n, _)| !n.is_empty()));
    for job in c.jobs() {
        for legacy in [false, true] {
            if let Ok(r) = relabel::Relabel::compile(&job.relabel_configs, legacy) {
                let all = r.process(&labels);
                let steps = r.steps(&labels);
                if let (Some(all), Some((last, true))) = (&all, steps.last()) {
                    assert_eq!(all, last);
                }
            }
        }
    }
});
