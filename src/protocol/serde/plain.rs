//! Where plain strings end: eight bytes at a time, since most strings of a delta are short.

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

/// The position of the first byte that does not stand for itself in a JSON string: a quote, a backslash or a control
/// character.
#[inline] // Called for each string of a delta.
pub(super) fn end_of_plain(bytes: &[u8]) -> Option<usize> {
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

    #[test]
    fn the_end_is_found_wherever_it_stands() {
        for len in 0..100 {
            let mut text = vec![b'x'; len];
            assert_eq!(end_of_plain(&text), None);
            // These differ from what is looked for in one bit.
            for near in [b'#', b'!', b'\\' + 1, b'\\' - 1, 0xdc, 0xa2, 0x80, 0xff] {
                text.fill(near);
                assert_eq!(end_of_plain(&text), None, "{near}");
                for at in 0..len {
                    for wanted in [b'"', b'\\', 0, 1, 0x1f] {
                        text[at] = wanted;
                        assert_eq!(end_of_plain(&text), Some(at));
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
            let odd = bytes.iter().position(|b| matches!(b, b'"' | b'\\' | 0..=0x1f));
            prop_assert_eq!(end_of_plain(&bytes), odd);
        }
    }
}
