//! What a machine says of itself, without its name.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// Facts that figures depend on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Cores that a process gets.
    pub cores: usize,
    /// As `/proc/cpuinfo` says, with family and model numbers.
    pub model: String,
    /// Whether `/proc/cpuinfo` says that this runs under a hypervisor.
    pub virtual_machine: bool,
    /// Release of the kernel.
    pub kernel: String,
    /// `rustc --version`.
    pub rustc: String,
    /// Cores that the kernel keeps free (`isolcpus`).
    pub isolated: String,
    /// Of core 0.
    pub governor: String,
    /// Processes that wanted a core in the minute before.
    pub load: String,
}

/// Where nothing can be read.
const UNKNOWN: &str = "unknown";

impl Machine {
    /// This one, now.
    pub fn read() -> Machine {
        let file = |path: &str| fs::read_to_string(Path::new(path)).unwrap_or_default();
        let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
        let cpuinfo = file("/proc/cpuinfo");
        let rustc = Command::new("rustc").arg("--version").output();
        let rustc = rustc.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        let cpu = "/sys/devices/system/cpu";
        Machine {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            model: model(&cpuinfo),
            virtual_machine: field(&cpuinfo, "flags").split_whitespace().any(|flag| flag == "hypervisor"),
            kernel: or(file("/proc/sys/kernel/osrelease").trim(), UNKNOWN),
            rustc: or(&rustc.unwrap_or_default(), UNKNOWN),
            isolated: or(file(&format!("{cpu}/isolated")).trim(), "none"),
            governor: or(file(&format!("{cpu}/cpu0/cpufreq/scaling_governor")).trim(), UNKNOWN),
            load: or(file("/proc/loadavg").split(' ').next().unwrap_or_default(), UNKNOWN),
        }
    }

    /// Lines of a list.
    pub fn to_markdown(&self) -> String {
        let kind = if self.virtual_machine { " (a virtual machine)" } else { "" };
        format!(
            "- {} cores, {}{kind}\n- Linux {}; {}; baseline of the target, no `target-cpu`\n\
             - isolated cores: {}; governor: {}; load when it began: {}\n",
            self.cores, self.model, self.kernel, self.rustc, self.isolated, self.governor, self.load
        )
    }

    #[cfg(test)]
    pub(crate) fn sample() -> Machine {
        Machine {
            cores: 2,
            model: "a model".into(),
            virtual_machine: true,
            kernel: "6.1".into(),
            rustc: "rustc 1.95.0".into(),
            isolated: "none".into(),
            governor: UNKNOWN.into(),
            load: "0.10".into(),
        }
    }
}

fn model(cpuinfo: &str) -> String {
    let name = field(cpuinfo, "model name");
    match (field(cpuinfo, "cpu family"), field(cpuinfo, "model")) {
        _ if name.is_empty() => UNKNOWN.into(),
        ("", _) | (_, "") => name.into(),
        (family, number) => format!("{name} (family {family}, model {number})"),
    }
}

/// Of the first core.
fn field<'a>(cpuinfo: &'a str, name: &str) -> &'a str {
    let mut fields = cpuinfo.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(key, _)| key.trim() == name).map_or("", |(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_what_cpuinfo_says() {
        let text =
            "processor\t: 0\ncpu family\t: 26\nmodel\t\t: 2\nmodel name\t: AMD EPYC\n\nprocessor\t: 1\n";
        assert_eq!(model(text), "AMD EPYC (family 26, model 2)");
        assert_eq!(model("model name : Neoverse\n"), "Neoverse");
        assert_eq!(model(""), UNKNOWN);
    }

    #[test]
    fn this_machine_has_cores_and_a_kernel() {
        let machine = Machine::read();
        assert!(machine.cores > 0 && machine.kernel != UNKNOWN, "{machine:?}");
    }
}
