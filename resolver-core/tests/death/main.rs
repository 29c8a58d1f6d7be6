//! A writer that dies at each instruction of a publication, and one that dies a great many times: each time readers go on,
//! the next writer takes over, and nothing is torn, blocked or older than before.
//!
//! The writers are forked from this process without another program: a child has this test's thread alone, and the readers
//! are in another process than the writer.

mod deaths;
mod reads;
mod steps;
mod truth;
mod writer;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// One test of this file at a time: a child that is forked while the other one holds a lock would hold it too.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number that the environment gives; the long forms are asked for that way.
fn asked(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable}={value}: a number is wanted")))
}
