//! What the cluster says in sentences only, and what that means. Each sentence in the tests was recorded.

use crate::object::{self, Kind};

/// An image that cannot be pulled now, but may be later.
const PULLS_LATER: &[&str] = &[
    "429 Too Many Requests",
    "toomanyrequests",
    "pull QPS exceeded",
    "timeout",
    "deadline exceeded",
    "tls: ",
    "x509: ",
    "connection refused",
    "connection reset",
    "no route to host",
    "network is unreachable",
    "no such host",
    "server misbehaving",
    "unexpected EOF",
    "500 Internal Server Error",
    "502 Bad Gateway",
    "503 Service Unavailable",
    "504 Gateway Time",
];

/// An image that cannot be pulled at all.
const PULLS_NEVER: &[&str] = &[
    "not found",
    "manifest unknown",
    "name unknown",
    "unauthorized",
    "401 Unauthorized",
    "403 Forbidden",
    "denied",
    "authorization failed",
    "no match for platform",
    "no matching manifest",
    "invalid reference format",
    "couldn't parse image",
];

/// A program that cannot be started.
const STARTS_NEVER: &[&str] =
    &["executable file not found", "no such file or directory", "permission denied", "exec format error"];

/// A pod that is not let in: by a webhook, by Pod Security, by a limit range, by validation.
const MADE_NEVER: &[&str] = &[
    "denied the request",
    "violates PodSecurity",
    " usage per ",
    " is invalid: ",
    "no PriorityClass with name",
];

/// Tells whether what was said of a pull says that the image can never be had. The image's own name says nothing, nor does an
/// address that it is a part of.
pub(super) fn pull_is_hopeless(message: &str, image: &str) -> bool {
    let said = without_addresses(&message.replace(image, ""));
    let says = |words: &[&str]| words.iter().any(|words| said.contains(words));
    !says(PULLS_LATER) && says(PULLS_NEVER)
}

/// A text without the addresses in it, but for their `https`.
fn without_addresses(text: &str) -> String {
    let mut parts = text.split("://");
    let first = parts.next().unwrap_or_default().to_owned();
    let end = |part: &str| part.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(part.len());
    parts.fold(first, |text, part| text + &part[end(part)..])
}

/// What was said of a pull, without the image's name again and again, and with it once.
pub(super) fn pull(message: &str, image: &str) -> String {
    let of_image = [
        format!("Back-off pulling image \"{image}\": ErrImagePull: "),
        format!("Failed to pull image \"{image}\": "),
        format!("failed to pull and unpack image \"{image}\": "),
        format!("failed to resolve reference \"{image}\": "),
        format!("{image}: "),
    ];
    let mut said = message;
    loop {
        let shorter = of_image.iter().find_map(|words| said.strip_prefix(words.as_str()));
        // Such as `rpc error: code = NotFound desc = …`.
        let coded =
            || said.strip_prefix("rpc error: code = ").and_then(|rest| Some(rest.split_once(" desc = ")?.1));
        match shorter.or_else(coded) {
            Some(shorter) => said = shorter,
            None if said.contains(image) => return said.to_owned(),
            None => return format!("{image}: {said}"),
        }
    }
}

/// Tells whether a program cannot be started, whatever is tried.
pub(super) fn start_is_hopeless(message: &str) -> bool {
    message.contains("exec") && STARTS_NEVER.iter().any(|words| message.contains(words))
}

/// What is not there, or has not the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Missing<'a> {
    pub(super) kind: &'static Kind,
    /// `None` where only the volume that should hold it is named.
    pub(super) name: Option<&'a str>,
    pub(super) key: Option<&'a str>,
}

