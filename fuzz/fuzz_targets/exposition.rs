//! No body may panic, in no format, with no option; predictions must not change the outcome.
#![no_main]

use engine::model::MetricType;
use engine::wire::exposition::{Format, Options, ParseError, Series, Sink, parse};
use libfuzzer_sys::fuzz_target;

#[derive(Default)]
struct Collect {
    raws: Vec<Vec<u8>>,
    predict: Vec<Vec<u8>>,
}

impl Sink for Collect {
    fn expected(&self) -> &[u8] {
        self.predict.get(self.raws.len()).map_or(&[], |p| p)
    }
    fn metric_type(&mut self, _: &str, _: MetricType) {}
    fn help(&mut self, _: &str, _: &str) {}
    fn unit(&mut self, _: &str, _: &str) {}
    fn series(&mut self, s: &Series<'_>) -> Result<(), ParseError> {
        s.labels(&mut Vec::new())?;
        self.raws.push(s.raw.to_vec());
        Ok(())
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((flags, body)) = data.split_first() else {
        return;
    };
    let options = Options {
        native_histograms: flags & 1 != 0,
        always_classic: flags & 2 != 0,
        convert_to_nhcb: flags & 4 != 0,
        start_timestamps: flags & 8 != 0,
    };
    for format in [Format::Text, Format::OpenMetrics, Format::Protobuf] {
        let mut first = Collect::default();
        if parse(format, body, &options, &mut first).is_ok() {
            let mut second = Collect {
                predict: first.raws.clone(),
                ..Collect::default()
            };
            assert!(parse(format, body, &options, &mut second).is_ok());
            assert_eq!(first.raws, second.raws);
        }
    }
});
