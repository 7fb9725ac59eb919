//! Which kubeconfig, which of its contexts, and what it says of the cluster. Several files are joined as kubectl joins them.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use kube::Config;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig, KubeconfigError};
use x509_cert::Certificate;

use super::proxy::Proxies;
use super::{Route, Target};
use crate::error::{Error, Exit};
use crate::yaml::YamlError;

const HOW_TO_GET_ONE: &str = "name one with --kubeconfig FILE, or make a cluster: k3d cluster create";

/// Finds the way to the cluster: the context, and what the kubeconfig says of its cluster and user, or the pod's own account.
pub(super) async fn load(target: &Target) -> Result<(Config, Route), Error> {
    let paths = paths(target);
    let kubeconfig = join(&paths)?;
    let is_empty = kubeconfig.as_ref().is_none_or(|found| found.contexts.is_empty());
    if is_empty
        && target.kubeconfig.is_none()
        && target.context.is_none()
        && let Ok(config) = Config::incluster()
    {
        return Ok((config, Route::OwnAccount));
    }
    let names = names(&paths);
    let Some(kubeconfig) = kubeconfig else {
        return Err(Error::new(Exit::Preflight, format!("there is no {names}")).hint(HOW_TO_GET_ONE));
    };
    if is_empty {
        return Err(Error::new(Exit::Preflight, format!("no context in the {names}")).hint(HOW_TO_GET_ONE));
    }
    let context = context(target, &kubeconfig, &names)?;
    let own_proxy = own_proxy(&kubeconfig, &context);
    let options = KubeConfigOptions { context: Some(context.clone()), ..KubeConfigOptions::default() };
    let loading = Config::from_custom_kubeconfig(kubeconfig, &options);
    let mut config = loading.await.map_err(|error| unusable(&context, error))?;
    let proxy = match own_proxy {
        Some(proxy) => proxy.parse().map(Some),
        None => Proxies::from_env().of(&config.cluster_url),
    };
    config.proxy_url = proxy.map_err(|error| unusable(&context, KubeconfigError::ParseProxyUrl(error)))?;
    Ok((config, Route::Context(context)))
}

/// The files, where kubectl would look for them.
fn paths(target: &Target) -> Vec<PathBuf> {
    if let Some(path) = &target.kubeconfig {
        return vec![path.clone()];
    }
    let listed = env::var_os("KUBECONFIG").unwrap_or_default();
    let listed: Vec<_> = env::split_paths(&listed).filter(|path| !path.as_os_str().is_empty()).collect();
    if listed.is_empty() {
        env::home_dir().map(|home| home.join(".kube/config")).into_iter().collect()
    } else {
        listed
    }
}

/// Joins the files that are there, as kubectl does: of a name that is in several the first one counts. `None` without any.
fn join(paths: &[PathBuf]) -> Result<Option<Kubeconfig>, Error> {
    let mut joined: Option<Kubeconfig> = None;
    for path in paths {
        let mut next = match Kubeconfig::read_from(path) {
            Ok(next) => next,
            Err(KubeconfigError::ReadConfig(error, _)) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(unreadable(path, error)),
        };
        // Kubectl writes an empty name where it has taken one out.
        next.current_context = next.current_context.filter(|name| !name.is_empty());
        joined = Some(match joined {
            Some(first) => first.merge(next).map_err(|error| unreadable(path, error))?,
            None => next,
        });
    }
    Ok(joined)
}

fn unreadable(path: &Path, error: KubeconfigError) -> Error {
    let path = path.display().to_string();
    let failed = Error::new(Exit::Preflight, format!("failed to read the kubeconfig {path}"));
    match error {
        KubeconfigError::ReadConfig(error, _) => failed.because(error),
        // Kube's own message shows the lines around the place, which may hold a secret.
        KubeconfigError::Parse(error) => failed.because(YamlError::new(&path, &error)),
        other => failed.because(other),
    }
    .hint("kubectl config view")
}

fn context(target: &Target, kubeconfig: &Kubeconfig, names: &str) -> Result<String, Error> {
    let known: Vec<_> = kubeconfig.contexts.iter().map(|context| context.name.as_str()).collect();
    let there_are = known.join(", ");
    match target.context.as_ref().or(kubeconfig.current_context.as_ref()) {
        Some(context) if known.contains(&context.as_str()) => Ok(context.clone()),
        Some(context) => {
            let message = format!("no context `{context}` in the {names}; there are: {there_are}");
            Err(Error::new(Exit::Preflight, message).hint("kubectl config get-contexts"))
        }
        None => {
            let message = format!("no context is current in the {names}; there are: {there_are}");
            Err(Error::new(Exit::Preflight, message).hint("name one with --context NAME"))
        }
    }
}

/// The proxy that the kubeconfig names for a context's cluster.
fn own_proxy(kubeconfig: &Kubeconfig, context: &str) -> Option<String> {
    let context = kubeconfig.contexts.iter().find(|named| named.name == context)?.context.as_ref()?;
    let cluster = kubeconfig.clusters.iter().find(|named| named.name == context.cluster)?;
    cluster.cluster.as_ref()?.proxy_url.clone().filter(|proxy| !proxy.is_empty())
}

fn unusable(context: &str, error: KubeconfigError) -> Error {
    let failed = Error::new(Exit::Preflight, format!("failed to use context `{context}`"));
    match error {
        KubeconfigError::ParseNoProxy(_) => failed.because(error).hint("env | grep -i proxy"),
        KubeconfigError::ParseProxyUrl(_) => failed.because(error.to_string()).hint("env | grep -i proxy"),
        // Kube's message has its causes in it.
        _ => failed.because(error.to_string()).hint("kubectl config view --minify"),
    }
}

/// The files as a message names them: `kubeconfig ~/.kube/config`.
fn names(paths: &[PathBuf]) -> String {
    let shown: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    format!("kubeconfig {}", shown.join(" or "))
}

/// When a user's client certificate expires; `None` without one that can be read.
pub(super) fn certificate_expiry(user: &AuthInfo) -> Option<Timestamp> {
    let pem = match (&user.client_certificate_data, &user.client_certificate) {
        (Some(data), _) => STANDARD.decode(data).ok()?,
        (None, Some(path)) => fs::read(path).ok()?,
        (None, None) => return None,
    };
    let chain = Certificate::load_pem_chain(&pem).ok()?;
    let not_after = chain.first()?.tbs_certificate().validity().not_after;
    Timestamp::from_second(i64::try_from(not_after.to_unix_duration().as_secs()).ok()?).ok()
}
