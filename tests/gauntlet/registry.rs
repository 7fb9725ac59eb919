//! A registry that answers as it is told to: the first part of an image's name says how. Plain HTTP, on the address at
//! which only the nodes of one cluster reach this machine.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use serde_json::json;
use sha2::{Digest as _, Sha256};

/// The name by which stacks know it.
pub(crate) const NAME: &str = "registry.internal";

/// What comes after the name of a repository that [`Registry::mend`] makes well.
const MENDABLE: &str = "-then-well";

/// The registry; its threads end with the process.
pub(crate) struct Registry {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    image: Image,
    /// The repositories that were bad and are well.
    mended: Mutex<BTreeSet<String>>,
    change: Condvar,
}

impl Registry {
    pub(crate) fn start(host: Ipv4Addr) -> Self {
        let listener = TcpListener::bind((host, 0)).expect("the host's end of the link");
        let address = listener.local_addr().expect("bound");
        let shared =
            Arc::new(Shared { image: Image::make(), mended: Mutex::default(), change: Condvar::new() });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                // Whoever hangs up in between is a client that has given up.
                thread::spawn(move || drop(shared.serve(stream, address)));
            }
        });
        Self { address, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes a repository well: who hangs there is answered now.
    pub(crate) fn mend(&self, repository: &str) {
        self.shared.mended.lock().expect("no panic").insert(repository.to_owned());
        self.shared.change.notify_all();
    }

    /// Makes a repository bad again.
    pub(crate) fn spoil(&self, repository: &str) {
        self.shared.mended.lock().expect("no panic").remove(repository);
    }
}

