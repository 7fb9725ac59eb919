//! The runs that are shown: events as the engine sends them, at the times that it is told.

use std::io;
use std::sync::{Arc, Mutex};

use bootstrap::event::{Chain, Change, Event, Kind, ReleaseAction, Tally, VERSION};
use bootstrap::object::{self, ObjectRef};
use bootstrap::report::Printer;
use bootstrap::status::Status;

/// A run whose clock stands still until the script moves it.
#[derive(Default)]
pub(crate) struct Script {
    events: Vec<Event>,
    now_ms: u64,
}

impl Script {
    /// Moves the clock.
    pub(crate) fn at(mut self, now_ms: u64) -> Self {
        self.now_ms = now_ms;
        self
    }

    /// Lets something happen.
    pub(crate) fn then(mut self, kind: Kind) -> Self {
        let at = "2026-11-24T04:00:00Z".parse().expect("a constant time");
        self.events.push(Event { version: VERSION, at, elapsed_ms: self.now_ms, kind });
        self
    }

    /// What the clock says.
    pub(crate) fn now(&self) -> u64 {
        self.now_ms
    }

    pub(crate) fn events(self) -> Vec<Event> {
        self.events
    }
}

/// A first `up`.
pub(crate) fn fresh() -> Script {
    running()
        .at(4_300)
        .then(status("prometheus", &prometheus(), Status::Current, ""))
        .then(finished("prometheus", Tally { created: 2, unchanged: 1, ..Tally::default() }, 4_100))
        .at(4_800)
        .then(release("kube-state-metrics", Change::Created, Some(1)))
        .then(finished("kube-state-metrics", Tally { created: 1, ..Tally::default() }, 4_600))
        .at(4_900)
        .then(over(0, Tally { created: 4, unchanged: 1, ..Tally::default() }, 4_900, None))
}

/// A first `up` while two steps run.
pub(crate) fn running() -> Script {
    started("up")
        .then(Kind::StorageClassChosen {
            class: "local-path".to_owned(),
            why: "the cluster's default class".to_owned(),
        })
        .at(50)
        .then(step("namespace"))
        .at(80)
        .then(changed("namespace", &ObjectRef::new(&object::NAMESPACE, None, "monitoring"), Change::Created))
        .at(90)
        .then(finished("namespace", Tally { created: 1, ..Tally::default() }, 40))
        .at(200)
        .then(step("prometheus"))
        .then(step("kube-state-metrics"))
        .then(helm("kube-state-metrics", ReleaseAction::Install, "not installed"))
        .at(1_200)
        .then(changed("prometheus", &config(), Change::Unchanged))
        .then(changed("prometheus", &prometheus(), Change::Created))
        .then(changed("prometheus", &service(), Change::Created))
        .then(status("prometheus", &prometheus(), Status::InProgress, "0 of 1 replicas ready"))
}

/// A first `up` that pulls its images.
pub(crate) fn pulling() -> Script {
    running().at(1_500).then(pull(PROMETHEUS_IMAGE, None)).at(1_600).then(pull(RELOADER_IMAGE, None))
}

/// The same, to its end.
pub(crate) fn pulled() -> Script {
    let chain = Chain {
        steps: vec!["storage".to_owned(), "prometheus".to_owned()],
        took_ms: 41_150,
        pulls_ms: 21_400,
        starts_ms: 17_900,
    };
    pulling()
        .at(2_400)
        .then(pull(RELOADER_IMAGE, Some(800)))
        .at(22_900)
        .then(pull(PROMETHEUS_IMAGE, Some(21_400)))
        .at(30_000)
        .then(release("kube-state-metrics", Change::Created, Some(1)))
        .then(finished("kube-state-metrics", Tally { created: 1, ..Tally::default() }, 29_800))
        .at(41_200)
        .then(status("prometheus", &prometheus(), Status::Current, ""))
        .then(finished("prometheus", Tally { created: 2, unchanged: 1, ..Tally::default() }, 41_000))
        .then(Kind::RunFinished {
            exit_code: 0,
            error: None,
            causes: vec![],
            hint: None,
            tally: Tally { created: 4, unchanged: 1, ..Tally::default() },
            took_ms: 41_200,
            notes: vec!["Grafana: http://grafana.localhost:8080".to_owned()],
            longest: Some(chain),
        })
}

