//! Our own binary, as a user runs it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Process, output_within};
use crate::scratch;
use crate::servers;
use crate::wait::try_until;

/// For one call of the command line, which waits for a beat of the agent at most.
const CALL: Duration = Duration::from_secs(20);

/// What stands for one host: a segment's path of its own, a directory for configuration, and the commands on them.
#[derive(Debug)]
pub struct Host {
    binary: PathBuf,
    segment: TempDir,
    dir: TempDir,
}

/// A command that ran to its end.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Ran {
    /// Its standard output as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or(Value::Null)
    }
}

impl Host {
    /// A host without a segment yet.
    ///
    /// # Panics
    ///
    /// If there is no `resolver` binary, or one older than the sources (with what to do).
    #[track_caller]
    pub fn new() -> Host {
        Host::with_binary(servers::resolver())
    }

    /// A host with another binary than the one just built: an older release, a wrapper.
    pub fn with_binary(binary: PathBuf) -> Host {
        Host { binary, segment: scratch::in_memory(), dir: scratch::on_disk() }
    }

    /// The program that its commands run.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Where its segment is, once an agent has made it.
    pub fn segment(&self) -> PathBuf {
        self.segment.path().join("main.seg")
    }

    /// A directory for the test's own files (a file source, a token), removed with the host.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Starts `resolver agent` with this configuration. A `[segment]` with the host's path is put in front unless there
    /// is one. Nothing is waited for: see [`until`](Self::until).
    #[track_caller]
    pub fn agent(&self, config: &str) -> Process {
        let file = self.configuration(config);
        self.start(&["agent", "--config", &file.display().to_string()])
    }

    /// Writes the configuration file that [`agent`](Self::agent) uses, for a test that starts the agent in its own way
    /// or changes the file under it.
    #[track_caller]
    pub fn configuration(&self, config: &str) -> PathBuf {
        let file = self.dir.path().join("agent.toml");
        let segment = match config.lines().any(|line| line.trim() == "[segment]") {
            true => String::new(),
            false => format!("[segment]\npath = \"{}\"\n\n", self.segment().display()),
        };
        if let Err(e) = std::fs::write(&file, segment + config) {
            panic!("{}: {e}", file.display());
        }
        file
    }

    /// Starts `resolver` with these arguments, to run until it is dropped.
    #[track_caller]
    pub fn start(&self, args: &[&str]) -> Process {
        Process::start(args.first().unwrap_or(&"resolver"), &self.binary, args, self.dir.path())
    }

    /// Runs `resolver` with these arguments to its end.
    ///
    /// # Panics
    ///
    /// If it does not end within 20 s.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Ran {
        let owned: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        match output_within(&self.binary, &owned, b"", CALL) {
            Ok(output) => Ran {
                code: output.status.code(),
                stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            },
            Err(e) => panic!("resolver {}: {e}", args.join(" ")),
        }
    }

    /// `resolver get NAME --json` on the host's segment.
    #[track_caller]
    pub fn get(&self, name: &str) -> Ran {
        self.run(&["get", name, "--json", "--segment", &self.segment().display().to_string()])
    }

    /// `resolver list --json` on the host's segment.
    #[track_caller]
    pub fn list(&self) -> Ran {
        self.run(&["list", "--json", "--segment", &self.segment().display().to_string()])
    }

    /// `resolver sources --json` on the host's segment.
    #[track_caller]
    pub fn sources(&self) -> Ran {
        self.run(&["sources", "--json", "--segment", &self.segment().display().to_string()])
    }

    /// Starts `resolver watch NAME --json`; [`Process::stdout`] has a line for each change so far.
    #[track_caller]
    pub fn watch(&self, name: &str) -> Process {
        self.start(&["watch", name, "--json", "--segment", &self.segment().display().to_string()])
    }

    /// Asks `get NAME` until `condition` holds for what came, and returns that.
    ///
    /// # Panics
    ///
    /// At the deadline, with the last answer.
    #[track_caller]
    pub fn until(&self, name: &str, what: &str, deadline: Duration, condition: impl Fn(&Ran) -> bool) -> Ran {
        let found = try_until(deadline, || {
            let got = self.get(name);
            if condition(&got) { Ok(got) } else { Err(got) }
        });
        match found {
            Ok(got) => got,
            Err(Ran { code, stdout, stderr }) => panic!(
                "not within {deadline:?}: `{name}` {what}; the last `resolver get` ended with {code:?} and said\n\
                 {stdout}{stderr}"
            ),
        }
    }
}

impl Default for Host {
    fn default() -> Self {
        Host::new()
    }
}
