//! The programs that make a node, and how each is configured: written as files before anything runs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::certs::{self, Identity, Pki};
use crate::components::{self, ApiServer, Etcd};
use crate::kubeconfig;
use crate::node::images::PAUSE;
use crate::node::layout::{INSIDE, Layout};
use crate::node::network::Subnet;
use crate::node::{cgroups, packages};

/// The network of pods, k3s's own for its first node.
const POD_NETWORK: &str = "10.42.0.0/24";
const DNS_ADDRESS: &str = "10.43.0.10";
/// The label by which a devcluster's nodes can be told from any other's.
const LABEL: &str = "bootstrap.internal/devcluster=true";
pub(crate) const API_PORT: u16 = 6443;
/// A file that is there once the API server is ready.
pub(crate) const API_IS_READY: &str = "api-is-ready";

/// Writes certificates, configuration and service scripts of a node.
pub(crate) fn write(layout: &Layout, node: &str, subnet: Subnet) -> Result<()> {
    let address = subnet.node();
    let pki = certificates(layout, node, &address)?;
    let server = format!("https://{address}:{API_PORT}");
    let config = |file: &str, context: &str, identity: Identity<'_>| {
        let text = kubeconfig::render(context, &server, &pki.authority, &pki.client(&identity)?);
        certs::write_secret(&layout.path(file), &text)
    };
    let kubelet = format!("system:node:{node}");
    config("kubeconfig", node, Identity::admin())?;
    pki.store("admin", &pki.client(&Identity::admin())?)?;
    config("kubelet.kubeconfig", node, Identity::in_group(&kubelet, "system:nodes"))?;
    for (component, file) in [
        ("system:kube-controller-manager", "controller-manager.kubeconfig"),
        ("system:kube-scheduler", "scheduler.kubeconfig"),
        ("system:kube-proxy", "proxy.kubeconfig"),
    ] {
        config(file, node, Identity::user(component))?;
    }

    let gateway = subnet.host();
    // Nothing listens at the host's end: a name outside the cluster is refused at once, not after a timeout.
    fs::write(layout.path("resolv.conf"), format!("nameserver {gateway}\n"))?;
    fs::write(layout.path("audit-policy.yaml"), components::AUDIT_POLICY)?;
    fs::write(layout.path("containerd.toml"), containerd()?)?;
    write_json(layout, "cni/10-devcluster.conflist", &cni())?;
    write_json(layout, "kubelet.yaml", &kubelet_config(node))?;
    write_json(layout, "proxy.yaml", &proxy_config(node))?;
    services(node, &address).iter().try_for_each(|service| write_script(layout, service))
}

fn certificates(layout: &Layout, node: &str, address: &str) -> Result<Pki> {
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
    let pki = Pki::create(&layout.path("pki"), &names)?;
    pki.store("kubelet", &pki.server(&[node, address])?)?;
    Ok(pki)
}

/// A program that the node's first process keeps running.
struct Service {
    name: &'static str,
    /// What must hold before it starts, as a test of the shell.
    after: Option<String>,
    arguments: Vec<String>,
}

fn services(node: &str, address: &str) -> [Service; 7] {
    let inside = |name: &str| format!("{INSIDE}/{name}");
    let (pki, etcd) = (inside("pki"), inside("etcd"));
    let etcd = Etcd { folder: etcd.as_ref() };
    let api_server = ApiServer {
        etcd: etcd.url(),
        pki: pki.as_ref(),
        address: "0.0.0.0",
        port: API_PORT,
        advertise: Some(address),
        audit_log: None,
        audit_policy: inside("audit-policy.yaml").into(),
    };
    let manager = inside("controller-manager.kubeconfig");
    let manager = components::controller_manager(manager.as_ref(), pki.as_ref());
    let scheduler = components::scheduler(inside("scheduler.kubeconfig").as_ref());
    let kubelet = vec![
        format!("--config={INSIDE}/kubelet.yaml"),
        format!("--kubeconfig={INSIDE}/kubelet.kubeconfig"),
        format!("--hostname-override={node}"),
        format!("--node-ip={address}"),
        format!("--node-labels={LABEL}"),
    ];
    let proxy = vec![format!("--config={INSIDE}/proxy.yaml")];
    let containerd = vec![format!("--config={INSIDE}/containerd.toml")];

    let at_once = |name, arguments| Service { name, after: None, arguments };
    let after = |condition: &str, name, arguments| Service { name, after: Some(condition.into()), arguments };
    let api = format!("[ -e {INSIDE}/{API_IS_READY} ]");
    let api_and_runtime = format!("{api} && [ -S {INSIDE}/containerd.sock ]");
    [
        at_once("containerd", containerd),
        at_once("etcd", etcd.arguments()),
        at_once("kube-apiserver", api_server.arguments()),
        after(&api, "kube-controller-manager", manager),
        after(&api, "kube-scheduler", scheduler),
        after(&api, "kube-proxy", proxy),
        after(&api_and_runtime, "kubelet", kubelet),
    ]
}

/// Writes the script of one service, as the first process will run it.
fn write_script(layout: &Layout, service: &Service) -> Result<()> {
    let wait = service.after.as_ref().map(|condition| format!("until {condition}; do sleep 0.05; done\n"));
    let arguments: Vec<_> = service.arguments.iter().map(|argument| format!("'{argument}'")).collect();
    // Our own programs first, then the distribution's.
    let text = format!(
        "#!/bin/sh\nPATH={INSIDE}/bin:$PATH\n{}exec {} {}\n",
        wait.unwrap_or_default(),
        service.name,
        arguments.join(" ")
    );
    let path = layout.path("services").join(service.name);
    fs::write(&path, text)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

fn write_json(layout: &Layout, name: &str, value: &Value) -> Result<()> {
    Ok(fs::write(layout.path(name), format!("{value:#}\n"))?)
}

fn containerd() -> Result<String> {
    let plugins = packages::cni_folder().context("the CNI plug-ins are missing")?;
    // restrict_oom_score_adj: where CAP_SYS_RESOURCE is lacking, runc fails every sandbox without it.
    // opt: or else containerd makes a folder on the host.
    Ok(format!(
        r#"version = 2
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
  address = "{INSIDE}/containerd.sock"

[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd-opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{INSIDE}/cni"

  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"#
    ))
}

fn cni() -> Value {
    json!({
        "cniVersion": "0.4.0",
        "name": "devcluster",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": true,
                "ipMasq": true,
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": POD_NETWORK}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    })
}

fn kubelet_config(node: &str) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": format!("{INSIDE}/pki/ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": format!("{INSIDE}/pki/kubelet.crt"),
        "tlsPrivateKeyFile": format!("{INSIDE}/pki/kubelet.key"),
        "containerRuntimeEndpoint": format!("unix://{INSIDE}/containerd.sock"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", cgroups::name(node)),
        "failCgroupV1": false,
        "failSwapOn": false,
        "clusterDomain": "cluster.local",
        "clusterDNS": [DNS_ADDRESS],
        "resolvConf": format!("{INSIDE}/resolv.conf"),
        "hairpinMode": "hairpin-veth",
        "serializeImagePulls": false,
        // The disk is the host's: how full it is says nothing of this node, and imported images cannot be pulled again.
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "0.1%", "imagefs.available": "0.1%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
    })
}

fn proxy_config(node: &str) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clusterCIDR": POD_NETWORK,
        "hostnameOverride": node,
        "clientConnection": {"kubeconfig": format!("{INSIDE}/proxy.kubeconfig")},
        // The connection table's size is the host's to choose.
        "conntrack": {"maxPerCore": 0, "min": 0},
    })
}
