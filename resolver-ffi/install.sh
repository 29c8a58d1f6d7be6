#!/bin/sh
# Puts the C ABI's headers, both libraries and resolver.pc under a prefix.
#
#     cargo build --release -p resolver-ffi && resolver-ffi/install.sh /usr/local [target/release]
set -eu

if [ $# -lt 1 ] || [ $# -gt 2 ]; then
    echo "usage: $0 PREFIX [DIRECTORY OF THE BUILT LIBRARIES]" >&2
    exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
prefix=$1
built=${2:-$here/../target/release}
for library in libresolver_ffi.a libresolver_ffi.so; do
    if [ ! -f "$built/$library" ]; then
        echo "$built/$library is missing: cargo build --release -p resolver-ffi" >&2
        exit 1
    fi
done
version=$(sed -n '/^\[workspace.package\]/,/^\[workspace.dep/s/^version = "\(.*\)"/\1/p' "$here/../Cargo.toml")
abi=$(sed -n 's/^#define RESOLVER_ABI_VERSION //p' "$here/include/resolver.h")

mkdir -p "$prefix/include" "$prefix/lib/pkgconfig"
install -m 644 "$here/include/resolver.h" "$here/include/resolver.hpp" "$prefix/include/"
install -m 644 "$built/libresolver_ffi.a" "$prefix/lib/"
install -m 755 "$built/libresolver_ffi.so" "$prefix/lib/libresolver_ffi.so.$abi"
ln -sf "libresolver_ffi.so.$abi" "$prefix/lib/libresolver_ffi.so"
sed -e "s|@PREFIX@|$prefix|" -e "s|@VERSION@|$version|" "$here/resolver.pc.in" > "$prefix/lib/pkgconfig/resolver.pc"
