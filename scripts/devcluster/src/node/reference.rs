//! Image references: `[registry/]repository[:tag][@digest]`, in the full form in which containerd keeps them.

use std::fmt;

use anyhow::{Result, bail};

const DEFAULT_REGISTRY: &str = "docker.io";

/// An image's full name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reference {
    pub(crate) registry: String,
    pub(crate) repository: String,
    /// `:tag` or `@digest`; where both are given the digest alone counts.
    version: String,
}

impl Reference {
    /// Reads a reference and fills in what it leaves out.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let (name, digest) = text.split_once('@').map_or((text, None), |(name, digest)| (name, Some(digest)));
        let last = name.rfind('/').map_or(0, |slash| slash + 1);
        let (path, tag) = match name[last..].find(':') {
            Some(colon) => (&name[..last + colon], &name[last + colon + 1..]),
            None => (name, "latest"),
        };
        let (registry, repository) = match path.split_once('/') {
            Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest.to_owned()),
            Some(_) => (DEFAULT_REGISTRY, path.to_owned()),
            None => (DEFAULT_REGISTRY, format!("library/{path}")),
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte);
        if path.is_empty()
            || tag.is_empty()
            || repository.is_empty()
            || repository.ends_with('/')
            || !repository.bytes().all(plain)
        {
            bail!("{text:?} is no image reference");
        }
        let version = digest.map_or_else(|| format!(":{tag}"), |digest| format!("@{digest}"));
        Ok(Self { registry: registry.to_owned(), repository, version })
    }

    /// The tag, unless there is a digest in its place.
    pub(crate) fn tag(&self) -> Option<&str> {
        self.version.strip_prefix(':')
    }

    /// The program that the image is named after.
    pub(crate) fn program(&self) -> &str {
        self.repository.rsplit('/').next().unwrap_or(&self.repository)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}{}", self.registry, self.repository, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_references_are_filled_in_as_containerd_does() {
        for (short, full) in [
            ("busybox", "docker.io/library/busybox:latest"),
            ("grafana/loki:3.7.8", "docker.io/grafana/loki:3.7.8"),
            ("registry.k8s.io/a/b/c:v1", "registry.k8s.io/a/b/c:v1"),
            ("localhost:5000/x", "localhost:5000/x:latest"),
            ("quay.io/a/b:v1@sha256:0123", "quay.io/a/b@sha256:0123"),
        ] {
            let parsed = Reference::parse(short).expect(short);
            assert_eq!(parsed.to_string(), full);
            assert_eq!(Reference::parse(full).expect(full), parsed);
        }
        let parsed = Reference::parse("registry.k8s.io/a/kube-state-metrics:v2").expect("a reference");
        assert_eq!(parsed.program(), "kube-state-metrics");
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for text in ["", "a b", "{{ .Values.image }}", "grafana/loki:", "docker.io/"] {
            assert!(Reference::parse(text).is_err(), "{text:?}");
        }
    }
}
