//! An admission webhook that denies everything that it is asked about.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use devcluster::ServingCertificate;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

/// What it says.
const REFUSAL: &str = "images must come from the company's registry";

/// The webhook; its threads end with the process.
pub(crate) struct Webhook {
    pub(crate) url: String,
    /// The authority that vouches for it, as PEM.
    pub(crate) authority: String,
}

impl Webhook {
    pub(crate) fn start(host: Ipv4Addr) -> Self {
        let listener = TcpListener::bind((host, 0)).expect("the host's end of the link");
        let url = format!("https://{}/validate", listener.local_addr().expect("bound"));
        let identity = ServingCertificate::new(&[&host.to_string()]).expect("an address");
        let config = Arc::new(config(&identity));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let config = Arc::clone(&config);
                // Whoever hangs up in between gets no answer.
                thread::spawn(move || drop(serve(stream, config)));
            }
        });
        Self { url, authority: identity.authority }
    }
}

fn config(identity: &ServingCertificate) -> ServerConfig {
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("PEM");
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("they belong together")
}

fn serve(stream: TcpStream, config: Arc<ServerConfig>) -> anyhow::Result<()> {
    let mut stream = BufReader::new(StreamOwned::new(ServerConnection::new(config)?, stream));
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let review: Value = serde_json::from_slice(&body)?;
    let answer = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {
            "uid": review["request"]["uid"],
            "allowed": false,
            "status": {"code": 403, "message": REFUSAL},
        },
    });
    let answer = answer.to_string();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
    let stream = stream.get_mut();
    write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{answer}", answer.len())?;
    stream.conn.send_close_notify();
    Ok(stream.flush()?)
}
