use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn fifo(path: &Path) {
    let made = rustix::fs::mkfifoat(rustix::fs::CWD, path, Mode::RWXU);
    made.unwrap();
}

#[test]
fn a_directory_that_is_made_is_for_this_user_alone_with_all_above_it() {
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("a/b");
    PrivateDir::own(&path).unwrap();
    PrivateDir::of_file(&tmp.path().join("c/d/file")).unwrap();
    for made in ["a", "a/b", "c", "c/d"] {
        assert_eq!(mode(&tmp.path().join(made)), 0o700, "{made}");
    }
}

#[test]
fn a_directory_that_others_may_write_to_is_refused_and_a_sticky_one_serves_for_a_named_file() {
    let tmp = tempfile::tempdir().unwrap();
    for (bits, own, of_file) in [
        (0o700, true, true),
        (0o755, true, true),
        (0o770, false, false),
        (0o702, false, false),
        (0o777, false, false),
        (0o1777, false, true),
        (0o1770, false, true),
    ] {
        chmod(tmp.path(), bits);
        assert_eq!(PrivateDir::own(tmp.path()).is_ok(), own, "{bits:o}");
        let file = tmp.path().join("file");
        assert_eq!(PrivateDir::of_file(&file).is_ok(), of_file, "{bits:o}");
        assert_eq!(PrivateDir::of_existing(&file).is_ok(), of_file, "{bits:o}");
    }
    chmod(tmp.path(), 0o770);
    let told = PrivateDir::own(tmp.path()).unwrap_err().to_string();
    assert!(told.contains("chmod go-w"), "{told}");
    PrivateDir::own_and_closed(tmp.path()).unwrap();
    assert_eq!(mode(tmp.path()), 0o700);
}

#[test]
fn a_file_of_another_user_is_refused_and_one_of_the_system_is_not() {
    let me = geteuid().as_raw();
    let path = Path::new("/x");
    assert!(check_owner("it", path, me).is_ok() && check_owner("it", path, 0).is_ok());
    assert!(check_owner("it", path, me + 4_242).is_err());
    if me == 0 {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("theirs");
        let own = PrivateDir::own(&dir).unwrap();
        own.replace("file", b"theirs").unwrap();
        std::os::unix::fs::chown(dir.join("file"), Some(4_242), None).unwrap();
        assert!(own.read("file", 10).is_err() && own.continue_file("file").is_err());
        std::os::unix::fs::chown(&dir, Some(4_242), None).unwrap();
        assert!(PrivateDir::own(&dir).is_err() && PrivateDir::own_and_closed(&dir).is_err());
        assert!(PrivateDir::of_file(&dir.join("file")).is_err());
    }
}

#[test]
fn a_link_is_not_followed_whether_it_is_the_file_or_the_directory() {
    let tmp = tempfile::tempdir().unwrap();
    let victim = tmp.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    let dir = PrivateDir::own(&tmp.path().join("dir")).unwrap();
    symlink(&victim, dir.path().join("link")).unwrap();
    symlink(tmp.path().join("not there"), dir.path().join("dangling")).unwrap();
    for name in ["link", "dangling"] {
        assert!(dir.open_file(name).is_err() && dir.continue_file(name).is_err());
    }
    assert!(!tmp.path().join("not there").exists());
    dir.replace("link", b"new").unwrap();
    assert_eq!(dir.read("link", 10).unwrap(), b"new");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");

    symlink(dir.path(), tmp.path().join("dirlink")).unwrap();
    for name in ["dirlink", "dirlink/", "dirlink/."] {
        let error = PrivateDir::own(&tmp.path().join(name)).unwrap_err();
        assert!(error.to_string().contains("is a link"), "{name}: {error}");
    }
}

#[test]
fn a_file_that_is_not_regular_is_refused_at_once() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = PrivateDir::own(tmp.path()).unwrap();
    fifo(&tmp.path().join("fifo"));
    fs::create_dir(tmp.path().join("sub")).unwrap();
    // Opening a pipe that nobody writes to would wait forever.
    for name in ["fifo", "sub"] {
        assert!(dir.read(name, 10).is_err(), "{name}");
        assert!(dir.continue_file(name).is_err(), "{name}");
    }
    assert!(open_regular(&tmp.path().join("fifo")).is_err());
    assert!(open_regular(Path::new("/dev/zero")).is_err());
}

#[test]
fn a_file_that_others_may_write_to_is_refused_unless_it_is_empty_and_becomes_private() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = PrivateDir::own(tmp.path()).unwrap();
    let file = tmp.path().join("file");
    for bits in [0o666, 0o620] {
        fs::write(&file, "x").unwrap();
        chmod(&file, bits);
        assert!(dir.read("file", 10).is_err() && dir.continue_file("file").is_err());
        fs::write(&file, "").unwrap();
        drop(dir.continue_file("file").unwrap());
        assert_eq!(mode(&file), 0o600);
    }
    assert!(dir.read("file", 0).is_ok());
    dir.replace("file", b"12345").unwrap();
    assert!(dir.read("file", 4).is_err() && dir.read("file", 5).is_ok());
    assert_eq!(mode(&file), 0o600);
    assert_eq!(dir.names().unwrap(), ["file"], "nothing unfinished stays");
}

#[test]
fn a_file_that_is_being_continued_is_not_continued_by_another() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = PrivateDir::own(tmp.path()).unwrap();
    let first = dir.continue_file("file").unwrap();
    let error = dir.continue_file("file").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    drop(first);
    dir.continue_file("file").unwrap();
}
