//! Memory on a core's node, held against what /proc/self/numa_maps says of it: a report is believed where it is
//! confirmed there.
#![cfg(target_os = "linux")]

use std::io::ErrorKind;

use resolver_core::{
    Capacity, Endpoint, NodeMemory, Placement, PlacementError, ReplicatedWriter, Standing, node_of_core,
};

const LINES: usize = Capacity::SMALL.lines();
const PAGES: usize = (LINES * 64).div_ceil(4096);

/// What the kernel says of one mapping.
struct Mapping {
    policy: String,
    /// Pages of 4 KiB on each node. Neighbours with the same policy may be one mapping, so there may be more than ours.
    nodes: Vec<(u32, usize)>,
}

/// The mapping that an address is in; `None` for a kernel without NUMA, which has no such file.
fn mapping_of(address: usize) -> Option<Mapping> {
    let maps = match std::fs::read_to_string("/proc/self/numa_maps") {
        Ok(maps) => maps,
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => panic!("/proc/self/numa_maps: {error}"),
    };
    let start = |line: &str| usize::from_str_radix(line.split(' ').next().unwrap_or(""), 16).ok();
    let line = maps.lines().filter(|line| start(line).is_some_and(|start| start <= address));
    let line = line.max_by_key(|line| start(line)).expect("the memory is mapped");
    let number = |text: &str| text.parse::<usize>().expect("a number");
    let size = line.split("kernelpagesize_kB=").nth(1).map_or(4, number) / 4;
    let nodes = line.split(' ').filter_map(|field| {
        let (node, pages) = field.strip_prefix('N')?.split_once('=')?;
        Some((node.parse().ok()?, number(pages) * size))
    });
    Some(Mapping { policy: line.split(' ').nth(1).expect("a policy").to_string(), nodes: nodes.collect() })
}

/// Whether the process's cpuset has a node, as in `Mems_allowed_list: 0-1,4`.
fn may_use(node: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let list = status.lines().find_map(|line| line.strip_prefix("Mems_allowed_list:")).expect("Linux has it");
    let number = |text: &str| text.trim().parse::<u32>().expect("a number");
    list.split(',').any(|range| match range.split_once('-') {
        Some((first, last)) => (number(first)..=number(last)).contains(&node),
        None => number(range) == node,
    })
}

/// Whether the report is what the kernel says.
fn check(memory: &NodeMemory, policy: &str) {
    let placement = memory.placement();
    let told: usize = placement.pages().iter().map(|(_, pages)| pages).sum();
    let Some(mapping) = mapping_of(memory.lines().as_ptr().addr()) else {
        assert!(placement.refusal().is_some(), "a kernel without NUMA placed memory: {placement}");
        return;
    };
    let placed = || format!("{policy}:{}", placement.node().expect("it was placed, so it is known"));
    match placement.refusal() {
        None => {
            assert_eq!(mapping.policy, placed(), "{placement}");
            assert_eq!(told, PAGES, "{placement}");
        }
        // Placed, and only where it lies is not told.
        Some(PlacementError::Unknown { .. }) => {
            assert_eq!((mapping.policy, told), (placed(), 0), "{placement}");
            return;
        }
        // Without a policy of its own, it has that of the process.
        Some(refusal) => {
            if let PlacementError::Refused { node, error } = refusal {
                let forbidden = [ErrorKind::PermissionDenied, ErrorKind::Unsupported].contains(&error.kind());
                assert!(forbidden || !may_use(*node), "the node is there to be used: {refusal}");
            }
            assert!(!mapping.policy.starts_with(policy), "{refusal}, and yet {}", mapping.policy);
        }
    }
    for (node, pages) in placement.pages().iter() {
        let there = mapping.nodes.iter().find(|(other, _)| *other == node);
        assert!(there.is_some_and(|(_, there)| *there >= pages), "{placement}, and {:?}", mapping.nodes);
    }
}

#[test]
fn where_memory_lies_is_what_the_kernel_says() {
    let memory = NodeMemory::prefer(0, LINES).expect("there is memory");
    assert_eq!(memory.placement().core(), 0);
    assert_eq!(memory.placement().node(), node_of_core(0).ok());
    check(&memory, "prefer");
    if let Ok(pages) = memory.pages() {
        assert_eq!(&pages, memory.placement().pages(), "nobody moved it");
    }
}

#[test]
fn bound_memory_is_on_the_node_or_refused() {
    match NodeMemory::bind(0, LINES) {
        Ok(memory) => {
            assert!(memory.placement().is_on_node() && memory.placement().refusal().is_none());
            check(&memory, "bind");
        }
        // Where it cannot be bound it cannot be preferred either, for the same reason.
        Err(refused) => {
            let preferred = NodeMemory::prefer(0, LINES).expect("there is memory");
            check(&preferred, "prefer");
            let same = preferred.placement().refusal().map(ToString::to_string);
            assert_eq!(same, Some(refused.to_string()));
        }
    }
}

#[test]
fn a_core_that_is_not_there_has_memory_without_a_place_unless_it_must() {
    const NO_CORE: usize = 123_456;
    let memory = NodeMemory::prefer(NO_CORE, LINES).expect("there is memory");
    let placement: &Placement = memory.placement();
    assert!(matches!(placement.refusal(), Some(PlacementError::Node { core: NO_CORE, .. })), "{placement}");
    assert_eq!((placement.node(), placement.is_on_node()), (None, false));
    check(&memory, "prefer");
    let refused = NodeMemory::bind(NO_CORE, LINES).err();
    assert!(matches!(refused, Some(PlacementError::Node { core: NO_CORE, .. })), "{refused:?}");
}

#[test]
fn replicas_live_in_placed_memory() {
    let memory: Vec<NodeMemory> =
        (0..2).map(|_| NodeMemory::prefer(0, LINES).expect("there is memory")).collect();
    let lines = memory.iter().map(NodeMemory::lines);
    let mut writer = ReplicatedWriter::create(lines, &Capacity::SMALL, 1).expect("they fit");
    let oms = writer.add("oms").expect("there is room");
    let set = [Endpoint::new("10.0.0.1:9000".parse().expect("an address"))];
    let generation = writer.publish(oms, &set, Standing::FRESH, b"").expect("there is room");
    std::thread::scope(|threads| {
        for reader in writer.readers() {
            threads.spawn(move || {
                let resolved = reader.resolve(oms).expect("it was published");
                assert_eq!((resolved.address().port(), resolved.generation()), (9000, generation));
            });
        }
    });
    assert_eq!(writer.first_difference(), None);
    // Written to and read, it lies where it lay.
    memory.iter().for_each(|memory| check(memory, "prefer"));
}
