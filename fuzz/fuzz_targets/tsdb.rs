//! A Prometheus block with a damaged file: reading it never panics.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use engine::io::Fs;
use engine::io::sim::SimFs;
use engine::metrics::tsdb::{TsdbBlock, TsdbWriter};
use engine::model::{CounterResetHint, Counts, Histogram, HistogramPoint, Labels, Sample, Span};
use libfuzzer_sys::fuzz_target;
use sextant_fuzz::damaged;

const DIR: &str = "/block";

static SOUND: LazyLock<SimFs> = LazyLock::new(|| {
    let fs = SimFs::new();
    fs.create_dir_all(Path::new(DIR)).expect("a directory");
    let mut w = TsdbWriter::create(&fs, Path::new(DIR)).expect("a block");
    for i in 0..8i64 {
        let l = Labels::from_pairs([("__name__".to_owned(), "m".to_owned()), ("i".to_owned(), i.to_string())]);
        let samples: Vec<Sample> =
            (0..150).map(|k| Sample { t: k * 1000, v: (k * i) as f64 / 7.0 }).collect();
        let histograms: Vec<HistogramPoint> = (0..5)
            .map(|k| HistogramPoint {
                t: k * 1000,
                start_t: 0,
                h: Histogram {
                    hint: CounterResetHint::Unknown,
                    schema: 1,
                    zero_threshold: 0.001,
                    sum: k as f64,
                    positive_spans: vec![Span { offset: 0, length: 2 }],
                    negative_spans: Vec::new(),
                    custom_values: Vec::new(),
                    counts: Counts::Integer {
                        count: k as u64,
                        zero: 0,
                        positive: vec![k, 0],
                        negative: Vec::new(),
                    },
                },
            })
            .collect();
        if i == 3 {
            w.add(&l, &[], &histograms)
        } else {
            w.add(&l, &samples, &[])
        }
        .expect("in order");
    }
    w.finish("01HF0000000000000000000000").expect("written");
    fs.kill()
});

fuzz_target!(|data: &[u8]| {
    let Some((fs, _)) = damaged(&SOUND, data) else {
        return;
    };
    if let Ok(block) = TsdbBlock::open(&fs, Path::new(DIR)) {
        drop(block.for_each(&mut |_| Ok(())));
    }
});
