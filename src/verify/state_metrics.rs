//! kube-state-metrics: that it counts what the cluster has, and that Prometheus reads it.

use std::rc::Rc;

use super::check::{Asked, Check, Name, Subject, Verdict, pending};
use super::program::{Program, UP};
use super::prometheus::{self, Prometheus};
use super::{exposition, pods};
use crate::object::{self, Kind};

const READY: Name = name("ready");
const COUNTS: Name = name("counts");
/// Prometheus reads it.
pub(super) const TARGET: Name = name("target");

const fn name(id: &'static str) -> Name {
    Name { category: "kube-state-metrics", id }
}

/// What has one series for each object of a kind.
const COUNTED: [(&str, Kind); 3] = [
    ("kube_namespace_created", object::NAMESPACE),
    ("kube_deployment_created", object::DEPLOYMENT),
    ("kube_pod_info", object::POD),
];

/// kube-state-metrics as the stack wants it.
pub(super) struct StateMetrics {
    program: Program,
    /// Who reads it, and by which job.
    reader: Option<(Rc<Prometheus>, String)>,
}

/// The checks of this category.
pub(super) fn checks(metrics: &Rc<StateMetrics>) -> Vec<Check> {
    let mut checks = vec![
        Check::new(READY, metrics, StateMetrics::is_ready),
        Check::new(COUNTS, metrics, StateMetrics::counts).needs([READY]),
    ];
    if metrics.reader.is_some() {
        let needs = [prometheus::READY, READY, COUNTS];
        checks.push(Check::new(TARGET, metrics, StateMetrics::is_read).needs(needs).hint(UP));
    }
    checks
}

impl Subject for StateMetrics {
    fn asked(&self) -> Asked {
        self.program.asked()
    }
}

impl StateMetrics {
    /// `release` is what its Service is called by in the configuration of Prometheus.
    pub(super) fn new(program: Program, release: &str, prometheus: Option<&Rc<Prometheus>>) -> Self {
        let reader = prometheus.and_then(|prometheus| {
            let job = prometheus.job_of(|host| host.split('.').next() == Some(release))?.to_owned();
            Some((Rc::clone(prometheus), job))
        });
        Self { program, reader }
    }

    async fn is_ready(&self) -> Verdict {
        self.program.is_ready("/healthz").await
    }

    async fn counts(&self) -> Verdict {
        let pod = self.program.ready_pod()?;
        let mut equal = Vec::new();
        let mut different = Vec::new();
        for (metric, kind) in &COUNTED {
            let there = self.program.cluster.count(kind).await?;
            let text = self.program.get(&pod, "/metrics").await?;
            let counted = exposition::series(&text, metric).count();
            if counted == there {
                equal.push(format!("{there} {}", kind.plural));
            } else {
                different.push(format!("{counted} {}, but the cluster has {there}", kind.plural));
            }
        }
        if different.is_empty() {
            return Ok(format!("counts {}, as the cluster does", equal.join(", ")));
        }
        let name = pods::name_of(&pod);
        let hint = format!("may it list them? kubectl logs {name}");
        Err(pending(format!("{name} counts {}", different.join("; "))).hint(hint))
    }

    async fn is_read(&self) -> Verdict {
        match &self.reader {
            Some((prometheus, job)) => prometheus.reads(job).await,
            None => Ok("nothing is to read it".to_owned()),
        }
    }
}
