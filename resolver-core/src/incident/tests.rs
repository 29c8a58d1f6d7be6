extern crate std;

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::*;
use crate::{Capacity, Counter, Reader, Table, Writer, heap};

fn on_a_table(test: impl FnOnce(&mut Writer<'_>, Reader<'_>, &[Line])) {
    let memory = heap(Capacity::SMALL.lines());
    let (mut writer, reader) = Table::create(&memory, &Capacity::SMALL, 1).expect("it fits").split();
    let lines = writer.view.incidents;
    test(&mut writer, reader, lines);
}

fn said(reader: &Reader<'_>) -> Vec<(String, String, u64)> {
    let text = |incident: Incident| {
        let about = incident.about(&mut [0; 272]).to_string();
        (about, incident.words(&mut [0; 272]).to_string(), incident.count())
    };
    reader.incidents().map(text).collect()
}

#[test]
fn the_same_error_is_counted_and_another_is_not_the_same() {
    on_a_table(|writer, reader, _| {
        assert_eq!(reader.incidents().count(), 0);
        writer.note(IncidentKind::Hold, "c/oms-1", "3 of 10 gone", 500);
        writer.note(IncidentKind::Hold, "c/oms-1", "7 of 12 gone", 900);
        writer.note(IncidentKind::Hold, "c/oms-2", "3 of 10 gone", 700);
        writer.note(IncidentKind::Doubt, "c/oms-1", "3 of 10 gone", 700);
        writer.note(IncidentKind::Hold, "c/oms-1", "gone", 700);
        assert_eq!(said(&reader)[0], ("c/oms-1".into(), "3 of 10 gone".into(), 2));
        assert_eq!(said(&reader).iter().map(|(.., count)| *count).collect::<Vec<_>>(), [2, 1, 1, 1]);
        let first = reader.incidents().next().expect("noted");
        assert_eq!((first.first_ms(), first.last_ms(), first.kind()), (500, 900, IncidentKind::Hold));
        // A clock that goes back moves nothing back.
        writer.note(IncidentKind::Hold, "c/oms-1", "1 of 2 gone", 10);
        assert_eq!(reader.incidents().next().map(|incident| incident.last_ms()), Some(900));
        assert_eq!(reader.counter(Counter::Incidents), 6);
    });
}

#[test]
fn a_full_log_counts_what_it_does_not_keep_until_something_in_it_is_old() {
    on_a_table(|writer, reader, lines| {
        let room = lines.len() / incidents::LINES;
        let about = |n: usize| format!("source {n}");
        for n in 0..room {
            assert!(writer.note(IncidentKind::Other, &about(n), "lost", 1_000 + n as u64));
        }
        assert!(!writer.note(IncidentKind::Other, &about(room), "lost", 2_000));
        assert!(writer.note(IncidentKind::Other, &about(1), "lost", 2_000), "what is there is still counted");
        assert_eq!((reader.incidents().count(), reader.counter(Counter::IncidentsNotKept)), (room, 1));
        // The first one has not come again for an hour.
        assert!(writer.note(IncidentKind::Other, &about(room), "lost", 1_000 + OLD_MS));
        let said = said(&reader);
        assert_eq!((said[0].0.clone(), said.len()), (about(room), room));
        assert!(
            !writer.note(IncidentKind::Other, &about(0), "lost", 1_000 + OLD_MS),
            "the others are not old"
        );
    });
}

#[test]
fn long_texts_are_cut_at_a_character_and_controls_are_no_controls() {
    on_a_table(|writer, reader, _| {
        writer.note(IncidentKind::Other, &"ä".repeat(100), &"ö".repeat(200), 1);
        writer.note(IncidentKind::Other, "", "a\n\u{1b}[2Jb", 1);
        let mut incidents = reader.incidents();
        let long = incidents.next().expect("noted");
        assert_eq!(long.about(&mut [0; 272]), "ä".repeat(48));
        assert_eq!(long.words(&mut [0; 272]), "ö".repeat(88));
        assert!(long.is_cut());
        let short = incidents.next().expect("noted");
        assert_eq!((short.words(&mut [0; 272]), short.is_cut()), ("a  [2Jb", false));
    });
}

#[test]
fn what_a_dead_writer_was_writing_is_left_out_and_then_free() {
    on_a_table(|writer, reader, lines| {
        writer.note(IncidentKind::Other, "a", "one", 1);
        writer.note(IncidentKind::Other, "b", "two", 1);
        // As it is between the odd stamp and the even one.
        store(lines, STAMP, load(lines, STAMP) | 1);
        assert_eq!(said(&reader), [("b".into(), "two".into(), 1)]);
        repair(lines);
        assert_eq!(said(&reader), [("b".into(), "two".into(), 1)]);
        writer.note(IncidentKind::Other, "c", "three", 1);
        assert_eq!(said(&reader)[0], ("c".into(), "three".into(), 1));
        assert_eq!(load(lines, STAMP), 6, "and stamps only grow");
    });
}

#[test]
fn a_writer_at_work_shows_no_mixture() {
    on_a_table(|_, _, lines| {
        let entry = &lines[..incidents::LINES];
        let words_of = |n: u64| {
            let mut words = [n; ENTRY];
            words[COUNT] = 1;
            words
        };
        write(entry, &words_of(0));
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut n = 0;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    n += 1;
                    write(entry, &words_of(n));
                }
            });
            let (mut seen, mut torn) = (0, None);
            for _ in 0..20_000 {
                let mut words = [0; ENTRY];
                if read_words(entry, &mut words, ROUNDS) {
                    seen += 1;
                    let is_whole = words[KEY..].iter().all(|word| *word == words[KEY] || *word == 1);
                    torn = torn.or((!is_whole).then_some(words));
                }
            }
            // First of all: the scope ends when the writer does.
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(torn, None, "a mixture");
            assert!(seen > 0, "it was never read");
        });
    });
}
