//! The way from nothing to a node on which pods run.

use std::fs::{self, File};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::kubeconfig::UserConfig;
use crate::node::network::Subnet;
use crate::node::runtime::Runtime;
use crate::node::{Node, Programs, addons, cgroups, network, sandbox, services};
use crate::process::last_lines;

/// A busy machine may take many times the five seconds of an idle one.
const API_DEADLINE: Duration = Duration::from_mins(2);
const PAUSE: Duration = Duration::from_millis(100);

impl Node {
    /// Makes it from nothing; whatever of it was there has been taken away.
    pub(super) fn make(&self, programs: &Programs) -> Result<()> {
        let (subnet, guard) = Subnet::choose()?;
        self.layout.create()?;
        for program in &programs.node {
            self.layout.place(program)?;
        }
        services::write(&self.layout, &self.name, subnet)?;
        cgroups::create(&self.name)?;
        let node = subnet.node();
        let names = sandbox::Names { node: &self.name, address: &node, gateway: &subnet.host() };
        let init = sandbox::start(&self.layout, &names)?;
        network::connect(&self.name, subnet, init)?;
        drop(guard);

        let images = addons::images(&programs.addons)?;
        thread::scope(|scope| {
            let importing = scope.spawn(|| Runtime::connect(&self.layout)?.import(&images));
            self.wait_for_api()?;
            self.progress.say(format!("the API server is ready at https://{node}:{}", services::API_PORT));
            importing.join().expect("importing does not panic").map(drop)
        })?;
        File::create(self.layout.path(services::API_IS_READY))?;
        self.install_addons()?;
        self.tell_user(&node)?;
        File::create(self.layout.path("complete"))?;
        Ok(())
    }

    fn wait_for_api(&self) -> Result<()> {
        let deadline = Instant::now() + API_DEADLINE;
        while self.kubectl(["get", "--raw=/readyz"]).is_err() {
            let log = |name: &str| fs::read_to_string(self.layout.path("log").join(name)).unwrap_or_default();
            if sandbox::find(&self.layout)?.is_none() {
                bail!("the node ended: {}", last_lines(&log("init.log")));
            }
            if Instant::now() > deadline {
                bail!("the API server is not ready: {}", last_lines(&log("kube-apiserver.log")));
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn install_addons(&self) -> Result<()> {
        let folder = self.layout.path("addons");
        fs::create_dir_all(&folder)?;
        for (name, text) in addons::MANIFESTS {
            fs::write(folder.join(name), text)?;
        }
        self.kubectl(["apply", "--server-side", "--filename", &folder.display().to_string()])?;
        let node = format!("node/{}", self.name);
        self.kubectl(["wait", "--for=create", &node, "--timeout=60s"])?;
        self.kubectl(["wait", "--for=condition=Ready", &node, "--timeout=60s"])?;
        self.progress.say(format!("{node} is ready"));
        for deployment in ["coredns", "local-path-provisioner", "metrics-server"] {
            let deployment = format!("deployment/{deployment}");
            self.kubectl(["rollout", "status", "--namespace=kube-system", "--timeout=2m", &deployment])
                .with_context(|| format!("{deployment} -n kube-system is not ready"))?;
        }
        let metrics = "apiservice/v1beta1.metrics.k8s.io";
        self.kubectl(["wait", "--for=condition=Available", metrics, "--timeout=60s"])?;
        self.progress.say("cluster DNS, local-path storage and metrics are ready");
        self.progress.say(
            "unlike k3s: no controller behind ingress class traefik, no addresses for LoadBalancer Services",
        );
        Ok(())
    }

    /// Adds the context to the user's client configuration. What is to be undone is written down first.
    fn tell_user(&self, address: &str) -> Result<()> {
        let kubectl = self.layout.path("bin/kubectl");
        let config = UserConfig::find(&kubectl)?;
        fs::write(self.layout.path("user-config.json"), serde_json::to_vec(&config)?)?;
        let server = format!("https://{address}:{}", services::API_PORT);
        config.add(&kubectl, &self.name, &server, &self.layout.path("pki"))
    }
}
