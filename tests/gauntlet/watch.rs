//! An eye on the cluster that knows nothing of `bootstrap`: what the API server sends to a watcher, with the time at which
//! it came.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::Bench;

/// What is watched, all over the cluster.
const PATHS: &[&str] = &[
    "/api/v1/pods",
    "/api/v1/events",
    "/api/v1/persistentvolumeclaims",
    "/api/v1/nodes",
    "/apis/apps/v1/deployments",
    "/apis/apps/v1/statefulsets",
    "/apis/batch/v1/jobs",
    "/apis/apiregistration.k8s.io/v1/apiservices",
];

/// Between two watches.
const PAUSE: Duration = Duration::from_millis(200);

/// One state of one object.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// When the line was read that holds it.
    pub(crate) at: Instant,
    pub(crate) object: Arc<Value>,
}

/// Is told of what is seen, and answers whether it wants to hear more.
type Listener = Box<dyn FnMut(Seen) -> bool + Send>;

/// The watches, which end when this is dropped.
pub(crate) struct Watch {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    over: AtomicBool,
    listeners: Mutex<Vec<Listener>>,
    kubectls: Mutex<Vec<Option<Child>>>,
}

impl Watch {
    pub(crate) fn start(bench: &Arc<Bench>) -> Self {
        let shared = Arc::new(Shared::default());
        shared.kubectls.lock().expect("no panic").resize_with(PATHS.len(), || None);
        for (place, path) in PATHS.iter().enumerate() {
            let (shared, bench) = (Arc::clone(&shared), Arc::clone(bench));
            thread::spawn(move || shared.follow(&bench, place, path));
        }
        Self { shared }
    }

    /// Tells a listener of everything that is seen from now on, until it says that it has heard enough.
    pub(crate) fn listen(&self, listener: impl FnMut(Seen) -> bool + Send + 'static) {
        self.shared.listeners.lock().expect("no panic").push(Box::new(listener));
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        for kubectl in self.shared.kubectls.lock().expect("no panic").iter_mut().flatten() {
            // It may have ended by itself.
            drop(kubectl.kill());
        }
    }
}

impl Shared {
    /// Watches one kind; begins again when the API server has gone away.
    fn follow(&self, bench: &Bench, place: usize, path: &str) {
        while !self.over.load(Ordering::SeqCst) {
            let url = format!("{path}?watch=1");
            let mut kubectl = bench.kubectl_command(["get", "--raw", &url]);
            let mut kubectl =
                kubectl.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("kubectl starts");
            let lines = BufReader::new(kubectl.stdout.take().expect("piped"));
            self.kubectls.lock().expect("no panic")[place] = Some(kubectl);
            for line in lines.lines().map_while(Result::ok) {
                self.tell(&line);
            }
            let ended = self.kubectls.lock().expect("no panic")[place].take();
            drop(ended.map(|mut kubectl| kubectl.wait()));
            // A server that is just coming back is not to be run down.
            thread::sleep(PAUSE);
        }
    }

    fn tell(&self, line: &str) {
        let at = Instant::now();
        let Ok(mut event) = serde_json::from_str::<Value>(line) else { return };
        if event["type"] == "DELETED" {
            return;
        }
        let seen = Seen { at, object: Arc::new(event["object"].take()) };
        self.listeners.lock().expect("no panic").retain_mut(|listener| listener(seen.clone()));
    }
}
