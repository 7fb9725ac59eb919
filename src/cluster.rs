//! The one connection to the cluster: who it is, and every request to it, each with a deadline and bounded retries.
//!
//! The only room that builds an `Api`. It decides nothing about what should be in the cluster.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::Stream;
use http::HeaderValue;
use http::header::USER_AGENT;
use jiff::Timestamp;
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams};
use kube::client::ClientBuilder;
use kube::core::{DynamicObject, GroupVersionKind, ObjectMeta};
use kube::discovery::ApiResource;
use kube::runtime::watcher;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::buffer::BufferLayer;
use tower::filter::AsyncFilterLayer;
use tower::util::{AndThenLayer, MapRequestLayer, option_layer};

use crate::cluster::patience::Patience;
use crate::error::{Error, Exit};
use crate::object::{self, Kind, Object, ObjectRef};

pub use crate::cluster::clock::Reading;
pub use crate::cluster::forward::{Answer, Port};
pub use crate::cluster::identity::{Consent, Identity};
pub use crate::cluster::patience::Contact;
pub(crate) use crate::cluster::request::ADDRESS;
pub use crate::cluster::request::{RequestError, Verb};
pub use crate::cluster::review::Act;
pub use crate::cluster::target::{Route, Target};

mod clock;
mod forward;
mod identity;
mod kinds;
mod kubeconfig;
mod login;
mod parting;
mod patience;
mod proxy;
mod request;
mod retry_after;
mod review;
#[cfg(test)]
pub(crate) mod server;
mod stranger;
mod target;
mod watching;

/// The name under which this program owns fields.
pub const FIELD_MANAGER: &str = "bootstrap";

/// How long the server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// More requests than this never wait for a connection; `patience.rs` lets far fewer through.
const MOST_WAITING: usize = 1024;

/// How this program is named in the API server's audit log.
const AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// A connection to one cluster. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    target: Arc<Target>,
    route: Arc<Route>,
    certificate_expiry: Option<Timestamp>,
    /// Host and port of the proxy, if the server is reached through one.
    proxy: Option<Arc<str>>,
    /// Kinds that are not well known, as discovery described them.
    discovered: Arc<Mutex<HashMap<GroupVersionKind, (ApiResource, bool)>>>,
    patience: Patience,
    idle: forward::Idle,
}

/// Which lines of a container's log are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lines {
    /// So many, the last ones.
    pub last: i64,
    /// Only what is younger than so many seconds, if set.
    pub seconds: Option<i64>,
    /// Each with the time at which it was written before it.
    pub timestamps: bool,
    /// Those of the container that ran before, which has ended.
    pub previous: bool,
}

impl Cluster {
    /// Reads the kubeconfig, logs in and makes a client; the server is not spoken to yet.
    ///
    /// # Errors
    /// Exit 3, with a hint, when there is no kubeconfig, it cannot be read, it has no such context, or the program that it names
    /// gives no credentials.
    pub async fn connect(target: &Target) -> Result<Self, Error> {
        let (mut config, route) = kubeconfig::load(target).await?;
        let login = login::log_in(&mut config, &route.to_string()).await?;
        let certificate_expiry = kubeconfig::certificate_expiry(&config.auth_info);
        let proxy = config.proxy_url.as_ref().map(proxy::shown);
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        // Kube's own retries can hold one call for minutes; patience.rs has bounded ones.
        config.default_retry = false;
        config.headers.push((USER_AGENT, HeaderValue::from_static(AGENT)));
        let builder = ClientBuilder::try_from(config).map_err(|error| {
            let failed = Error::new(Exit::Preflight, format!("failed to use context `{route}`"));
            let failed = match error {
                // Kube's own words show the address, which may have a password in it.
                kube::Error::ProxyProtocolUnsupported { .. } => failed.because(proxy::UNKNOWN),
                other => failed.because(other),
            };
            failed.hint("kubectl config view --minify")
        })?;
        // What waits for a token needs a service that can be cloned.
        let layer = |login| (AsyncFilterLayer::new(login), BufferLayer::new(MOST_WAITING));
        let builder = builder.with_layer(&option_layer(login.map(layer)));
        let builder = builder.with_layer(&AndThenLayer::new(stranger::refuse_redirect));
        let builder = builder.with_layer(&AndThenLayer::new(retry_after::keep));
        let client = builder.with_layer(&MapRequestLayer::new(parting::part)).build();
        let cluster = Self::with_client(client, target.pinned(&route), route);
        Ok(Self { certificate_expiry, proxy, ..cluster })
    }

