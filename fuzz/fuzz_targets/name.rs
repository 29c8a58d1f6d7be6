#![no_main]
//! `cargo xtask fuzz name`

libfuzzer_sys::fuzz_target!(|data: &[u8]| resolver_fuzz::name(data));
