//! Whether a Windows path lies in a directory, judged by its text alone.
//!
//! Windows reads many spellings as the same file: either slash, any case, `\\?\`, 8.3 names, dots and spaces at the end of
//! a name, streams. Only paths with a single reading are compared. All others are unknown.

// The logic is tested on every system, and used on one.
#![cfg_attr(
    not(any(windows, test)),
    expect(dead_code, reason = "paths are compared so on Windows only")
)]

use super::condition::Match;

/// Whether `path` is `root` or below it.
pub(super) fn within(path: &str, root: &str) -> Match {
    let (Some(path), Some(root)) = (Parsed::of(path), Parsed::of(root)) else {
        return Match::Unknown;
    };
    let mut names = path.names.iter();
    let volume = same(&path.volume, &root.volume);
    root.names.iter().fold(volume, |so_far, root| {
        let name = names.next().map_or(Match::No, |name| same(name, root));
        match (so_far, name) {
            (Match::No, _) | (_, Match::No) => Match::No,
            (Match::Yes, Match::Yes) => Match::Yes,
            _ => Match::Unknown,
        }
    })
}

/// Whether two names are one. Only the case of ASCII is folded: for other letters Windows has a table of its own, which
/// can differ from volume to volume.
fn same(a: &str, b: &str) -> Match {
    if a.eq_ignore_ascii_case(b) {
        Match::Yes
    } else if a.to_lowercase() == b.to_lowercase() || a.to_uppercase() == b.to_uppercase() {
        Match::Unknown
    } else {
        Match::No
    }
}

/// An absolute path that has one reading.
struct Parsed {
    /// `C:`, or `server\share`.
    volume: String,
    names: Vec<String>,
}

