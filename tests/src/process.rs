//! A process that ends with the test.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::wait::try_until;

/// How much of the end of each log a failure shows.
const TAIL_BYTES: u64 = 16 * 1024;
const TAIL_LINES: usize = 40;

/// A process with its output in files, ended on drop. All methods take `&self`, so threads can share it.
#[derive(Debug)]
pub struct Process {
    name: String,
    program: PathBuf,
    args: Vec<String>,
    out: PathBuf,
    err: PathBuf,
    /// None once it was waited for.
    child: Mutex<Option<Child>>,
}

impl Process {
    /// Starts `program`; its output goes to `NAME-N.out` and `NAME-N.err` in `dir`.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    #[track_caller]
    pub fn start(name: &str, program: &Path, args: &[&str], dir: &Path) -> Process {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let process = Process {
            name: name.to_owned(),
            program: program.to_owned(),
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            out: dir.join(format!("{name}-{count}.out")),
            err: dir.join(format!("{name}-{count}.err")),
            child: Mutex::new(None),
        };
        process.start_again();
        process
    }

    /// Starts it again with the same arguments, its output after the old. It must have ended.
    ///
    /// # Panics
    ///
    /// If it still runs, or cannot be started.
    #[track_caller]
    pub fn start_again(&self) {
        assert!(!self.is_running(), "{} still runs: kill it before it is started again", self.name);
        let open = |path: &Path| match OpenOptions::new().create(true).append(true).open(path) {
            Ok(file) => file,
            Err(e) => panic!("{}: {e}", path.display()),
        };
        let mut command = tied_to_us(&self.program);
        command.args(&self.args).stdin(Stdio::null()).stdout(open(&self.out)).stderr(open(&self.err));
        match spawn(command) {
            Ok(child) => *self.child() = Some(child),
            Err(e) => panic!("{} cannot be started from {}: {e}", self.name, self.program.display()),
        }
    }

    /// Its process id.
    ///
    /// # Panics
    ///
    /// If it has ended and was waited for.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        match &*self.child() {
            Some(child) => child.id(),
            None => panic!("{} does not run", self.name),
        }
    }

    /// Whether it runs (a stopped one does).
    pub fn is_running(&self) -> bool {
        let mut child = self.child();
        let runs = child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)));
        if !runs {
            *child = None;
        }
        runs
    }

    /// SIGKILL, and waits for its end. Nothing happens if it has ended already.
    pub fn kill(&self) {
        if let Some(mut child) = self.child().take() {
            // Fails only if it has ended, which is what we want.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGSTOP, and waits until it stands still: connections stay open, nothing answers.
    #[track_caller]
    pub fn stop(&self) {
        self.signal(Signal::STOP);
        let stopped = || if state(self.pid()) == Some('T') { Ok(()) } else { Err(()) };
        assert!(
            try_until(Duration::from_secs(5), stopped).is_ok(),
            "{} does not stop{}",
            self.name,
            self.logs()
        );
    }

    /// SIGCONT.
    #[track_caller]
    pub fn cont(&self) {
        self.signal(Signal::CONT);
    }

    /// SIGTERM, and waits for its end.
    ///
    /// # Panics
    ///
    /// If it still runs at the deadline.
    #[track_caller]
    pub fn terminate(&self, deadline: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        self.exit(deadline)
    }

    /// Waits for its own end.
    ///
    /// # Panics
    ///
    /// If it still runs at the deadline.
    #[track_caller]
    pub fn exit(&self, deadline: Duration) -> ExitStatus {
        let ended = || match self.child().as_mut().map(Child::try_wait) {
            Some(Ok(Some(status))) => Ok(status),
            Some(Ok(None)) => Err("it still runs".to_owned()),
            Some(Err(e)) => Err(e.to_string()),
            None => Err("it was ended before".to_owned()),
        };
        let status = try_until(deadline, ended);
        match status {
            Ok(status) => {
                *self.child() = None;
                status
            }
            Err(e) => panic!("{} has not ended by itself within {deadline:?}: {e}{}", self.name, self.logs()),
        }
    }

    /// Sends a signal.
    ///
    /// # Panics
    ///
    /// If it does not run.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process id is positive");
        if let Err(e) = kill_process(pid, signal) {
            panic!("{}: {signal:?} cannot be sent: {e}{}", self.name, self.logs());
        }
    }

    /// All that it wrote to standard output so far.
    pub fn stdout(&self) -> String {
        text(&self.out)
    }

    /// All that it wrote to standard error so far.
    pub fn stderr(&self) -> String {
        text(&self.err)
    }

    /// The end of what it wrote, for a panic's message.
    pub fn logs(&self) -> String {
        let mut logs = String::new();
        for file in [&self.out, &self.err] {
            let tail = tail(file);
            if !tail.is_empty() {
                let stream = file.extension().unwrap_or_default().to_string_lossy();
                logs.push_str(&format!("\n--- end of {}'s {stream}\n{tail}", self.name));
            }
        }
        if logs.is_empty() { format!("\n--- {} has written nothing", self.name) } else { logs }
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
        self.kill();
    }
}

