//! TLS to the agents: whom to believe, under which name, and what to show of oneself.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use zeroize::Zeroizing;

use super::choice::TlsConfig;

/// Reads the files and makes of them what a connection needs.
///
/// # Errors
///
/// Words that name the file and what is wrong with it; never what it holds.
pub(super) fn load(tls: &TlsConfig) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&tls.ca_file)? {
        let wrong = |error| format!("{} holds no authority's certificate: {error}", tls.ca_file.display());
        roots.add(certificate).map_err(wrong)?;
    }
    let verifier = verifier(roots, tls.server_name.as_deref(), &provider)
        .map_err(|error| format!("{}: {error}", tls.ca_file.display()))?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let (Some(certificate), Some(key)) = (&tls.cert_file, &tls.key_file) else {
        return Ok(builder.with_no_client_auth());
    };
    let (chain, private) = (certificates(certificate)?, private_key(key)?);
    builder.with_client_auth_cert(chain, private).map_err(|error| {
        format!("{} and {} do not belong together: {error}", certificate.display(), key.display())
    })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong =
        |error: &dyn std::fmt::Display| format!("cannot read certificates from {}: {error}", path.display());
    let pem = read(path, 0).map_err(|error| wrong(&error))?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let all = all.map_err(|error| wrong(&error))?;
    if all.is_empty() { Err(wrong(&"there is none in it, as PEM")) } else { Ok(all) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let pem =
        read(path, 0o077).map_err(|error| format!("cannot read the key {}: {error}", path.display()))?;
    // The parser's words are left out: they might quote what it read.
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| format!("{} holds no private key, as PEM", path.display()))
}

/// A regular file of moderate size whose mode has none of these bits.
fn read(path: &Path, forbidden: u32) -> Result<Zeroizing<Vec<u8>>, String> {
    // The opened file is judged, not its name: so it cannot be exchanged in between.
    let file = File::open(path).map_err(|error| error.to_string())?;
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    if !metadata.is_file() || metadata.len() > LIMIT {
        return Err(format!("it is no regular file of at most {LIMIT} bytes"));
    }
    if metadata.mode() & forbidden != 0 {
        return Err(format!("its mode is {:03o}; run `chmod 600` on it", metadata.mode() & 0o777));
    }
    // Room for all of it from the start: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LIMIT as usize));
    file.take(LIMIT).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

fn verifier(
    roots: RootCertStore,
    name: Option<&str>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let usual = usual.build().map_err(|error| error.to_string())?;
    match name {
        None => Ok(usual),
        Some(name) => {
            let name = ServerName::try_from(name.to_owned());
            let name = name.map_err(|_| "server_name is no name that a certificate can have".to_owned())?;
            Ok(Arc::new(Named { name, usual }))
        }
    }
}

/// The usual checks, under another name than the address's: agents are asked at addresses that no certificate has.
#[derive(Debug)]
struct Named {
    name: ServerName<'static>,
    usual: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.usual.verify_server_cert(own, chain, &self.name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

/// No file of certificates is larger.
const LIMIT: u64 = 1 << 20;
