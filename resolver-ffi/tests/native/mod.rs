//! What the tests of the C ABI share: the libraries installed under a prefix, a compiler, a segment.

#![allow(dead_code, reason = "each test has a part of this")]

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use resolver_core::{
    Capacity, Endpoint, OwnedSegment, Publication, Reason, Setting, Standing, State, Writer,
};
use tempfile::TempDir;

/// A compiler of C or C++, as the examples are promised to build with.
pub struct Compiler {
    program: String,
    flags: &'static [&'static str],
}

impl Compiler {
    pub fn c() -> Compiler {
        let flags = &["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O1"];
        Compiler { program: std::env::var("CC").unwrap_or("cc".into()), flags }
    }

    pub fn cpp() -> Compiler {
        let flags = &["-std=c++17", "-Wall", "-Wextra", "-Werror", "-O1"];
        Compiler { program: std::env::var("CXX").unwrap_or("c++".into()), flags }
    }
}

/// How a program gets the library.
#[derive(Clone, Copy, Debug)]
pub enum Linked {
    Static,
    Shared,
}

/// A prefix with what `install.sh` puts there.
pub struct Prefix {
    directory: TempDir,
}

impl Prefix {
    pub fn new() -> Prefix {
        let directory = tempfile::tempdir().expect("a directory can be made");
        // cargo makes all of the library's forms beside the tests that link one of them.
        let own = std::env::current_exe().expect("a test knows its program");
        let built = own.parent().expect("it lies in a directory");
        let mut install = Command::new(root().join("install.sh"));
        succeed(install.arg(directory.path()).arg(built), "a POSIX shell with sed and install");
        Prefix { directory }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Compiles a source file, and gives the program.
    pub fn compile(&self, compiler: &Compiler, source: &Path, linked: Linked) -> PathBuf {
        let name = source.file_name().expect("a file has a name").to_string_lossy();
        let program = self.path().join(format!("{name}.{linked:?}"));
        let mut compile = Command::new(&compiler.program);
        compile.args(compiler.flags).arg(source).args(self.flags("--cflags"));
        compile.args(match linked {
            Linked::Static => self.flags("--variable=static_libs"),
            Linked::Shared => self.flags("--libs"),
        });
        succeed(compile.arg("-o").arg(&program), "a compiler of C11 and C++17 (apt-get install gcc g++)");
        program
    }

    /// Runs a program that was compiled here; one that has the library in itself is not shown where the shared one is.
    pub fn run(&self, program: &Path, linked: Linked, arguments: &[&str]) -> Output {
        let mut run = Command::new(program);
        run.args(arguments).env_remove("LD_LIBRARY_PATH");
        if let Linked::Shared = linked {
            run.env("LD_LIBRARY_PATH", self.path().join("lib"));
        }
        run.output().expect("the program was made just now")
    }

    fn flags(&self, what: &str) -> Vec<String> {
        let mut ask = Command::new("pkg-config");
        ask.env("PKG_CONFIG_PATH", self.path().join("lib/pkgconfig")).args([what, "resolver"]);
        let said = succeed(&mut ask, "pkg-config (apt-get install pkg-config)");
        said.split_whitespace().map(str::to_owned).collect()
    }
}

/// Runs what must succeed, and gives what it printed.
pub fn succeed(command: &mut Command, wants: &str) -> String {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{:?} cannot be run: {error}. This test wants {wants}.", command.get_program())
    });
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}{err}", output.status);
    out.into_owned()
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file for a segment, in a directory of its own.
pub struct Place {
    directory: TempDir,
}

impl Place {
    pub fn new() -> Place {
        Place { directory: tempfile::tempdir().expect("a directory can be made") }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("main.seg")
    }

    pub fn c_path(&self) -> CString {
        CString::new(self.path().as_os_str().as_bytes()).expect("a path has no zero")
    }

    pub fn own(&self) -> OwnedSegment {
        OwnedSegment::acquire(self.path(), &Capacity::SMALL).expect("the segment can be made")
    }
}

/// How `oms` stands.
pub const STANDING: Standing = Standing { state: State::Stale, reason: Reason::Unconfirmed, source: 3 };

/// `oms` with five endpoints, the last one a reserve, and everything that any picker wants.
pub fn oms() -> [Endpoint; 5] {
    [1u8, 2, 3, 4, 5].map(|n| {
        let address = std::net::SocketAddr::from(([10, 0, 0, n], 9000 + u16::from(n)));
        let n = u32::from(n);
        Endpoint::new(address)
            .with_id(u64::from(n) * 0x1111)
            .with_tags(5)
            .with_weight(n)
            .with_zone(7)
            .with_tier(1)
    })
}

/// Publishes `oms`, `feed` (IPv6), `later` (nothing yet) and the setting `max-position`.
pub fn publish(writer: &mut Writer<'_>) -> Setting<i64> {
    let set = oms();
    let handle = writer.add("oms").expect("there is room");
    let publication =
        Publication { active: 4, smooth: true, maglev: 1000, ..Publication::new(&set, STANDING) };
    writer.publish_as(handle, &publication).expect("there is room");
    let feed = writer.add("feed").expect("there is room");
    let address = "[2001:db8::a:1]:7000".parse().expect("an address");
    writer.publish(feed, &[Endpoint::new(address)], Standing::FRESH, b"").expect("there is room");
    writer.add("later").expect("there is room");
    let setting = writer.add_setting::<i64>("max-position").expect("there is room");
    writer.set(setting, -250_000, Standing::FRESH).expect("it is there");
    setting
}
