//! The node exporter.

use std::collections::BTreeSet;
use std::sync::Arc;

use exporters::emit::Sink;
use exporters::metrics::node::{Node, Problem};
use hyper::StatusCode;
use parking_lot::Mutex;

use super::{Exporter, Scraping};
use crate::http::Params;

/// Collectors of this host, ready to be scraped.
pub(crate) struct NodeExporter {
    node: Node,
    /// Collectors whose problem is in the log already: it is told once, not with every scrape.
    told: Mutex<BTreeSet<&'static str>>,
}

impl NodeExporter {
    /// An exporter of `node`.
    pub(crate) fn new(node: Node) -> Self {
        Self {
            node,
            told: Mutex::default(),
        }
    }

    fn tell(&self, problems: Vec<(&'static str, Problem)>) {
        let mut told = self.told.lock();
        let mut now = BTreeSet::new();
        for (collector, problem) in problems {
            let news = !told.contains(collector);
            match problem {
                // This host does not have it; the metric says so.
                Problem::Absent(why) => {
                    if news {
                        tracing::debug!(collector, why, "collector has nothing to read");
                    }
                }
                Problem::Failed(why) => {
                    if news {
                        tracing::warn!(collector, error = why, "collector failed");
                    }
                }
            }
            now.insert(collector);
        }
        *told = now;
    }
}

impl Exporter for NodeExporter {
    fn name(&self) -> &'static str {
        "node_exporter"
    }

    fn title(&self) -> &'static str {
        "Node Exporter"
    }

    fn scrape(self: Arc<Self>, params: Params) -> Scraping {
        Box::pin(async move {
            let collect: Vec<&str> = params.all("collect[]").collect();
            let exclude: Vec<&str> = params.all("exclude[]").collect();
            let selection = self
                .node
                .select(&collect, &exclude)
                .map_err(|e| (StatusCode::BAD_REQUEST, e))?;
            // Files of the kernel may take their time.
            let scraped = tokio::task::spawn_blocking(move || {
                let mut sink = Sink::new();
                let problems = self.node.scrape(&selection, &mut sink);
                self.tell(problems);
                super::build_info("node_exporter", &mut sink);
                sink
            });
            scraped
                .await
                .map_err(|e| (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))
        })
    }
}
