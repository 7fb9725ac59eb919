//! The way from nothing to a cluster on which pods run.

use std::fs::{self, File};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::certs::{self, Identity};
use crate::cluster::{Cluster, Programs, addons, control};
use crate::kubeconfig::{self, UserConfig};
use crate::node::network::{self, Subnet};
use crate::node::runtime::Runtimes;
use crate::node::services::{self, Membership};
use crate::node::{Node, cgroups, sandbox};
use crate::process::last_lines;

/// A busy machine may take many times the five seconds of an idle one.
const API_DEADLINE: Duration = Duration::from_mins(2);
const PAUSE: Duration = Duration::from_millis(100);

impl Cluster {
    /// Makes it from nothing; whatever of it was there has been taken away.
    pub(super) fn make(&self, programs: &Programs, nodes: &[Node]) -> Result<()> {
        let (subnet, guard) = Subnet::choose()?;
        let server = self.write(programs, nodes, subnet)?;
        cgroups::create(&self.name, nodes)?;
        let inits = nodes.iter().map(|node| Ok((node, sandbox::start(node)?))).collect::<Result<Vec<_>>>()?;
        network::connect(&self.name, subnet, &inits)?;
        drop(guard);

        let images = addons::images_for_all()?;
        let of_addons: Vec<_> = addons::images(&programs.addons).collect();
        thread::scope(|scope| {
            let importing = scope.spawn(|| {
                Runtimes::connect(nodes)?.import(&images)?;
                Runtimes::connect(&nodes[..1])?.import(&of_addons)
            });
            self.wait_for_api()?;
            self.progress.say(format!("the API server is ready at {server}"));
            importing.join().expect("importing does not panic").map(drop)
        })?;
        for node in nodes {
            File::create(node.layout.path(services::API_IS_READY))?;
        }
        self.install_addons(nodes)?;
        self.tell_user(&server)?;
        File::create(self.folder.join("complete"))?;
        Ok(())
    }

    /// Writes everything that the nodes run and read, and gives the URL of the API server.
    fn write(&self, programs: &Programs, nodes: &[Node], subnet: Subnet) -> Result<String> {
        for node in nodes {
            node.layout.create()?;
            programs.node.iter().try_for_each(|program| node.layout.place(program))?;
        }
        let (first, address) = (self.first(), subnet.node(0));
        let server = control::server(&address);
        let pki = control::write(&first, &self.name, &address, self.audit)?;
        let admin = kubeconfig::render(&self.name, &server, &pki.authority, &pki.client(&Identity::admin())?);
        certs::write_secret(&self.kubeconfig(), &admin)?;
        let membership = Membership { cluster: &self.name, subnet, server: &server, pki: &pki };
        for node in nodes {
            services::write(node, &membership)?;
            fs::write(node.layout.path("network.sh"), subnet.script(node, nodes))?;
        }
        Ok(server)
    }

    fn wait_for_api(&self) -> Result<()> {
        let deadline = Instant::now() + API_DEADLINE;
        let node = self.first();
        while self.kubectl(["get", "--raw=/readyz"]).is_err() {
            let log = |name: &str| fs::read_to_string(node.layout.path("log").join(name)).unwrap_or_default();
            if !node.runs()? {
                bail!("the node ended: {}", last_lines(&log("init.log")));
            }
            if Instant::now() > deadline {
                bail!("the API server is not ready: {}", last_lines(&log("kube-apiserver.log")));
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn install_addons(&self, nodes: &[Node]) -> Result<()> {
        let folder = self.folder.join("addons");
        fs::create_dir_all(&folder)?;
        for (name, text) in addons::MANIFESTS {
            fs::write(folder.join(name), text)?;
        }
        self.kubectl(["apply", "--server-side", "--filename", &folder.display().to_string()])?;
        for node in nodes {
            let node = format!("node/{}", node.name);
            self.kubectl(["wait", "--for=create", &node, "--timeout=5m"])?;
            self.kubectl(["wait", "--for=condition=Ready", &node, "--timeout=5m"])?;
            self.progress.say(format!("{node} is ready"));
        }
        for deployment in ["coredns", "local-path-provisioner", "metrics-server"] {
            let deployment = format!("deployment/{deployment}");
            self.kubectl(["rollout", "status", "--namespace=kube-system", "--timeout=5m", &deployment])
                .with_context(|| format!("{deployment} -n kube-system is not ready"))?;
        }
        let metrics = "apiservice/v1beta1.metrics.k8s.io";
        self.kubectl(["wait", "--for=condition=Available", metrics, "--timeout=5m"])?;
        self.progress.say("cluster DNS, local-path storage and metrics are ready");
        self.progress.say(
            "unlike k3s: no controller behind ingress class traefik, no addresses for LoadBalancer Services",
        );
        Ok(())
    }

    /// Adds the context to the user's client configuration. What is to be undone is written down first.
    fn tell_user(&self, server: &str) -> Result<()> {
        let kubectl = self.own_kubectl();
        let config = UserConfig::find(&kubectl)?;
        fs::write(self.folder.join("user-config.json"), serde_json::to_vec(&config)?)?;
        config.add(&kubectl, &self.name, server, &self.first().layout.path("pki"))
    }
}
