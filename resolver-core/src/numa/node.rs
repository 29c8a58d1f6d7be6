//! Which NUMA node a core is on, as sysfs has it.

use std::io;
use std::path::{Path, PathBuf};

use super::PlacementError;

const CPUS: &str = "/sys/devices/system/cpu";

/// The NUMA node that a core is on, both by the kernel's numbers: to make one replica for each node and not for each core.
///
/// # Errors
///
/// [`PlacementError::Node`] where sysfs has no such core, no nodes (a kernel without NUMA), or is not there (some
/// containers).
pub fn node_of_core(core: usize) -> Result<u32, PlacementError> {
    let path = PathBuf::from(std::format!("{CPUS}/cpu{core}"));
    node_in(&path).map_err(|error| PlacementError::Node { core, path, error })
}

/// A core's directory has a link to its node's, of the same name.
fn node_in(directory: &Path) -> io::Result<u32> {
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("node"));
        if let Some(node) = number.and_then(|number| number.parse().ok()) {
            return Ok(node);
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "it has no entry node0, node1, ..."))
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn the_node_is_the_entry_with_a_number() {
        let core = tempfile::tempdir().expect("a directory");
        for name in ["cache", "node", "nodes", "topology"] {
            std::fs::create_dir(core.path().join(name)).expect("it is new");
        }
        let missing = node_in(core.path()).expect_err("it has no node");
        assert_eq!(missing.to_string(), "it has no entry node0, node1, ...");
        std::fs::create_dir(core.path().join("node12")).expect("it is new");
        assert_eq!(node_in(core.path()).expect("it has one"), 12);
    }

    #[test]
    fn a_core_that_is_not_there_is_named() {
        let refused = node_of_core(123_456).expect_err("no machine has it").to_string();
        assert!(refused.contains("core 123456") && refused.contains("cpu123456"), "{refused}");
    }
}
