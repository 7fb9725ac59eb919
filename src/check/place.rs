//! Which cluster it is, and whether it is one that can be worked with.

use super::Options;
use crate::cluster::{Cluster, Consent, Identity, RequestError, Target};
use crate::error::Error;
use crate::finding::Finding;
use crate::preflight;

/// Makes the first requests.
pub(super) async fn reach(target: &Target, options: &Options) -> (Option<(Cluster, Identity)>, Vec<Finding>) {
    match identify(target).await {
        Ok((cluster, identity)) => {
            let answers = Finding::passed("cluster", "answers", format!("{identity} answers"));
            let found = vec![answers, version(&identity), consent(&identity, options)];
            (Some((cluster, identity)), found)
        }
        Err(error) => {
            let unknown = |id: &'static str| Finding::skipped("cluster", id, "needs cluster/answers");
            let found =
                vec![Finding::failed("cluster", "answers", &error), unknown("version"), unknown("consent")];
            (None, found)
        }
    }
}

async fn identify(target: &Target) -> Result<(Cluster, Identity), Error> {
    let cluster = Cluster::connect(target).await?;
    let version = preflight::version(&cluster).await?;
    let identity = cluster.identify(version).await.map_err(RequestError::into_preflight)?;
    Ok((cluster, identity))
}

fn version(identity: &Identity) -> Finding {
    let version = &identity.version;
    match preflight::supported(version) {
        Ok(()) => Finding::passed("cluster", "version", format!("Kubernetes {version} is supported")),
        Err(error) => Finding::failed("cluster", "version", &error),
    }
}

/// What `up` would want before it begins; being asked is no fault.
fn consent(identity: &Identity, options: &Options) -> Finding {
    let blind = if identity.nodes.is_none() { ", as far as can be told without its nodes" } else { "" };
    let message = match identity.consent(options.is_named, options.is_confirmed) {
        Consent::Given if identity.is_local() => "it is on this machine: up begins unasked".to_owned(),
        Consent::Given => format!("it is not on this machine{blind}, but was named, and leave was given"),
        Consent::Name => {
            format!("it is not on this machine{blind}: up wants it named with --context, and then confirmed")
        }
        Consent::Confirmation => {
            format!("it is not on this machine{blind}: up asks for the context's name, unless --yes is given")
        }
    };
    Finding::passed("cluster", "consent", message)
}
