//! What is looked at before anything changes: that the cluster answers, and that it is up enough to begin.

use std::collections::HashMap;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::ready;
use futures::stream::select_all;
use kube::runtime::watcher::Event;
use serde_json::Value;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::cluster::{ADDRESS, Cluster, Identity, RequestError};
use crate::error::{Error, Exit};
use crate::event::{Events, Kind};
use crate::object::{self, Object, ObjectRef};

#[cfg(test)]
mod tests;

/// How long a cluster may take to have a node and its DNS: on a new one the image of that is still on its way, and the line
/// may be slow.
const PATIENCE: Duration = Duration::from_mins(3);

/// How long its own aggregated APIs may take after that, whose pods wait for the same. On k3s metrics-server takes most of it.
const PATIENCE_WITH_APIS: Duration = Duration::from_mins(1);

/// The oldest Kubernetes that this program is tested with.
const OLDEST: (u64, u64) = (1, 32);

/// What Service and pods of cluster DNS are labelled with, in k3s, kind and kubeadm alike.
const DNS: &str = "k8s-app=kube-dns";

/// Where Kubernetes keeps its own pods.
const SYSTEM: &str = "kube-system";

/// Makes the first request: finds out which cluster this is, and that it is one that can be worked with.
///
/// # Errors
/// Exit 3, with a hint, when the server is not reached, refuses, or is too old.
pub async fn reach(cluster: &Cluster) -> Result<Identity, Error> {
    let version = version(cluster).await?;
    supported(&version)?;
    cluster.identify(version).await.map_err(RequestError::into_preflight)
}

/// Asks the server for its version, which needs no more than that it lets one in.
///
/// # Errors
/// Exit 3, with a hint, when the server is not reached or refuses.
pub async fn version(cluster: &Cluster) -> Result<String, Error> {
    cluster.version().await.map_err(|error| refused(cluster, error))
}

/// Credentials that are refused are explained by the certificate, if that has expired, and silence by the proxy, if there is one.
fn refused(cluster: &Cluster, error: RequestError) -> Error {
    let context = cluster.route();
    if let Some(expiry) = cluster.expired().filter(|_| error.code() == Some(401)) {
        let message = format!("the client certificate of context `{context}` expired at {expiry}");
        Error::new(Exit::Preflight, message)
            .because(error)
            .hint("get a new one from where the cluster is run, such as: k3d kubeconfig merge --all")
    } else if let Some(proxy) = cluster.proxy().filter(|_| error.is_unreachable()) {
        let message = format!("the server of context `{context}` is not reached through the proxy {proxy}");
        Error::new(Exit::Preflight, message).because(error).hint("kubectl cluster-info")
    } else {
        error.into_preflight()
    }
}

/// Finds out that a server's version is one that can be worked with.
///
/// # Errors
/// Exit 3, with a hint, when it is too old, or no version at all.
pub fn supported(version: &str) -> Result<(), Error> {
    let mut numbers = version.trim_start_matches('v').split('.').map_while(|part| part.parse::<u64>().ok());
    let (Some(major), Some(minor)) = (numbers.next(), numbers.next()) else {
        let message = format!("what answers is no Kubernetes: it says that its version is `{version}`");
        return Err(Error::new(Exit::Preflight, message).hint(ADDRESS));
    };
    if (major, minor) < OLDEST {
        let (oldest_major, oldest_minor) = OLDEST;
        let message = format!(
            "the server is Kubernetes {version}; {oldest_major}.{oldest_minor} is the oldest that works"
        );
        return Err(Error::new(Exit::Preflight, message)
            .hint("make a newer cluster: k3d cluster create --image rancher/k3s:v1.36.4-k3s1"));
    }
    Ok(())
}

