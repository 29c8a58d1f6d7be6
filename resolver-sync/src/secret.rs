//! Tokens and passwords: never printed, wiped when dropped, read only from files that others cannot read.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// A token or a password. `Debug` prints `[redacted]`, and there is no `Display`.
///
/// ```
/// use resolver_sync::secret::Secret;
///
/// let token = Secret::new("b1gs33cr3t");
/// assert_eq!(format!("{token:?}"), "[redacted]");
/// assert_eq!(token.expose(), "b1gs33cr3t");
/// ```
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

/// Why a file with a secret was not read. No variant carries the file's content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The file cannot be opened or read.
    #[error("cannot read the secret in {path}: {source}")]
    Read {
        /// The file that was named.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Group or others may use the file.
    #[error("{path} holds a secret but has mode {mode:03o}: run `chmod 600 {path}`")]
    Mode {
        /// The file that was named.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is empty, too long, not a regular file, or not one line of printable ASCII.
    #[error("{path} must be a regular file that holds one line of printable characters, up to {limit} bytes")]
    Content {
        /// The file that was named.
        path: PathBuf,
        /// The longest secret that is read, in bytes.
        limit: u64,
    },
}

impl Secret {
    /// Takes a secret that is already in memory.
    pub fn new(value: impl Into<String>) -> Self {
        Secret(Zeroizing::new(value.into()))
    }

    /// Reads a secret from the first line of a file; white space around it is dropped.
    ///
    /// # Errors
    ///
    /// [`SecretError`] where the file cannot be read, where group or others may use it, or where it holds anything but
    /// one line of printable ASCII.
    pub fn from_file(path: &Path) -> Result<Self, SecretError> {
        let read = |source| SecretError::Read { path: path.to_owned(), source };
        // The opened file is judged, not its name: so it cannot be exchanged in between.
        let file = File::open(path).map_err(read)?;
        let metadata = file.metadata().map_err(read)?;
        let content = || SecretError::Content { path: path.to_owned(), limit: LIMIT };
        if !metadata.is_file() {
            return Err(content());
        }
        if metadata.mode() & 0o077 != 0 {
            return Err(SecretError::Mode { path: path.to_owned(), mode: metadata.mode() & 0o777 });
        }
        // Room for all of it from the start: a buffer that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(LIMIT as usize + 1));
        file.take(LIMIT + 1).read_to_string(&mut text).map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidData => content(),
            _ => read(error),
        })?;
        let value = text.trim();
        let printable = value.bytes().all(|byte| byte.is_ascii_graphic());
        if value.is_empty() || !printable || text.len() as u64 > LIMIT {
            return Err(content());
        }
        Ok(Secret::new(value))
    }

    /// The secret itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Longest secret that is read from a file, in bytes.
const LIMIT: u64 = 4096;

/// What changes whenever a file does, whether it is written in place or replaced.
pub(crate) type Stamp = (u64, u64, i64, i64, u64);

/// None where there is no such file.
pub(crate) fn stamp(file: &Path) -> Option<Stamp> {
    let metadata = file.metadata().ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec(), metadata.len()))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn written(content: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("token");
        fs::write(&path, content).expect("write");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("chmod");
        (dir, path)
    }

    #[test]
    fn a_private_file_is_read_without_its_newline() {
        let (_dir, path) = written(b"canary-1234\n", 0o600);
        assert_eq!(Secret::from_file(&path).expect("a secret").expose(), "canary-1234");
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        for mode in [0o640, 0o604, 0o620, 0o601] {
            let (_dir, path) = written(b"canary-1234\n", mode);
            let error = Secret::from_file(&path).expect_err("refused");
            assert!(matches!(error, SecretError::Mode { mode: m, .. } if m == mode), "{error}");
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn what_is_no_secret_is_refused_and_not_quoted() {
        for content in [&b""[..], b" \n", b"canary\nsecond", b"canary \x07", b"canary\xff", &[b'a'; 5000]] {
            let (_dir, path) = written(content, 0o600);
            let error = Secret::from_file(&path).expect_err("refused");
            assert!(matches!(error, SecretError::Content { .. }), "{error}");
            assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        }
    }

    #[test]
    fn a_directory_and_a_missing_file_are_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(matches!(Secret::from_file(dir.path()), Err(SecretError::Content { .. })));
        assert!(matches!(Secret::from_file(&dir.path().join("none")), Err(SecretError::Read { .. })));
    }
}
