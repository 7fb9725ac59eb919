//! When helm is run for a release, and what for: every case of the table in `helm/decision.rs`.

use bootstrap::apply::Leave;
use bootstrap::event::Change;
use bootstrap::helm::{Decision, Record, Refusal, Release, Repair, Seen, Status, Work, decide};
use bootstrap::inventory::ReleaseEntry;
use bootstrap::live::Live;
use bootstrap::object::Object;
use jiff::Timestamp;
use serde_json::{Value, json};

/// A release as it should be; each test changes what it is about.
struct Case {
    remembered: Option<ReleaseEntry>,
    record: Option<Record>,
    live: Vec<Object>,
    autoscalers: Vec<Object>,
    leave: Leave,
}

impl Case {
    fn settled() -> Self {
        Self {
            remembered: Some(entry(Some("digest"), Some(3))),
            record: Some(record(3, Status::Deployed, Some(3))),
            live: vec![deployment(1, &[]), service()],
            autoscalers: Vec::new(),
            leave: Leave::default(),
        }
    }

    fn decide(&self) -> Decision {
        decide(&Seen {
            release: &release(),
            chart: "kube-state-metrics",
            digest: "digest",
            remembered: self.remembered.as_ref(),
            record: self.record.as_ref(),
            live: &self.live.iter().chain(&self.autoscalers).cloned().collect::<Live>(),
            now: "2026-11-24T05:00:00Z".parse::<Timestamp>().expect("a time"),
            leave: self.leave,
        })
    }

    fn work(&self) -> Work {
        match self.decide() {
            Decision::Run(work) => work,
            other => panic!("helm has something to do: {other:?}"),
        }
    }

    fn refusal(&self) -> Refusal {
        match self.decide() {
            Decision::Refuse(refusal) => refusal,
            other => panic!("it is not refused: {other:?}"),
        }
    }
}

fn release() -> Release {
    Release { name: "ksm".to_owned(), namespace: "monitoring".to_owned() }
}

fn entry(digest: Option<&str>, revision: Option<u32>) -> ReleaseEntry {
    let Release { name, namespace } = release();
    let step = name.clone();
    ReleaseEntry { name, namespace, step, is_storage: false, digest: digest.map(str::to_owned), revision }
}

fn record(revision: u32, status: Status, deployed: Option<u32>) -> Record {
    let mut dashboards = object("v1", "ConfigMap", "kept", &Value::Null);
    dashboards.metadata.annotations =
        Some([("helm.sh/resource-policy".to_owned(), "keep".to_owned())].into());
    Record {
        release: release(),
        revision,
        status,
        deployed,
        chart: "kube-state-metrics".to_owned(),
        version: "8.4.0".to_owned(),
        manifest: vec![deployment(1, &[]), service(), dashboards],
    }
}

fn object(api_version: &str, kind: &str, name: &str, spec: &Value) -> Object {
    let metadata = json!({"name": name, "namespace": "monitoring"});
    let object = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec});
    serde_json::from_value(object).expect("an object")
}

fn service() -> Object {
    object("v1", "Service", "ksm", &json!({}))
}

/// A Deployment whose replicas have these owners, each manager, operation and subresource.
fn deployment(replicas: u32, owners: &[(&str, &str, &str)]) -> Object {
    let mut deployment = object("apps/v1", "Deployment", "ksm", &json!({"replicas": replicas}));
    let entries = owners.iter().map(|(manager, operation, subresource)| {
        json!({
            "manager": manager, "operation": operation, "subresource": subresource, "apiVersion": "apps/v1",
            "time": "2026-11-24T04:57:00Z", "fieldsV1": {"f:spec": {"f:replicas": {}}},
        })
    });
    let entries: Vec<Value> = entries.collect();
    deployment.metadata.managed_fields = Some(serde_json::from_value(entries.into()).expect("entries"));
    deployment
}

fn autoscaler(target: &str) -> Object {
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": target});
    object("autoscaling/v2", "HorizontalPodAutoscaler", "hpa", &json!({ "scaleTargetRef": target }))
}

#[test]
fn a_settled_release_needs_no_helm() {
    assert_eq!(Case::settled().decide(), Decision::Nothing);
}