/// What a kubelet says that it lacks for a container or a volume.
pub(super) fn missing(message: &str) -> Option<Missing<'_>> {
    for (kind, small, large) in
        [(&object::CONFIG_MAP, "configmap", "ConfigMap"), (&object::SECRET, "secret", "Secret")]
    {
        if let Some(name) = between(message, &format!("{small} \""), "\" not found") {
            return Some(Missing { kind, name: Some(name), key: None });
        }
        if let Some(key) = between(message, "couldn't find key ", &format!(" in {large} ")) {
            let name =
                message.rsplit(&format!(" in {large} ")).next().and_then(|path| path.split('/').nth(1));
            return Some(Missing { kind, name, key: Some(key) });
        }
        let noun = if small == "secret" { "secret" } else { "config" };
        if let Some((_, key)) = message.split_once(&format!("references non-existent {noun} key: ")) {
            return Some(Missing { kind, name: None, key: Some(key.trim()) });
        }
    }
    None
}

/// The volume that could not be mounted.
pub(super) fn volume(message: &str) -> Option<&str> {
    between(message, "for volume \"", "\"")
}

/// Why a pod could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It will never be let in.
    Final,
    /// There is no room for it while others have it.
    Quota,
    /// It may be let in later.
    Passing,
}

/// Why a pod could not be made, without its name, which is another at each try.
pub(super) fn creation(message: &str) -> &str {
    let message = message.strip_prefix("(combined from similar events): ").unwrap_or(message);
    let message = message.strip_prefix("Error creating: ").unwrap_or(message);
    message.split_once(" is forbidden: ").map_or(message, |(_, why)| why)
}

/// Whether a pod that could not be made may be made yet, by what is said of it.
pub(super) fn refusal(message: &str) -> Refusal {
    if message.contains("failed calling webhook") {
        Refusal::Passing
    } else if message.contains("exceeded quota") {
        Refusal::Quota
    } else if MADE_NEVER.iter().any(|words| message.contains(words)) {
        Refusal::Final
    } else {
        Refusal::Passing
    }
}

