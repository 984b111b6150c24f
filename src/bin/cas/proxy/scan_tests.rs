//! The scan against serde, and what it finds.

use serde::de::IgnoredAny;

use super::*;

const LINES: [&str; 4] = [
    r#"{"method":"item/completed","params":{"item":{"id":"i\u00e9","x":{"id":"no"}},"threadId":"t","turnId":"u"}}"#,
    r#" { "id" : -0.5e+3 , "result" : [ null , true, false , {} , [ ] , 10 ] , "x":"a\"b\\c\/d" } "#,
    r#"{"id":"größe ☃ and so on","error":{"code":-1,"message":"m"}}"#,
    "[[1,{\"a\":[]}],\"s\"]",
];

fn is_json(line: &[u8]) -> bool {
    std::str::from_utf8(line).is_ok_and(|l| serde_json::from_str::<IgnoredAny>(l).is_ok())
}

#[test]
fn it_takes_what_serde_takes_and_nothing_else_whatever_byte_is_changed() {
    let mut scan = Scan::default();
    let mut taken = 0;
    for line in LINES {
        let line = line.as_bytes();
        assert!(scan.message(line).is_some());
        for at in 0..line.len() {
            let mut cut = line.to_vec();
            cut.remove(at);
            assert_eq!(scan.message(&cut).is_some(), is_json(&cut), "{at}");
            assert_eq!(scan.message(&line[..at]).is_some(), is_json(&line[..at]));
            for byte in 0..=u8::MAX {
                let mut changed = line.to_vec();
                changed[at] = byte;
                let told = String::from_utf8_lossy(&changed);
                assert_eq!(
                    scan.message(&changed).is_some(),
                    is_json(&changed),
                    "{told}"
                );
                taken += usize::from(is_json(&changed));
            }
        }
    }
    assert!(taken > 1_000, "most strings stay strings");
}

#[test]
fn the_parts_stand_where_they_are() {
    let mut scan = Scan::default();
    let m = scan.message(LINES[0].as_bytes()).unwrap();
    assert_eq!(m.kind(), Kind::Notification);
    assert_eq!(m.method(), Some(r#""item/completed""#));
    let keys = (m.thread(), m.turn(), m.item());
    assert_eq!(keys, (Some(r#""t""#), Some(r#""u""#), Some(r#""i\u00e9""#)));
    assert!(m.params().unwrap().starts_with(r#"{"item""#));
    let m = scan.message(LINES[1].as_bytes()).unwrap();
    assert_eq!((m.kind(), m.id()), (Kind::Response, Some("-0.5e+3")));
    let m = scan.message(LINES[3].as_bytes()).unwrap();
    assert_eq!((m.kind(), m.id()), (Kind::Unknown, None));
}

#[test]
fn the_last_of_two_members_counts_and_ids_are_strings_or_numbers() {
    let mut scan = Scan::default();
    let line =
        br#"{"id":1,"id":null,"method":5,"method":"m","params":{"threadId":"a","threadId":"b"}}"#;
    let m = scan.message(line).unwrap();
    assert_eq!((m.kind(), m.id()), (Kind::Notification, None));
    assert_eq!((m.method(), m.thread()), (Some("\"m\""), Some("\"b\"")));
}

#[test]
fn depth_costs_no_recursion() {
    let deep = [b"[".repeat(1_000_000), b"]".repeat(1_000_000)].concat();
    assert!(Scan::default().message(&deep).is_some());
    assert!(Scan::default().message(&deep[1..]).is_none());
}
