//! Where strings end: eight bytes at a time, since most strings of a message are short.

use memchr::memchr2;

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const TOPS: u64 = ONES << 7;

/// Sets the high bit of each byte below `limit`, which is at most 128. Bits after the first one set may be wrong.
const fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(ONES * limit as u64) & !word & TOPS
}

/// Sets the high bit of each byte that equals `byte`. Bits after the first one set may be wrong.
const fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ (ONES * byte as u64), 1)
}

/// The first byte whose high bit is set.
const fn first(found: u64) -> usize {
    found.trailing_zeros() as usize / 8
}

/// How many words are searched before the vectorized search is called.
const SHORT: usize = 6;

/// The position of the first quote or backslash.
///
/// For the first few words this is less work than the call of a vectorized search.
#[inline] // Called for each string of a message.
pub(crate) fn quote_or_escape(bytes: &[u8]) -> Option<usize> {
    let (words, _) = bytes.as_chunks();
    let mut at = 0;
    for word in words.iter().take(SHORT) {
        let word = u64::from_le_bytes(*word);
        let found = equal(word, b'"') | equal(word, b'\\');
        if found != 0 {
            return Some(at + first(found));
        }
        at += 8;
    }
    memchr2(b'"', b'\\', &bytes[at..]).map(|found| at + found)
}

/// The position of the first byte that does not stand for itself in a JSON string: a quote, a backslash or a control
/// character.
#[inline] // Called for each string of a delta.
pub(crate) fn end_of_plain(bytes: &[u8]) -> Option<usize> {
    let (words, rest) = bytes.as_chunks();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = below(word, b' ') | equal(word, b'"') | equal(word, b'\\');
        if found != 0 {
            return Some(at * 8 + first(found));
        }
    }
    let found = rest
        .iter()
        .position(|byte| matches!(byte, b'"' | b'\\' | 0..b' '));
    found.map(|found| words.len() * 8 + found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Looks with both, in text that the wanted byte is the only one of its kind in.
    fn both(text: &[u8]) -> [Option<usize>; 2] {
        [quote_or_escape(text), end_of_plain(text)]
    }

    #[test]
    fn a_quote_is_found_wherever_it_stands() {
        for len in 0..100 {
            let mut text = vec![b'x'; len];
            assert_eq!(both(&text), [None; 2]);
            // These differ from what is looked for in one bit.
            for near in [b'#', b'!', b'\\' + 1, b'\\' - 1, 0xdc, 0xa2, 0x80, 0xff] {
                text.fill(near);
                assert_eq!(both(&text), [None; 2], "{near}");
                for at in 0..len {
                    for wanted in [b'"', b'\\'] {
                        text[at] = wanted;
                        assert_eq!(both(&text), [Some(at); 2]);
                    }
                    for control in [0, 1, 0x1f] {
                        text[at] = control;
                        assert_eq!(both(&text), [None, Some(at)]);
                    }
                    text[at] = near;
                }
            }
        }
    }

    proptest! {
        #[test]
        fn words_find_what_bytes_would(
            bytes in proptest::collection::vec(prop_oneof![9 => Just(b'a'), 1 => any::<u8>()], 0..90),
        ) {
            let quote = bytes.iter().position(|b| matches!(b, b'"' | b'\\'));
            let odd = bytes.iter().position(|b| matches!(b, b'"' | b'\\' | 0..=0x1f));
            prop_assert_eq!(both(&bytes), [quote, odd]);
        }
    }
}
