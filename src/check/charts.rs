//! Whether helm is there, and each release's chart can be had and rendered with the stack's values.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use futures::future::join_all;

use crate::cluster::Target;
use crate::error::Error;
use crate::finding::Finding;
use crate::helm::{Chart, Helm, Release, Until};
use crate::object::Object;
use crate::plan::{Plan, PlannedRelease};

pub(super) const CATEGORY: &str = "helm";
pub(super) const VERSION: &str = "version";

/// How long it may take to get a chart and to render it.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Which charts are looked at.
pub(super) struct Asked<'a> {
    pub(super) plan: &'a Plan,
    pub(super) installs_storage: bool,
    pub(super) folder: Option<&'a Path>,
}

impl Asked<'_> {
    /// The releases that `up` would make.
    pub(super) fn releases(&self) -> impl Iterator<Item = &PlannedRelease> {
        let steps = self.plan.steps.iter().filter(|step| !step.is_storage || self.installs_storage);
        steps.filter_map(|step| step.release.as_ref())
    }
}

/// Looks for helm, and finds out that it can be used; gives its version, too.
pub(super) async fn find_helm(target: &Target) -> Result<(Helm, String), Error> {
    let helm = Helm::find(target)?;
    let version = helm.version().await?.to_string();
    Ok((helm, version))
}

/// Renders the charts side by side, as for a server of this version. Where there are none, nobody misses helm. Of a chart
/// that cannot be rendered nothing is known.
pub(super) async fn render_all(
    helm: Result<(Helm, String), Error>,
    asked: &Asked<'_>,
    kubernetes: Option<&str>,
) -> (BTreeMap<Release, Vec<Object>>, Vec<Finding>) {
    let mut rendered = BTreeMap::new();
    if asked.releases().next().is_none() {
        return (rendered, Vec::new());
    }
    let (helm, mut found) = match helm {
        Ok((helm, version)) => {
            (helm, vec![Finding::passed(CATEGORY, VERSION, format!("helm {version} is supported"))])
        }
        Err(error) => {
            let id = |planned: &PlannedRelease| planned.spec.release.clone();
            let unknown = |planned| Finding::skipped(CATEGORY, id(planned), "needs helm/version");
            let missing = Finding::failed(CATEGORY, VERSION, &error);
            return (rendered, [missing].into_iter().chain(asked.releases().map(unknown)).collect());
        }
    };
    // What a distribution adds to it is none of a chart's business.
    let kubernetes = kubernetes.and_then(|version| version.split(['+', '-']).next());
    let rendering = asked
        .releases()
        .map(async |planned| (planned, render(&helm, planned, asked.folder, kubernetes).await));
    for (planned, result) in join_all(rendering).await {
        let (id, chart) = (planned.spec.release.clone(), planned.chart_name());
        found.push(match result {
            Ok(objects) => {
                let message =
                    format!("chart {chart} {} renders {} objects", planned.spec.version, objects.len());
                rendered.insert(planned.release(), objects);
                Finding::passed(CATEGORY, id, message)
            }
            Err(error) => Finding::failed(CATEGORY, id, &error),
        });
    }
    (rendered, found)
}

async fn render(
    helm: &Helm,
    planned: &PlannedRelease,
    folder: Option<&Path>,
    kubernetes: Option<&str>,
) -> Result<Vec<Object>, Error> {
    let chart = Chart::find(&planned.spec, folder)?;
    let until = Until::after(TIMEOUT);
    let rendered = helm.template(&planned.release(), &chart, &planned.values, kubernetes, &until).await;
    rendered.map_err(|error| {
        let hint = match chart {
            Chart::Local { path, .. } => format!("helm lint {}", path.display()),
            Chart::Remote { chart, repo, version, .. } => {
                let repo = repo.map(|repo| format!(" --repo {repo}")).unwrap_or_default();
                format!("helm show chart {chart} --version {version}{repo}")
            }
        };
        error.hint(hint)
    })
}
