//! Where a watcher writes down when it saw each change: a line `PORT AT BEFORE` each, in a file in memory.
//!
//! A file and not a pipe: a line wakes nobody up, so what one watcher writes disturbs nothing that the other still does.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::process::Process;

use super::FIRST_PORT;

/// The side that reads.
pub(super) struct Sheet {
    path: PathBuf,
    lines: BufReader<File>,
    /// The end of the file so far, when it is no whole line.
    part: String,
    next: u16,
}

/// When a watcher saw a change, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight {
    pub(super) at: u64,
    /// When it last looked and did not see it; 0 if it does not look but is told.
    pub(super) before: u64,
}

impl Sheet {
    pub(super) fn new(path: &Path) -> Self {
        let file = OpenOptions::new().create(true).truncate(true).write(true).read(true).open(path);
        let file = file.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Sheet { path: path.to_owned(), lines: BufReader::new(file), part: String::new(), next: FIRST_PORT }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Rests until the watcher has seen this change, which must be the one after the last.
    #[track_caller]
    pub(super) fn wait_for(
        &mut self,
        port: u16,
        deadline: Duration,
        mut rest: impl FnMut(),
        processes: &[&Process],
    ) -> Sight {
        let start = Instant::now();
        let fail = |why: String| {
            let logs: String = processes.iter().map(|process| process.logs()).collect();
            panic!("{}: {why}{logs}", self.path.display())
        };
        loop {
            let late = start.elapsed() >= deadline;
            if let Err(e) = self.lines.read_line(&mut self.part) {
                fail(e.to_string());
            }
            if self.part.ends_with('\n') {
                let line = std::mem::take(&mut self.part);
                let mut numbers = line.split_whitespace().map(|number| number.parse::<u64>().unwrap_or(0));
                let mut number = || numbers.next().unwrap_or(0);
                let (seen, at, before) = (number(), number(), number());
                if seen != u64::from(self.next) || seen != u64::from(port) {
                    fail(format!("change {port} was made, {} was due, and {seen} was seen", self.next));
                }
                self.next += 1;
                return Sight { at, before };
            }
            if late || !processes.iter().all(|process| process.is_running()) {
                fail(format!("change {port} was not seen within {:?}", start.elapsed()));
            }
            rest();
        }
    }
}

/// The side that writes.
pub(super) struct Pen(File);

impl Pen {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        OpenOptions::new().append(true).open(path).map(Pen)
    }

    pub(super) fn write(&mut self, port: u16, sight: Sight) -> io::Result<()> {
        // Whole, so that no half of it is ever read.
        self.0.write_all(format!("{port} {} {}\n", sight.at, sight.before).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(seen: &[u16]) -> Sight {
        let dir = tempfile::tempdir().expect("a directory");
        let mut sheet = Sheet::new(&dir.path().join("sheet"));
        let mut pen = Pen::open(sheet.path()).expect("the sheet is there");
        for port in seen {
            pen.write(*port, Sight { at: u64::from(*port) * 2, before: 7 }).expect("memory");
        }
        let mut next = |port| sheet.wait_for(port, Duration::ZERO, || (), &[]);
        next(FIRST_PORT);
        next(FIRST_PORT + 1)
    }

    #[test]
    fn changes_come_one_after_the_other() {
        let sight = read(&[FIRST_PORT, FIRST_PORT + 1]);
        assert_eq!((sight.at, sight.before), (u64::from(FIRST_PORT + 1) * 2, 7));
    }

    #[test]
    #[should_panic = "1001 was due, and 1002 was seen"]
    fn a_change_that_is_missed_is_a_failure() {
        read(&[FIRST_PORT, FIRST_PORT + 2]);
    }

    #[test]
    #[should_panic = "change 1001 was not seen"]
    fn a_change_that_never_comes_is_a_failure() {
        read(&[FIRST_PORT]);
    }
}
