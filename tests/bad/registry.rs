//! A registry on loopback that holds one chart under one tag, and gives it for every digest that it is asked for. Helm speaks
//! TLS only, unless told otherwise, so it has a certificate of its own.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// The registry; its thread ends with the process.
pub(crate) struct Registry {
    address: SocketAddr,
    folder: TempDir,
    shared: Arc<Shared>,
}

struct Shared {
    manifest: Vec<u8>,
    digest: String,
    config: Vec<u8>,
    layer_digest: String,
    layer: Mutex<Vec<u8>>,
}

impl Registry {
    pub(crate) fn start(chart: Vec<u8>) -> Self {
        let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("authority.crt"), certified.cert.pem()).expect("written");
        let tls = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .expect("they belong together");
        let tls = Arc::new(tls);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared::holding(chart));
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, tls) = (Arc::clone(&serving), Arc::clone(&tls));
                // Whoever hangs up in between has heard enough.
                thread::spawn(move || drop(shared.serve(stream, tls)));
            }
        });
        Self { address, folder, shared }
    }

    /// Serves another content, by the same name.
    pub(crate) fn spoil(&mut self, chart: Vec<u8>) {
        *self.shared.layer.lock().expect("no panic") = chart;
    }

    /// The chart as a stack names it.
    pub(crate) fn chart(&self) -> String {
        format!("oci://{}/demo", self.address)
    }

    /// What the chart can be pinned to.
    pub(crate) fn digest(&self) -> &str {
        &self.shared.digest
    }

    /// The file with the certificate that it shows.
    pub(crate) fn authority(&self) -> PathBuf {
        Path::new(self.folder.path()).join("authority.crt")
    }
}

impl Shared {
    fn holding(chart: Vec<u8>) -> Self {
        let config = b"{}".to_vec();
        let part = |kind: &str, bytes: &[u8]| {
            let kind = format!("application/vnd.cncf.helm.{kind}");
            json!({"mediaType": kind, "digest": digest(bytes), "size": bytes.len()})
        };
        let manifest: Value = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": part("config.v1+json", &config),
            "layers": [part("chart.content.v1.tar+gzip", &chart)],
        });
        let manifest = manifest.to_string().into_bytes();
        let (digest_of_manifest, layer_digest) = (digest(&manifest), digest(&chart));
        Self { manifest, digest: digest_of_manifest, config, layer_digest, layer: Mutex::new(chart) }
    }

    fn serve(&self, stream: TcpStream, tls: Arc<ServerConfig>) -> io::Result<()> {
        let connection = ServerConnection::new(tls).map_err(io::Error::other)?;
        let mut stream = BufReader::new(StreamOwned::new(connection, stream));
        let mut request = String::new();
        stream.read_line(&mut request)?;
        let mut line = String::new();
        while stream.read_line(&mut line)? > 2 {
            line.clear();
        }
        let mut words = request.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (status, kind, body) = match self.find(path) {
            Some((kind, body)) => ("200 OK", kind, body),
            None => ("404 Not Found", "application/json", b"{}".to_vec()),
        };
        let (length, digest) = (body.len(), digest(&body));
        let head = format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
             Docker-Content-Digest: {digest}\r\n\r\n"
        );
        let stream = stream.get_mut();
        stream.write_all(head.as_bytes())?;
        if method != "HEAD" {
            stream.write_all(&body)?;
        }
        stream.conn.send_close_notify();
        stream.flush()
    }

    fn find(&self, path: &str) -> Option<(&'static str, Vec<u8>)> {
        let (kind, name) = path.strip_prefix("/v2/demo/")?.split_once('/')?;
        let blob = "application/octet-stream";
        match kind {
            "manifests" if name == "1.0.0" || name.starts_with("sha256:") => {
                Some((MANIFEST, self.manifest.clone()))
            }
            "blobs" if name == self.layer_digest => {
                Some((blob, self.layer.lock().expect("no panic").clone()))
            }
            "blobs" if name == digest(&self.config) => Some((blob, self.config.clone())),
            _ => None,
        }
    }
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn digest(bytes: &[u8]) -> String {
    let digest: Vec<_> = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{}", digest.concat())
}
