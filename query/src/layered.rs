//! One source over another: what the upper one has hides the same series of the lower one.
//!
//! For evaluations that write without changing what they read, such as rules that are tried out
//! over stored data.

use std::collections::HashSet;
use std::ops::ControlFlow;

use engine::budget::Watch;
use engine::metrics::SelectError;
use engine::model::{Column, Labels, Matcher};

use crate::source::{SelectHints, SeriesReader, SeriesSet, Source};

/// Two sources as one.
pub struct Layered<'a> {
    /// Hides the series of the other that it has itself.
    pub over: &'a dyn Source,
    /// The other.
    pub beneath: &'a dyn Source,
}

impl Source for Layered<'_> {
    fn select(
        &self,
        matchers: &[Matcher],
        min_t: i64,
        max_t: i64,
        hints: &SelectHints,
        watch: &dyn Watch,
    ) -> Result<Box<dyn SeriesSet>, SelectError> {
        let over = self.over.select(matchers, min_t, max_t, hints, watch)?;
        let beneath = self.beneath.select(matchers, min_t, max_t, hints, watch)?;
        let hidden: HashSet<Labels> = (0..over.len()).map(|i| over.labels(i)).collect();
        let mut series: Vec<(usize, u32)> = (0..over.len() as u32).map(|i| (0, i)).collect();
        let shown = (0..beneath.len()).filter(|i| !hidden.contains(&beneath.labels(*i)));
        series.extend(shown.map(|i| (1, i as u32)));
        drop(hidden);
        let sets = [over, beneath];
        if !hints.unordered {
            let labels = |s: &(usize, u32)| sets[s.0].labels(s.1 as usize);
            series.sort_by_cached_key(labels);
        }
        let mut places = [vec![None; sets[0].len()], vec![None; sets[1].len()]];
        for (place, (layer, i)) in series.iter().enumerate() {
            places[*layer][*i as usize] = Some(place);
        }
        Ok(Box::new(Both {
            sets,
            series,
            places,
        }))
    }
}

struct Both {
    sets: [Box<dyn SeriesSet>; 2],
    /// Layer and number there of each series.
    series: Vec<(usize, u32)>,
    /// The way back; hidden series have none.
    places: [Vec<Option<usize>>; 2],
}

impl SeriesSet for Both {
    fn len(&self) -> usize {
        self.series.len()
    }
    fn labels(&self, i: usize) -> Labels {
        let (layer, i) = self.series[i];
        self.sets[layer].labels(i as usize)
    }
    fn order(&self) -> Vec<u32> {
        let mut out = Vec::with_capacity(self.series.len());
        for (set, places) in self.sets.iter().zip(&self.places) {
            let order = set.order().into_iter();
            out.extend(order.filter_map(|i| places[i as usize].map(|p| p as u32)));
        }
        out
    }
    fn reader(&self) -> Box<dyn SeriesReader + '_> {
        Box::new(BothReader {
            set: self,
            readers: [self.sets[0].reader(), self.sets[1].reader()],
        })
    }
}

struct BothReader<'s> {
    set: &'s Both,
    readers: [Box<dyn SeriesReader + 's>; 2],
}

impl SeriesReader for BothReader<'_> {
    fn read(
        &mut self,
        series: &[u32],
        visit: &mut dyn FnMut(usize, Column<'_>) -> ControlFlow<()>,
    ) -> Result<(), SelectError> {
        let set = self.set;
        let of = |s: &u32| set.series[*s as usize];
        let mut ended = false;
        for run in series.chunk_by(|a, b| of(a).0 == of(b).0) {
            let layer = of(&run[0]).0;
            let there: Vec<u32> = run.iter().map(|s| of(s).1).collect();
            self.readers[layer].read(&there, &mut |i, column| match set.places[layer][i] {
                Some(place) => {
                    let flow = visit(place, column);
                    ended = flow.is_break();
                    flow
                }
                None => ControlFlow::Continue(()),
            })?;
            if ended {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use engine::metrics::{AppendMode, AppendOptions, Db};
    use engine::model::{SeriesKey, TenantId, WriteBatch};

    use super::*;
    use crate::promql::{Engine, Parallelism, QueryOptions, SampleValue, Value};
    use crate::source::TenantSource;

    fn store(all: &[(&str, f64)]) -> Arc<Db> {
        let db = Db::in_memory();
        let mut batch = WriteBatch::default();
        let labels: Vec<Labels> = all
            .iter()
            .map(|(i, _)| Labels::from_pairs([("__name__", "m"), ("i", i)]))
            .collect();
        for (k, (_, v)) in all.iter().enumerate() {
            let key = SeriesKey::of_labels(db.key_secret(), &labels[k]);
            batch.push_sample(key, k as u64, 1000, *v);
        }
        let options = AppendOptions::new(AppendMode::Atomic, 1000);
        let done = db.append(TenantId::DEFAULT, &batch, &labels, &options);
        assert!(done.is_ok());
        Arc::new(db)
    }

    #[test]
    fn the_upper_layer_hides_what_it_has() {
        let (upper, lower) = (
            store(&[("b", 20.0), ("d", 40.0)]),
            store(&[("a", 1.0), ("b", 2.0), ("c", 3.0)]),
        );
        let source = |db| TenantSource {
            db,
            tenant: TenantId::DEFAULT,
        };
        let (over, beneath) = (source(&upper), source(&lower));
        let both = Layered {
            over: &over,
            beneath: &beneath,
        };
        for parallelism in [Parallelism::default(), Parallelism::always()] {
            let mut engine = Engine::default();
            engine.options.parallelism = parallelism;
            let ask = |text| engine.instant(&both, text, 1000, QueryOptions::default());
            let Ok(Value::Vector(v)) = ask("m").map(|a| a.value) else {
                panic!("no vector")
            };
            let got: Vec<(Option<&str>, SampleValue)> = v
                .iter()
                .map(|s| (s.labels.get("i"), s.value.clone()))
                .collect();
            let want = [("a", 1.0), ("b", 20.0), ("c", 3.0), ("d", 40.0)];
            let want = want.map(|(i, v)| (Some(i), SampleValue::Float(v)));
            assert_eq!(got, want);
            let Ok(Value::Vector(v)) = ask("sum(m)").map(|a| a.value) else {
                panic!("no vector")
            };
            assert_eq!(v[0].value, SampleValue::Float(64.0));
        }
    }
}
