//! Compiles the C++ peers, where they are asked for.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "peers-cells")]
    {
        for file in ["cells.cc", "cells.h"] {
            println!("cargo::rerun-if-changed=src/peers/cpp/{file}");
        }
        println!("cargo::rerun-if-changed=src/peers/cpp.rs");
        let built = cxx_build::bridge("src/peers/cpp.rs")
            .file("src/peers/cpp/cells.cc")
            .std("c++20")
            .opt_level(3)
            .force_frame_pointer(false)
            .warnings(true)
            .try_compile("resolver-benches-cells");
        if let Err(error) = built {
            println!(
                "cargo::error=the C++ peers did not compile (feature peers-cells): {error}. They need a C++20 compiler with \
                 std::atomic<std::shared_ptr>, such as g++ 12 (Debian: apt-get install g++)"
            );
        }
    }
}
