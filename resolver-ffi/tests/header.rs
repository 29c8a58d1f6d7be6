//! `include/resolver.h` is what cbindgen makes of `src/` now.

use std::fs;
use std::path::Path;

const RENEW: &str = "RENEW_HEADER";

#[test]
fn the_header_is_that_of_the_source() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("include/resolver.h");
    let made = header(root);
    if std::env::var_os(RENEW).is_some() {
        fs::write(&path, &made).expect("the header can be written");
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let line = kept.lines().zip(made.lines()).position(|(kept, made)| kept != made);
    let line = 1 + line.unwrap_or_else(|| kept.lines().count().min(made.lines().count()));
    assert!(
        kept == made,
        "{} is not what cbindgen makes of src/ (from line {line} on); look at the difference after\n    \
         {RENEW}=1 cargo test -p resolver-ffi --test header",
        path.display(),
    );
}

fn header(root: &Path) -> String {
    let config =
        cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml is well formed");
    let inline = fs::read_to_string(root.join("src/inline.h")).expect("the inline part is there");
    let builder = cbindgen::Builder::new().with_config(config).with_src(root.join("src/lib.rs"));
    let mut made = Vec::new();
    builder.generate().expect("cbindgen understands the source").write(&mut made);
    let made = String::from_utf8(made).expect("a header is text");
    let (text, end) = made.rsplit_once("#endif").expect("it ends with its guard");
    let made = format!("{text}{inline}\n#endif{end}");
    // The codes are asked for most; and what Rust calls safety is what C has to see to.
    made.replace("RESOLVER_CODE_", "RESOLVER_")
        .replace("RESOLVER_PICKER_KIND_", "RESOLVER_PICKER_")
        .replace("# Safety", "Required:")
}