const PROMETHEUS_IMAGE: &str = "docker.io/prom/prometheus:v3.16.0";
const RELOADER_IMAGE: &str = "quay.io/prometheus-operator/prometheus-config-reloader:v0.80.0";

fn pull(image: &str, took_ms: Option<u64>) -> Kind {
    Kind::ImagePull { step: "prometheus".to_owned(), object: prometheus(), image: image.to_owned(), took_ms }
}

/// A second `up`.
pub(crate) fn again() -> Script {
    started("up")
        .then(Kind::StorageClassChosen {
            class: "local-path".to_owned(),
            why: "the claims have it".to_owned(),
        })
        .then(step("prometheus"))
        .at(60)
        .then(changed("prometheus", &config(), Change::Unchanged))
        .then(changed("prometheus", &prometheus(), Change::Unchanged))
        .then(finished("prometheus", Tally { unchanged: 2, ..Tally::default() }, 60))
        .then(step("kube-state-metrics"))
        .at(140)
        .then(release("kube-state-metrics", Change::Unchanged, Some(1)))
        .then(finished("kube-state-metrics", Tally { unchanged: 1, ..Tally::default() }, 80))
        .then(over(0, Tally { unchanged: 3, ..Tally::default() }, 140, None))
}

/// An `up` after someone has scaled one workload and deleted another.
pub(crate) fn drift() -> Script {
    started("up")
        .then(step("grafana"))
        .at(60)
        .then(Kind::DriftReverted {
            step: "grafana".to_owned(),
            object: grafana(),
            change: "spec.replicas 0 → 1".to_owned(),
            manager: "kubectl".to_owned(),
            age: Some("3 min ago".to_owned()),
        })
        .then(changed("grafana", &grafana(), Change::Configured))
        .then(step("kube-state-metrics"))
        .then(helm(
            "kube-state-metrics",
            ReleaseAction::Upgrade,
            "deployment.apps/kube-state-metrics was missing",
        ))
        .at(2_160)
        .then(finished("grafana", Tally { configured: 1, unchanged: 4, ..Tally::default() }, 2_100))
        .then(release("kube-state-metrics", Change::Configured, Some(2)))
        .then(finished("kube-state-metrics", Tally { configured: 1, ..Tally::default() }, 2_100))
        .then(over(0, Tally { configured: 2, unchanged: 4, ..Tally::default() }, 2_200, None))
}

/// An `up` that is interrupted.
pub(crate) fn interrupted() -> Script {
    running()
        .at(2_000)
        .then(Kind::Stopping { signal: "SIGINT" })
        .at(2_300)
        .then(Kind::StepsLeft {
            steps: vec!["prometheus".to_owned(), "kube-state-metrics".to_owned(), "grafana".to_owned()],
            why: "interrupted".to_owned(),
        })
        .then(over(
            130,
            Tally { created: 3, unchanged: 1, ..Tally::default() },
            2_300,
            Some("interrupted by SIGINT"),
        ))
}

/// An `up` that another run has taken the lease from.
pub(crate) fn ousted() -> Script {
    let tally = Tally { created: 3, unchanged: 1, ..Tally::default() };
    running().at(20_000).then(over(4, tally, 20_000, Some("another run has taken the lease of this stack")))
}

/// A `down` that keeps a claim.
pub(crate) fn down() -> Script {
    let removed =
        |object: ObjectRef| Kind::ObjectChanged { step: None, object, change: Change::Deleted, why: None };
    started("down")
        .at(100)
        .then(Kind::ReleaseStarted {
            step: None,
            release: "kube-state-metrics".to_owned(),
            action: ReleaseAction::Uninstall,
            why: "the inventory lists it".to_owned(),
        })
        .at(900)
        .then(Kind::ReleaseChanged {
            step: None,
            release: "kube-state-metrics".to_owned(),
            namespace: "monitoring".to_owned(),
            change: Change::Deleted,
            revision: None,
        })
        .at(1_500)
        .then(removed(prometheus()))
        .at(1_600)
        .then(Kind::ObjectChanged {
            step: None,
            object: ObjectRef::new(&object::CLAIM, Some("monitoring"), "storage-loki-0"),
            change: Change::Kept,
            why: Some("--purge-data deletes it".to_owned()),
        })
        .then(over(0, Tally { deleted: 2, kept: 1, ..Tally::default() }, 1_700, None))
}

