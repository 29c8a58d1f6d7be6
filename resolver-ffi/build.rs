//! Names the shared library by the version of its ABI, so that a program never meets another one at start-up.

fn main() {
    // With `resolver_abi_version`: `tests/examples.rs` holds the two together.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libresolver_ffi.so.1");
    println!("cargo::rerun-if-changed=build.rs");
}
