//! A segment for which there is no room: that is an error when it is made, with nothing left behind, and not the end of a
//! process that writes to it later (a page of a full tmpfs is `SIGBUS`).
//!
//! The tmpfs is a small one, mounted where only this test sees it (util-linux's unshare). In there it is this test binary again.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use resolver_core::{Capacity, OwnedSegment, SegmentError};

const DIRECTORY: &str = "RESOLVER_TEST_FULL_TMPFS";

#[test]
fn writer_process() {
    // Without the variable this is not that process, and there is nothing to do.
    let Some(directory) = std::env::var_os(DIRECTORY).map(PathBuf::from) else { return };
    let path = directory.join("main.seg");
    let refused = match OwnedSegment::acquire(&path, &Capacity::HOST) {
        Err(error @ SegmentError::Io { .. }) => error.to_string(),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("27 MiB in a tmpfs of 256 KiB"),
    };
    assert!(refused.contains("allocate the whole segment") && refused.contains("No space left"), "{refused}");
    let left = std::fs::read_dir(&directory).expect("it can be listed").count();
    assert_eq!(left, 0, "something was left behind");
    // What fits is made.
    let small = Capacity { services: 4, endpoints: 32, configs: 0, text_bytes: 0 };
    let mut owned = OwnedSegment::acquire(&path, &small).expect("there is room for a small one");
    owned.writer().expect("it is new").add("oms").expect("there is room");
    eprintln!("looked: {refused}");
}

#[test]
fn privileged_a_segment_that_does_not_fit_its_tmpfs_is_refused_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let script = "mount -t tmpfs -o size=256k,mode=750 tmpfs \"$1\" && shift && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh"]).arg(directory.path());
    command.arg(std::env::current_exe().expect("this binary")).args([
        "--exact",
        "writer_process",
        "--nocapture",
    ]);
    let ran = command.env(DIRECTORY, directory.path()).stdin(Stdio::null()).output();
    let ran = ran.expect("util-linux's unshare is needed");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && said.contains("looked: "), "{} {said}", ran.status);
}
