//! HTTP to a port of a pod, by a port-forward: it works from wherever kubectl works, needs no Service, passes every header on
//! (the API server's own proxy takes Authorization away), and leaves nothing behind.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use tokio::time::timeout;

use super::{Cluster, RequestError, Verb};
use crate::object::ObjectRef;

/// Larger than any answer that is asked for; a log or a scrape of a great cluster has a few megabytes.
const LARGEST: usize = 64 << 20;

/// How long a connection that no request uses may take to be ready for one.
const READY: Duration = Duration::from_secs(1);

/// A port of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Port {
    /// The pod.
    pub pod: ObjectRef,
    /// The port that one of its containers listens on.
    pub port: u16,
}

impl fmt::Display for Port {
    /// Writes `port 9090 of pod/prometheus-0 -n monitoring`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "port {} of {}", self.port, self.pod)
    }
}

/// What a program in a pod answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status code.
    pub status: u16,
    /// The body, as text.
    pub body: String,
}

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Why the kubelet has ended it, such as that nothing listens there.
    said: Arc<OnceLock<String>>,
}

impl Connection {
    fn failure(&self, error: hyper::Error) -> kube::Error {
        match self.said.get() {
            Some(words) => kube::Error::Service(words.trim().into()),
            None => kube::Error::HyperError(error),
        }
    }
}

/// Connections that no request uses at the moment. A port-forward carries one connection, and that one request at a time.
#[derive(Clone, Default)]
pub(super) struct Idle(Arc<Mutex<HashMap<Port, Vec<Connection>>>>);

impl Idle {
    fn take(&self, port: &Port) -> Option<Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(port)?.pop()
    }

    fn put(&self, port: &Port, connection: Connection) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.entry(port.clone()).or_default().push(connection);
    }
}

impl Cluster {
    /// Sends a request, whose URI is a path, to a port of a pod.
    ///
    /// # Errors
    /// No right to it, no such port, or no answer in time; an answer with any status is none.
    pub async fn http(&self, port: &Port, request: &Request<String>) -> Result<Answer, RequestError> {
        let path = request.uri().path();
        let mut connection = match self.ready(port).await {
            Some(connection) => connection,
            None => self.forward(port).await?,
        };
        let subject = format!("{path} from {port}");
        let asking = async {
            let mut copy = request.clone().map(|body| Full::new(Bytes::from(body)));
            copy.headers_mut().entry(HOST).or_insert(HeaderValue::from_static("localhost"));
            let sent = connection.sender.send_request(copy).await;
            let response = sent.map_err(|error| connection.failure(error))?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), LARGEST).collect().await;
            let body = body.map_err(kube::Error::Service)?.to_bytes();
            Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
        };
        let answer = self.patience.once(Verb::Get, &subject, asking).await?;
        self.idle.put(port, connection);
        Ok(answer)
    }

    /// A connection of before, if it still stands.
    async fn ready(&self, port: &Port) -> Option<Connection> {
        while let Some(mut connection) = self.idle.take(port) {
            if matches!(timeout(READY, connection.sender.ready()).await, Ok(Ok(()))) {
                return Some(connection);
            }
        }
        None
    }

    async fn forward(&self, port: &Port) -> Result<Connection, RequestError> {
        let namespace = port.pod.namespace.as_deref().unwrap_or_default();
        let api = Api::<Pod>::namespaced(self.client.clone(), namespace);
        let ports = [port.port];
        let mut forwarder = self.ask(Verb::Forward, port, || api.portforward(&port.pod.name, &ports)).await?;
        let refused = forwarder.take_error(port.port);
        let opening = async {
            let lost = || kube::Error::Service("the port-forward has no stream".into());
            let stream = forwarder.take_stream(port.port).ok_or_else(lost)?;
            let (sender, driver) =
                http1::handshake(TokioIo::new(stream)).await.map_err(kube::Error::HyperError)?;
            let said = Arc::new(OnceLock::new());
            let connection = Connection { sender, said: Arc::clone(&said) };
            // Ends with the connection, on either side.
            tokio::spawn(async move {
                tokio::select! {
                    _ = driver => {}
                    Some(words) = async { refused?.await } => { let _ = said.set(words); }
                }
            });
            Ok(connection)
        };
        self.patience.once(Verb::Forward, port, opening).await
    }
}
