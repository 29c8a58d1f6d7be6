#![no_main]
//! `cargo +nightly fuzz run attach --features libfuzzer`

libfuzzer_sys::fuzz_target!(|data: &[u8]| resolver_fuzz::attach(data));