/// The storage class that is said not to be there.
pub(super) fn missing_class(message: &str) -> Option<&str> {
    between(message, "storageclass.storage.k8s.io \"", "\" not found")
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split_once(after)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_can_never_be_had_is_told_from_one_that_may_come() {
        let image = "registry.internal/x/app:1";
        for never in [
            "rpc error: code = NotFound desc = failed to pull and unpack image \"registry.internal/x/app:1\": failed to resolve reference \"registry.internal/x/app:1\": registry.internal/x/app:1: not found",
            "failed to pull and unpack image \"registry.internal/x/app:1\": failed to resolve reference \"registry.internal/x/app:1\": pulling from host 10.99.1.1:38899 failed with status code [manifests 1]: 401 Unauthorized",
            "failed to pull and unpack image \"registry.internal/x/app:1\": failed to resolve reference \"registry.internal/x/app:1\": pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed",
            "rpc error: code = NotFound desc = failed to pull and unpack image \"registry.internal/x/app:1\": no match for platform in manifest: not found",
        ] {
            assert!(pull_is_hopeless(never, image), "{never}");
        }
        for later in [
            "failed to pull and unpack image \"registry.internal/x/app:1\": failed to resolve reference \"registry.internal/x/app:1\": pulling from host 10.99.1.1:38899 failed with status code [manifests 1]: 429 Too Many Requests",
            "failed to pull and unpack image \"registry.internal/x/app:1\": failed to resolve reference \"registry.internal/x/app:1\": pulling from host 10.99.1.1:38899 failed with status code [manifests 1]: 500 Internal Server Error",
            "failed to do request: Head \"https://registry.internal/v2/x/app/manifests/1\": dial tcp: lookup registry.internal on 10.255.255.53:53: read udp 10.99.1.2:35573->10.255.255.53:53: i/o timeout",
        ] {
            assert!(!pull_is_hopeless(later, image), "{later}");
        }
        // Nor does what stands in its address.
        let operator = "registry.internal/api/operator:timeout";
        let refused = "failed to authorize: failed to fetch oauth token: unexpected status from GET request to https://registry.internal/token?scope=repository%3Aapi%2Foperator%3Apull&service=timeout: 401 Unauthorized";
        assert!(pull_is_hopeless(refused, operator));
        let refused = "unexpected status from HEAD request to https://registry.internal/v2/api/operator/manifests/timeout: 401 Unauthorized";
        assert!(pull_is_hopeless(refused, operator));
        let silent = "failed to do request: Head \"https://registry.internal/v2/denied/manifests/1\": dial tcp 10.0.0.1:443: i/o timeout";
        assert!(!pull_is_hopeless(silent, "registry.internal/denied:1"));
        // What an image is called says nothing.
        let named = "example.com/unauthorized/not-found:denied";
        assert!(!pull_is_hopeless(&format!("Back-off pulling image \"{named}\""), named));
    }

    #[test]
    fn a_failed_pull_names_its_image_once() {
        let message = "Back-off pulling image \"registry.internal/x/app:1\": ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image \"registry.internal/x/app:1\": failed to resolve reference \"registry.internal/x/app:1\": registry.internal/x/app:1: not found";
        assert_eq!(pull(message, "registry.internal/x/app:1"), "registry.internal/x/app:1: not found");
    }

    #[test]
    fn what_is_missing_is_read_from_what_kubelets_say() {
        let map = &object::CONFIG_MAP;
        let of = |kind, name, key| Some(Missing { kind, name, key });
        assert_eq!(missing("configmap \"settings\" not found"), of(map, Some("settings"), None));
        assert_eq!(
            missing("secret \"credentials\" not found"),
            of(&object::SECRET, Some("credentials"), None)
        );
        assert_eq!(
            missing("couldn't find key mode in ConfigMap gauntlet-missing-key/settings"),
            of(map, Some("settings"), Some("mode"))
        );
        let mount = "MountVolume.SetUp failed for volume \"settings\" : configmap \"settings\" not found";
        assert_eq!((missing(mount), volume(mount)), (of(map, Some("settings"), None), Some("settings")));
        assert_eq!(missing("failed to sync configmap cache: timed out waiting for the condition"), None);
    }

    #[test]
    fn a_program_that_is_not_there_is_never_started() {
        assert!(start_is_hopeless(
            "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: \"/bin/no-such-program\": stat /bin/no-such-program: no such file or directory: unknown"
        ));
        assert!(!start_is_hopeless("failed to create containerd task: context deadline exceeded"));
    }

    #[test]
    fn who_refuses_a_pod_for_good_is_told_from_who_cannot_be_asked() {
        for (message, expected) in [
            (
                "Error creating: pods \"app-7fdbc7f9f5-465zq\" is forbidden: exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1",
                Refusal::Quota,
            ),
            (
                "Error creating: admission webhook \"policy.gauntlet.internal\" denied the request: images must come from the company's registry",
                Refusal::Final,
            ),
            (
                "Error creating: Internal error occurred: failed calling webhook \"policy.gauntlet.internal\": failed to call webhook: Post \"https://policy.gauntlet-webhook-down.svc:443/validate?timeout=5s\": no endpoints available for service \"policy\"",
                Refusal::Passing,
            ),
            (
                "Error creating: pods \"app-7fdbc7f9f5-qcmcp\" is forbidden: violates PodSecurity \"restricted:latest\": runAsNonRoot != true",
                Refusal::Final,
            ),
            // Each namespace gets its own by itself, a moment after it is made.
            (
                "pods \"app-68b49fffd7-\" is forbidden: error looking up service account gauntlet-api-server-restarted/default: serviceaccount \"default\" not found",
                Refusal::Passing,
            ),
            (
                "pods \"x\" is forbidden: maximum memory usage per Container is 64Mi, but limit is 200Mi",
                Refusal::Final,
            ),
        ] {
            assert_eq!(refusal(message), expected, "{message}");
        }
        let combined = "(combined from similar events): Error creating: pods \"app-7fdbc7f9f5-465zq\" is forbidden: exceeded quota: small";
        assert_eq!(creation(combined), "exceeded quota: small");
        assert_eq!(missing_class("storageclass.storage.k8s.io \"fast-ssd\" not found"), Some("fast-ssd"));
    }
}
