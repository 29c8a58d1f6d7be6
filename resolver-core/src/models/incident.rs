//! The log of distinct errors: an entry that is written again while it is read.

extern crate std;

use loom::sync::Arc;
use loom::thread;

use super::{explore, must_catch};
use crate::incident;
use crate::memory::Line;
use crate::sync::Site;

/// One line of an entry: the stamp, and two words of text.
type Entry = [Line; 1];

fn twice(reader: impl Fn(&Entry) + Send + Clone + 'static) {
    let entry: Arc<Entry> = Arc::new([Line::new()]);
    let looks = {
        let (entry, reader) = (entry.clone(), reader.clone());
        thread::spawn(move || reader(&entry))
    };
    for n in 1..=2 {
        incident::write(&*entry, &[0, n, n]);
    }
    looks.join().expect("the reader does not panic");
    let mut words = [0; 3];
    assert!(incident::read_words(&*entry, &mut words, 1));
    assert_eq!(words, [4, 2, 2]);
}

/// The words are those of the stamp that came with them. Two rounds: the others begin as the second one does.
fn look(entry: &Entry) {
    let mut words = [0; 3];
    if incident::read_words(entry, &mut words, 2) {
        assert_eq!([words[1], words[2]], [words[0] / 2; 2], "a mixture of two errors");
    }
}

#[test]
fn loom_incident_is_never_a_mixture() {
    explore("error noted over another one", 2, || twice(look));
}

pub(super) const MUTANTS: &[Site] = &[Site::AfterSeq, Site::AfterWords, Site::BeforeLine, Site::MarkEven];

#[test]
fn loom_incident_needs_each_ordering() {
    for &site in MUTANTS {
        must_catch(site, "error noted over another one", 2, || twice(look));
    }
}
