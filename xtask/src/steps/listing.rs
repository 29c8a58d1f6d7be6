//! A program's disassembly: what each function calls, and where it computes in floating point.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use crate::Failure;
use crate::command;

/// A call through a register or a table: it may lead anywhere.
pub const ANYWHERE: &str = "an address that is computed";
/// An instruction that ends the program.
const TRAP: &str = "ud2";

/// The functions of a program.
#[derive(Debug, Default)]
pub struct Listing {
    functions: BTreeMap<String, Function>,
}

#[derive(Debug, Default)]
struct Function {
    /// What it calls or jumps to, itself left out.
    calls: BTreeSet<String>,
    /// Its first instruction on floating point values or their control words.
    float: Option<String>,
}

impl Listing {
    /// Of this program, by objdump and readelf.
    pub fn of(program: &Path) -> Result<Listing, Failure> {
        let mut dump = Command::new("objdump");
        let text = command::read(dump.args(["-d", "-C", "-w", "--no-show-raw-insn"]).arg(program))?;
        let relocations = command::read(Command::new("readelf").args(["-r", "-W"]).arg(program))?;
        Ok(Listing::parse(&text, &relocations))
    }

    fn parse(text: &str, relocations: &str) -> Listing {
        let slots = slots(relocations);
        let starts: BTreeMap<u64, &str> = text.lines().filter_map(start).collect();
        let mut listing = Listing::default();
        let mut name = "";
        for line in text.lines() {
            if let Some((_, begins)) = start(line) {
                name = begins;
                // Two of one name are one here: either may be meant.
                listing.functions.entry(name.to_owned()).or_default();
                continue;
            }
            let Some((_, instruction)) = line.split_once(":\t") else { continue };
            let Some(function) = listing.functions.get_mut(name) else { continue };
            let target = leads_to(instruction, &slots, &starts);
            function.calls.extend(target.filter(|target| *target != name).map(str::to_owned));
            if function.float.is_none() && is_float(instruction) {
                function.float = Some(instruction.split_whitespace().collect::<Vec<_>>().join(" "));
            }
        }
        listing
    }

    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.functions.keys()
    }

    /// What a function leads to, over any number of calls.
    pub fn reached(&self, from: &str) -> BTreeSet<&str> {
        self.reached_but_through(from, "")
    }

    /// The same, but for what only this one function leads to.
    pub fn reached_but_through(&self, from: &str, not: &str) -> BTreeSet<&str> {
        let mut reached = BTreeSet::new();
        let mut open = vec![from];
        while let Some(name) = open.pop() {
            if name == not {
                continue;
            }
            for target in self.functions.get(name).into_iter().flat_map(|function| &function.calls) {
                if reached.insert(target.as_str()) {
                    open.push(target);
                }
            }
        }
        reached
    }

    /// What a function leads to that is not the core's own, or panics, or ends the program.
    pub fn unwanted(&self, from: &str) -> Option<String> {
        let known = |name: &str| {
            name.trim_start_matches('<').starts_with("resolver_core::") && self.functions.contains_key(name)
        };
        self.reached(from).into_iter().find(|name| !known(name) || name.contains("panic")).map(str::to_owned)
    }

    /// Where a function, or what it leads to, computes in floating point.
    pub fn float(&self, from: &str) -> Option<String> {
        let mut names = self.reached(from);
        names.insert(from);
        names.into_iter().find_map(|name| {
            let float = self.functions.get(name)?.float.as_ref()?;
            Some(format!("`{float}` in {name}"))
        })
    }

    /// Each of these functions leads to nothing but the core's own, without a panic, and none computes in floating point.
    /// What is known to fall short is named, with what it leads to, and printed.
    pub fn judge(&self, hot: &[&String], known: &[(&str, &str)]) -> Result<(), Failure> {
        for name in hot {
            if let Some(found) = self.float(name) {
                return Err(format!("{name} computes in floating point: {found}"));
            }
            let known = known.iter().find(|known| known.0 == name.as_str());
            match (self.unwanted(name), known) {
                (Some(found), Some(known)) if found == known.1 => {
                    println!("  {name}: KNOWN TO FALL SHORT: leads to {found}");
                    continue;
                }
                (Some(found), _) => return Err(format!("{name} leads to {found}")),
                (None, Some(_)) => println!("  {name}: falls short no longer: take it from the list"),
                (None, None) => {}
            }
            let calls = self.reached(name);
            let calls = if calls.is_empty() { "nothing".to_owned() } else { format!("{calls:?}") };
            println!("  {name}: calls {calls}; no panic, no floating point");
        }
        Ok(())
    }
}

/// `0000000000201000 <function>:`
fn start(line: &str) -> Option<(u64, &str)> {
    let (address, name) = line.strip_suffix(">:")?.split_once(" <")?;
    Some((u64::from_str_radix(address, 16).ok()?, name))
}

/// Slots that hold a function's address once the program is loaded: `5d810  8 R_X86_64_RELATIVE  16080`.
fn slots(relocations: &str) -> BTreeMap<u64, u64> {
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let relative = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [slot, _, "R_X86_64_RELATIVE", address] = words[..] else { return None };
        Some((hex(slot)?, hex(address)?))
    };
    relocations.lines().filter_map(relative).collect()
}

