//! Certificates for tests: an authority, and what it issues.

use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};

/// Signs certificates. Its own is made anew for each.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    cert_pem: String,
}

/// A certificate with its key.
pub struct Certificate {
    /// PEM, the certificate alone.
    pub cert_pem: String,
    /// PEM, its key.
    pub key_pem: String,
}

impl Authority {
    /// A new one, which nobody trusts yet.
    pub fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Authority { issuer: Issuer::new(params, key), cert_pem: certificate.pem() }
    }

    /// PEM, what those have to trust that meet its certificates.
    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    /// A certificate for servers and clients: the first name is the common name, too. Names may be IP addresses.
    pub fn issue(&self, names: &[&str]) -> Certificate {
        self.sign(CertificateParams::default(), names)
    }

    /// As [`issue`](Self::issue), of a time that has passed.
    pub fn issue_expired(&self, names: &[&str]) -> Certificate {
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
        self.sign(params, names)
    }

    fn sign(&self, mut params: CertificateParams, names: &[&str]) -> Certificate {
        let san = |name: &&str| match name.parse::<IpAddr>() {
            Ok(ip) => SanType::IpAddress(ip),
            Err(_) => SanType::DnsName((*name).try_into().expect("a name of ASCII")),
        };
        params.subject_alt_names = names.iter().map(san).collect();
        if let Some(first) = names.first() {
            params.distinguished_name.push(DnType::CommonName, *first);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Certificate { cert_pem: certificate.pem(), key_pem: key.serialize_pem() }
    }
}

impl Default for Authority {
    fn default() -> Self {
        Authority::new()
    }
}
