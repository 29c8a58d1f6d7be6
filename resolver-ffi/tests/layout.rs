//! Every struct has the size and the offsets in C and in C++ that it has in Rust, and these never change.

mod native;

use std::fmt::Write as _;
use std::mem::{align_of, offset_of, size_of};

use native::{Compiler, Linked, Prefix};
use resolver_ffi::{Address, Bytes, Code, Conditions, Endpoint, Incident, Record, SettingI64, Standing};

macro_rules! assertions {
    ($text:ident, $name:literal, $type:ty, $($field:ident),+) => {
        let alike = |what: &str, is: usize| format!("CHECK({what} == {is}, \"{what}\");\n");
        $text += &alike(concat!("sizeof(", $name, ")"), size_of::<$type>());
        $text += &alike(concat!("ALIGN(", $name, ")"), align_of::<$type>());
        $($text += &alike(
            concat!("offsetof(", $name, ", ", stringify!($field), ")"),
            offset_of!($type, $field),
        );)+
    };
}

const HEAD: &str = "\
#include <resolver.h>
#ifdef __cplusplus
#define CHECK static_assert
#define ALIGN alignof
#else
#define CHECK _Static_assert
#define ALIGN _Alignof
#endif
";

fn source() -> String {
    let mut text = String::from(HEAD);
    assertions!(text, "resolver_address", Address, ip, reserved, port, family, standing);
    assertions!(
        text,
        "resolver_record",
        Record,
        address,
        id,
        tags,
        generation,
        reserved,
        tier,
        source_bits,
        endpoints,
        sequence
    );
    assertions!(
        text,
        "resolver_endpoint",
        Endpoint,
        ip,
        reserved,
        zone,
        port,
        family,
        tier,
        id,
        tags,
        reserved2,
        weight,
        generation
    );
    assertions!(text, "resolver_standing", Standing, generation, state, reason, source, reserved);
    assertions!(text, "resolver_bytes", Bytes, bytes, length);
    assertions!(
        text,
        "resolver_conditions",
        Conditions,
        tags,
        of_zone,
        reserved,
        zone,
        reserved2,
        ejections,
        now_ns,
        accept,
        user
    );
    assertions!(
        text,
        "resolver_incident",
        Incident,
        count,
        first_ms,
        last_ms,
        kind,
        is_cut,
        reserved,
        about,
        words
    );
    assertions!(text, "resolver_i64_setting", SettingI64, bits);
    for kind in ["f64", "bool", "bytes"] {
        writeln!(text, "CHECK(sizeof(resolver_{kind}_setting) == 8, \"{kind}\");").expect("a text has room");
    }
    writeln!(text, "CHECK(sizeof(resolver_code) == {}, \"code\");", size_of::<Code>()).expect("it has room");
    text + "int main(void) { return RESOLVER_OK; }\n"
}

#[test]
fn structs_are_laid_out_alike() {
    let prefix = Prefix::new();
    for (compiler, name) in [(Compiler::c(), "layout.c"), (Compiler::cpp(), "layout.cpp")] {
        let path = prefix.path().join(name);
        std::fs::write(&path, source()).expect("it can be written");
        let program = prefix.compile(&compiler, &path, Linked::Shared);
        assert!(prefix.run(&program, Linked::Shared, &[]).status.success());
    }
}

/// A change of any of these is another ABI version.
#[test]
fn version_1() {
    assert_eq!(resolver_ffi::RESOLVER_ABI_VERSION, 1);
    let sizes = [
        size_of::<Address>(),
        size_of::<Record>(),
        size_of::<Endpoint>(),
        size_of::<Standing>(),
        size_of::<Bytes>(),
        size_of::<Conditions>(),
        size_of::<Incident>(),
    ];
    assert_eq!(sizes, [24, 64, 56, 16, 49, 48, 592]);
    let address = [offset_of!(Address, port), offset_of!(Address, family), offset_of!(Address, standing)];
    assert_eq!(address, [20, 22, 23]);
    let record = [
        offset_of!(Record, id),
        offset_of!(Record, tags),
        offset_of!(Record, generation),
        offset_of!(Record, tier),
        offset_of!(Record, source_bits),
        offset_of!(Record, endpoints),
    ];
    assert_eq!(record, [24, 32, 40, 52, 53, 54]);
    let endpoint = [
        offset_of!(Endpoint, zone),
        offset_of!(Endpoint, port),
        offset_of!(Endpoint, family),
        offset_of!(Endpoint, tier),
        offset_of!(Endpoint, id),
        offset_of!(Endpoint, tags),
        offset_of!(Endpoint, weight),
        offset_of!(Endpoint, generation),
    ];
    assert_eq!(endpoint, [18, 20, 22, 23, 24, 32, 44, 48]);
    let conditions =
        [offset_of!(Conditions, zone), offset_of!(Conditions, ejections), offset_of!(Conditions, user)];
    assert_eq!(conditions, [10, 16, 40]);
    let incident = [offset_of!(Incident, kind), offset_of!(Incident, about), offset_of!(Incident, words)];
    assert_eq!(incident, [24, 32, 312]);
    let codes =
        [Code::Null, Code::Never, Code::Busy, Code::Old, Code::Kind, Code::Io, Code::Replaced, Code::Missing];
    assert_eq!(codes.map(|code| code as i32), [1, 10, 13, 16, 18, 20, 23, 24]);
}