/// Whether a process of this id is there and has not ended.
pub fn is_alive(pid: u32) -> bool {
    // A zombie has ended; its parent may never ask.
    !matches!(state(pid), None | Some('Z' | 'X'))
}

/// The state letter of proc_pid_stat(5).
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may hold spaces and parentheses.
    stat.rsplit_once(") ")?.1.chars().next()
}

/// The program, killed by the kernel when the thread that started it ends. Doing that ourselves needs unsafe code
/// between fork and exec; setpriv (util-linux) does it and then becomes the program. Without it a killed test process
/// leaves its servers behind; every other end is still covered by `Drop`.
fn tied_to_us(program: &Path) -> Command {
    static SETPRIV: OnceLock<bool> = OnceLock::new();
    let works = || {
        let mut check = Command::new("setpriv");
        let check = check.args(["--pdeathsig", "KILL", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
        check.status().is_ok_and(|status| status.success())
    };
    let mut command = if *SETPRIV.get_or_init(works) {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    // Each of these programs takes options from such variables; the caller's shell must not decide a test.
    for (name, _) in std::env::vars_os() {
        let owned = ["CONSUL_", "ETCD_", "ETCDCTL_", "RESOLVER_"];
        let name = name.to_string_lossy();
        // The paths of the binaries are ours and no server's: a test process that we start looks for them as we do.
        if owned.iter().any(|prefix| name.starts_with(prefix)) && !name.ends_with("_BIN") {
            command.env_remove(&*name);
        }
    }
    command
}

/// Runs a program to its end, with these bytes on its standard input.
///
/// # Errors
///
/// If it cannot be started, or still runs at the deadline (it is killed then).
pub fn output_within(
    program: &Path,
    args: &[String],
    input: &[u8],
    deadline: Duration,
) -> Result<Output, String> {
    let mut command = tied_to_us(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawn(command).map_err(|e| format!("{} cannot be started: {e}", program.display()))?;
    let pid = child.id();
    let stdin = child.stdin.take();
    let input = input.to_owned();
    // One thread writes and one reads: a program that does not read its input may still print.
    std::thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&input)));
    let (sender, output) = channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    match output.recv_timeout(deadline) {
        Ok(output) => output.map_err(|e| e.to_string()),
        Err(_) => {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                // It can have ended just now, which is as good.
                let _ = kill_process(pid, Signal::KILL);
            }
            Err(format!("it still ran after {deadline:?} and was killed"))
        }
    }
}

/// Starts it from a thread that lives as long as the process: the death of a parent's *thread* is what the kernel acts
/// on, and libtest runs each test on a thread of its own.
fn spawn(command: Command) -> io::Result<Child> {
    type Job = (Command, Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<Mutex<Sender<Job>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, jobs) = channel::<Job>();
        std::thread::spawn(move || {
            for (mut command, reply) in jobs {
                // Nobody listens any more only if that test's thread is gone; then the child ends by its drop.
                let _ = reply.send(command.spawn());
            }
        });
        Mutex::new(sender)
    });
    let (reply, answer) = channel();
    let sent = spawner.lock().unwrap_or_else(PoisonError::into_inner).send((command, reply));
    sent.map_err(|_| io::Error::other("the thread that starts processes is gone"))?;
    answer.recv().map_err(|_| io::Error::other("the thread that starts processes is gone"))?
}

fn text(file: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(file).unwrap_or_default()).into_owned()
}

fn tail(file: &Path) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(file)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::{Duration, Instant};

    use super::output_within;

    fn shell(script: &str, input: &[u8], deadline: Duration) -> Result<String, String> {
        let args = ["-c".to_owned(), script.to_owned()];
        let output = output_within(Path::new("/bin/sh"), &args, input, deadline)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    #[test]
    fn a_program_that_hangs_is_ended_at_the_deadline() {
        let start = Instant::now();
        let hung = shell("exec sleep 60", b"", Duration::from_millis(100));
        assert!(hung.as_ref().is_err_and(|e| e.contains("100ms")), "{hung:?}");
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn more_than_a_pipe_holds_goes_through_both_ways() {
        let much = vec![b'x'; 1 << 20];
        let back = shell("cat", &much, Duration::from_secs(30)).expect("cat ends");
        assert_eq!(back.len(), much.len());
    }

    #[test]
    fn variables_of_the_callers_shell_do_not_reach_the_programs() {
        // Set by `cargo xtask test`; where they are not, this shows nothing and harms nothing.
        let seen = shell("env", b"", Duration::from_secs(30)).expect("env ends");
        let names = seen.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name);
        let mut options = names
            .filter(|name| name.starts_with("CONSUL_") || name.starts_with("ETCD_"))
            .filter(|name| !name.ends_with("_BIN"));
        assert_eq!(options.next(), None, "{seen}");
    }
}
