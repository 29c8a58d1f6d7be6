#![no_main]
//! `cargo xtask fuzz record`

libfuzzer_sys::fuzz_target!(|data: &[u8]| resolver_fuzz::record(data));
