//! `resolve()` in a process of its own, polled.

use std::path::Path;
use std::time::{Duration, Instant};

use resolver_core::Segment;
use resolver_sync::pin::pin_to;

use super::sheet::{Pen, Sight};
use super::{Ended, SEEN, SERVICE, now};

/// Polls for ever, with `micros` of sleep between two polls, and writes down each change. With no sleep it spins.
pub(super) fn poll(segment: &Path, core: Option<usize>, micros: &str, sheet: &Path) -> Ended {
    let sleep = Duration::from_micros(micros.parse()?);
    if let Some(core) = core {
        pin_to(core)?;
    }
    // Timers of ordinary threads are 50 us late by default, so that wake-ups can be put together.
    rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1))?;
    let mut pen = Pen::open(sheet)?;
    let start = Instant::now();
    let patience = |why: String| {
        if start.elapsed() > SEEN {
            return Err(why);
        }
        std::thread::sleep(Duration::from_millis(1));
        Ok(())
    };
    let segment = loop {
        match Segment::open(segment) {
            Ok(segment) => break segment,
            Err(error) => patience(error.to_string())?,
        }
    };
    let reader = segment.reader();
    let handle = loop {
        match reader.service(SERVICE) {
            Some(handle) => break handle,
            None => patience(format!("the segment has no {SERVICE}"))?,
        }
    };
    let (mut last, mut before) = (0, now());
    loop {
        let resolved = reader.resolve(handle);
        let at = now();
        if let Ok(resolved) = resolved
            && resolved.address().port() != last
        {
            last = resolved.address().port();
            pen.write(last, Sight { at, before })?;
        }
        before = at;
        if sleep.is_zero() {
            std::hint::spin_loop();
        } else {
            std::thread::sleep(sleep);
        }
    }
}
