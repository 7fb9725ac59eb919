//! An API server that answers only what a test lets it answer.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::pin;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use http::header::RETRY_AFTER;
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use kube::client::{Body, ClientBuilder};
use serde_json::{Value, json};
use tower::util::AndThenLayer;
use tower_test::mock::{Handle, SendResponse, pair};

use super::{Cluster, Route, Target, retry_after};

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// The server's side of a connection.
pub(crate) struct Server {
    handle: Handle<Request<Body>, Answer>,
    /// What is around the objects of a test, by the last part of the path. It is answered for without a test's asking.
    around: HashMap<&'static str, Vec<Value>>,
    /// What may not be seen of it.
    forbidden: Vec<&'static str>,
    /// The watches of that, by path, which tell of nothing by themselves.
    silent: HashMap<String, Watching>,
}

impl Server {
    /// A cluster, and the server that it speaks to.
    pub(crate) fn start() -> (Cluster, Self) {
        let (service, handle) = pair();
        let client = ClientBuilder::new(service, "default");
        let client = client.with_layer(&AndThenLayer::new(retry_after::keep)).build();
        let server = Self { handle, around: HashMap::new(), forbidden: Vec::new(), silent: HashMap::new() };
        (
            Cluster::with_client(
                client,
                Target { context: Some("test".to_owned()), ..Target::default() },
                Route::Context("test".to_owned()),
            ),
            server,
        )
    }

    /// The same, with what a wait looks at besides its objects: there is nothing of it, unless a test puts it there.
    pub(crate) fn with_surroundings() -> (Cluster, Self) {
        let (cluster, mut server) = Self::start();
        for plural in ["pods", "replicasets", "events", "nodes"] {
            server.put(plural, &[]);
        }
        (cluster, server)
    }

    /// Puts objects around those of the test: pods, replicasets or events.
    pub(crate) fn put(&mut self, plural: &'static str, objects: &[Value]) {
        self.around.insert(plural, objects.to_vec());
    }

    /// Refuses to show what is around: pods, replicasets or events.
    pub(crate) fn forbid(&mut self, plural: &'static str) {
        self.forbidden.push(plural);
    }

    /// Waits until something that is around is watched, and gives that watch, to tell of changes.
    pub(crate) async fn watch_around(&mut self, path: &str) -> Watching {
        loop {
            if let Some(watch) = self.silent.remove(path) {
                return watch;
            }
            self.answer_one().await;
        }
    }

    /// Answers the next request, which must be for something around.
    async fn answer_one(&mut self) {
        let asked = self.receive().await.expect("the client is still there");
        let unexpected = self.answer_around(asked).map(|asked| asked.uri);
        assert_eq!(unexpected, None, "a request for something else");
    }

    /// Awaits the next request, but for those for what is around.
    pub(crate) async fn next(&mut self) -> Asked {
        self.next_if_any().await.expect("the client is still there")
    }

    /// The same; `None` when the client is gone.
    async fn next_if_any(&mut self) -> Option<Asked> {
        loop {
            let asked = self.receive().await?;
            if let Some(asked) = self.answer_around(asked) {
                return Some(asked);
            }
        }
    }

    async fn receive(&mut self) -> Option<Asked> {
        let (request, reply) = self.handle.next_request().await?;
        let (method, uri) = (request.method().clone(), request.uri().to_string());
        let body = request.into_body().collect_bytes().await.expect("a whole body");
        Some(Asked { method, uri, body, reply })
    }

    /// Answers a request for what is around, and gives back any other.
    fn answer_around(&mut self, asked: Asked) -> Option<Asked> {
        let plural = asked.plural().unwrap_or_default();
        let Some(around) = self.around.get(plural) else { return Some(asked) };
        if self.forbidden.contains(&plural) {
            asked.refuse(StatusCode::FORBIDDEN, "Forbidden", "may not be seen");
        } else if asked.is_watch() {
            self.silent.insert(asked.path().to_owned(), asked.open());
        } else {
            asked.with(around);
        }
        None
    }

