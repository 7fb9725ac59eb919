//! Two nodes are one cluster: their pods reach each other by Services and cluster DNS, and kubectl reaches them all.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use devcluster::{Cluster, Tool};

/// Puts a pod on each of two nodes, which becomes ready once it has read the other's page.
pub(crate) fn crosses_nodes(cluster: &Cluster, nodes: [&str; 2], folder: &Path) {
    let pods = [("one", "two", nodes[0]), ("two", "one", nodes[1])];
    let manifest = folder.join("traffic.yaml");
    let text = pods.map(|(name, other, node)| {
        READER.replace("NAME", name).replace("OTHER", other).replace("NODE", node)
    });
    fs::write(&manifest, text.concat()).expect("written");
    cluster.kubectl(["apply", "--filename", &manifest.display().to_string()]).expect("applied");
    for (name, other, node) in pods {
        let pod = format!("pod/{name}");
        cluster.kubectl(["wait", &pod, "--for=condition=Ready", "--timeout=3m"]).expect(name);
        let (log, page) = (cluster.kubectl(["logs", name]), format!("page of {name}\n"));
        assert_eq!(log.expect("a log"), format!("page of {other}\n"), "read by {name}");
        assert_eq!(cluster.kubectl(["exec", name, "--", "hostname"]).expect("exec"), format!("{name}\n"));
        assert_eq!(cluster.kubectl(["exec", name, "--", "cat", "/www/index.html"]).expect("exec"), page);
        assert!(forwarded(cluster, &pod).ends_with(&page), "{name} on {node}");
    }
}

/// What a pod answers through `kubectl port-forward`.
fn forwarded(cluster: &Cluster, pod: &str) -> String {
    let mut forward = Command::new(devcluster::tool(Tool::Kubectl).expect("kubectl"))
        .arg("--kubeconfig")
        .arg(cluster.kubeconfig())
        .args(["port-forward", "--address=127.0.0.1", pod, ":8080"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let mut line = String::new();
    // Closed early, its output would end kubectl.
    let mut output = BufReader::new(forward.stdout.take().expect("piped"));
    output.read_line(&mut line).expect("a line");
    let address = line.split_whitespace().nth(2).unwrap_or_default();
    let mut answer = String::new();
    let mut stream = TcpStream::connect(address).expect("it forwards");
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("sent");
    stream.read_to_string(&mut answer).expect("answered");
    forward.kill().expect("SIGKILL");
    forward.wait().expect("reaped");
    answer
}

const READER: &str = r"
---
apiVersion: v1
kind: Service
metadata: {name: NAME}
spec:
  selector: {app: NAME}
  # So that neither waits for the other to be ready.
  publishNotReadyAddresses: true
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Pod
metadata: {name: NAME, labels: {app: NAME}}
spec:
  nodeSelector: {kubernetes.io/hostname: NODE}
  containers:
  - name: main
    image: devcluster.internal/busybox:1
    command: [sh, -ec]
    args:
    - |
      mkdir /www
      echo 'page of NAME' > /www/index.html
      httpd -p 8080 -h /www
      address() { nslookup -type=a OTHER.default.svc.cluster.local | awk '/^Address: / {print $2}'; }
      until printf 'GET / HTTP/1.0\r\n\r\n' | nc -w 2 $(address) 80 2> /dev/null | grep page; do sleep 0.2; done
      touch /tmp/ready
      exec sleep 1000
    readinessProbe:
      exec: {command: [test, -e, /tmp/ready]}
      periodSeconds: 1
";
