#![no_main]
//! `cargo xtask fuzz attach`

libfuzzer_sys::fuzz_target!(|data: &[u8]| resolver_fuzz::attach(data));
