//! The only file that names atomics: the standard ones, or loom's when a model runs. (One relaxed load is an instruction of
//! assembly on x86-64, in `machine.rs`; loom runs the load.)
//!
//! Every ordering that the protocol rests on has a name, a [`Site`]; `docs/orderings.md` says what each pairs with.
//! Under loom one site at a time can be weakened, and a model must catch it (see `models`).

#[cfg(not(resolver_loom))]
pub(crate) use core::sync::atomic::{AtomicU64, Ordering};
#[cfg(resolver_loom)]
pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};

/// An ordering of the protocol, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Site {
    /// Writer, fence(Release) before a shadow: who sees a word of it also sees the cell's last even `seq`.
    BeforeShadow,
    /// Writer, `seq` odd, store(Release): who reads odd also reads the whole shadow.
    MarkOdd,
    /// Writer, fence(Release) before a line: who sees a word of it also sees `seq` odd, and the epoch odd.
    BeforeLine,
    /// Writer, fence(Release) before a leaf: who sees a word of it also sees that its stamp is no longer the one before.
    BeforeLeaf,
    /// Writer, `seq` even, store(Release): who reads even also reads the whole line.
    MarkEven,
    /// Reader, fence(Acquire) after the first `seq`: pairs with MarkOdd and MarkEven.
    AfterSeq,
    /// Reader, fence(Acquire) after the words: pairs with BeforeShadow, BeforeLine and BeforeLeaf.
    AfterWords,
    /// Writer, epoch odd, store(Release): who reads it odd also reads every staged shadow.
    EpochOdd,
    /// Writer, epoch even, store(Release): who reads it even also reads every line of the batch.
    EpochEven,
    /// Reader, fence(Acquire) after the first epoch: pairs with EpochOdd and EpochEven.
    AfterEpoch,
    /// Reader, fence(Acquire) before the epoch is read again: pairs with BeforeShadow and BeforeLine.
    BeforeEpochAgain,
    /// Writer, directory entry, store(Release): who reads the entry also reads its name and its head.
    EntryStore,
    /// Reader, fence(Acquire) after a directory entry: pairs with EntryStore.
    AfterEntry,
    /// Writer, version word, store(Release): who reads it also reads the whole header and empty cells.
    VersionStore,
    /// Opener, fence(Acquire) after the version word: pairs with VersionStore.
    AfterVersion,
}

/// All of them.
#[cfg(test)]
pub(crate) const ALL: [Site; 15] = [
    Site::BeforeShadow,
    Site::MarkOdd,
    Site::BeforeLine,
    Site::BeforeLeaf,
    Site::MarkEven,
    Site::AfterSeq,
    Site::AfterWords,
    Site::EpochOdd,
    Site::EpochEven,
    Site::AfterEpoch,
    Site::BeforeEpochAgain,
    Site::EntryStore,
    Site::AfterEntry,
    Site::VersionStore,
    Site::AfterVersion,
];

#[cfg(not(resolver_loom))]
#[inline(always)]
pub(crate) fn fence_acquire(_site: Site) {
    core::sync::atomic::fence(Ordering::Acquire);
}

#[cfg(not(resolver_loom))]
#[inline(always)]
pub(crate) fn fence_release(_site: Site) {
    core::sync::atomic::fence(Ordering::Release);
}

#[cfg(not(resolver_loom))]
#[inline(always)]
pub(crate) fn store_release(word: &AtomicU64, value: u64, _site: Site) {
    word.store(value, Ordering::Release);
}

#[cfg(resolver_loom)]
pub(crate) use weakened::{fence_acquire, fence_release, store_release};

#[cfg(resolver_loom)]
pub(crate) mod weakened {
    //! The same operations, one of which a model may take away.

    extern crate std;

    use std::cell::Cell;

    use super::{AtomicU64, Ordering, Site};

    std::thread_local! {
        /// Loom runs all threads of a model on the thread that started it, so this reaches them all.
        static WEAK: Cell<Option<Site>> = const { Cell::new(None) };
    }

    /// Runs `model` with the ordering at `site` taken away.
    #[cfg(test)]
    pub(crate) fn without<T>(site: Site, model: impl FnOnce() -> T) -> T {
        WEAK.with(|weak| weak.set(Some(site)));
        let result = model();
        WEAK.with(|weak| weak.set(None));
        result
    }

    fn is_weak(site: Site) -> bool {
        WEAK.with(|weak| weak.get() == Some(site))
    }

    pub(crate) fn fence_acquire(site: Site) {
        if !is_weak(site) {
            loom::sync::atomic::fence(Ordering::Acquire);
        }
    }

    pub(crate) fn fence_release(site: Site) {
        if !is_weak(site) {
            loom::sync::atomic::fence(Ordering::Release);
        }
    }

    pub(crate) fn store_release(word: &AtomicU64, value: u64, site: Site) {
        word.store(value, if is_weak(site) { Ordering::Relaxed } else { Ordering::Release });
    }
}

#[cfg(all(test, not(resolver_loom)))]
mod tests {
    extern crate std;

    use std::path::Path;
    use std::string::String;
    use std::{format, fs};

    use super::*;

    /// The crate's source without its tests and models.
    fn source(directory: &Path, into: &mut String) {
        for entry in fs::read_dir(directory).expect("the source is there") {
            let path = entry.expect("the source is there").path();
            if path.is_dir() && !path.ends_with("models") {
                source(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !path.ends_with("sync.rs")
            {
                let text = fs::read_to_string(&path).expect("it can be read");
                into.push_str(text.split("#[cfg(test)]").next().unwrap_or_default());
            }
        }
    }

    #[test]
    fn the_list_of_orderings_is_whole() {
        for (place, site) in ALL.iter().enumerate() {
            assert_eq!(*site as usize, place);
        }
        assert_eq!(Site::AfterVersion as usize + 1, ALL.len(), "it is the last one");
    }

    /// Each ordering is used on its own side, and `docs/orderings.md` says what it is for.
    #[test]
    fn each_ordering_is_used_and_argued() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut code = String::new();
        source(&root.join("src"), &mut code);
        let code = code.replace(['\n', ' '], "");
        let argument = fs::read_to_string(root.join("../docs/orderings.md")).expect("the argument is there");
        for site in ALL {
            let name = format!("{site:?}");
            let is_read = name.starts_with("After") || name == "BeforeEpochAgain";
            let is_fence = is_read || name.starts_with("Before");
            let operation = if is_read {
                format!("fence_acquire(Site::{name})")
            } else if is_fence {
                format!("fence_release(Site::{name})")
            } else {
                format!(",Site::{name})")
            };
            assert!(code.contains(&operation), "no {operation} in the source");
            assert!(argument.contains(&format!("`{name}`")), "docs/orderings.md does not argue {name}");
        }
        let stores = code.matches("store_release(").count();
        let named = ["MarkOdd", "MarkEven", "EpochOdd", "EpochEven", "EntryStore", "VersionStore"];
        let named: usize = named.iter().map(|name| code.matches(&format!(",Site::{name})")).count()).sum();
        assert_eq!(stores, named, "a store(Release) has no name of its own");
    }
}