impl Parsed {
    fn of(path: &str) -> Option<Self> {
        // A verbatim path: Windows passes it on as it stands, so in it a slash and a dot are no more than letters.
        let verbatim = path.strip_prefix(r"\\?\");
        if verbatim.is_some_and(|path| path.contains('/')) {
            return None;
        }
        let path = verbatim.unwrap_or(path).replace('/', r"\");
        let unc = match (verbatim, path.strip_prefix(r"\\")) {
            (Some(_), _) => strip_prefix_ignoring_case(&path, r"UNC\"),
            (None, unc) => unc,
        };
        let (volume, rest) = if let Some(unc) = unc {
            let (server, rest) = unc.split_once('\\')?;
            let (share, rest) = rest.split_once('\\').unwrap_or((rest, ""));
            // `\\.\` and `\\?\` with other slashes are devices.
            if !(is_plain(server) && is_plain(share)) || server == "?" {
                return None;
            }
            (format!(r"{server}\{share}"), rest)
        } else {
            let (drive, rest) = path.split_at_checked(2)?;
            let letter = drive.strip_suffix(':')?;
            if !letter.bytes().all(|b| b.is_ascii_alphabetic()) {
                return None;
            }
            // `C:name` is relative to the current directory of the drive.
            (drive.to_owned(), rest.strip_prefix('\\')?)
        };
        let mut names = Vec::new();
        for name in rest.split('\\') {
            // Doubled slashes and one at the end mean nothing.
            if name.is_empty() || (name == "." && verbatim.is_none()) {
                continue;
            }
            if !is_plain(name) {
                return None;
            }
            names.push(name.to_owned());
        }
        Some(Self { volume, names })
    }
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Whether a name can mean one file only.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.ends_with(['.', ' ']) // Which are dropped; `..` is among them.
        && !name.contains(|c: char| c.is_control() || "<>:\"|?*".contains(c)) // A colon begins a stream.
        && !is_short(name)
        && !is_device(name)
}

/// Whether it may be the 8.3 name of another, as in `PROGRA~1`.
fn is_short(name: &str) -> bool {
    let mut after = name.split('~').skip(1);
    after.any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// Whether it is a device in every directory, whatever extension it has.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end();
    let stem = stem.to_ascii_uppercase();
    let numbered = |stem: &str| {
        let number = stem
            .strip_prefix("COM")
            .or_else(|| stem.strip_prefix("LPT"));
        number.is_some_and(|n| {
            matches!(
                n,
                "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³"
            )
        })
    };
    matches!(
        stem.as_str(),
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$"
    ) || numbered(&stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_the_same_path_are_inside() {
        let root = r"C:\Users\me\repo";
        for path in [
            r"C:\Users\me\repo",
            r"C:\Users\me\repo\",
            r"C:\Users\me\repo\src\lib.rs",
            r"c:\users\ME\Repo\src",
            r"C:/Users/me/repo/src",
            r"C:\Users\me/repo\.\src",
            r"C:\\Users\\me\\repo\\src",
            r"\\?\C:\Users\me\repo\src",
            r"C:\Users\me\repo\zeit ü.txt",
            r"C:\Users\me\repo\~backup",
            r"C:\Users\me\repo\file~",
        ] {
            assert_eq!(within(path, root), Match::Yes, "{path}");
        }
        assert_eq!(within(r"C:\x", r"C:\"), Match::Yes);
        assert_eq!(
            within(r"C:\Users\me\repo\x", r"\\?\c:\users\me\repo"),
            Match::Yes
        );
    }

    #[test]
    fn a_path_elsewhere_is_outside() {
        let root = r"C:\Users\me\repo";
        for path in [
            r"C:\Users\me",
            r"C:\Users\me\repository",
            r"C:\Users\me\repo.bak",
            r"C:\Users\you\repo",
            r"D:\Users\me\repo\src",
            r"C:\",
            r"\\server\share\Users\me\repo",
        ] {
            assert_eq!(within(path, root), Match::No, "{path}");
        }
    }

    #[test]
    fn a_share_is_known_by_server_and_name() {
        let root = r"\\server\share\repo";
        for path in [
            r"\\server\share\repo\x",
            r"\\SERVER\Share\repo\x",
            r"//server/share/repo/x",
            r"\\?\UNC\server\share\repo\x",
            r"\\?\unc\server\share\repo",
        ] {
            assert_eq!(within(path, root), Match::Yes, "{path}");
        }
        for path in [
            r"\\server\other\repo\x",
            r"\\other\share\repo\x",
            r"\\server\share",
            r"C:\repo",
        ] {
            assert_eq!(within(path, root), Match::No, "{path}");
        }
    }

    #[test]
    fn a_path_with_a_second_reading_is_unknown() {
        let root = r"C:\repo";
        for path in [
            "",
            "repo",
            r"repo\x",
            r"\repo\x",
            "C:",
            r"C:repo\x",
            r"C:\repo\..\other",
            r"C:\repo\x\..",
            r"C:\repo\PROGRA~1",
            r"C:\repo\a~12.txt",
            r"C:\REPO~1\x",
            r"C:\repo.\x",
            r"C:\repo \x",
            r"C:\repo\x...",
            r"C:\repo\x:stream",
            r"C:\repo\x::$DATA",
            r"C:\repo\NUL",
            r"C:\repo\con.txt",
            r"C:\repo\Com1",
            r"C:\repo\lpt9.log",
            r"C:\repo\COM²",
            r"C:\repo\conout$",
            "C:\\repo\\a\nb",
            "C:\\repo\\a\0b",
            r"C:\repo\*",
            r"C:\repo\a?b",
            r"\\.\C:\repo\x",
            r"\\.\PhysicalDrive0",
            r"\\?\GLOBALROOT\Device\x",
            r"\\?\Volume{b75e2c83-0000-0000-0000-602f00000000}\x",
            r"\\?\C:\repo/x",
            r"\\?\C:\repo\.\x",
            r"\\?\C:\repo\..\x",
            r"//?/C:/repo/x",
            r"\??\C:\repo\x",
            r"\\server",
            r"\\\share\repo",
            r"1:\repo",
            r"ä:\repo",
        ] {
            assert_eq!(within(path, root), Match::Unknown, "{path:?}");
            assert_eq!(within(r"C:\repo\x", path), Match::Unknown, "root {path:?}");
        }
    }

    #[test]
    fn letters_that_only_some_tables_fold_are_not_known_to_be_the_same() {
        for (path, root) in [
            (r"C:\ärger\x", r"C:\ÄRGER"),
            (r"C:\straße\x", r"C:\STRASSE"),
            ("C:\\\u{212a}\\x", r"C:\k"),    // The Kelvin sign.
            ("C:\\\u{17f}rc\\x", r"C:\src"), // The long s.
        ] {
            assert_eq!(within(path, root), Match::Unknown, "{path} in {root}");
        }
        assert_eq!(within(r"C:\ärger\x", r"C:\ärger"), Match::Yes);
    }

    #[test]
    fn a_difference_that_is_certain_outweighs_one_that_is_not() {
        assert_eq!(within(r"C:\ärger\a", r"C:\ÄRGER\b"), Match::No);
        assert_eq!(within(r"C:\ärger", r"C:\ÄRGER\b"), Match::No);
    }
}
