//! The control plane of a cluster: its authorities, and etcd, API server, controller manager and scheduler on the first
//! node.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::Result;

use crate::certs::{self, Identity, Pki};
use crate::components::{self, ApiServer, Etcd};
use crate::kubeconfig;
use crate::node::Node;
use crate::node::layout::INSIDE;
use crate::node::services::Service;

const API_PORT: u16 = 6443;

/// Where the audit log lies in the first node's folder, if there is one.
pub(super) const AUDIT_LOG: &str = "log/audit.log";

/// Where the API server listens.
pub(super) fn server(address: &str) -> String {
    format!("https://{address}:{API_PORT}")
}

/// Writes certificates, configuration and service scripts of the control plane.
pub(super) fn write(node: &Node, cluster: &str, address: &str, audit: bool) -> Result<Pki> {
    let layout = &node.layout;
    let pki = certificates(node, address)?;
    for (component, file) in [
        ("system:kube-controller-manager", "controller-manager.kubeconfig"),
        ("system:kube-scheduler", "scheduler.kubeconfig"),
    ] {
        let client = pki.client(&Identity::user(component))?;
        let text = kubeconfig::render(cluster, &server(address), &pki.authority, &client);
        certs::write_secret(&layout.path(file), &text)?;
    }
    fs::write(layout.path("audit-policy.yaml"), components::AUDIT_POLICY)?;
    // etcd refuses a folder that others may enter, and its socket needs no other guard.
    fs::create_dir(layout.path("etcd"))?;
    fs::set_permissions(layout.path("etcd"), fs::Permissions::from_mode(0o700))?;
    services(address, audit).iter().try_for_each(|service| service.write(layout))?;
    Ok(pki)
}

fn certificates(node: &Node, address: &str) -> Result<Pki> {
    let names = [
        address,
        "10.43.0.1",
        "127.0.0.1",
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ];
    let folder = node.layout.path("pki");
    let pki = Pki::create(&folder, &names)?;
    pki.client(&Identity::admin())?.store(&folder, "admin")?;
    Ok(pki)
}

fn services(address: &str, audit: bool) -> [Service; 4] {
    let inside = |name: &str| format!("{INSIDE}/{name}");
    let (pki, etcd) = (inside("pki"), inside("etcd"));
    let etcd = Etcd { folder: etcd.as_ref() };
    let api_server = ApiServer {
        etcd: etcd.url(),
        pki: pki.as_ref(),
        address: "0.0.0.0",
        port: API_PORT,
        advertise: Some(address),
        audit_log: audit.then(|| inside(AUDIT_LOG).into()),
        audit_policy: inside("audit-policy.yaml").into(),
    };
    let manager = inside("controller-manager.kubeconfig");
    let manager = components::controller_manager(manager.as_ref(), pki.as_ref());
    let scheduler = components::scheduler(inside("scheduler.kubeconfig").as_ref());
    [
        Service::new("etcd", etcd.arguments()),
        Service::new("kube-apiserver", api_server.arguments()),
        Service::after_api("kube-controller-manager", manager),
        Service::after_api("kube-scheduler", scheduler),
    ]
}
