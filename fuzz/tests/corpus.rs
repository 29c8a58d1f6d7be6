//! Every input that was kept goes through its target again.

use std::fs;
use std::path::Path;

#[test]
fn every_input_that_was_kept_returns() {
    for (name, target) in resolver_fuzz::TARGETS {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let entries = fs::read_dir(&directory).expect("each target has a corpus");
        let mut files: Vec<_> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
        files.sort();
        assert!(files.len() >= 8, "{}: only {} inputs", directory.display(), files.len());
        for file in &files {
            let data = fs::read(file).expect("it can be read");
            // The name of the input that failed is the last one printed.
            eprintln!("{}", file.display());
            target(&data);
        }
    }
}

/// Some thousand inputs that no fuzzer chose: simple, but on stable and at every run.
#[test]
fn random_inputs_return() {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    // Eight entries of 40 words, at the table's end.
    let log = (resolver_fuzz::live().len() - 8 * 40) as u16;
    for round in 0..1000 {
        let (_, target) = resolver_fuzz::TARGETS[round % 3];
        let length = next() as usize % 400;
        let data: Vec<u8> = (0..length).map(|_| next() as u8).collect();
        target(&data);
        // Most of the changes that `attach` makes hit cells that nobody reads; these hit heads, names and the log of errors.
        let mut changes = vec![1];
        for _ in 0..next() % 8 {
            let place = [512, 2080, log][next() as usize % 3] + (next() % 48) as u16;
            changes.extend(place.to_le_bytes());
            changes.extend((next() >> (next() % 64)).to_le_bytes());
        }
        resolver_fuzz::attach(&changes);
    }
}
