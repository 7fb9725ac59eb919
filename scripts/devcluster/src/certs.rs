//! The certificates of one cluster: two authorities, and what they sign.
//! Everything is made anew for each cluster and kept in its folder; nothing is ever reused.

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// What the authority of clusters is called.
const AUTHORITY: &str = "devcluster";

/// Whom a client certificate speaks for.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// The user's name.
    pub user: &'a str,
    /// The user's group, if any.
    pub group: Option<&'a str>,
    /// Makes a certificate that was valid once, years ago.
    pub expired: bool,
}

impl<'a> Identity<'a> {
    /// The member of a group.
    #[must_use]
    pub fn in_group(user: &'a str, group: &'a str) -> Self {
        Self { user, group: Some(group), expired: false }
    }

    /// A user without any group but `system:authenticated`.
    #[must_use]
    pub fn user(user: &'a str) -> Self {
        Self { user, group: None, expired: false }
    }

    /// The cluster's administrator.
    #[must_use]
    pub fn admin() -> Self {
        Self::in_group("admin", "system:masters")
    }
}

/// A certificate and its key, as PEM text.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Pair {
    /// Writes `NAME.crt` and `NAME.key`.
    pub(crate) fn store(&self, folder: &Path, name: &str) -> Result<()> {
        fs::write(folder.join(format!("{name}.crt")), &self.certificate)?;
        write_secret(&folder.join(format!("{name}.key")), &self.key)
    }
}

/// What a server needs to speak TLS, and a client to trust it; all of it PEM.
#[derive(Clone, Debug)]
pub struct ServingCertificate {
    /// The authority that a client has to trust.
    pub authority: String,
    /// The server's certificate.
    pub certificate: String,
    /// The key to it.
    pub key: String,
}

impl ServingCertificate {
    /// Makes an authority, and by it a certificate for host names and addresses.
    ///
    /// # Errors
    /// When a name is none.
    pub fn new(names: &[&str]) -> Result<Self> {
        let (authority, issuer) = authority(AUTHORITY)?;
        let Pair { certificate, key } = server(&issuer, names)?;
        Ok(Self { authority, certificate, key })
    }
}

/// The files of a cluster's certificates.
pub(crate) struct Pki {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    pub(crate) authority: String,
}

impl Pki {
    /// Makes the authorities and every certificate that the control plane needs.
    pub(crate) fn create(folder: &Path, names: &[&str]) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let (authority, issuer) = authority(AUTHORITY)?;
        let (front_authority, front_issuer) = authority_of_the_front_proxy()?;
        let pki = Self { folder: folder.to_owned(), issuer, authority };
        fs::write(pki.file("ca.crt"), &pki.authority)?;
        write_secret(&pki.file("ca.key"), &pki.issuer.key().serialize_pem())?;
        fs::write(pki.file("front-proxy-ca.crt"), front_authority)?;
        client(&front_issuer, &Identity::user("front-proxy-client"))?.store(folder, "front-proxy-client")?;
        pki.server(names)?.store(folder, "apiserver")?;
        let kubelet_client = Identity::in_group("apiserver-kubelet-client", "system:masters");
        pki.client(&kubelet_client)?.store(folder, "apiserver-kubelet-client")?;
        let accounts = KeyPair::generate()?;
        write_secret(&pki.file("service-accounts.key"), &accounts.serialize_pem())?;
        fs::write(pki.file("service-accounts.pub"), accounts.public_key_pem())?;
        Ok(pki)
    }

    /// Takes up what [`Pki::create`] has left in a folder.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))
        };
        let issuer = Issuer::new(authority_params(AUTHORITY), KeyPair::from_pem(&read("ca.key")?)?);
        Ok(Self { folder: folder.to_owned(), issuer, authority: read("ca.crt")? })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Signs a client certificate.
    pub(crate) fn client(&self, identity: &Identity<'_>) -> Result<Pair> {
        client(&self.issuer, identity)
    }

    /// Signs a server certificate for host names and addresses.
    pub(crate) fn server(&self, names: &[&str]) -> Result<Pair> {
        server(&self.issuer, names)
    }
}

fn server(issuer: &Issuer<'_, KeyPair>, names: &[&str]) -> Result<Pair> {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = leaf(CertificateParams::new(names)?, ExtendedKeyUsagePurpose::ServerAuth);
    params.distinguished_name.push(DnType::CommonName, "devcluster");
    sign(&params, issuer)
}

/// Writes a file that only its owner may read.
pub(crate) fn write_secret(path: &Path, text: &str) -> Result<()> {
    use std::io::Write as _;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("failed to write {}", path.display()))?;
    Ok(file.write_all(text.as_bytes())?)
}

/// A second authority: were it the first, every client certificate would pass for the front proxy's.
fn authority_of_the_front_proxy() -> Result<(String, Issuer<'static, KeyPair>)> {
    authority("devcluster-front-proxy")
}

fn authority(name: &str) -> Result<(String, Issuer<'static, KeyPair>)> {
    let params = authority_params(name);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), Issuer::new(params, key)))
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
    params
}

fn client(issuer: &Issuer<'_, KeyPair>, identity: &Identity<'_>) -> Result<Pair> {
    let mut params = leaf(CertificateParams::default(), ExtendedKeyUsagePurpose::ClientAuth);
    params.distinguished_name.push(DnType::CommonName, identity.user);
    if let Some(group) = identity.group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    if identity.expired {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 2, 1);
    }
    sign(&params, issuer)
}

fn leaf(mut params: CertificateParams, usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params
}

fn sign(params: &CertificateParams, issuer: &Issuer<'_, KeyPair>) -> Result<Pair> {
    let key = KeyPair::generate()?;
    let certificate = params.clone().signed_by(&key, issuer)?;
    Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
}
