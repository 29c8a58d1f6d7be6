//! Backup of keys to a file, and back.
//!
//! A file has a line of JSON for what it is, one for each key, and one for its end:
//!
//! ```text
//! {"format":"resolver-kv","version":1,"registry":"consul","prefix":"config/","revision":42,"taken_at":1700000000}
//! {"key":"config/max_position","value":"MTAwMA==","revision":17}
//! {"entries":1,"sha256":"<of every byte before this line>"}
//! ```
//!
//! Values are base64. The file is written beside its place with mode 600 and renamed, so it is whole or not there. One
//! that was cut, changed, or is of another version is refused before anything is written to a registry.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{Check, Entry, Kv, KvError, Op, Outcome};

/// The format's version, which a file begins with.
pub const VERSION: u32 = 1;
const FORMAT: &str = "resolver-kv";

/// The keys below a prefix as of one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Where it is from.
    pub head: Head,
    /// Sorted by key.
    pub entries: Vec<Entry>,
}

/// What a backup is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    format: String,
    version: u32,
    /// `consul` or `etcd`.
    pub registry: String,
    /// What was listed.
    pub prefix: String,
    /// As [`Listing::revision`](super::Listing::revision).
    pub revision: u64,
    /// Seconds since 1970, by the clock of the host that took it.
    pub taken_at: u64,
}

/// Why a backup was not taken, written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The registry.
    #[error(transparent)]
    Kv(#[from] KvError),
    /// A key that cannot be read would be missing.
    #[error("not taken: {key:?} would be missing: {why}")]
    Incomplete {
        /// The first such key.
        key: String,
        /// Why it was not read.
        why: String,
    },
    /// The file.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file is no backup, or not all of one.
    #[error("{} is refused, and nothing is restored: {why}", path.display())]
    Corrupt {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// How a key that is there already is treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// It stays; a key is written only if there is none, by compare-and-set.
    #[default]
    Keep,
    /// It is overwritten.
    Overwrite,
}

/// What became of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was written, or would be in a dry run.
    Written,
    /// It has this very value already.
    Same,
    /// It has another value, which stays.
    Differs,
    /// It went with a lease or session, and would stay for ever now.
    Leased,
    /// It could not be written, and why.
    Failed(KvError),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    key: String,
    value: String,
    revision: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    flags: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    leased: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    entries: usize,
    sha256: String,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Backup {
    /// Takes one of all keys below a prefix. `registry` is `consul` or `etcd`, for who reads the file.
    ///
    /// # Errors
    ///
    /// [`BackupError::Kv`] and [`BackupError::Incomplete`]: one that lacks a key is none.
    pub async fn take(kv: &dyn Kv, registry: &str, prefix: &str) -> Result<Self, BackupError> {
        let listing = kv.list(prefix).await?;
        if let Some(refused) = listing.refused.into_iter().next() {
            return Err(BackupError::Incomplete { key: refused.key, why: refused.why });
        }
        let taken_at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let head = Head {
            format: FORMAT.into(),
            version: VERSION,
            registry: registry.into(),
            prefix: prefix.into(),
            revision: listing.revision,
            taken_at,
        };
        Ok(Backup { head, entries: listing.entries })
    }

    /// Writes the file, in place of any that is there.
    ///
    /// # Errors
    ///
    /// [`BackupError::Io`]; what was there before is still there then.
    pub fn write(&self, path: &Path) -> Result<(), BackupError> {
        let beside = path.with_added_extension(format!("new-{}", std::process::id()));
        let written = self.write_beside(&beside).and_then(|()| fs::rename(&beside, path));
        let synced = written.and_then(|()| {
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
        });
        synced.map_err(|error| {
            // It may not be there, which is as good.
            let _ = fs::remove_file(&beside);
            BackupError::Io { path: path.into(), error }
        })
    }

    fn write_beside(&self, path: &Path) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(&self.to_bytes()?)?;
        file.sync_all()
    }

    fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec(&self.head)?;
        bytes.push(b'\n');
        for Entry { key, value, revision, flags, leased } in &self.entries {
            let line = Line {
                key: key.clone(),
                value: STANDARD.encode(value),
                revision: *revision,
                flags: *flags,
                leased: *leased,
            };
            serde_json::to_writer(&mut bytes, &line)?;
            bytes.push(b'\n');
        }
        let end = End { entries: self.entries.len(), sha256: sha256(&bytes) };
        serde_json::to_writer(&mut bytes, &end)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads a file, all of it, and checks it.
    ///
    /// # Errors
    ///
    /// [`BackupError::Io`] and [`BackupError::Corrupt`].
    pub fn read(path: &Path) -> Result<Self, BackupError> {
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|mut file| file.read_to_end(&mut bytes));
        read.map_err(|error| BackupError::Io { path: path.into(), error })?;
        Self::from_bytes(&bytes).map_err(|why| BackupError::Corrupt { path: path.into(), why })
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let head: Head = serde_json::from_slice(first).map_err(|_| "it does not begin as a backup does")?;
        if head.format != FORMAT {
            return Err(format!("it is a {:?}", head.format));
        }
        if head.version != VERSION {
            return Err(format!("it is of version {}, and this program reads {VERSION}", head.version));
        }
        let whole = bytes.strip_suffix(b"\n").ok_or("its end is missing")?;
        let end_at = whole.iter().rposition(|byte| *byte == b'\n').ok_or("its end is missing")? + 1;
        let (body, end) = (&bytes[..end_at], &whole[end_at..]);
        let end: End = serde_json::from_slice(end).map_err(|_| "its end is missing")?;
        if sha256(body) != end.sha256 {
            return Err("its checksum is another one: it was changed".into());
        }
        let entry = |line: &[u8]| {
            let line: Line = serde_json::from_slice(line).map_err(|error| error.to_string())?;
            let value = STANDARD.decode(line.value).map_err(|error| error.to_string())?;
            let Line { key, revision, flags, leased, .. } = line;
            Ok(Entry { key, value, revision, flags, leased })
        };
        let lines = body.split(|byte| *byte == b'\n').skip(1).filter(|line| !line.is_empty());
        let entries = lines.map(entry).collect::<Result<Vec<_>, String>>()?;
        match entries.len() == end.entries {
            true => Ok(Backup { head, entries }),
            false => Err(format!("it has {} keys of {}", entries.len(), end.entries)),
        }
    }

    /// Writes the keys below `prefix` to a registry, one after the other, and calls back with what became of each.
    /// A dry run writes nothing.
    pub async fn restore(
        &self,
        kv: &dyn Kv,
        prefix: &str,
        existing: Existing,
        dry_run: bool,
        mut told: impl FnMut(&str, &Fate),
    ) {
        for entry in self.entries.iter().filter(|entry| entry.key.starts_with(prefix)) {
            let fate = restore_one(kv, entry, existing, dry_run).await.unwrap_or_else(Fate::Failed);
            told(&entry.key, &fate);
        }
    }
}

