//! The least role of the README: with just that all commands do their work, and they ask the server for nothing that `check`
//! does not tell of.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use jiff::Timestamp;
use serde_json::Value;

use crate::World;
use crate::requests::{audited, moment};
use crate::support::least;

const USER: &str = "least";

/// Verbs by resource, as `check` names it.
type Rights = BTreeMap<String, BTreeSet<String>>;

pub(crate) fn least_role_is_enough(world: &World) {
    world.clean();
    let told = told(&world.bench.succeed(&["check", "-o", "json"]).stdout);
    least::bind(&world.bench, &[(USER.to_owned(), least::role())]);
    let user = world.bench_of(USER);
    user.succeed(&["check"]);

    let began = Timestamp::now();
    user.succeed(&["up", "--timeout", "3m"]);
    world.await_apis();
    let again = user.succeed(&["up"]);
    assert_eq!(again.stderr.trim().lines().count(), 1, "{}", again.stderr);
    world.bench.kubectl(["scale", "-n", "monitoring", "deploy/prometheus-adapter", "--replicas=0"]);
    user.succeed(&["up"]);
    user.succeed(&["plan", "--exit-code"]);
    user.succeed(&["status"]);
    let verified = user.succeed(&["verify"]).stdout;
    assert!(!verified.contains("no right to"), "{verified}");
    user.succeed(&["credentials", "--rotate"]);
    user.succeed(&["check"]);
    let leaving = Timestamp::now();
    let left = user.succeed(&["down", "--purge-data"]);
    let kept = "namespace/monitoring kept (there is no right to see whether something else is in it";
    assert!(left.stderr.contains(kept), "{}", left.stderr);

    let working = asked(world, began..leaving);
    let made = |verb: &str, resource: &str| working.get(resource).is_some_and(|verbs| verbs.contains(verb));
    assert!(made("patch", "statefulsets.apps -n monitoring") && made("update", "secrets -n monitoring"));
    assert_eq!(untold(&working, &told, false), Vec::<String>::new());
    // What else is in a namespace that goes is asked of every kind.
    assert_eq!(untold(&asked(world, leaving..Timestamp::now()), &told, true), Vec::<String>::new());
    world.bench.succeed(&["down"]);
    world.bench.kubectl(["delete", "clusterrole,clusterrolebinding", USER]);
}

/// What was asked for and not told of.
fn untold(asked: &Rights, told: &Rights, looks_around: bool) -> Vec<String> {
    let has = |resource: &str, verb: &str| told.get(resource).is_some_and(|verbs| verbs.contains(verb));
    let tells = |resource: &str, verb: &str| match resource.split_once(" -n ") {
        // A right everywhere is one in each namespace.
        Some((name, namespace)) => {
            has(resource, verb) || has(name, verb) || looks_around && has(&format!("* -n {namespace}"), verb)
        }
        None => has(resource, verb),
    };
    let all = asked.iter().flat_map(|(resource, verbs)| verbs.iter().map(move |verb| (resource, verb)));
    all.filter(|(resource, verb)| !tells(resource, verb))
        .map(|(resource, verb)| format!("{verb} {resource}"))
        .collect()
}

/// What `check` tells of somebody who has all rights.
fn told(findings: &str) -> Rights {
    let found: Vec<Value> = serde_json::from_str(findings).expect("JSON");
    let rights = found.iter().filter(|finding| finding["category"] == "rights");
    rights
        .map(|finding| {
            assert_eq!(finding["outcome"], "passed", "{finding}");
            let verbs = text(&finding["message"]).split(", ").map(str::to_owned).collect();
            (text(&finding["id"]).to_owned(), verbs)
        })
        .collect()
}

/// What the user, or a helm that was started for the user, has asked the server for.
fn asked(world: &World, when: Range<Timestamp>) -> Rights {
    let mut asked = Rights::new();
    let entries = audited(world, when.start, &format!(r#""username":"{USER}""#)).into_iter();
    for entry in entries.filter(|entry| moment(&entry["requestReceivedTimestamp"]) < when.end) {
        let object = &entry["objectRef"];
        let [resource, part, group, namespace] =
            ["resource", "subresource", "apiGroup", "namespace"].map(|field| text(&object[field]));
        // Which kinds there are anybody may ask, and which rights one has.
        if resource.is_empty() || resource == "selfsubjectaccessreviews" {
            continue;
        }
        let mut name = resource.to_owned();
        for (mark, more) in [("/", part), (".", group)] {
            if !more.is_empty() {
                name = name + mark + more;
            }
        }
        // A namespace is in none, whatever the log says.
        if !namespace.is_empty() && resource != "namespaces" {
            name = format!("{name} -n {namespace}");
        }
        asked.entry(name).or_default().insert(text(&entry["verb"]).to_owned());
    }
    asked
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