/// Waits until the cluster is up enough: a node is Ready, cluster DNS has a ready pod, and aggregated APIs answer, but for
/// those that `is_ours` names, which this run may have to mend. Makes four requests where all is well. Returns whether it had to
/// wait: what was read before is old then.
///
/// # Errors
/// Exit 3 when there is no node or DNS in time.
pub async fn gate(
    cluster: &Cluster,
    is_ours: impl Fn(&Object) -> bool,
    deadline: Instant,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<bool, Error> {
    let mut seen = Seen::read(cluster).await.map_err(RequestError::into_preflight)?;
    if seen.missing(&is_ours).is_empty() {
        return Ok(false);
    }
    let mut changes = Vec::new();
    for (kind, namespace) in [
        (object::NODE, None),
        (object::POD, Some(SYSTEM)),
        (object::SERVICE, Some(SYSTEM)),
        (object::API_SERVICE, None),
    ] {
        if let Ok(stream) = cluster.watch(&kind.gvk(), namespace).await {
            // What nobody may look at is not asked for again and again.
            let is_open =
                |change: &Result<_, RequestError>| ready(!change.as_ref().is_err_and(RequestError::is_final));
            changes.push(stream.take_while(is_open).boxed());
        }
    }
    let mut changes = select_all(changes);
    let mut began = Instant::now();
    let mut was_fatal = false;
    let mut said = String::new();
    loop {
        let missing = seen.missing(&is_ours);
        if missing.is_empty() {
            return Ok(true);
        }
        let what = all(&missing);
        if what != said {
            events.send(Kind::Waiting { what: what.clone() });
            said = what;
        }
        let is_fatal = missing.iter().any(|lack| lack.is_fatal);
        if was_fatal && !is_fatal {
            began = Instant::now();
        }
        was_fatal = is_fatal;
        let left = deadline.saturating_duration_since(began);
        // What the run can do without must leave it time to be done.
        let patience = if is_fatal { left.min(PATIENCE) } else { (left / 2).min(PATIENCE_WITH_APIS) };
        tokio::select! {
            Some(change) = changes.next() => match change {
                Ok(Event::Apply(object) | Event::InitApply(object)) => seen.set(object),
                Ok(Event::Delete(object)) => seen.remove(&object),
                // The watches mend themselves.
                _ => {}
            },
            () = sleep_until(began + patience) => {
                return give_up(missing, began.elapsed(), events).map(|()| true);
            }
            () = cancel.cancelled() => return Err(Error::new(Exit::Interrupted, "interrupted")),
        }
    }
}

/// Looks at what a run would begin on; `is_ours` names the aggregated APIs that it may have to mend.
///
/// # Errors
/// The server's refusal, or no answer in time.
pub async fn look(cluster: &Cluster, is_ours: impl Fn(&Object) -> bool) -> Result<Grounds, RequestError> {
    let seen = Seen::read(cluster).await?;
    let (lacks, has_dns) = (seen.missing(&is_ours), seen.has_dns());
    let nodes = seen.objects.into_iter().filter(|(name, _)| name.is(&object::NODE));
    Ok(Grounds { nodes: nodes.map(|(_, node)| node).collect(), has_dns, lacks, unseen: seen.unseen })
}

/// What a run would begin on.
#[derive(Debug)]
pub struct Grounds {
    /// The cluster's nodes.
    pub nodes: Vec<Object>,
    /// Whether cluster DNS is where nearly all clusters have it, in `kube-system`.
    pub has_dns: bool,
    lacks: Vec<Lack>,
    unseen: Vec<(Matter, String)>,
}

impl Grounds {
    /// What is lacking of one matter, each with what to run to see why.
    pub fn lacks(&self, matter: Matter) -> impl Iterator<Item = (&str, &'static str)> {
        let lacks = self.lacks.iter().filter(move |lack| lack.matter == matter);
        lacks.map(|lack| (lack.what.as_str(), lack.hint))
    }

    /// The right without which nothing is known of a matter, such as `list nodes`.
    #[must_use]
    pub fn unseen(&self, matter: Matter) -> Option<&str> {
        self.unseen.iter().find(|(unseen, _)| *unseen == matter).map(|(_, right)| right.as_str())
    }
}

/// Time is out: what the run cannot do without is an error, the rest a warning.
fn give_up(missing: Vec<Lack>, waited: Duration, events: &Events) -> Result<(), Error> {
    let seconds = format!("{:.0}", waited.as_secs_f32());
    let (fatal, others): (Vec<_>, Vec<_>) = missing.into_iter().partition(|lack| lack.is_fatal);
    if let Some(first) = fatal.first() {
        let message = format!("waited {seconds} s for {}", all(&fatal));
        return Err(Error::new(Exit::Preflight, message).hint(first.hint));
    }
    for lack in others {
        let message = format!("waited {seconds} s for {}, and went on without it", lack.what);
        events.send(Kind::Warning { message });
    }
    Ok(())
}

/// All that is missing, as one fragment that follows `waiting for`.
fn all(missing: &[Lack]) -> String {
    missing.iter().map(|lack| lack.what.as_str()).collect::<Vec<_>>().join(", ")
}

/// What a cluster has to have before a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matter {
    /// A node that is Ready.
    Nodes,
    /// A ready pod of cluster DNS.
    Dns,
    /// Aggregated APIs that answer.
    Apis,
}