/// A response: status line, headers of its own, body.
struct Response(&'static str, Vec<String>, Vec<u8>);

impl Response {
    fn error(status: &'static str, code: &str, message: &str) -> Self {
        let body = json!({"errors": [{"code": code, "message": message}]});
        Self(status, vec!["Content-Type: application/json".into()], body.to_string().into_bytes())
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream, address: SocketAddr) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let request = lines.next().transpose()?.unwrap_or_default();
        let mut has_token = false;
        for line in lines.map_while(Result::ok).take_while(|line| !line.is_empty()) {
            has_token |= line.to_ascii_lowercase().starts_with("authorization: bearer");
        }
        let mut words = request.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let Response(status, headers, body) = self.answer(path, has_token, address);
        let mut head =
            format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        for header in headers {
            head += &format!("{header}\r\n");
        }
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        if method != "HEAD" {
            stream.write_all(&body)?;
        }
        Ok(())
    }

    fn answer(&self, path: &str, has_token: bool, address: SocketAddr) -> Response {
        let path = path.split('?').next().unwrap_or_default();
        if path == "/token" {
            let headers = vec!["Content-Type: application/json".into()];
            return Response("200 OK", headers, br#"{"token": "of-nobody"}"#.to_vec());
        }
        let Some((repository, rest)) = path.strip_prefix("/v2/").and_then(|path| path.split_once("/app/"))
        else {
            return Response::error("404 Not Found", "MANIFEST_UNKNOWN", "manifest unknown");
        };
        let mended = self.mended.lock().expect("no panic");
        let behaviour = match repository.strip_suffix(MENDABLE) {
            Some(_) if mended.contains(repository) => "well",
            Some(bad) => bad,
            None => repository,
        };
        match behaviour {
            "well" => self.image.answer(rest),
            "unauthorized" => {
                let mut response =
                    Response::error("401 Unauthorized", "UNAUTHORIZED", "authentication required");
                response.1.push("WWW-Authenticate: Basic realm=\"gauntlet\"".into());
                response
            }
            // As Docker's answers for a repository that is not there: whoever asks is let in, but not to this.
            "denied" => {
                let mut response = Response::error(
                    "401 Unauthorized",
                    "DENIED",
                    "requested access to the resource is denied",
                );
                let refusal = if has_token { ",error=\"insufficient_scope\"" } else { "" };
                let scope = "service=\"registry.internal\",scope=\"repository:denied/app:pull\"";
                let challenge = format!("Bearer realm=\"http://{address}/token\",{scope}{refusal}");
                response.1.push(format!("WWW-Authenticate: {challenge}"));
                response
            }
            "other-platform" => Image::index(rest),
            "too-many-requests" => {
                let mut response =
                    Response::error("429 Too Many Requests", "TOOMANYREQUESTS", "pull rate limit exceeded");
                response.1.push("Retry-After: 5".into());
                response
            }
            "broken" => Response("500 Internal Server Error", Vec::new(), b"the disk is full\n".to_vec()),
            "hangs" => {
                let is_bad = |mended: &mut BTreeSet<String>| !mended.contains(repository);
                drop(self.change.wait_while(mended, is_bad).expect("no panic"));
                self.image.answer(rest)
            }
            _ => {
                Response("404 Not Found", vec!["Content-Type: text/plain".into()], b"no such page\n".to_vec())
            }
        }
    }
}

/// A tiny image: busybox, asleep.
struct Image {
    manifest: Vec<u8>,
    config: Vec<u8>,
    layer: Vec<u8>,
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

impl Image {
    fn make() -> Self {
        let layer = layer();
        let config = json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux",
            "config": {"Entrypoint": ["/busybox", "sleep", "3600"]},
            "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
        });
        let config = config.to_string().into_bytes();
        let part = |kind: &str, bytes: &[u8]| {
            let kind = format!("application/vnd.oci.image.{kind}");
            json!({"mediaType": kind, "digest": digest(bytes), "size": bytes.len()})
        };
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": part("config.v1+json", &config),
            "layers": [part("layer.v1.tar", &layer)],
        });
        Self { manifest: manifest.to_string().into_bytes(), config, layer }
    }

    fn answer(&self, rest: &str) -> Response {
        let (kind, name) = rest.split_once('/').unwrap_or_default();
        if kind == "manifests" && (name == "1" || name == digest(&self.manifest)) {
            return manifest(MANIFEST, self.manifest.clone());
        }
        match [&self.config, &self.layer].into_iter().find(|blob| digest(blob) == name) {
            Some(blob) => Response("200 OK", Vec::new(), blob.clone()),
            None => Response::error("404 Not Found", "MANIFEST_UNKNOWN", "manifest unknown"),
        }
    }

    /// An image for machines of which this is none.
    fn index(rest: &str) -> Response {
        const INDEX: &str = "application/vnd.oci.image.index.v1+json";
        let elsewhere = json!({
            "mediaType": MANIFEST,
            "digest": digest(b"elsewhere"),
            "size": 1000,
            "platform": {"os": "linux", "architecture": "s390x"},
        });
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [elsewhere]});
        let index = index.to_string().into_bytes();
        let name = rest.strip_prefix("manifests/").unwrap_or_default();
        if name == "1" || name == digest(&index) {
            return manifest(INDEX, index);
        }
        Response::error("404 Not Found", "MANIFEST_UNKNOWN", "manifest unknown")
    }
}

fn manifest(media_type: &str, bytes: Vec<u8>) -> Response {
    let digest = format!("Docker-Content-Digest: {}", digest(&bytes));
    Response("200 OK", vec![format!("Content-Type: {media_type}"), digest], bytes)
}

/// A layer with the machine's static busybox, which the nodes' own images are made of, too.
fn layer() -> Vec<u8> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&folders).map(|folder| folder.join("busybox"));
    let program = places.find(|place| place.exists()).expect("busybox");
    let program = std::fs::read(program).expect("readable");
    let mut header = tar::Header::new_gnu();
    header.set_size(program.len() as u64);
    header.set_mode(0o755);
    let mut layer = tar::Builder::new(Vec::new());
    layer.append_data(&mut header, "busybox", &program[..]).expect("written");
    layer.into_inner().expect("written")
}

fn digest(bytes: &[u8]) -> String {
    let digest: Vec<_> = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{}", digest.concat())
}