/// An `up` that waits for a node, and warns.
pub(crate) fn warning() -> Script {
    started("up")
        .then(Kind::Waiting { what: "a node to be Ready".to_owned() })
        .at(3_000)
        .then(step("grafana"))
        .then(changed("grafana", &grafana(), Change::Created))
        .then(Kind::Warning {
            message: "ingress.networking.k8s.io/grafana-ingress has no address".to_owned(),
        })
        .at(5_000)
        .then(finished("grafana", Tally { created: 1, ..Tally::default() }, 2_000))
        .then(over(0, Tally { created: 1, ..Tally::default() }, 5_000, None))
}

pub(crate) fn started(command: &'static str) -> Script {
    Script::default().then(Kind::RunStarted {
        command,
        stack: "observability".to_owned(),
        cluster: "k3d-blog (k3d, v1.36.4, 3 nodes)".to_owned(),
        namespace: "monitoring".to_owned(),
        steps: ["namespace", "prometheus", "kube-state-metrics", "grafana"].map(str::to_owned).to_vec(),
    })
}

pub(crate) fn over(exit_code: u8, tally: Tally, took_ms: u64, error: Option<&str>) -> Kind {
    let notes = ["Grafana: http://grafana.localhost:8080", "password: bootstrap credentials --show"];
    Kind::RunFinished {
        exit_code,
        error: error.map(str::to_owned),
        causes: vec![],
        hint: error.map(|_| "bootstrap up --context k3d-blog".to_owned()),
        tally,
        took_ms,
        notes: if exit_code == 0 && tally.deleted == 0 { notes.map(str::to_owned).to_vec() } else { vec![] },
        longest: None,
    }
}

pub(crate) fn step(step: &str) -> Kind {
    Kind::StepStarted { step: step.to_owned() }
}

pub(crate) fn finished(step: &str, tally: Tally, took_ms: u64) -> Kind {
    Kind::StepFinished { step: step.to_owned(), tally, took_ms }
}

pub(crate) fn changed(step: &str, object: &ObjectRef, change: Change) -> Kind {
    Kind::ObjectChanged { step: Some(step.to_owned()), object: object.clone(), change, why: None }
}

pub(crate) fn status(step: &str, object: &ObjectRef, status: Status, message: &str) -> Kind {
    Kind::ObjectStatus {
        step: step.to_owned(),
        object: object.clone(),
        status,
        message: message.to_owned(),
        trouble: false,
    }
}

pub(crate) fn helm(release: &str, action: ReleaseAction, why: &str) -> Kind {
    Kind::ReleaseStarted {
        step: Some(release.to_owned()),
        release: release.to_owned(),
        action,
        why: why.to_owned(),
    }
}

fn release(release: &str, change: Change, revision: Option<u32>) -> Kind {
    Kind::ReleaseChanged {
        step: Some(release.to_owned()),
        release: release.to_owned(),
        namespace: "monitoring".to_owned(),
        change,
        revision,
    }
}

pub(crate) fn prometheus() -> ObjectRef {
    ObjectRef::new(&object::STATEFUL_SET, Some("monitoring"), "prometheus")
}

pub(crate) fn service() -> ObjectRef {
    ObjectRef::new(&object::SERVICE, Some("monitoring"), "prometheus")
}

fn config() -> ObjectRef {
    ObjectRef::new(&object::CONFIG_MAP, Some("monitoring"), "prometheus-config")
}

pub(crate) fn grafana() -> ObjectRef {
    ObjectRef::new(&object::DEPLOYMENT, Some("monitoring"), "grafana")
}

/// What was written to a stream.
#[derive(Clone, Default)]
pub(crate) struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no writer panics").clone()).expect("text is UTF-8")
    }
}

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no writer panics").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A printer, and what it writes to stdout and stderr.
pub(crate) fn printer() -> (Printer, Written, Written) {
    let (stdout, stderr) = (Written::default(), Written::default());
    (Printer::to(stdout.clone(), stderr.clone()), stdout, stderr)
}
