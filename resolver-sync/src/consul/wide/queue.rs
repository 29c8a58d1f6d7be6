//! Which services are to be read next.

use std::collections::{HashMap, HashSet, VecDeque};

/// Which services are to be read, and in which order.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// The highest index of each, and the epoch that it belongs to.
    pub(super) services: HashMap<String, (u64, u64)>,
    /// Known to have changed; in their order, each once.
    urgent: VecDeque<String>,
    is_urgent: HashSet<String>,
    /// All of them, and how many of them the present round has still to read.
    round: VecDeque<String>,
    pub(super) left: usize,
    /// A second read of the same service would race the first.
    pub(super) reading: HashSet<String>,
}

impl Queue {
    pub(super) fn add(&mut self, name: &str) {
        if self.services.insert(name.to_owned(), (0, 0)).is_none() {
            self.round.push_back(name.to_owned());
        }
        self.hurry(name);
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.services.remove(name);
    }

    pub(super) fn hurry(&mut self, name: &str) {
        if self.services.contains_key(name) && self.is_urgent.insert(name.to_owned()) {
            self.urgent.push_back(name.to_owned());
        }
    }

    pub(super) fn everything(&mut self) {
        self.left = self.round.len();
    }

    /// The next one to read, and whether it is urgent. What is being read just now waits until that is [`Queue::done`].
    pub(super) fn next(&mut self) -> Option<(String, bool)> {
        let Queue { services, urgent, is_urgent, reading, .. } = self;
        urgent.retain(|name| services.contains_key(name) || !is_urgent.remove(name));
        if let Some(at) = urgent.iter().position(|name| !reading.contains(name))
            && let Some(name) = urgent.remove(at)
        {
            is_urgent.remove(&name);
            reading.insert(name.clone());
            return Some((name, true));
        }
        while self.left > 0 {
            self.left -= 1;
            let name = self.round.pop_front()?;
            if !self.services.contains_key(&name) {
                continue;
            }
            self.round.push_back(name.clone());
            if self.reading.insert(name.clone()) {
                return Some((name, false));
            }
            // It may have been read before what this round is about.
            self.hurry(&name);
        }
        None
    }

    pub(super) fn done(&mut self, name: &str) {
        self.reading.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urgent_ones_go_first_and_a_round_reads_each_once() {
        let mut queue = Queue::default();
        ["a", "b", "c"].iter().for_each(|name| queue.add(name));
        assert_eq!(read(&mut queue), ["a", "b", "c"]);
        queue.everything();
        queue.hurry("c");
        queue.hurry("c");
        queue.hurry("of another");
        assert_eq!(queue.next(), Some(("c".into(), true)));
        queue.done("c");
        assert_eq!(queue.next(), Some(("a".into(), false)));
        // Something was registered meanwhile: the round begins anew where it is.
        queue.everything();
        queue.remove("a");
        assert_eq!(read(&mut queue), ["b", "c"]);
    }

    #[test]
    fn what_is_being_read_is_read_again_when_that_is_done() {
        let mut queue = Queue::default();
        ["a", "b"].iter().for_each(|name| queue.add(name));
        assert_eq!(queue.next(), Some(("a".into(), true)));
        queue.hurry("a");
        assert_eq!(read(&mut queue), ["b"]);
        queue.everything();
        assert_eq!(read(&mut queue), ["b"], "never two reads of one service");
        queue.done("a");
        assert_eq!(queue.next(), Some(("a".into(), true)));
        queue.done("a");
        assert_eq!(queue.next(), None);
    }

    /// All that is due, each read at once.
    fn read(queue: &mut Queue) -> Vec<String> {
        let mut all = Vec::new();
        while let Some((name, _)) = queue.next() {
            queue.done(&name);
            all.push(name);
        }
        all
    }
}
