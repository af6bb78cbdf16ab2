//! histogram_quantile, histogram_quantiles and histogram_fraction over classic buckets and native
//! histograms alike.

use engine::model::Labels;
use hashbrown::HashMap;

use super::EResult;
use super::context::Context;
use super::plan::CallNode;
use super::series::{Grid, Mask, Scalar, Series, Steps};
use crate::promql::annotations::for_metric;
use crate::promql::ast::Span;
use crate::promql::histogram::{
    self as hist, ClassicBucket, NanNote, classic_fraction, classic_quantile,
};
use crate::text::float;
use crate::text::quote::quote;

const BUCKET_LABEL: &str = "le";

/// Buckets of one classic histogram: series by upper bound, ascending.
struct Classic {
    labels: Labels,
    /// Upper bound and index of the series.
    buckets: Vec<(f64, usize)>,
}

/// The input of one of the functions, sorted out.
struct Input {
    series: Vec<Series>,
    classic: Vec<Classic>,
    /// Series with histograms, and the classic histogram with the same labels.
    native: Vec<(usize, Option<usize>)>,
}

/// What is asked of a histogram.
enum Question<'a> {
    Quantile(&'a Scalar),
    Fraction(&'a Scalar, &'a Scalar),
}

impl Context<'_> {
    pub(super) fn histogram_quantile(&self, c: &CallNode, grid: &Grid) -> EResult<Vec<Series>> {
        let q = self.scalar(self.arg(c, 0)?, grid)?;
        let input = self.sort_out(c, 1, grid)?;
        self.check_quantile(&q, c.arg_spans[0], &input, grid);
        let mut out = Vec::new();
        self.answer(
            &input,
            &Question::Quantile(&q),
            c.arg_spans[1],
            grid,
            None,
            &mut out,
        )?;
        self.finish_histograms(input, out)
    }

    pub(super) fn histogram_fraction(&self, c: &CallNode, grid: &Grid) -> EResult<Vec<Series>> {
        let lower = self.scalar(self.arg(c, 0)?, grid)?;
        let upper = self.scalar(self.arg(c, 1)?, grid)?;
        let input = self.sort_out(c, 2, grid)?;
        let mut out = Vec::new();
        self.answer(
            &input,
            &Question::Fraction(&lower, &upper),
            c.arg_spans[2],
            grid,
            None,
            &mut out,
        )?;
        self.finish_histograms(input, out)
    }

    pub(super) fn histogram_quantiles(&self, c: &CallNode, grid: &Grid) -> EResult<Vec<Series>> {
        let label = self.string_arg(c, 1)?.to_owned();
        let quantiles = c.args[2..]
            .iter()
            .map(|a| self.scalar(a, grid))
            .collect::<EResult<Vec<_>>>()?;
        let input = self.sort_out(c, 0, grid)?;
        let mut out = Vec::new();
        for (i, q) in quantiles.iter().enumerate() {
            self.check_quantile(q, c.arg_spans[i + 2], &input, grid);
            // A quantile that changes from step to step has a label value for each.
            let mut values: Vec<(f64, Mask)> = Vec::new();
            for k in 0..grid.n {
                let v = q.at(k);
                let same = |x: &(f64, Mask)| x.0.to_bits() == v.to_bits();
                if !values.iter().any(same) {
                    values.push((v, Mask::empty(grid.n)));
                }
                if let Some(x) = values.iter_mut().find(|x| x.0.to_bits() == v.to_bits()) {
                    x.1.set(k);
                }
            }
            for (v, steps) in values {
                let mut part = Vec::new();
                let question = Scalar::Const(v);
                let only = Some(&steps);
                self.answer(
                    &input,
                    &Question::Quantile(&question),
                    c.arg_spans[0],
                    grid,
                    only,
                    &mut part,
                )?;
                let text = float::open_metrics(v);
                part.iter_mut()
                    .for_each(|s| s.labels = s.labels.with(&label, &text));
                out.extend(part);
            }
        }
        self.finish_histograms(input, out)
    }

    fn finish_histograms(&self, input: Input, out: Vec<Series>) -> EResult<Vec<Series>> {
        self.release_all(&input.series);
        self.charge_all(&out)?;
        self.merge_stripped(out)
    }

    fn check_quantile(&self, q: &Scalar, span: Span, input: &Input, grid: &Grid) {
        if input.series.is_empty() && grid.n == 0 {
            return;
        }
        let constant = matches!(q, Scalar::Const(_));
        for k in 0..if constant { grid.n.min(1) } else { grid.n } {
            let v = q.at(k);
            if v.is_nan() || !(0.0..=1.0).contains(&v) {
                self.note(|a| a.invalid_quantile(v, span));
            }
        }
    }

    /// Name for annotations: known only while names are kept to the end.
    fn known_name<'l>(&self, labels: &'l Labels) -> &'l str {
        if self.options.delayed_name_removal {
            labels.metric_name().unwrap_or("")
        } else {
            ""
        }
    }

    fn sort_out(&self, c: &CallNode, arg: usize, grid: &Grid) -> EResult<Input> {
        let series = self.vector(self.arg(c, arg)?, grid)?;
        let span = c.arg_spans[arg];
        let mut classic: Vec<Classic> = Vec::new();
        let mut index: HashMap<Labels, usize, foldhash::fast::RandomState> = HashMap::default();
        for (i, s) in series.iter().enumerate() {
            if !s.steps.mask.any() {
                continue;
            }
            let le = s.labels.get(BUCKET_LABEL).unwrap_or("");
            let Some(bound) = float::parse_float(le) else {
                let name = for_metric(self.known_name(&s.labels));
                self.note(|a| {
                    a.warn(
                        span,
                        format_args!(
                            "bucket label \"le\" is missing or has a malformed value of {}{name}",
                            quote(le)
                        ),
                    );
                });
                continue;
            };
            let key = s.labels.without(&[BUCKET_LABEL]);
            let group = *index.entry(key.clone()).or_insert_with(|| {
                classic.push(Classic {
                    labels: key,
                    buckets: Vec::new(),
                });
                classic.len() - 1
            });
            classic[group].buckets.push((bound, i));
        }
        for g in &mut classic {
            g.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        let native = series
            .iter()
            .enumerate()
            .filter(|(_, s)| s.steps.hists.is_some())
            .map(|(i, s)| (i, index.get(&s.labels).copied()))
            .collect();
        Ok(Input {
            series,
            classic,
            native,
        })
    }

    /// One series per histogram. `only` restricts the steps.
    fn answer(
        &self,
        input: &Input,
        question: &Question<'_>,
        span: Span,
        grid: &Grid,
        only: Option<&Mask>,
        out: &mut Vec<Series>,
    ) -> EResult<()> {
        let mut mixed: HashMap<usize, Mask> = HashMap::new();
        let asked = |k: usize| only.is_none_or(|m| m.get(k));
        for (i, twin) in &input.native {
            self.check()?;
            let s = &input.series[*i];
            let mut steps = Steps::new(grid.n);
            for (k, h) in s.steps.hists.iter().flatten().enumerate() {
                let Some(h) = h else { continue };
                if !asked(k) {
                    continue;
                }
                if let Some(g) = twin
                    && input.classic[*g]
                        .buckets
                        .iter()
                        .any(|(_, b)| input.series[*b].steps.mask.get(k))
                {
                    let name = for_metric(self.known_name(&s.labels));
                    self.note(|a| {
                        a.warn(
                            span,
                            format_args!(
                                "vector contains a mix of classic and native histograms{name}"
                            ),
                        );
                    });
                    mixed
                        .entry(*g)
                        .or_insert_with(|| Mask::empty(grid.n))
                        .set(k);
                    continue;
                }
                let (v, note) = match question {
                    Question::Quantile(q) => hist::quantile(q.at(k), h),
                    Question::Fraction(l, u) => hist::fraction(l.at(k), u.at(k), h),
                };
                if let Some(note) = note {
                    self.note_nan(note, self.known_name(&s.labels), span);
                }
                steps.set(k, v);
            }
            self.push_histogram(&s.labels, steps, out);
        }
        let mut buckets: Vec<ClassicBucket> = Vec::new();
        for (g, classic) in input.classic.iter().enumerate() {
            self.check()?;
            let mut steps = Steps::new(grid.n);
            let skip = mixed.get(&g);
            for k in 0..grid.n {
                if !asked(k) || skip.is_some_and(|m| m.get(k)) {
                    continue;
                }
                buckets.clear();
                buckets.extend(classic.buckets.iter().filter_map(|(upper, i)| {
                    let s = &input.series[*i].steps;
                    s.mask.get(k).then(|| ClassicBucket {
                        upper: *upper,
                        count: s.vals[k],
                    })
                }));
                if buckets.is_empty() {
                    continue;
                }
                let v = match question {
                    Question::Fraction(l, u) => classic_fraction(l.at(k), u.at(k), &mut buckets),
                    Question::Quantile(q) => {
                        let (v, forced) = classic_quantile(q.at(k), &mut buckets);
                        if let Some(f) = forced {
                            let name = self.known_name(&classic.labels);
                            self.note(|a| a.forced_monotonicity(name, span, grid.t(k), f));
                        }
                        v
                    }
                };
                steps.set(k, v);
            }
            self.push_histogram(&classic.labels, steps, out);
        }
        Ok(())
    }

    fn push_histogram(&self, labels: &Labels, steps: Steps, out: &mut Vec<Series>) {
        if steps.any() {
            let mut s = Series {
                labels: labels.clone(),
                drop_name: true,
                steps,
            };
            self.strip(&mut s);
            out.push(s);
        }
    }

    fn note_nan(&self, note: NanNote, name: &str, span: Span) {
        let text = match note {
            NanNote::Result => "input to histogram_quantile has NaN observations, result is NaN",
            NanNote::Skewed => {
                "input to histogram_quantile has NaN observations, result is skewed higher"
            }
            NanNote::Excluded => {
                "input to histogram_fraction has NaN observations, which are excluded from all fractions"
            }
        };
        self.note(|a| a.info(span, format_args!("{text}{}", for_metric(name))));
    }
}
