//! What is done when the server says something else than what was read before.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, from_value, json};
use tokio::join;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Action, Leave, Means, Refusal, carry_out, judge, mark};
use crate::cluster::server::Server;
use crate::event::{Change, Events};
use crate::inventory::{Inventory, PART_OF};
use crate::live::Live;
use crate::manifest::Manifest;
use crate::object::{Object, ObjectRef};
use crate::wait::Waiter;

fn manifest(inventory: &Inventory) -> Manifest {
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n"}, "data": {"key": "ours"},
    });
    let mut object: Object = from_value(object).expect("an object");
    mark(&mut object, inventory);
    let name = ObjectRef::of(&object).expect("it has a name");
    Manifest { name, object, file: "c.yaml".to_owned(), line: Some(1) }
}

/// The object of the manifest in the cluster, with this value.
fn found(inventory: &Inventory, value: &str) -> Value {
    let (id, label) = (inventory.id(), format!("f:{PART_OF}"));
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": "c", "namespace": "n", "uid": "1", "resourceVersion": "7", "labels": {PART_OF: id},
            "managedFields": [{
                "manager": "bootstrap", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
                "fieldsV1": {"f:data": {"f:key": {}}, "f:metadata": {"f:labels": {label: {}}}},
            }],
        },
        "data": {"key": value},
    })
}

#[tokio::test]
async fn a_conflict_with_an_owner_that_is_not_known_is_refused_in_the_servers_words() {
    let (cluster, mut server) = Server::start();
    let inventory = Inventory::new("blog", "n");
    let manifest = manifest(&inventory);
    let before: Live = [from_value(found(&inventory, "theirs")).expect("an object")].into_iter().collect();
    let conflict = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 409, "reason": "Conflict", "message": "",
        "details": {"causes": [
            {"reason": "FieldManagerConflict", "field": ".data.key", "message": "conflict with \"argocd\" using v1"},
        ]},
    });
    let judging = judge(&cluster, &manifest, &inventory, &before, Leave::default());
    let (judged, ()) = join!(judging, async {
        server.next().await.answer(StatusCode::CONFLICT, &conflict);
    });
    let theirs = "data.key: conflict with \"argocd\" using v1".to_owned();
    assert_eq!(judged.expect("judged").action, Action::Refuse(Refusal::Conflict(vec![theirs])));
}

#[tokio::test]
async fn what_was_made_by_a_request_that_was_not_answered_is_created() {
    let (cluster, mut server) = Server::start();
    let (events, _) = Events::channel();
    let inventory = Inventory::new("blog", "n");
    let manifest = manifest(&inventory);
    let cancel = CancellationToken::new();
    let means = Means {
        cluster: &cluster,
        inventory: &inventory,
        waiter: &Waiter::new(cluster.clone(), events, Arc::default()),
        leave: Leave::default(),
        deadline: Instant::now() + Duration::from_mins(1),
        cancel: &cancel,
    };
    let before = Live::default();
    let judged = judge(&cluster, &manifest, &inventory, &before, means.leave).await.expect("judged");
    assert_eq!(judged.action, Action::Create);
    let (applied, ()) = join!(carry_out(&means, &manifest, &judged, &before), async {
        server.next().await.refuse(StatusCode::CONFLICT, "Conflict", "the object has been modified");
        let asked = server.next().await;
        assert_eq!(asked.method(), Method::GET);
        asked.answer(StatusCode::OK, &found(&inventory, "ours"));
    });
    assert_eq!(applied.expect("applied").change, Change::Created);
    assert!(!server.is_asked(), "nothing is left to do");
}
