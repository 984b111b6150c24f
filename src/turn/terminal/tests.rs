use proptest::prelude::*;

use super::*;

/// The characters that terminals obey or don't show, written down differently than in the code: by
/// category.
fn is_obeyed(c: char) -> bool {
    let bidi = "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";
    let invisible = "\u{200b}\u{200c}\u{200d}\u{2060}\u{feff}\u{2028}\u{2029}\u{fff9}\u{fffa}\u{fffb}\u{ad}\u{180e}";
    (c.is_control() && c != '\n' && c != '\t')
        || bidi.contains(c)
        || invisible.contains(c)
        || (0xe_0000..=0xe_01ef).contains(&u32::from(c))
}

/// Text with many of the characters that matter, which are rare among all characters.
fn tricky() -> impl Strategy<Value = String> {
    let special = prop::sample::select(vec![
        '\0',
        '\x07',
        '\x08',
        '\t',
        '\n',
        '\r',
        '\x1b',
        '\x7f',
        '\u{80}',
        '\u{85}',
        '\u{9b}',
        '\u{9d}',
        '\u{9f}',
        '\u{200b}',
        '\u{200d}',
        '\u{200e}',
        '\u{202e}',
        '\u{2028}',
        '\u{2066}',
        '\u{61c}',
        '\u{feff}',
        '\u{fffa}',
        '\u{e0041}',
        '<',
        '>',
        '^',
        '[',
        '\\',
        '"',
        'é',
        '界',
        '\u{1f600}',
        '\u{fe0f}',
    ]);
    let one = prop_oneof![3 => special, 1 => any::<char>(), 1 => prop::char::range('a', 'z')];
    prop::collection::vec(one, 0..60).prop_map(|chars| chars.into_iter().collect())
}

#[test]
fn every_character_that_a_terminal_obeys_is_shown_and_the_others_stay() {
    for c in '\0'..=char::MAX {
        let text = c.to_string();
        let shown = escape(&text);
        if is_obeyed(c) {
            assert!(shown.is_ascii() && shown.len() >= 2, "{c:?}: {shown}");
            assert!(
                shown.bytes().all(|b| (0x20..0x7f).contains(&b)),
                "{c:?}: {shown}"
            );
        } else if c.is_alphanumeric()
            && !matches!(c, '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}')
        {
            assert_eq!(shown, text, "{c:?}");
        }
    }
    for stays in [
        "plain",
        "Zürich, 東京, 🙂 ⚠\u{fe0f}",
        "a\tb\n",
        "^[ <U+202E>",
        "",
    ] {
        assert!(matches!(escape(stays), Cow::Borrowed(_)), "{stays}");
    }
}

#[test]
fn sequences_are_shown_as_less_shows_them() {
    for (text, shown) in [
        ("\x1b]52;c;cm0gLXJm\x07", "^[]52;c;cm0gLXJm^G"),
        ("rm\u{2800}\u{3164}x", "rm<U+2800><U+3164>x"),
        ("\x1b]0;title\x1b\\", "^[]0;title^[\\"),
        ("\x1b]8;;http://evil\x1b\\here", "^[]8;;http://evil^[\\here"),
        ("\u{9b}2J", "<U+009B>2J"),
        ("safe\r\x1b[2Krm", "safe^M^[[2Krm"),
        ("a\u{202e}b\u{2066}c", "a<U+202E>b<U+2066>c"),
        ("pay\u{200b}pal\u{e0041}", "pay<U+200B>pal<U+E0041>"),
        ("x\x08\x08y\x7f", "x^H^Hy^?"),
    ] {
        assert_eq!(escape(text), shown);
    }
    assert_eq!(escape_line("a\r\n\tb"), "a^M^J^Ib");
}

proptest! {
    #[test]
    fn escaped_text_has_nothing_that_a_terminal_obeys(text in tricky()) {
        let shown = escape(&text);
        prop_assert!(!shown.contains(is_obeyed), "{shown:?}");
        prop_assert_eq!(escape(&shown), &*shown);
        let line = escape_line(&text);
        prop_assert!(!line.contains(|c| is_obeyed(c) || c == '\n' || c == '\t'), "{line:?}");
        prop_assert_eq!(escape_line(&line), &*line);
    }

    #[test]
    fn pieces_come_out_as_the_whole_does_wherever_they_are_cut(text in tricky(), cuts in prop::collection::vec(0usize..200, 0..6)) {
        let mut written = Vec::new();
        let mut pieces = String::new();
        {
            let mut writer = EscapeWriter::new(&mut written);
            let mut from = 0;
            let mut ends: Vec<_> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
            ends.push(text.len());
            ends.sort_unstable();
            for to in ends {
                writer.write_all(&text.as_bytes()[from..to]).unwrap();
                from = to;
            }
            for c in text.chars() {
                pieces.push_str(&escape(&c.to_string()));
            }
        }
        prop_assert_eq!(String::from_utf8(written).unwrap(), escape(&text));
        prop_assert_eq!(pieces, escape(&text));
    }

    #[test]
    fn bytes_that_are_no_text_are_shown(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..200) {
        let mut written = Vec::new();
        let cut = cut.min(bytes.len());
        {
            let mut writer = EscapeWriter::new(&mut written);
            writer.write_all(&bytes[..cut]).unwrap();
            writer.write_all(&bytes[cut..]).unwrap();
        }
        let shown = String::from_utf8(written).unwrap();
        prop_assert!(!shown.contains(is_obeyed), "{shown:?}");
        let mut whole = Vec::new();
        EscapeWriter::new(&mut whole).write_all(&bytes).unwrap();
        prop_assert_eq!(shown.into_bytes(), whole);
    }

    #[test]
    fn json_keeps_its_meaning(text in tricky()) {
        let value = serde_json::json!({ (text.clone()): [text, 1.5] });
        for json in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            let shown = escape_json(&json);
            prop_assert!(!shown.contains(is_obeyed), "{shown:?}");
            prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(&shown).unwrap(), &value);
        }
    }
}
