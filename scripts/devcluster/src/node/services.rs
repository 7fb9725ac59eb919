//! The programs of one machine, and how each is configured: written as files before anything runs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::certs::{self, Identity, Pki};
use crate::cluster::addons;
use crate::kubeconfig;
use crate::node::images::PAUSE;
use crate::node::layout::{INSIDE, Layout};
use crate::node::network::{self, Subnet};
use crate::node::{Node, cgroups, packages};

const DNS_ADDRESS: &str = "10.43.0.10";
/// The label by which a devcluster's nodes can be told from any other's.
const LABEL: &str = "bootstrap.internal/devcluster=true";
/// A file that is there once the API server is ready.
pub(crate) const API_IS_READY: &str = "api-is-ready";

/// The folder in which containerd looks up where a registry is, each time that it pulls.
pub(crate) const REGISTRIES: &str = "registries";

/// What a node has to know of its cluster.
pub(crate) struct Membership<'a> {
    pub(crate) cluster: &'a str,
    pub(crate) subnet: Subnet,
    /// The URL of the API server.
    pub(crate) server: &'a str,
    pub(crate) pki: &'a Pki,
}

/// Writes certificates, configuration and service scripts of a node.
pub(crate) fn write(node: &Node, membership: &Membership<'_>) -> Result<()> {
    let Membership { cluster, subnet, server, pki } = membership;
    let (layout, name, address) = (&node.layout, &node.name, subnet.node(node.place));
    fs::write(layout.path("pki/ca.crt"), &pki.authority)?;
    pki.server(&[name, &address])?.store(&layout.path("pki"), "kubelet")?;
    let config = |file: &str, identity: Identity<'_>| {
        let text = kubeconfig::render(cluster, server, &pki.authority, &pki.client(&identity)?);
        certs::write_secret(&layout.path(file), &text)
    };
    config("kubelet.kubeconfig", Identity::in_group(&format!("system:node:{name}"), "system:nodes"))?;
    config("proxy.kubeconfig", Identity::user("system:kube-proxy"))?;

    // Nothing listens at the host's end: a name outside the cluster is refused at once, not after a timeout.
    fs::write(layout.path("resolv.conf"), format!("nameserver {}\n", subnet.host()))?;
    fs::write(layout.path("containerd.toml"), containerd()?)?;
    write_json(layout, "cni/10-devcluster.conflist", &cni(node))?;
    write_json(layout, "kubelet.yaml", &kubelet_config(&cgroups::of_node(cluster, name)))?;
    write_json(layout, "proxy.yaml", &proxy_config(name))?;
    services(node, &address).iter().try_for_each(|service| service.write(layout))
}

/// A program that a node's first process keeps running.
pub(crate) struct Service {
    pub(crate) name: &'static str,
    /// What must hold before it starts, as a test of the shell.
    pub(crate) after: Option<String>,
    pub(crate) arguments: Vec<String>,
}

impl Service {
    pub(crate) fn new(name: &'static str, arguments: Vec<String>) -> Self {
        Self { name, after: None, arguments }
    }

    /// Lets it wait for the API server, whose absence it would only complain about.
    pub(crate) fn after_api(name: &'static str, arguments: Vec<String>) -> Self {
        Self { name, after: Some(format!("[ -e {INSIDE}/{API_IS_READY} ]")), arguments }
    }

    /// Writes its script, as the first process will run it.
    pub(crate) fn write(&self, layout: &Layout) -> Result<()> {
        let wait = self.after.as_ref().map(|condition| format!("until {condition}; do sleep 0.05; done\n"));
        let arguments: Vec<_> = self.arguments.iter().map(|argument| format!("'{argument}'")).collect();
        // Our own programs first, then the distribution's.
        let text = format!(
            "#!/bin/sh\nPATH={INSIDE}/bin:$PATH\n{}exec {} {}\n",
            wait.unwrap_or_default(),
            self.name,
            arguments.join(" ")
        );
        let path = layout.path("services").join(self.name);
        fs::write(&path, text)?;
        Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
    }
}

fn services(node: &Node, address: &str) -> [Service; 3] {
    let containerd = vec![format!("--config={INSIDE}/containerd.toml")];
    let proxy = vec![format!("--config={INSIDE}/proxy.yaml")];
    let labels = if node.is_first() { format!("{LABEL},{}", addons::HOME) } else { LABEL.to_owned() };
    let kubelet = vec![
        format!("--config={INSIDE}/kubelet.yaml"),
        format!("--kubeconfig={INSIDE}/kubelet.kubeconfig"),
        format!("--hostname-override={}", node.name),
        format!("--node-ip={address}"),
        format!("--node-labels={labels}"),
    ];
    let mut kubelet = Service::after_api("kubelet", kubelet);
    kubelet.after = kubelet.after.map(|api| format!("{api} && [ -S {INSIDE}/containerd.sock ]"));
    [Service::new("containerd", containerd), Service::after_api("kube-proxy", proxy), kubelet]
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

  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{INSIDE}/{REGISTRIES}"

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{INSIDE}/cni"

  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"#
    ))
}

fn cni(node: &Node) -> Value {
    json!({
        "cniVersion": "0.4.0",
        "name": "devcluster",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": true,
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": network::pods(node.place)}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    })
}

fn kubelet_config(cgroup: &str) -> Value {
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
        "cgroupRoot": cgroup,
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
        "clusterCIDR": network::POD_NETWORK,
        "hostnameOverride": node,
        "clientConnection": {"kubeconfig": format!("{INSIDE}/proxy.kubeconfig")},
        // The connection table's size is the host's to choose.
        "conntrack": {"maxPerCore": 0, "min": 0},
    })
}