    /// Awaits a list of this path.
    pub(crate) async fn list(&mut self, path: &str) -> Asked {
        let asked = self.next().await;
        assert!(asked.path() == path && !asked.is_watch(), "expected a list of {path}, got {}", asked.uri);
        asked
    }

    /// Awaits a watch of this path, and leaves it open.
    pub(crate) async fn watch(&mut self, path: &str) -> Watching {
        let asked = self.next().await;
        assert!(asked.path() == path && asked.is_watch(), "expected a watch of {path}, got {}", asked.uri);
        asked.open()
    }

    /// Tells whether a request waits for an answer, other than for what is around.
    pub(crate) fn is_asked(&mut self) -> bool {
        futures::FutureExt::now_or_never(pin!(self.next_if_any())).flatten().is_some()
    }
}

/// A request that waits for its answer.
pub(crate) struct Asked {
    method: Method,
    uri: String,
    body: Bytes,
    reply: SendResponse<Answer>,
}

impl Asked {
    pub(crate) fn method(&self) -> &Method {
        &self.method
    }

    pub(crate) fn uri(&self) -> &str {
        &self.uri
    }

    pub(crate) fn path(&self) -> &str {
        self.uri.split('?').next().unwrap_or_default()
    }

    /// What is sent, an object.
    pub(crate) fn body(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// The last part of the path.
    fn plural(&self) -> Option<&str> {
        self.path().rsplit('/').next()
    }

    pub(crate) fn is_watch(&self) -> bool {
        self.uri.contains("watch=true")
    }

    /// Answers with a list.
    pub(crate) fn with(self, objects: &[Value]) {
        self.answer(
            StatusCode::OK,
            &json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": objects}),
        );
    }

    /// Refuses.
    pub(crate) fn refuse(self, code: StatusCode, reason: &str, message: &str) {
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure",
            "code": code.as_u16(), "reason": reason, "message": message,
        });
        self.answer(code, &status);
    }

    /// Refuses as a server does that sheds load: in plain text, with a header.
    pub(crate) fn shed(self, code: StatusCode, retry_after: u32) {
        let text = "Too many requests, please try again later.\n";
        let mut response = Response::new(Full::from(text).boxed_unsync());
        *response.status_mut() = code;
        response.headers_mut().insert(RETRY_AFTER, retry_after.into());
        self.reply.send_response(response);
    }

    /// Answers with anything.
    pub(crate) fn answer(self, code: StatusCode, body: &Value) {
        let mut response = Response::new(Full::from(body.to_string()).boxed_unsync());
        *response.status_mut() = code;
        self.reply.send_response(response);
    }

    /// Begins an answer that goes on, and leaves it open.
    pub(crate) fn open(self) -> Watching {
        let (sender, lines) = unbounded::<Bytes>();
        let lines = lines.map(|line| Ok(Frame::data(line)));
        self.reply.send_response(Response::new(StreamBody::new(lines).boxed_unsync()));
        Watching(sender)
    }

    /// Is not there.
    pub(crate) fn fail(self, message: &'static str) {
        self.reply.send_error(message);
    }
}

/// An open watch.
pub(crate) struct Watching(UnboundedSender<Bytes>);

impl Watching {
    /// Sends one event.
    pub(crate) fn send(&self, kind: &str, object: &Value) {
        self.send_text(&format!("{}\n", json!({"type": kind, "object": object})));
    }

    /// Sends a text, which need not be whole.
    pub(crate) fn send_text(&self, text: &str) {
        self.0.unbounded_send(text.to_owned().into()).expect("the client still watches");
    }

    /// Closes the connection.
    pub(crate) fn close(self) {
        self.0.close_channel();
    }

    /// Resolves when the client has given the watch up.
    pub(crate) async fn ended(self) {
        while !self.0.is_closed() {
            tokio::task::yield_now().await;
        }
    }
}