/// The function that a call or jump leads to; of one within its own function, that function.
fn leads_to<'t>(
    instruction: &'t str,
    slots: &BTreeMap<u64, u64>,
    starts: &BTreeMap<u64, &'t str>,
) -> Option<&'t str> {
    let operation = instruction.split_whitespace().next()?;
    if operation == TRAP {
        return Some(TRAP);
    }
    if !operation.starts_with("call") && !operation.starts_with('j') {
        return None;
    }
    if instruction.contains('*') {
        // Through a slot: `call *0x46c28(%rip)        # 5d810 <_DYNAMIC+0x270>`.
        let slot = instruction.split_once("# ").and_then(|(_, rest)| rest.split_whitespace().next());
        let slot = slot.and_then(|slot| u64::from_str_radix(slot, 16).ok());
        let function = slot.and_then(|slot| starts.get(slots.get(&slot)?));
        return Some(function.copied().unwrap_or(ANYWHERE));
    }
    // `<function>` or `<function+0x12>`, which is the function itself unless it fell into another one.
    let Some((_, target)) = instruction.split_once('<') else { return Some(ANYWHERE) };
    let target = target.trim_end().trim_end_matches('>');
    Some(target.rsplit_once("+0x").map_or(target, |(name, _)| name))
}

/// Whether an instruction computes in floating point, or sets how that is done. The compiler moves integers through the
/// vector registers too: moves, shuffles and bit operations are let pass, and so is integer arithmetic, whose names begin
/// with `p`.
fn is_float(instruction: &str) -> bool {
    const MOVES: [&str; 12] = [
        "mov", "lddqu", "xorp", "andp", "andnp", "orp", "shufp", "unpckl", "unpckh", "blend", "insert",
        "extract",
    ];
    let Some(operation) = instruction.split_whitespace().next() else { return false };
    // Every x87 instruction begins with it, and no other does.
    if operation.starts_with('f') || operation.contains("mxcsr") || operation == "emms" {
        return true;
    }
    let vector = ["%xmm", "%ymm", "%zmm", "%st", "%mm"].iter().any(|register| instruction.contains(register));
    // AVX has the same names after a `v`.
    let plain = operation.strip_prefix('v').unwrap_or(operation);
    vector && !plain.starts_with('p') && !MOVES.iter().any(|name| plain.starts_with(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
0000000000201000 <hot_resolve>:
  201000:\tcmp    %rax,0x8(%rdi)
  201004:\tjae    201010 <hot_resolve+0x10>
  201006:\tcall   201020 <resolver_core::reader::Reader::head_again>
  20100b:\tret

0000000000201020 <resolver_core::reader::Reader::head_again>:
  201020:\tjmp    201040 <core::panicking::panic_bounds_check>

0000000000201030 <other>:
  201030:\tcall   *0x10(%rax)

0000000000201038 <through_a_slot>:
  201038:\tcall   *0x46c28(%rip)        # 5d810 <_DYNAMIC+0x270>

0000000000201040 <core::panicking::panic_bounds_check>:
  201040:\tud2

0000000000201050 <resolver_core::moves>:
  201050:\tmovups %xmm0,(%rdi)
  201054:\tpaddq  %xmm1,%xmm0
  201058:\txorps  %xmm0,%xmm0
  20105c:\tpop    %rbx

0000000000201060 <adds>:
  201060:\tcall   201050 <resolver_core::moves>
  201064:\taddsd  %xmm1,%xmm0
";
    const RELOCATIONS: &str = "\
  Offset             Info             Type               Symbol's Value  Symbol's Name + Addend
000000000005d810  0000000000000008 R_X86_64_RELATIVE                         201050
000000000005d820  0000000000000008 R_X86_64_GLOB_DAT  0 abort + 0
";

    #[test]
    fn calls_are_followed_through_the_core_and_nothing_else() {
        let listing = Listing::parse(TEXT, RELOCATIONS);
        assert_eq!(listing.names().count(), 7);
        let panics = Some("core::panicking::panic_bounds_check".to_owned());
        assert_eq!(listing.unwanted("hot_resolve"), panics);
        assert_eq!(listing.unwanted("other").as_deref(), Some(ANYWHERE));
        assert_eq!(listing.unwanted("core::panicking::panic_bounds_check").as_deref(), Some(TRAP));
        assert_eq!(listing.unwanted("through_a_slot"), None);
        assert!(listing.reached("through_a_slot").contains("resolver_core::moves"));
        let hot = "hot_resolve".to_owned();
        assert!(listing.judge(&[&hot], &[("hot_resolve", "core::panicking::panic_bounds_check")]).is_ok());
        assert!(listing.judge(&[&hot], &[("hot_resolve", "core::option::expect_failed")]).is_err());
        assert!(listing.judge(&[&hot], &[]).is_err());
    }

    #[test]
    fn floating_point_is_told_from_moves() {
        let listing = Listing::parse(TEXT, RELOCATIONS);
        assert_eq!(listing.float("through_a_slot"), None);
        assert_eq!(listing.float("adds").as_deref(), Some("`addsd %xmm1,%xmm0` in adds"));
        for float in [
            "cvtsi2sd %rax,%xmm0",
            "ucomisd %xmm0,%xmm1",
            "vmulpd %ymm0,%ymm1,%ymm2",
            "fld1",
            "ldmxcsr (%rax)",
        ] {
            assert!(is_float(float), "{float}");
        }
        for other in ["vmovdqu %ymm0,(%rax)", "push %rax", "mov %rax,%fs:0x28", "shufps $0x1,%xmm0,%xmm0"] {
            assert!(!is_float(other), "{other}");
        }
    }
}
