//! Random-number streams: one independent stream per (seed, episode, bank, purpose).
//!
//! Nothing else in the engine is random, so demand never depends on actions. A copy of a system that must not
//! know the future uses streams of its own.

use crate::units::{BankId, Tick};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

/// A stream of random numbers.
pub type Stream = Xoshiro256PlusPlus;

/// What a stream is used for; each bank has one stream per purpose.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// The bank's payment orders.
    Demand = 1,
    /// The random draws of its policy.
    Policy = 2,
}

/// The stream of one bank and purpose in an episode.
pub fn stream(seed: u64, episode: u64, bank: BankId, purpose: Purpose) -> Stream {
    hashed_stream(&[seed, episode, u64::from(bank.0), purpose as u64])
}

/// The stream of one bank and purpose for the future of a copied system.
///
/// The copy is made at tick `now` of the episode `(seed, episode)`. The stream is independent of that episode's
/// streams and of those of every other `copy_seed` and tick.
pub fn copy_stream(copy_seed: u64, (seed, episode): (u64, u64), now: Tick, bank: BankId, purpose: Purpose) -> Stream {
    hashed_stream(&[copy_seed, seed, episode, u64::from(now.0), u64::from(bank.0), purpose as u64])
}

fn hashed_stream(path: &[u64]) -> Stream {
    let mut bytes = [0; 32];
    for (lane, word) in bytes.chunks_exact_mut(8).enumerate() {
        // Four lanes hash the path from different starting values into 256 bits of state.
        let key = path.iter().fold(LANES[lane], |hash, part| mix(hash ^ mix(part.wrapping_add(LANES[lane]))));
        word.copy_from_slice(&key.to_le_bytes());
    }
    Stream::from_seed(bytes)
}

/// Fractional bits of the square roots of 2, 3, 5 and 7.
const LANES: [u64; 4] = [0x6a09_e667_f3bc_c908, 0xbb67_ae85_84ca_a73b, 0x3c6e_f372_fe94_f82b, 0xa54f_f53a_5f1d_36f1];

/// The finaliser of SplitMix64.
///
/// Steele, Lea and Flood (2014, figure 16), with the constants of Stafford's variant 13.
fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;
    use std::collections::HashSet;

    #[test]
    fn streams_of_different_paths_differ() {
        let mut first = HashSet::new();
        for seed in [0, 1, u64::MAX] {
            for episode in 0..20 {
                for bank in 0..20 {
                    for purpose in [Purpose::Demand, Purpose::Policy] {
                        first.insert(stream(seed, episode, BankId(bank), purpose).next_u64());
                    }
                }
            }
        }
        assert_eq!(first.len(), 3 * 20 * 20 * 2);
    }

    #[test]
    fn copy_streams_differ_from_episode_streams() {
        let mut first = HashSet::new();
        for seed in 0..6 {
            for episode in 0..3 {
                for bank in (0..3).map(BankId) {
                    let purpose = Purpose::Demand;
                    first.insert(stream(seed, episode, bank, purpose).next_u64());
                    for (copy_seed, now) in [(0, 0), (0, 1), (1, 0), (1, 1), (seed + 2, 0)] {
                        first.insert(copy_stream(copy_seed, (seed, episode), Tick(now), bank, purpose).next_u64());
                    }
                }
            }
        }
        assert_eq!(first.len(), 6 * 3 * 3 * 6);
    }

    #[test]
    fn neighbouring_streams_are_uncorrelated() {
        // Half of 64,000 bits of two neighbours agree, with a tolerance of 6 standard deviations, 759.
        let (mut one, mut two) = (stream(7, 0, BankId(0), Purpose::Demand), stream(8, 0, BankId(0), Purpose::Demand));
        let agree: u32 = (0..1000).map(|_| (one.next_u64() ^ two.next_u64()).count_zeros()).sum();
        assert!((31_241..=32_759).contains(&agree), "{agree}");
    }
}
