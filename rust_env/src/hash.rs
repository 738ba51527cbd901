//! Hash functions for fingerprints and checksums.

/// 64-bit FNV-1a hash (Fowler, Noll and Vo 1991) of the concatenated parts.
pub(crate) fn fingerprint<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let bytes = parts.into_iter().flatten();
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Multiplicative hash of a sequence of words, for long columns of numbers.
pub(crate) fn fingerprint_words(words: impl Iterator<Item = u64>) -> u64 {
    words.fold(0, |hash, word| (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29))
}