#[test]
fn what_is_not_installed_is_installed() {
    for remembered in [None, Some(entry(None, None)), Some(entry(Some("digest"), Some(3)))] {
        let work = Case { remembered, record: None, ..Case::settled() }.work();
        assert_eq!((work.why.as_str(), work.repair, work.change), ("not installed", None, Change::Created));
    }
}

#[test]
fn a_release_that_the_inventory_does_not_know_is_left_alone() {
    let case = Case { remembered: None, ..Case::settled() };
    let message = "release ksm -n monitoring (chart kube-state-metrics 8.4.0) was not made by this program";
    assert_eq!(case.refusal(), Refusal::Foreign(message.to_owned()));
    let broken = Some(record(1, Status::PendingInstall, None));
    let case = Case { remembered: None, record: broken, ..Case::settled() };
    assert_eq!(case.refusal(), Refusal::Foreign(message.to_owned()));
}

#[test]
fn a_revision_below_ours_is_somebody_else_s() {
    let theirs = record(1, Status::Deployed, Some(1));
    let case = Case { record: Some(theirs), ..Case::settled() };
    assert!(
        matches!(case.refusal(), Refusal::Foreign(said) if said.ends_with("was not made by this program"))
    );
}

#[test]
fn a_release_of_somebody_else_is_adopted_if_it_is_the_same_chart_and_whole() {
    let leave = Leave { adopt: true, ..Leave::default() };
    let with = |record| Case { remembered: None, record: Some(record), leave, ..Case::settled() };
    let work = with(record(7, Status::Deployed, Some(7))).work();
    assert_eq!((work.why.as_str(), work.force), ("adopted: it was not made by this program", true));
    assert_eq!((work.repair, work.change), (None, Change::Configured));

    let mut other = record(7, Status::Deployed, Some(7));
    other.chart = "metrics".to_owned();
    for (record, why) in [
        (other, "and kube-state-metrics is another chart"),
        (record(1, Status::PendingInstall, None), "and is pending-install"),
        (record(1, Status::Failed, None), "and is failed"),
    ] {
        let Refusal::Unusable(said) = with(record).refusal() else { panic!("it cannot be taken over") };
        assert!(said.ends_with(why), "{said}");
    }
}

#[test]
fn a_release_whose_name_was_written_before_a_kill_is_ours() {
    let work = Case { remembered: Some(entry(None, None)), ..Case::settled() }.work();
    assert_eq!(work.why, "an earlier run did not finish it");
    assert_eq!((work.repair, work.change), (None, Change::Configured));
}

#[test]
fn what_a_killed_helm_left_is_repaired_first() {
    for (status, deployed, why, repair) in [
        (Status::PendingInstall, None, "revision 4 was left pending-install", Some(Repair::Uninstall)),
        (Status::PendingUpgrade, Some(3), "revision 4 was left pending-upgrade", Some(Repair::Rollback(3))),
        (Status::PendingRollback, Some(2), "revision 4 was left pending-rollback", Some(Repair::Rollback(2))),
        (Status::Failed, None, "it was never installed whole", Some(Repair::Uninstall)),
        (Status::Failed, Some(3), "revision 4 is failed", None),
        (Status::Uninstalling, Some(3), "revision 4 was left uninstalling", Some(Repair::Uninstall)),
        (Status::Uninstalled, None, "it was uninstalled", Some(Repair::Uninstall)),
    ] {
        let work = Case { record: Some(record(4, status, deployed)), ..Case::settled() }.work();
        let change = if repair == Some(Repair::Uninstall) { Change::Created } else { Change::Configured };
        assert_eq!((work.why.as_str(), work.repair, work.change), (why, repair, change), "{status}");
    }
}

