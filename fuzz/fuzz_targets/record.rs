#![no_main]
//! `cargo +nightly fuzz run record --features libfuzzer`

libfuzzer_sys::fuzz_target!(|data: &[u8]| resolver_fuzz::record(data));
