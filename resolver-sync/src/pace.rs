//! How fast a source may ask: a back-off that grows and is spread, and a token bucket.

use std::time::Duration;

use tokio::time::Instant;

/// Delays between attempts that fail: each is drawn evenly between the minimum and a ceiling that doubles with every
/// failure, up to the maximum. So a fleet that lost its registry at one moment does not come back at one moment.
///
/// ```
/// use resolver_sync::pace::Backoff;
/// use std::time::Duration;
///
/// let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
/// assert!(backoff.delay() <= Duration::from_millis(100));
/// for _ in 0..20 {
///     assert!((Duration::from_millis(50)..=Duration::from_secs(1)).contains(&backoff.delay()));
/// }
/// backoff.reset();
/// assert!(backoff.delay() <= Duration::from_millis(100));
/// ```
#[derive(Clone, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    ceiling: Duration,
}

impl Backoff {
    /// Delays of at least `min` (never 0: 1 ms stands in for it) and at most `max`.
    pub fn new(min: Duration, max: Duration) -> Self {
        let min = min.max(Duration::from_millis(1));
        Backoff { min, max: max.max(min), ceiling: min }
    }

    /// The next delay. The first lies between `min` and twice that.
    pub fn delay(&mut self) -> Duration {
        self.ceiling = self.ceiling.saturating_mul(2).min(self.max);
        self.min + self.ceiling.saturating_sub(self.min).mul_f64(fastrand::f64())
    }

    /// An attempt succeeded: the next delay is a first one again.
    pub fn reset(&mut self) {
        self.ceiling = self.min;
    }

    /// Sleeps for [`Backoff::delay`].
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.delay()).await;
    }
}

/// A token bucket: `burst` at once, then one in each `period`, give or take a quarter of it.
#[derive(Clone, Debug)]
pub struct Bucket {
    burst: u32,
    period: Duration,
    /// When the bucket is full again, were nothing more taken.
    full_at: Option<Instant>,
}

impl Bucket {
    /// A full bucket. A burst of 0 counts as 1.
    pub const fn new(burst: u32, period: Duration) -> Self {
        Bucket { burst: if burst == 0 { 1 } else { burst }, period, full_at: None }
    }

    /// Takes a token and says how long after `now` it may be used.
    pub fn take(&mut self, now: Instant) -> Duration {
        let full_at = self.full_at.map_or(now, |at| at.max(now));
        // A token may be used when no more than burst - 1 others are still owed.
        let wait = (full_at - now).saturating_sub(self.period * (self.burst - 1));
        self.full_at = Some(full_at + self.period);
        wait.mul_f64(0.75 + fastrand::f64() / 2.0)
    }

    /// Takes a token and waits until it may be used; returns at once while the bucket has one.
    pub async fn wait(&mut self) {
        let wait = self.take(Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_maximum_and_no_further() {
        let (min, max) = (Duration::from_millis(10), Duration::from_millis(500));
        let mut largest = Duration::ZERO;
        for _ in 0..200 {
            let mut backoff = Backoff::new(min, max);
            let mut ceiling = min;
            for _ in 0..10 {
                ceiling = (ceiling * 2).min(max);
                let delay = backoff.delay();
                assert!((min..=ceiling).contains(&delay), "{delay:?} is not within {min:?} to {ceiling:?}");
                largest = largest.max(delay);
            }
        }
        assert!(largest > max / 2, "200 runs never came near the maximum: {largest:?}");
    }

    #[test]
    fn delays_are_spread() {
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(1));
        let mut delays: Vec<_> = (0..20).map(|_| backoff.delay()).collect();
        delays.sort();
        delays.dedup();
        assert!(delays.len() > 15, "{delays:?}");
    }

    #[test]
    fn a_backoff_of_nothing_is_no_hot_loop() {
        assert!(Backoff::new(Duration::ZERO, Duration::ZERO).delay() >= Duration::from_millis(1));
    }

    #[test]
    fn a_bucket_gives_its_burst_then_its_rate() {
        let period = Duration::from_millis(100);
        let now = Instant::now();
        let mut bucket = Bucket::new(2, period);
        assert_eq!(bucket.take(now), Duration::ZERO);
        assert_eq!(bucket.take(now), Duration::ZERO);
        let third = bucket.take(now);
        assert!((period.mul_f64(0.75)..=period.mul_f64(1.25)).contains(&third), "{third:?}");
        let later = now + period * 10;
        assert_eq!(bucket.take(later), Duration::ZERO);
        assert_eq!(bucket.take(later), Duration::ZERO);
        assert!(bucket.take(later) > Duration::ZERO, "an idle bucket holds no more than its burst");
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_on_a_bucket_keeps_its_rate() {
        let mut bucket = Bucket::new(2, Duration::from_millis(100));
        let start = Instant::now();
        let mut turns = 0;
        while start.elapsed() < Duration::from_secs(10) {
            bucket.wait().await;
            turns += 1;
        }
        assert!((80..=140).contains(&turns), "{turns} turns in 10 s at 10 a second");
    }
}
