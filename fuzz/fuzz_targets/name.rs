#![no_main]
//! `cargo +nightly fuzz run name --features libfuzzer`

libfuzzer_sys::fuzz_target!(|data: &[u8]| resolver_fuzz::name(data));
