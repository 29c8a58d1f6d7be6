//! The other process: this program again, on the other core. It answers each number by publishing one itself.

use std::io::{BufRead, BufReader};
use std::os::unix::process::parent_id;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use resolver_benches::writer::pin;

use crate::end::{BACK, End, THERE};

/// Looks in vain after which it is asked whether the other process is still there.
const LOOKS: u32 = 1 << 22;

/// The process, as the one that measures has it; it ends with this value.
pub struct Echo {
    child: Child,
}

impl Echo {
    /// Starts it; when this returns, its segment can be opened.
    pub fn start(directory: &Path, core: usize) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|e| format!("this program's path: {e}"))?;
        let mut command = Command::new(program);
        command.arg("--echo").arg(directory).arg("--other-core").arg(core.to_string());
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut echo = Echo { child: child.map_err(|e| format!("the other process: {e}"))? };
        let mut line = String::new();
        if let Some(stdout) = echo.child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(|e| format!("the other process: {e}"))?;
        }
        if line.trim() == "ready" { Ok(echo) } else { Err("the other process did not start".into()) }
    }

    /// Waits, without a pause, until that is so.
    #[inline(always)]
    pub fn until(&mut self, is_so: impl Fn() -> bool) -> Result<(), String> {
        let mut looks = 0u32;
        while !is_so() {
            std::hint::spin_loop();
            looks += 1;
            if looks.is_multiple_of(LOOKS) && !matches!(self.child.try_wait(), Ok(None)) {
                return Err("the other process ended".into());
            }
        }
        Ok(())
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Answers until it is killed, or the process that measures is gone.
pub fn answer(directory: &Path, core: usize) -> Result<(), String> {
    pin(core);
    let parent = parent_id();
    let mut own = End::create(&directory.join(BACK))?;
    let theirs = End::open(&directory.join(THERE))?;
    let (mut sender, looker) = (own.sender()?, theirs.looker()?);
    println!("ready");
    let mut last = 0;
    loop {
        until(parent, || looker.command().number != last)?;
        let command = looker.command();
        last = command.number;
        let mut seen = looker.number(command.form);
        sender.command(command);
        for _ in 0..command.trips {
            let before = seen;
            until(parent, || looker.number(command.form) > before)?;
            seen = looker.number(command.form);
            sender.send(command.form);
        }
    }
}

/// Waits, without a pause, until that is so.
#[inline(always)]
fn until(parent: u32, is_so: impl Fn() -> bool) -> Result<(), String> {
    let mut looks = 0u32;
    while !is_so() {
        std::hint::spin_loop();
        looks += 1;
        if looks.is_multiple_of(LOOKS) && parent_id() != parent {
            return Err("the process that measures is gone".into());
        }
    }
    Ok(())
}
