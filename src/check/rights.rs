//! Whether whoever asks has the rights that `rights.rs` lists, and may make the roles that the stack brings.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;

use super::roles;
use super::survey::Survey;
use crate::cluster::{Act, Cluster, RequestError};
use crate::error::{Error, Exit};
use crate::finding::Finding;
use crate::rights::{Need, Resource, Rights, Verb};

pub(super) const CATEGORY: &str = "rights";
/// Stands for all of them where none can be asked for.
pub(super) const ALL: &str = "all";

/// Asks for every right, and tries every role.
pub(super) async fn look(cluster: &Cluster, survey: &Survey<'_>) -> Vec<Finding> {
    let (rights, objects) = (survey.rights(), survey.objects());
    let (mut found, tried) = tokio::join!(ask(cluster, &rights), roles::attempt(cluster, &objects));
    found.extend(survey.untold().map(|release| {
        let why = "what helm needs for it is not known without its chart";
        Finding::skipped(CATEGORY, release.to_string(), why)
    }));
    found.extend(rights.unknown().map(|kind| {
        Finding::skipped(
            CATEGORY,
            kind.to_owned(),
            "no server serves this kind yet, and no definition tells of it",
        )
    }));
    found.extend(tried);
    found
}

/// Asks for all rights side by side; one finding for each resource and namespace.
async fn ask(cluster: &Cluster, rights: &Rights) -> Vec<Finding> {
    let asked = rights.iter().map(|(resource, verbs)| async move {
        let act = |verb: Verb| Act {
            verb: verb.name(),
            group: &resource.group,
            resource: &resource.name,
            namespace: resource.namespace.as_deref(),
        };
        let answers = join_all(verbs.keys().map(|verb| cluster.allows(act(*verb)))).await;
        let answers: Result<Vec<_>, RequestError> = answers.into_iter().collect();
        match answers {
            Ok(allowed) => judge(resource, verbs, &allowed),
            Err(error) => {
                let error = error.into_preflight();
                Finding::failed(CATEGORY, resource.to_string(), &error)
            }
        }
    });
    join_all(asked).await
}

/// What the answers for a resource, one for each verb, come to.
fn judge(resource: &Resource, verbs: &BTreeMap<Verb, Need>, allowed: &[bool]) -> Finding {
    let id = resource.to_string();
    let lacking: Vec<_> =
        verbs.iter().zip(allowed).filter(|(_, allowed)| !**allowed).map(|(wanted, _)| wanted).collect();
    let named = |wanted: &dyn Fn(Need) -> bool| {
        let verbs = lacking.iter().filter(|(_, need)| wanted(**need)).map(|(verb, _)| verb.name());
        verbs.collect::<Vec<_>>().join(", ")
    };
    let commands = [(Need::Up, "up"), (Need::Down, "down"), (Need::Verify, "verify")];
    let needed = commands.map(|(need, command)| (named(&|other| other == need), command));
    let needed: Vec<_> = needed.iter().filter(|(verbs, _)| !verbs.is_empty()).collect();
    if let Some((verbs, _)) = needed.first() {
        let parts: Vec<_> =
            needed.iter().map(|(verbs, command)| format!("{verbs}, which {command} needs")).collect();
        let error = Error::new(Exit::Preflight, format!("no right to {}", parts.join("; nor to ")));
        let first = verbs.split(", ").next().unwrap_or_default();
        return Finding::failed(CATEGORY, id, &error.hint(hint(first, resource)));
    }
    let wishes: BTreeSet<_> = lacking
        .iter()
        .filter_map(|(_, need)| match need {
            Need::Wish(without) => Some(*without),
            _ => None,
        })
        .collect();
    if wishes.is_empty() {
        let verbs: Vec<_> = verbs.keys().map(|verb| verb.name()).collect();
        return Finding::passed(CATEGORY, id, verbs.join(", "));
    }
    let without = wishes.into_iter().collect::<Vec<_>>().join("; ");
    Finding::skipped(CATEGORY, id, format!("no right to {}: {without}", named(&|_| true)))
}

fn hint(verb: &str, resource: &Resource) -> String {
    let (name, part) = resource.name.split_once('/').unwrap_or((&resource.name, ""));
    let whole = Resource { name: name.to_owned(), ..resource.clone() };
    let part = if part.is_empty() { String::new() } else { format!(" --subresource={part}") };
    format!(
        "have a role bound to you that grants it, the README has the least one; then try: kubectl auth can-i {verb} {whole}{part}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object;

    fn judged(lacking: &[Verb]) -> String {
        let resource = Resource::of(&object::DEPLOYMENT, Some("n"));
        let verbs = [
            (Verb::Get, Need::Up),
            (Verb::Watch, Need::Wish("it cannot tell why")),
            (Verb::Create, Need::Up),
            (Verb::Delete, Need::Down),
        ];
        let verbs = BTreeMap::from(verbs);
        let allowed: Vec<_> = verbs.keys().map(|verb| !lacking.contains(verb)).collect();
        let found = judge(&resource, &verbs, &allowed);
        assert_eq!(found.id, "deployments.apps -n n");
        format!("{:?}: {}", found.outcome, found.message)
    }

    #[test]
    fn the_verbs_that_are_lacking_are_named_with_who_needs_them() {
        assert_eq!(judged(&[]), "Passed: get, watch, create, delete");
        assert_eq!(
            judged(&[Verb::Get, Verb::Create, Verb::Delete]),
            "Failed: no right to get, create, which up needs; nor to delete, which down needs"
        );
        assert_eq!(judged(&[Verb::Watch]), "Skipped: no right to watch: it cannot tell why");
        assert_eq!(judged(&[Verb::Watch, Verb::Delete]), "Failed: no right to delete, which down needs");
    }

    #[test]
    fn a_hint_can_be_typed() {
        let log = Resource::of(&object::POD, Some("n")).part("log");
        assert!(hint("get", &log).ends_with("kubectl auth can-i get pods -n n --subresource=log"));
    }
}