async fn restore_one(kv: &dyn Kv, entry: &Entry, existing: Existing, dry_run: bool) -> Result<Fate, KvError> {
    if entry.leased {
        return Ok(Fate::Leased);
    }
    let revision = match kv.get(&entry.key).await? {
        Some(now) if (&now.value, now.flags) == (&entry.value, entry.flags) => return Ok(Fate::Same),
        Some(_) if existing == Existing::Keep => return Ok(Fate::Differs),
        Some(now) => now.revision,
        None => 0,
    };
    if dry_run {
        kv.check_key(&entry.key)?;
        return Ok(Fate::Written);
    }
    let Entry { key, value, flags, .. } = entry.clone();
    let put = [Op::Put { key, value, flags, lease: None }];
    let checks = [Check::of(&entry.key, revision)];
    let checks: &[Check] = if existing == Existing::Keep { &checks } else { &[] };
    match kv.txn(checks, &put).await? {
        Outcome::Done { .. } => Ok(Fate::Written),
        Outcome::Conflict { .. } => Ok(Fate::Differs),
    }
}

fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn backup() -> Backup {
        let head = Head {
            format: FORMAT.into(),
            version: VERSION,
            registry: "etcd".into(),
            prefix: "config/".into(),
            revision: 42,
            taken_at: 1_700_000_000,
        };
        let entry = |key: &str, value: &[u8], leased| Entry {
            key: key.into(),
            value: value.into(),
            revision: 7,
            flags: 3,
            leased,
        };
        let entries = vec![entry("config/a", b"\xff\0\n", false), entry("config/b", b"", true)];
        Backup { head, entries }
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("kv.backup");
        fs::write(&path, "an older one").expect("a file");
        backup().write(&path).expect("written");
        assert_eq!(Backup::read(&path).expect("whole"), backup());
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).expect("ours").count(), 1, "nothing is left beside it");
    }

    #[test]
    fn every_cut_and_every_changed_bit_is_refused() {
        let bytes = backup().to_bytes().expect("bytes");
        assert!(Backup::from_bytes(&bytes).is_ok());
        for length in 0..bytes.len() {
            assert!(Backup::from_bytes(&bytes[..length]).is_err(), "cut to {length} bytes");
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let read = Backup::from_bytes(&changed);
            assert!(read.is_err(), "byte {at} was changed: {read:?}");
        }
    }

    #[test]
    fn another_version_is_refused_by_name() {
        let mut other = backup();
        other.head.version = 2;
        let why = Backup::from_bytes(&other.to_bytes().expect("bytes")).expect_err("refused");
        assert!(why.contains("version 2"), "{why}");
    }
}
