//! The pulse: who sees a beat sees the ages that were written for it. Neither end has an ordering of its own: those of
//! the ages' cells suffice.

extern crate std;

use loom::sync::Arc;
use loom::thread;

use super::{explore, must_catch};
use crate::cell;
use crate::memory::Line;
use crate::sync::Site;

struct Beating {
    line: Line,
    shadow: Line,
    pulse: Line,
}

/// The steps of `Writer::beat` for one source, and those of `Liveness::poll`.
fn two_beats() {
    let beating = Beating { line: Line::new(), shadow: Line::new(), pulse: Line::new() };
    cell::init(&beating.line, &beating.shadow);
    let beating = Arc::new(beating);
    let reader = {
        let beating = beating.clone();
        thread::spawn(move || {
            let beat = beating.pulse.load(0);
            if let Ok(([age], _)) = cell::read::<1>(&beating.line, &beating.shadow) {
                assert!(age >= beat, "an older beat's age");
            } else {
                assert_eq!(beat, 0, "a beat without an age");
            }
        })
    };
    for beat in 1..=2 {
        cell::publish(&beating.line, &beating.shadow, &[beat], false);
        beating.pulse.store(0, beat);
    }
    reader.join().expect("the reader does not panic");
    assert_eq!(cell::read::<1>(&beating.line, &beating.shadow).map(|(words, _)| words), Ok([2]));
}

#[test]
fn loom_pulse_comes_after_its_ages() {
    explore("pulse, 2 beats", 3, two_beats);
}

pub(super) const MUTANTS: &[Site] = &[Site::BeforeLine];

#[test]
fn loom_pulse_needs_each_ordering() {
    for &site in MUTANTS {
        must_catch(site, "pulse, 2 beats", 3, two_beats);
    }
}
