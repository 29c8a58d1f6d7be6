#![no_main]
//! The control of `cargo xtask fuzz`: the fuzzer must find its fault. No other target is of use if it does not.

libfuzzer_sys::fuzz_target!(|data: &[u8]| resolver_fuzz::planted(data));
