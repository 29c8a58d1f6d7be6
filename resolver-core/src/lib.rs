//! Under construction.
#![no_std]

mod state;

pub use state::{Reason, State};