    /// Speaks through a client that is there already; tests bring a mock service this way.
    #[must_use]
    pub fn with_client(client: Client, target: Target, route: Route) -> Self {
        Self {
            client,
            target: Arc::new(target),
            route: Arc::new(route),
            certificate_expiry: None,
            proxy: None,
            discovered: Arc::default(),
            patience: Patience::default(),
            idle: forward::Idle::default(),
        }
    }

    /// The same cluster for a run that ends at `deadline`, or when it is cancelled: no request is tried again after that.
    #[must_use]
    pub fn until(&self, deadline: Instant, cancel: &CancellationToken) -> Self {
        Self { patience: self.patience.until(deadline, cancel.clone()), ..self.clone() }
    }

    /// The same cluster for requests that must not wait behind the others of a run.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self { patience: self.patience.apart(), ..self.clone() }
    }

    /// Whether the server answers, and word of each change.
    #[must_use]
    pub fn contact(&self) -> watch::Receiver<Contact> {
        self.patience.contact()
    }

    /// How it is reached.
    #[must_use]
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// When the client certificate that this speaks with has expired, if it has.
    #[must_use]
    pub fn expired(&self) -> Option<Timestamp> {
        self.certificate_expiry.filter(|expiry| *expiry < Timestamp::now())
    }

    /// Host and port of the proxy through which the server is reached, if there is one.
    #[must_use]
    pub fn proxy(&self) -> Option<&str> {
        self.proxy.as_deref()
    }

    /// The kubeconfig that was asked for and the context in use, for programs and commands that are to go to this cluster.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Reads an object; `None` when it is not there.
    ///
    /// # Errors
    /// The server's refusal, or no answer in time.
    pub async fn get(&self, name: &ObjectRef) -> Result<Option<Object>, RequestError> {
        let api = self.api_of(name).await?;
        self.ask(Verb::Get, name, || api.get_opt(&name.name))
            .await
            .map(|found| found.map(|object| typed(object, &name.gvk())))
    }

    /// Reads what an object is called and marked with, and who owns its fields, and nothing of what it holds; `None` when it is
    /// not there.
    ///
    /// # Errors
    /// The server's refusal, or no answer in time.
    pub async fn get_metadata(&self, name: &ObjectRef) -> Result<Option<ObjectMeta>, RequestError> {
        let api = self.api_of(name).await?;
        let found = self.ask(Verb::Get, name, || api.get_metadata_opt(&name.name)).await?;
        Ok(found.map(|found| found.metadata))
    }

    /// Lists the objects of a kind: those of one namespace, or all.
    ///
    /// # Errors
    /// The server's refusal, or no answer in time.
    pub async fn list(
        &self,
        kind: &GroupVersionKind,
        namespace: Option<&str>,
        labels: Option<&str>,
    ) -> Result<Vec<Object>, RequestError> {
        self.list_with(ListParams::default(), kind, namespace, labels).await
    }

    /// Lists the objects of a kind as the server's cache has them, which may be a moment old, but answers at once.
    ///
    /// # Errors
    /// The server's refusal, or no answer in time.
    pub async fn list_cached(
        &self,
        kind: &GroupVersionKind,
        namespace: Option<&str>,
        labels: Option<&str>,
    ) -> Result<Vec<Object>, RequestError> {
        self.list_with(ListParams::default().match_any(), kind, namespace, labels).await
    }

    async fn list_with(
        &self,
        params: ListParams,
        kind: &GroupVersionKind,
        namespace: Option<&str>,
        labels: Option<&str>,
    ) -> Result<Vec<Object>, RequestError> {
        let subject = Subject { kind, namespace };
        let api = self.api(kind, namespace, &subject).await?;
        let params = ListParams { label_selector: labels.map(str::to_owned), ..params };
        let list = self.ask(Verb::List, &subject, || api.list(&params)).await?;
        Ok(list.items.into_iter().map(|object| typed(object, kind)).collect())
    }

    /// Creates an object by POST, which fails when it is there already.
    ///
    /// # Errors
    /// The server's refusal, or no answer in time.
    pub async fn create(&self, object: &Object) -> Result<Object, RequestError> {
        let name = named(object)?;
        let api = self.api_of(&name).await?;
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        self.ask(Verb::Create, &name, || api.create(&params, object)).await
    }

    /// Asks whether an object could be created, without doing it.
    ///
    /// # Errors
    /// The server's refusal, or no answer in time.
    pub async fn dry_create(&self, object: &Object) -> Result<(), RequestError> {
        let name = named(object)?;
        let api = self.api_of(&name).await?;
        let params = PostParams { dry_run: true, field_manager: Some(FIELD_MANAGER.to_owned()) };
        self.ask(Verb::Create, &name, || api.create(&params, object)).await.map(drop)
    }

    /// Applies an object server-side; with `force` its fields are taken from other managers.
    ///
    /// # Errors
    /// The server's refusal, a conflict above all, or no answer in time.
    pub async fn apply(&self, object: &Object, force: bool) -> Result<Object, RequestError> {
        self.apply_with(object, PatchParams { force, ..PatchParams::default() }).await
    }

    /// Asks what an apply would make of an object, without doing it. The answer has the resource version of the object as it
    /// stands.
    ///
    /// # Errors
    /// The server's refusal, a conflict above all, or no answer in time.
    pub async fn dry_run(&self, object: &Object, force: bool) -> Result<Object, RequestError> {
        self.apply_with(object, PatchParams { dry_run: true, force, ..PatchParams::default() }).await
    }

    /// Asks what replacing an object by this one would make of it, without doing it.
    ///
    /// # Errors
    /// The server's refusal, or no answer in time.
    pub async fn dry_replace(&self, object: &Object) -> Result<Object, RequestError> {
        let name = named(object)?;
        let api = self.api_of(&name).await?;
        let params = PostParams { dry_run: true, field_manager: Some(FIELD_MANAGER.to_owned()) };
        let replaced = self.ask(Verb::Update, &name, || api.replace(&name.name, &params, object)).await?;
        Ok(typed(replaced, &name.gvk()))
    }

    async fn apply_with(&self, object: &Object, params: PatchParams) -> Result<Object, RequestError> {
        let name = named(object)?;
        let api = self.api_of(&name).await?;
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..params };
        let params = params.validation_strict();
        let patch = Patch::Apply(object);
        let applied = self.ask(Verb::Apply, &name, || api.patch(&name.name, &params, &patch)).await?;
        Ok(typed(applied, &name.gvk()))
    }

    /// Changes an object by a merge patch; a `resourceVersion` in the patch makes it conditional.
    ///
    /// # Errors
    /// The server's refusal, or no answer in time.
    pub async fn merge(&self, name: &ObjectRef, patch: &Value) -> Result<Object, RequestError> {
        let api = self.api_of(name).await?;
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let patch = Patch::Merge(patch);
        self.ask(Verb::Update, name, || api.patch(&name.name, &params, &patch)).await
    }

    /// Replaces an object, provided that it still has the resource version that `object` carries.
    ///
    /// # Errors
    /// The server's refusal, or no answer in time.
    pub async fn replace(&self, object: &Object) -> Result<Object, RequestError> {
        let name = named(object)?;
        let api = self.api_of(&name).await?;
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        self.ask(Verb::Update, &name, || api.replace(&name.name, &params, object)).await
    }

    /// Deletes an object; one that is gone already is no error (false). A uid or resource version in `params` makes it
    /// conditional.
    ///
    /// # Errors
    /// The server's refusal, or no answer in time.
    pub async fn delete(&self, name: &ObjectRef, params: &DeleteParams) -> Result<bool, RequestError> {
        let api = self.api_of(name).await?;
        match self.ask(Verb::Delete, name, || api.delete(&name.name, params)).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads the last lines of a container's log.
    ///
    /// # Errors
    /// The server's refusal, or no answer in time.
    pub async fn logs(&self, pod: &ObjectRef, container: &str, lines: Lines) -> Result<String, RequestError> {
        let namespace = pod.namespace.as_deref().unwrap_or_default();
        let api = Api::<k8s_openapi::api::core::v1::Pod>::namespaced(self.client.clone(), namespace);
        let params = LogParams {
            container: Some(container.to_owned()),
            tail_lines: Some(lines.last),
            since_seconds: lines.seconds,
            timestamps: lines.timestamps,
            previous: lines.previous,
            ..LogParams::default()
        };
        let subject = format!("the log of {pod}");
        self.ask(Verb::Get, &subject, || api.logs(&pod.name, &params)).await
    }

    /// Tells whether discovery answers for a group and version that an aggregated API or a CRD brings.
    pub async fn serves(&self, group: &str, version: &str) -> bool {
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        self.patience
            .once(Verb::Get, &api_version, self.client.list_api_group_resources(&api_version))
            .await
            .is_ok()
    }

    /// Tells whether discovery lists a resource, by its name in the plural, within a group and version.
    pub async fn serves_resource(&self, group: &str, version: &str, plural: &str) -> bool {
        let api_version = format!("{group}/{version}");
        let asking = self.client.list_api_group_resources(&api_version);
        self.patience
            .once(Verb::Discover, &api_version, asking)
            .await
            .is_ok_and(|found| found.resources.iter().any(|resource| resource.name == plural))
    }

    /// Watches the objects of a kind, those of one namespace or all: the list first, then each change. The stream mends
    /// itself after errors, which it reports, after a pause of a second at most; it never ends.
    ///
    /// # Errors
    /// When the kind is not served.
    pub async fn watch(
        &self,
        kind: &GroupVersionKind,
        namespace: Option<&str>,
    ) -> Result<impl Stream<Item = Result<watcher::Event<Object>, RequestError>> + use<>, RequestError> {
        let subject = Subject { kind, namespace };
        let api = self.api(kind, namespace, &subject).await?;
        Ok(watching::watch(api, kind.clone(), subject.to_string(), self.patience.clone()))
    }

    /// Makes a request when there is a slot for it.
    async fn ask<T, F>(
        &self,
        verb: Verb,
        subject: &impl fmt::Display,
        request: impl FnMut() -> F,
    ) -> Result<T, RequestError>
    where
        F: Future<Output = kube::Result<T>>,
    {
        self.patience.ask(verb, subject, request).await
    }

    async fn api_of(&self, name: &ObjectRef) -> Result<Api<DynamicObject>, RequestError> {
        self.api(&name.gvk(), name.namespace.as_deref(), name).await
    }

    async fn api(
        &self,
        kind: &GroupVersionKind,
        namespace: Option<&str>,
        subject: &(impl fmt::Display + Sync),
    ) -> Result<Api<DynamicObject>, RequestError> {
        let (resource, namespaced) = self.resource(kind, subject).await?;
        let client = self.client.clone();
        Ok(match namespace.filter(|_| namespaced) {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        })
    }
}

/// All objects of a kind, as errors name them.
struct Subject<'a> {
    kind: &'a GroupVersionKind,
    namespace: Option<&'a str>,
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Kind::find(self.kind) {
            Some(known) => f.write_str(known.plural)?,
            None => f.write_str(&self.kind.kind.to_lowercase())?,
        }
        if !self.kind.group.is_empty() {
            write!(f, ".{}", self.kind.group)?;
        }
        match self.namespace {
            Some(namespace) => write!(f, " -n {namespace}"),
            None => Ok(()),
        }
    }
}

/// Lists leave out each object's own type; this puts it back.
fn typed(mut object: Object, kind: &GroupVersionKind) -> Object {
    if object.types.is_none() {
        object.types =
            Some(kube::core::TypeMeta { api_version: kind.api_version(), kind: kind.kind.clone() });
    }
    object
}

fn named(object: &Object) -> Result<ObjectRef, RequestError> {
    ObjectRef::of(object).ok_or_else(|| RequestError::unnamed(object))
}

/// The name of a namespace as an object.
#[must_use]
pub fn namespace_ref(name: &str) -> ObjectRef {
    ObjectRef::new(&object::NAMESPACE, None, name)
}
