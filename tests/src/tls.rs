//! Certificates of a test, in files.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::certificates::{Authority, Certificate};

/// An authority that nobody else knows, and a directory with what it issues: `ca.pem`, and `NAME.pem` with `NAME.key`.
pub struct Tls {
    authority: Authority,
    dir: PathBuf,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tls({})", self.dir.display())
    }
}

impl Tls {
    /// A new authority, with its files in this directory.
    ///
    /// # Panics
    ///
    /// Here as elsewhere, if a file cannot be written.
    pub fn new(dir: &Path) -> Tls {
        let tls = Tls { authority: Authority::new(), dir: dir.to_owned() };
        write(&tls.ca(), tls.authority.cert_pem());
        tls
    }

    /// Issues a certificate, in place of one of this name.
    pub fn issue(&self, name: &str, names: &[String]) {
        self.put(name, &self.authority.issue(&names.iter().map(String::as_str).collect::<Vec<_>>()));
    }

    /// As [`issue`](Self::issue), of a time that has passed.
    pub fn issue_expired(&self, name: &str, names: &[String]) {
        self.put(name, &self.authority.issue_expired(&names.iter().map(String::as_str).collect::<Vec<_>>()));
    }

    /// A certificate of this name and for it, from another authority, which nobody trusts.
    pub fn issue_strange(&self, name: &str) {
        let stranger = Authority::new();
        write(&self.cert(&format!("{name}-ca")), stranger.cert_pem());
        self.put(name, &stranger.issue(&[name]));
    }

    /// What everybody trusts.
    pub fn ca(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// A certificate's file.
    pub fn cert(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.pem"))
    }

    /// A key's file.
    pub fn key(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.key"))
    }

    /// The files of a client with this certificate.
    pub fn files(&self, name: &str) -> [PathBuf; 3] {
        [self.ca(), self.cert(name), self.key(name)]
    }

    /// The settings of a source of ours with this certificate.
    pub fn settings(&self, name: &str) -> String {
        format!(
            "ca_file = \"{}\"\ncert_file = \"{}\"\nkey_file = \"{}\"\n",
            self.ca().display(),
            self.cert(name).display(),
            self.key(name).display()
        )
    }

    fn put(&self, name: &str, certificate: &Certificate) {
        // The key first: a certificate with another's key is refused, and read again at the next connection.
        write(&self.key(name), &certificate.key_pem);
        write(&self.cert(name), &certificate.cert_pem);
    }
}

/// Beside, and renamed: nobody reads half of it.
fn write(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text).expect("a file in the test's own directory");
    std::fs::set_permissions(&beside, PermissionsExt::from_mode(0o600)).expect("our own file");
    std::fs::rename(&beside, path).expect("a file in the test's own directory");
}
