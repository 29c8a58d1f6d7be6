//! Who we are to a cluster with authentication.
//!
//! A password in a file is read again at a connection, if the file has changed: and where a cluster refuses us and the file
//! has changed since it was read, the connection is given up for a new one. What cannot be read is named once and leaves
//! the last good password in place.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::secret::{Secret, Stamp, stamp};

use super::{EtcdConfig, EtcdError};

/// A user, and the password as it is now.
#[derive(Debug)]
pub(super) struct Login {
    /// The source's name, for the log.
    source: String,
    user: String,
    file: Option<PathBuf>,
    now: Mutex<Now>,
}

#[derive(Debug)]
struct Now {
    password: Secret,
    stamp: Option<Stamp>,
}

impl Login {
    /// None where there is no user.
    pub(super) fn new(config: &EtcdConfig) -> Result<Option<Self>, EtcdError> {
        let (user, file) = (config.user.as_deref(), config.password_file.as_deref());
        // Before the file is read: what changes meanwhile is seen as a change.
        let stamp = file.and_then(stamp);
        let (user, password) = match (user, &config.password, file) {
            (None, None, None) => return Ok(None),
            (Some(_), Some(_), Some(_)) => return Err(EtcdError::TwoPasswords),
            (Some(user), Some(password), None) => (user, password.clone()),
            (Some(user), None, Some(file)) => (user, read(file).map_err(EtcdError::Password)?),
            _ => return Err(EtcdError::HalfUser),
        };
        let (source, user) = (config.name.clone(), user.to_owned());
        Ok(Some(Login {
            source,
            user,
            file: file.map(Path::to_owned),
            now: Mutex::new(Now { password, stamp }),
        }))
    }

    pub(super) fn user(&self) -> &str {
        &self.user
    }

    /// The password that the file has now.
    pub(super) fn password(&self) -> Secret {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &self.file {
            let stamp = stamp(file);
            if stamp != now.stamp {
                now.stamp = stamp;
                match read(file) {
                    Ok(password) => {
                        now.password = password;
                        tracing::info!(source = self.source, file = %file.display(), "took the new password");
                    }
                    Err(why) => tracing::error!(source = self.source, "the last password stays: {why}"),
                }
            }
        }
        now.password.clone()
    }

    /// Whether the file is another than the one that was read.
    pub(super) fn has_changed(&self) -> bool {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        self.file.as_deref().is_some_and(|file| stamp(file) != now.stamp)
    }
}

fn read(file: &Path) -> Result<Secret, String> {
    Secret::from_file(file).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn write(path: &Path, content: &str) {
        fs::write(path, content).expect("write");
        fs::set_permissions(path, Permissions::from_mode(0o600)).expect("chmod");
    }

    fn of(file: &Path) -> Result<Option<Login>, EtcdError> {
        let (user, password_file) = (Some("u".into()), Some(file.to_owned()));
        Login::new(&EtcdConfig { user, password_file, ..EtcdConfig::default() })
    }

    #[test]
    fn a_password_is_read_again_when_its_file_changed_and_kept_when_it_went_bad() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("password");
        assert!(of(&file).expect_err("none").to_string().contains("cannot read"));
        write(&file, "canary-1\n");
        let login = of(&file).expect("good").expect("a user");
        assert_eq!((login.password().expose(), login.has_changed()), ("canary-1", false));
        write(&dir.path().join("next"), "canary-2\n");
        fs::rename(dir.path().join("next"), &file).expect("rename");
        assert!(login.has_changed());
        assert_eq!((login.password().expose(), login.has_changed()), ("canary-2", false));
        for bad in ["", "two\nlines"] {
            write(&file, bad);
            assert_eq!(login.password().expose(), "canary-2");
        }
        fs::remove_file(&file).expect("removed");
        assert_eq!(login.password().expose(), "canary-2");
        write(&file, "canary-3");
        assert_eq!(login.password().expose(), "canary-3");
        assert!(!format!("{login:?}").contains("canary"), "{login:?}");
    }

    #[test]
    fn one_password_and_one_user_or_none_of_both() {
        let login = |user: bool, password: bool, file: bool| {
            Login::new(&EtcdConfig {
                user: user.then(|| "u".into()),
                password: password.then(|| Secret::new("canary")),
                password_file: file.then(|| "/none".into()),
                ..EtcdConfig::default()
            })
        };
        assert!(login(false, false, false).expect("nobody").is_none());
        assert!(login(true, true, false).expect("somebody").is_some());
        for (user, password, file) in [(true, false, false), (false, true, false), (false, false, true)] {
            assert_eq!(login(user, password, file).expect_err("half"), EtcdError::HalfUser);
        }
        assert_eq!(login(true, true, true).expect_err("two"), EtcdError::TwoPasswords);
    }
}
