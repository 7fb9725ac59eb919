//! An API server that answers only what a test lets it answer.

use std::convert::Infallible;
use std::pin::pin;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower_test::mock::{Handle, SendResponse, pair};

use crate::cluster::{Cluster, Target};

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// The server's side of a connection.
pub(super) struct Server(Handle<Request<Body>, Answer>);

impl Server {
    /// A cluster, and the server that it speaks to.
    pub(super) fn start() -> (Cluster, Self) {
        let (service, handle) = pair();
        let client = Client::new(service, "default");
        (Cluster::with_client(client, Target::default(), "test"), Self(handle))
    }

    /// Awaits the next request.
    pub(super) async fn next(&mut self) -> Asked {
        let (request, reply) = self.0.next_request().await.expect("the client is still there");
        Asked { uri: request.uri().to_string(), reply }
    }

    /// Awaits a list of this path.
    pub(super) async fn list(&mut self, path: &str) -> Asked {
        let asked = self.next().await;
        assert!(asked.path() == path && !asked.is_watch(), "expected a list of {path}, got {}", asked.uri);
        asked
    }

    /// Awaits a watch of this path, and leaves it open.
    pub(super) async fn watch(&mut self, path: &str) -> Watching {
        let asked = self.next().await;
        assert!(asked.path() == path && asked.is_watch(), "expected a watch of {path}, got {}", asked.uri);
        let (sender, lines) = unbounded::<Bytes>();
        let lines = lines.map(|line| Ok(Frame::data(line)));
        asked.reply.send_response(Response::new(StreamBody::new(lines).boxed_unsync()));
        Watching(sender)
    }

    /// Tells whether a request waits for an answer.
    pub(super) fn is_asked(&mut self) -> bool {
        futures::FutureExt::now_or_never(pin!(self.0.next_request())).is_some()
    }
}

/// A request that waits for its answer.
pub(super) struct Asked {
    uri: String,
    reply: SendResponse<Answer>,
}

impl Asked {
    pub(super) fn path(&self) -> &str {
        self.uri.split('?').next().unwrap_or_default()
    }

    pub(super) fn is_watch(&self) -> bool {
        self.uri.contains("watch=true")
    }

    /// Answers with a list.
    pub(super) fn with(self, objects: &[Value]) {
        self.answer(
            StatusCode::OK,
            &json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": objects}),
        );
    }

    /// Refuses.
    pub(super) fn refuse(self, code: StatusCode, reason: &str, message: &str) {
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure",
            "code": code.as_u16(), "reason": reason, "message": message,
        });
        self.answer(code, &status);
    }

    /// Answers with anything.
    pub(super) fn answer(self, code: StatusCode, body: &Value) {
        let mut response = Response::new(Full::from(body.to_string()).boxed_unsync());
        *response.status_mut() = code;
        self.reply.send_response(response);
    }
}

/// An open watch.
pub(super) struct Watching(UnboundedSender<Bytes>);

impl Watching {
    /// Sends one event.
    pub(super) fn send(&self, kind: &str, object: &Value) {
        let line = format!("{}\n", json!({"type": kind, "object": object}));
        self.0.unbounded_send(line.into()).expect("the client still watches");
    }

    /// Resolves when the client has given the watch up.
    pub(super) async fn ended(self) {
        while !self.0.is_closed() {
            tokio::task::yield_now().await;
        }
    }
}