/// Something that the cluster does not have yet.
#[derive(Debug)]
struct Lack {
    matter: Matter,
    /// A fragment that follows `waiting for`.
    what: String,
    /// What to run to see why.
    hint: &'static str,
    is_fatal: bool,
}

/// Nodes, DNS pods and aggregated APIs, as last seen.
struct Seen {
    objects: HashMap<ObjectRef, Object>,
    /// What may not be looked at, and the right that is lacking. That it is well is taken on trust.
    unseen: Vec<(Matter, String)>,
}

impl Seen {
    async fn read(cluster: &Cluster) -> Result<Self, RequestError> {
        let list = |matter: Option<Matter>, kind: object::Kind, namespace, labels| async move {
            match cluster.list_cached(&kind.gvk(), namespace, labels).await {
                Ok(objects) => Ok((objects, None)),
                Err(error) => match error.forbidden() {
                    Some(right) => Ok((Vec::new(), matter.map(|matter| (matter, right)))),
                    None => Err(error),
                },
            }
        };
        let found: [_; 4] = tokio::try_join!(
            list(Some(Matter::Nodes), object::NODE, None, None),
            list(Some(Matter::Dns), object::POD, Some(SYSTEM), Some(DNS)),
            // Its Service only tells that there has to be a pod.
            list(None, object::SERVICE, Some(SYSTEM), Some(DNS)),
            list(Some(Matter::Apis), object::API_SERVICE, None, None),
        )?
        .into();
        let mut seen = Self { objects: HashMap::new(), unseen: Vec::new() };
        for (objects, unseen) in found {
            seen.unseen.extend(unseen);
            for object in objects {
                seen.set(object);
            }
        }
        Ok(seen)
    }

    fn set(&mut self, object: Object) {
        if let Some(name) = ObjectRef::of(&object) {
            self.objects.insert(name, object);
        }
    }

    fn remove(&mut self, object: &Object) {
        if let Some(name) = ObjectRef::of(object) {
            self.objects.remove(&name);
        }
    }

    /// Tells whether there is a Service or a pod of cluster DNS; a cluster without either has its DNS elsewhere.
    fn has_dns(&self) -> bool {
        let mut found = self.objects.iter().filter(|(_, object)| is_dns(object));
        found.any(|(name, _)| name.is(&object::SERVICE) || name.is(&object::POD))
    }

    fn missing(&self, is_ours: &impl Fn(&Object) -> bool) -> Vec<Lack> {
        let mut missing = Vec::new();
        let of = |kind: &'static object::Kind| {
            self.objects.iter().filter(move |(name, _)| name.is(kind)).map(|(_, object)| object)
        };
        let sees = |matter| !self.unseen.iter().any(|(unseen, _)| *unseen == matter);
        if sees(Matter::Nodes) && !of(&object::NODE).any(|node| condition(node, "Ready") == Some("True")) {
            missing.push(Lack {
                matter: Matter::Nodes,
                what: "a node to be Ready".to_owned(),
                hint: "kubectl describe nodes",
                is_fatal: true,
            });
        }
        let mut dns_pods = of(&object::POD).filter(|pod| is_dns(pod));
        if sees(Matter::Dns) && self.has_dns() && !dns_pods.any(|pod| condition(pod, "Ready") == Some("True"))
        {
            missing.push(Lack {
                matter: Matter::Dns,
                what: "cluster DNS to have a ready pod".to_owned(),
                hint: "kubectl -n kube-system describe pods -l k8s-app=kube-dns",
                is_fatal: true,
            });
        }
        let mut services: Vec<_> = of(&object::API_SERVICE).collect();
        services.sort_by(|one, other| one.metadata.name.cmp(&other.metadata.name));
        for service in services {
            if condition(service, "Available") != Some("True") && !is_ours(service) {
                let name = service.metadata.name.as_deref().unwrap_or_default();
                missing.push(Lack {
                    matter: Matter::Apis,
                    what: format!("apiservice {name} to be available"),
                    hint: "kubectl get apiservices",
                    is_fatal: false,
                });
            }
        }
        missing
    }
}

fn condition<'a>(object: &'a Object, kind: &str) -> Option<&'a str> {
    let conditions = object.data["status"]["conditions"].as_array()?;
    conditions
        .iter()
        .find(|condition| condition["type"].as_str() == Some(kind))?
        .get("status")
        .and_then(Value::as_str)
}

fn is_dns(object: &Object) -> bool {
    let labels = object.metadata.labels.as_ref();
    DNS.split_once('=')
        .is_some_and(|(key, value)| labels.and_then(|labels| labels.get(key)).is_some_and(|it| it == value))
}
