//! How Kubernetes' own programs are told to run: pure functions from a cluster's layout to arguments.
//! What the lone control plane and the node have in common is said once, here.

use std::path::{Path, PathBuf};

/// The network of Services, k3s's own.
pub(crate) const SERVICE_NETWORK: &str = "10.43.0.0/16";

/// Where etcd listens: a socket in a folder that only its owner may enter needs no port and no certificates.
pub(crate) struct Etcd<'a> {
    pub(crate) folder: &'a Path,
}

impl Etcd<'_> {
    pub(crate) fn url(&self) -> String {
        format!("unix://{}/client.sock", self.folder.display())
    }

    pub(crate) fn arguments(&self) -> Vec<String> {
        let peer = format!("unix://{}/peer.sock", self.folder.display());
        vec![
            format!("--data-dir={}/data", self.folder.display()),
            // The data dies with the cluster; a crash of the machine is no reason to wait for the disk.
            "--unsafe-no-fsync".into(),
            format!("--listen-client-urls={}", self.url()),
            format!("--advertise-client-urls={}", self.url()),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
            "--log-level=warn".into(),
        ]
    }
}

/// What the API server needs to know.
pub(crate) struct ApiServer<'a> {
    pub(crate) etcd: String,
    pub(crate) pki: &'a Path,
    pub(crate) address: &'a str,
    pub(crate) port: u16,
    /// The address that pods are given; none keeps the Service `kubernetes` without endpoints.
    pub(crate) advertise: Option<&'a str>,
    pub(crate) audit_log: Option<PathBuf>,
    pub(crate) audit_policy: PathBuf,
}

impl ApiServer<'_> {
    pub(crate) fn arguments(&self) -> Vec<String> {
        let pki = self.pki.display();
        let mut arguments = vec![
            format!("--etcd-servers={}", self.etcd),
            format!("--bind-address={}", self.address),
            format!("--secure-port={}", self.port),
            format!("--tls-cert-file={pki}/apiserver.crt"),
            format!("--tls-private-key-file={pki}/apiserver.key"),
            format!("--client-ca-file={pki}/ca.crt"),
            format!("--kubelet-certificate-authority={pki}/ca.crt"),
            format!("--kubelet-client-certificate={pki}/apiserver-kubelet-client.crt"),
            format!("--kubelet-client-key={pki}/apiserver-kubelet-client.key"),
            "--kubelet-preferred-address-types=InternalIP".into(),
            format!("--service-account-key-file={pki}/service-accounts.pub"),
            format!("--service-account-signing-key-file={pki}/service-accounts.key"),
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local".into(),
            format!("--service-cluster-ip-range={SERVICE_NETWORK}"),
            "--authorization-mode=Node,RBAC".into(),
            "--allow-privileged=true".into(),
            // Without these the aggregation layer, and so metrics.k8s.io and custom.metrics.k8s.io, cannot work.
            "--enable-aggregator-routing=true".into(),
            format!("--requestheader-client-ca-file={pki}/front-proxy-ca.crt"),
            "--requestheader-allowed-names=front-proxy-client".into(),
            "--requestheader-username-headers=X-Remote-User".into(),
            "--requestheader-group-headers=X-Remote-Group".into(),
            "--requestheader-extra-headers-prefix=X-Remote-Extra-".into(),
            format!("--proxy-client-cert-file={pki}/front-proxy-client.crt"),
            format!("--proxy-client-key-file={pki}/front-proxy-client.key"),
        ];
        match self.advertise {
            Some(address) => arguments.push(format!("--advertise-address={address}")),
            None => arguments.push("--endpoint-reconciler-type=none".into()),
        }
        if let Some(log) = &self.audit_log {
            arguments.push(format!("--audit-log-path={}", log.display()));
            arguments.push(format!("--audit-policy-file={}", self.audit_policy.display()));
        }
        arguments
    }
}

/// One line a request that changes or reads something, without bodies.
pub(crate) const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
";

pub(crate) fn controller_manager(kubeconfig: &Path, pki: &Path) -> Vec<String> {
    let (config, pki) = (kubeconfig.display(), pki.display());
    vec![
        format!("--kubeconfig={config}"),
        format!("--authentication-kubeconfig={config}"),
        format!("--authorization-kubeconfig={config}"),
        format!("--service-account-private-key-file={pki}/service-accounts.key"),
        format!("--root-ca-file={pki}/ca.crt"),
        format!("--cluster-signing-cert-file={pki}/ca.crt"),
        format!("--cluster-signing-key-file={pki}/ca.key"),
        "--use-service-account-credentials=true".into(),
        "--leader-elect=false".into(),
        // Nothing asks it for metrics, and a port fewer is a port that cannot be taken.
        "--secure-port=0".into(),
    ]
}

pub(crate) fn scheduler(kubeconfig: &Path) -> Vec<String> {
    let config = kubeconfig.display();
    vec![
        format!("--kubeconfig={config}"),
        format!("--authentication-kubeconfig={config}"),
        format!("--authorization-kubeconfig={config}"),
        "--leader-elect=false".into(),
        "--secure-port=0".into(),
    ]
}
