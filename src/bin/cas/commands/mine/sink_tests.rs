use std::{fs, os::unix::fs::symlink, path::PathBuf};

use rustix::fs::{CWD, Mode, OFlags, mkfifoat, openat};
use serde_json::json;

use super::*;

fn record(n: u32) -> Value {
    json!({"listedAt": 5, "thread": {"id": format!("t{n}"), "updatedAt": n}})
}

fn open(path: &Path) -> Result<(Sink, usize)> {
    let mut known = 0;
    Ok((Sink::open(path, |_| known += 1)?, known))
}

fn refused(path: &Path) -> String {
    match open(path) {
        Err(Failure::Usage(text)) => text,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("{} is taken", path.display()),
    }
}

fn dir() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    (dir, file)
}

#[test]
fn a_file_that_is_anything_but_records_is_refused_and_stays_as_it_is() {
    let (_dir, file) = dir();
    let one = record(1);
    for content in [
        "notes without a newline".to_owned(),
        "a line\nand the last one".to_owned(),
        "a line\n".to_owned(),
        "\n".to_owned(),
        "{\"a\":1}\n".to_owned(),
        "{".to_owned(),
        "{\"li".to_owned(),
        "[{\"listedAt\":5".to_owned(),
        format!("{one}\nnotes\n"),
        format!("{one}\nnotes"),
        format!("notes\n{one}\n"),
        format!("{one}\n\n"),
        format!("{{\"listedAt\":5,\"thread\":7}}\n{one}\n"),
        "SQLite format 3\0\u{10}\n\0".to_owned(),
    ] {
        fs::write(&file, &content).unwrap();
        assert!(refused(&file).contains("left unchanged"), "{content:?}");
        assert_eq!(fs::read_to_string(&file).unwrap(), content);
    }
    let bytes = b"\xff\xd8\xff\xe0 a picture \n\xff";
    fs::write(&file, bytes).unwrap();
    refused(&file);
    assert_eq!(fs::read(&file).unwrap(), bytes);
}

#[test]
fn a_file_of_records_is_continued_and_what_was_broken_off_is_cut() {
    let (_dir, file) = dir();
    let (one, two) = (record(1), record(2));
    for (content, known) in [
        (String::new(), 0),
        (format!("{one}\n"), 1),
        (one.to_string(), 1),
        (format!("{one}\n{two}"), 2),
        (format!("{one}\n{}", &two.to_string()[..20]), 1),
        (format!("{one}\n{{\"li"), 1),
        (one.to_string()[..15].to_owned(), 0),
    ] {
        fs::write(&file, &content).unwrap();
        let (mut sink, found) = open(&file).unwrap();
        assert_eq!(found, known, "{content}");
        sink.write(&record(3)).unwrap();
        drop(sink);
        let text = fs::read_to_string(&file).unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        assert_eq!(
            (lines.len(), &lines[known]),
            (known + 1, &record(3)),
            "{content}"
        );
    }
}

#[test]
fn links_directories_and_files_in_use_are_refused() {
    let (dir, file) = dir();
    let victim = dir.path().join("victim");
    fs::write(&victim, "precious\nlast line").unwrap();
    symlink(&victim, &file).unwrap();
    assert!(refused(&file).contains("is a link"));
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious\nlast line");
    fs::remove_file(&file).unwrap();
    symlink(dir.path().join("nowhere"), &file).unwrap();
    refused(&file);
    assert!(!dir.path().join("nowhere").exists());
    refused(dir.path());

    let new = dir.path().join("new");
    let _in_use = open(&new).unwrap();
    assert!(refused(&new).contains("another program is writing to it"));
}

#[test]
fn a_pipe_is_a_stream_and_one_without_a_reader_is_refused_at_once() {
    let (_dir, file) = dir();
    mkfifoat(CWD, &file, Mode::RWXU).unwrap();
    assert!(refused(&file).contains("nobody reads"));
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    let reader = File::from(openat(CWD, &file, flags, Mode::empty()).unwrap());
    let (mut sink, _) = open(&file).unwrap();
    sink.write(&record(1)).unwrap();
    let mut line = String::new();
    BufReader::new(reader).read_line(&mut line).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), record(1));
    assert!(matches!(
        open(Path::new("/dev/null")).unwrap().0,
        Sink::Stream(..)
    ));
    for path in ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        assert!(
            matches!(open(Path::new(path)).unwrap().0, Sink::Stdout),
            "{path}"
        );
    }
}

#[test]
fn a_file_that_can_not_be_written_to_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("full.jsonl");
    std::fs::write(&path, "").unwrap();
    // The file is open for reading only.
    let mut sink = Sink::File(File::open(&path).unwrap(), path);
    let error = sink.write(&Value::Null).unwrap_err();
    assert!(error.text().contains("full.jsonl"), "{}", error.text());
}
