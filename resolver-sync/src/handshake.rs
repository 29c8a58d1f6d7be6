//! What a TLS connection failed by, and which file mends it: the same words for each registry.

use std::path::Path;

/// What the configuration says of TLS, as far as it may be named.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shown<'a> {
    /// The authorities that are believed; the system's where there is none.
    pub(crate) ca_file: Option<&'a Path>,
    /// Our own certificate.
    pub(crate) cert_file: Option<&'a Path>,
    /// The name that is asked for, where it is not the address's.
    pub(crate) server_name: Option<&'a str>,
}

impl Shown<'_> {
    /// What to do, by the words of an error on a connection with TLS; none where they are not about that.
    pub(crate) fn advice(&self, words: &str) -> Option<String> {
        let says = |some: &[&str]| some.iter().any(|one| words.contains(one));
        // What we do not believe.
        if says(&["invalid peer certificate"]) {
            return Some(if says(&["not valid for name"]) {
                let asked = self.server_name.map_or("the address's host".into(), |name| format!("{name:?}"));
                format!("the server's certificate is not for {asked}: check server_name, or the address")
            } else if says(&["expired", "Expired"]) {
                "the server's own certificate has expired: renew it there, or check this host's clock".into()
            } else {
                let authority = match self.ca_file {
                    Some(file) => format!("in {}", file.display()),
                    None => "among the system's".into(),
                };
                format!("no authority {authority} vouches for the server's certificate: check ca_file")
            });
        }
        // What the other side does not believe. Older servers say no more than that it is bad.
        if says(&["received fatal alert"]) && says(&REFUSALS) {
            return Some(match self.cert_file {
                Some(file) => format!(
                    "the server does not take our certificate {}: renew it if it has expired, or have an authority \
                     sign it that the server knows; check cert_file",
                    file.display()
                ),
                None => "the server wants a certificate of ours: set cert_file and key_file".into(),
            });
        }
        if says(&["InvalidContentType"]) {
            return Some("what answers there speaks no TLS: check the port, or write http://".into());
        }
        None
    }

    /// The same of a connection that ended before anything came: the server's alert may be overtaken by its end.
    pub(crate) fn advice_at_start(&self, words: &str) -> Option<String> {
        let ended = || ENDS.iter().any(|end| words.contains(end));
        self.advice(words).or_else(|| {
            ended().then(|| match self.cert_file {
                Some(file) => {
                    format!("so a server ends what shows a certificate it does not take: check cert_file {}", file.display())
                }
                None => "so a server ends what shows no certificate where it wants one: set cert_file and key_file".into(),
            })
        })
    }
}

/// A connection's end, in the words of the system and of our clients.
const ENDS: [&str; 3] = ["connection closed", "onnection reset", "roken pipe"];
/// The alerts of a server that looked at our certificate, or at the lack of one.
const REFUSALS: [&str; 8] = [
    "CertificateRequired",
    "BadCertificate",
    "CertificateExpired",
    "CertificateRevoked",
    "CertificateUnknown",
    "UnsupportedCertificate",
    "UnknownCA",
    "AccessDenied",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_names_the_file_that_is_at_fault() {
        let (ca, cert) = (Path::new("/etc/ca.pem"), Path::new("/etc/own.pem"));
        let all = Shown { ca_file: Some(ca), cert_file: Some(cert), server_name: Some("server.dc1.consul") };
        for (shown, words, advice) in [
            (all, "invalid peer certificate: UnknownIssuer", "/etc/ca.pem"),
            (Shown::default(), "invalid peer certificate: UnknownIssuer", "the system's"),
            (all, "invalid peer certificate: certificate expired: verified at", "renew it there"),
            (all, "invalid peer certificate: certificate not valid for name \"a\"", "server.dc1.consul"),
            (all, "received fatal alert: BadCertificate", "/etc/own.pem"),
            (Shown::default(), "received fatal alert: CertificateRequired", "set cert_file"),
            (all, "received corrupt message of type InvalidContentType", "no TLS"),
        ] {
            let said = shown.advice(words).unwrap_or_default();
            assert!(said.contains(advice), "{words}: {said:?}");
        }
        let ended = all.advice_at_start("transport error: connection closed").unwrap_or_default();
        assert!(ended.contains("/etc/own.pem"), "{ended}");
        assert_eq!(all.advice("connection closed"), None, "it may be anything, later on");
        for other in ["connection refused", "received fatal alert: ProtocolVersion", ""] {
            assert_eq!(all.advice(other), None, "{other}");
        }
    }
}
