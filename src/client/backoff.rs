//! Pauses that double up to a maximum, with jitter.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
}

impl Backoff {
    /// The pause after `before` earlier pauses. The pause is between half of its time and all of
    /// it, so that clients that failed together don't retry together.
    pub(crate) fn pause(&self, before: u32) -> Duration {
        let doubled = 1_u32.checked_shl(before).unwrap_or(u32::MAX);
        let whole = self.first.saturating_mul(doubled).min(self.longest);
        let half = whole / 2;
        let random = RandomState::new().hash_one(before) % 1_024;
        half + whole
            .saturating_sub(half)
            .mul_f64(f64::from(u32::try_from(random).unwrap_or_default()) / 1_023.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_vary_within_their_upper_half() {
        let ms = Duration::from_millis;
        let backoff = Backoff {
            first: ms(100),
            longest: ms(1_000),
        };
        for (before, whole) in [
            (0, 100),
            (1, 200),
            (2, 400),
            (4, 1_000),
            (40, 1_000),
            (u32::MAX, 1_000),
        ] {
            let pauses: Vec<_> = (0..50).map(|_| backoff.pause(before)).collect();
            assert!(
                pauses
                    .iter()
                    .all(|p| (ms(whole / 2)..=ms(whole)).contains(p)),
                "{pauses:?}"
            );
            assert!(pauses.iter().any(|p| *p != pauses[0]), "no jitter");
        }
    }
}
