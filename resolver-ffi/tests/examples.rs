//! The examples, compiled as `docs/c-abi.md` says, against the static and the shared library, say what was published by
//! another process.

mod native;

use native::{Compiler, Linked, Place, Prefix, publish, root};

const WANTED: &str = "\
oms at 10.0.0.1:9001 state 2 reason 4 id 4369 tags 5 tier 1 source 3 endpoints 4 current 1
max-position is -250000
order 0 to 10.0.0.1:9001 id 4369 weight 1 zone 7
order 1 to 10.0.0.2:9002 id 8738 weight 2 zone 7
order 2 to 10.0.0.3:9003 id 13107 weight 3 zone 7
order 3 to 10.0.0.4:9004 id 17476 weight 4 zone 7
less loaded: not the primary 1
next candidate id 8738
";

fn says_what_was_published(compiler: &Compiler, source: &str) {
    let (prefix, place) = (Prefix::new(), Place::new());
    let mut owned = place.own();
    publish(&mut owned.writer().expect("it is new"));
    let path = place.path();
    let path = path.to_str().expect("a path of letters");
    for linked in [Linked::Static, Linked::Shared] {
        let program = prefix.compile(compiler, &root().join("examples").join(source), linked);
        let run = |arguments: &[&str]| {
            let output = prefix.run(&program, linked, arguments);
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (output.status.code(), text(&output.stdout), text(&output.stderr))
        };
        assert_eq!(
            run(&[path, "oms", "max-position"]),
            (Some(0), WANTED.into(), String::new()),
            "{linked:?}"
        );

        let (status, said, _) = run(&[path, "feed", "max-position"]);
        assert_eq!(status, Some(0));
        assert!(said.starts_with("feed at [2001:db8::a:1]:7000 state 1 reason 0 "), "{said}");

        for (arguments, wanted) in [
            ([path, "no-such", "max-position"], "cannot find the service: the segment has no such name"),
            ([path, "oms", "no-such"], "cannot find the setting: the segment has no such name"),
            ([path, "later", "max-position"], "cannot resolve: nothing was published under this name yet"),
            (["/no-such/main.seg", "oms", "max-position"], "cannot open /no-such/main.seg: No such file"),
        ] {
            let (status, said, why) = run(&arguments);
            assert_eq!((status, said.as_str()), (Some(1), ""), "{why}");
            assert!(why.contains(wanted), "{why:?} does not have {wanted:?}");
        }
    }
}

#[test]
fn the_c_example_says_what_was_published() {
    says_what_was_published(&Compiler::c(), "resolve.c");
}

#[test]
fn the_cpp_example_says_what_was_published() {
    says_what_was_published(&Compiler::cpp(), "resolve.cpp");
}

#[test]
fn every_owner_of_the_cpp_header_works() {
    let (prefix, place) = (Prefix::new(), Place::new());
    let mut owned = place.own();
    publish(&mut owned.writer().expect("it is new"));
    let program = prefix.compile(&Compiler::cpp(), &root().join("tests/native/whole.cpp"), Linked::Static);
    let output = prefix.run(&program, Linked::Static, &[place.path().to_str().expect("a path of letters")]);
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
}

/// A program finds the library by the version of its ABI.
#[test]
fn the_shared_library_is_named_by_its_version() {
    let prefix = Prefix::new();
    let program = prefix.compile(&Compiler::c(), &root().join("examples/resolve.c"), Linked::Shared);
    let name = format!("libresolver_ffi.so.{}", resolver_ffi::resolver_abi_version());
    let bytes = std::fs::read(program).expect("it was made just now");
    assert!(bytes.windows(name.len()).any(|window| window == name.as_bytes()), "{name} is not what it wants");
}