#[test]
fn a_repair_that_would_delete_data_is_refused() {
    let claim = |annotations: Value| {
        let mut claim = object("v1", "PersistentVolumeClaim", "files", &json!({}));
        claim.metadata.annotations = serde_json::from_value(annotations).expect("annotations");
        claim
    };
    let case = |claim: Object, live: Vec<Object>| {
        let mut record = record(4, Status::PendingInstall, None);
        record.manifest.push(claim);
        Case { record: Some(record), live, ..Case::settled() }
    };
    let there = || vec![claim(json!({}))];
    let refusal = case(claim(json!({})), there()).refusal();
    let said = "persistentvolumeclaim/files -n monitoring would go with release ksm -n monitoring: revision 4 was left pending-install";
    assert_eq!(refusal, Refusal::Data(said.to_owned()));
    assert!(refusal.hint(&release()).contains("kubectl delete secrets -n monitoring -l owner=helm,name=ksm"));
    for case in
        [case(claim(json!({})), Vec::new()), case(claim(json!({"helm.sh/resource-policy": "keep"})), there())]
    {
        assert_eq!(case.work().repair, Some(Repair::Uninstall));
    }

    let mut set = object(
        "apps/v1",
        "StatefulSet",
        "db",
        &json!({"volumeClaimTemplates": [{"metadata": {"name": "d"}}]}),
    );
    assert_eq!(case(set.clone(), vec![set.clone()]).work().repair, Some(Repair::Uninstall));
    set.data["spec"]["persistentVolumeClaimRetentionPolicy"] = json!({"whenDeleted": "Delete"});
    let Refusal::Data(said) = case(set.clone(), vec![set]).refusal() else { panic!("not for its data") };
    assert!(said.starts_with("the data of statefulset.apps/db -n monitoring would go with"), "{said}");
}

#[test]
fn another_chart_or_someone_else_s_revision_is_upgraded() {
    let other = Case { remembered: Some(entry(Some("other"), Some(3))), ..Case::settled() };
    assert_eq!(other.work().why, "chart or values changed");
    let later = Case { record: Some(record(5, Status::Deployed, Some(5))), ..Case::settled() };
    assert_eq!(later.work().why, "someone else made revision 5, after our 3");
}

#[test]
fn a_missing_object_is_named_but_a_kept_one_is_not_missed() {
    let work = Case { live: vec![service()], ..Case::settled() }.work();
    assert_eq!(work.why, "deployment.apps/ksm -n monitoring was missing");
    assert!(work.drift.is_empty());
}

#[test]
fn what_a_person_scaled_is_taken_back_and_said() {
    let live = vec![deployment(2, &[("kubectl", "Update", "scale")]), service()];
    let work = Case { live, ..Case::settled() }.work();
    assert_eq!(work.why, "deployment.apps/ksm -n monitoring was scaled");
    let [drift] = work.drift.as_slice() else { panic!("one drift: {:?}", work.drift) };
    assert_eq!(drift.change, "spec.replicas 2 → 1");
    assert_eq!((drift.manager.as_deref(), drift.age.as_deref()), (Some("kubectl"), Some("3 min ago")));
}

#[test]
fn a_scale_to_zero_is_taken_back_though_nobody_is_named() {
    let work = Case { live: vec![deployment(0, &[]), service()], ..Case::settled() }.work();
    assert_eq!(work.drift[0].change, "spec.replicas 0 → 1");
    assert_eq!((&work.drift[0].manager, &work.drift[0].age), (&None, &None));
}

#[test]
fn what_another_program_scaled_is_a_conflict() {
    for owner in [("keda-operator", "Update", "scale"), ("kubectl", "Apply", "")] {
        let case = Case { live: vec![deployment(2, &[owner]), service()], ..Case::settled() };
        let message = "deployment.apps/ksm -n monitoring of release ksm -n monitoring has spec.replicas 2, not 1, owned by ";
        assert_eq!(case.refusal(), Refusal::Conflict(format!("{message}{} (3 min ago)", owner.0)));
        let leave = Leave { force_conflicts: true, ..Leave::default() };
        let work = Case { leave, ..case }.work();
        assert!(work.force && work.why.starts_with("taken: "), "{work:?}");
    }
}

#[test]
fn an_autoscaled_workload_is_left_at_its_scale() {
    let live = vec![deployment(5, &[("kube-controller-manager", "Update", "scale")]), service()];
    let case = Case { live, autoscalers: vec![autoscaler("ksm")], ..Case::settled() };
    assert_eq!(case.decide(), Decision::Nothing);
    let case = Case { autoscalers: vec![autoscaler("other")], ..case };
    assert!(
        matches!(case.refusal(), Refusal::Conflict(said) if said.contains("owned by kube-controller-manager"))
    );
}
