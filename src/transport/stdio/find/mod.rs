//! Where the codex executable is.

mod inspect;
mod installers;
mod npm;

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use self::inspect::defect;
use crate::error::SpawnError;

/// Finds the codex executable: the named one, else `$CAS_CODEX`, else `codex` on `$PATH`, else, on
/// macOS and Windows, in the places where installers put it.
///
/// The places are, in this order: on macOS Homebrew's `bin` (`/opt/homebrew`, `/usr/local`),
/// `packages/standalone/current` of `$CODEX_HOME` or `~/.codex`, and the desktop app in
/// `/Applications` and `~/Applications`; on Windows npm's `%APPDATA%\npm`, winget's
/// `%LOCALAPPDATA%\Microsoft\WinGet\Links`, and the same `packages`.
///
/// npm installs a script that needs Node. If `$PATH` has no Node, as in a program started from a
/// desktop, the result is the binary of npm's package instead. On Windows the result is always the
/// binary, because a command script opens a console and reads its arguments in its own way.
///
/// # Errors
/// [`SpawnError::NotFound`] with every place that was searched and what was there;
/// [`SpawnError::NodeMissing`] for an npm script that can't be run, and whose package has no binary
/// for this machine.
pub fn find_codex(explicit: Option<&Path>) -> Result<PathBuf, SpawnError> {
    find_codex_for(explicit, env::var_os("PATH").as_deref())
}

/// Same as [`find_codex`], for a child with another search path.
pub(crate) fn find_codex_for(
    explicit: Option<&Path>,
    child_path: Option<&OsStr>,
) -> Result<PathBuf, SpawnError> {
    let named = env::var_os("CAS_CODEX").filter(|name| !name.is_empty());
    let is_default = match explicit {
        Some(program) => program == Path::new("codex"),
        None => named.is_none(),
    };
    let program = match find_codex_in(explicit, named, env::var_os("PATH").as_deref()) {
        Err(error) if is_default => installers::find_or(error)?,
        found => found?,
    };
    npm::look_through(program, child_path)
}

fn find_codex_in(
    explicit: Option<&Path>,
    named: Option<OsString>,
    path: Option<&OsStr>,
) -> Result<PathBuf, SpawnError> {
    let cwd = env::current_dir().unwrap_or_default();
    let find = |name: &OsStr| which::which_in(name, path, &cwd).ok();
    // A codex that was named and does not exist is a mistake to report, not a reason to search
    // further.
    let looked = if let Some(program) = explicit {
        if let Some(found) = find(program.as_os_str()) {
            return Ok(found);
        }
        let what = instead(program, path, &cwd);
        vec![format!(
            "{} of the builder's `codex`: {what}",
            program.display()
        )]
    } else if let Some(program) = named {
        if let Some(found) = find(&program) {
            return Ok(found);
        }
        let program = Path::new(&program);
        let what = instead(program, path, &cwd);
        vec![format!("{} of $CAS_CODEX: {what}", program.display())]
    } else {
        let program = Path::new("codex");
        if let Some(found) = find(program.as_os_str()) {
            return Ok(found);
        }
        vec![format!(
            "`codex` on $PATH: {}",
            instead(program, path, &cwd)
        )]
    };
    Err(SpawnError::NotFound { looked })
}

/// Describes what is at the path of an executable.
fn instead(program: &Path, path: Option<&OsStr>, cwd: &Path) -> String {
    if program.components().count() > 1 {
        return defect(&cwd.join(program))
            .unwrap_or("does not exist")
            .to_owned();
    }
    let Some(path) = path.filter(|path| !path.is_empty()) else {
        return "$PATH is empty".to_owned();
    };
    let dirs = env::split_paths(path).map(|dir| match defect(&dir.join(program)) {
        Some(defect) => format!("{} {defect}", dir.join(program).display()),
        None if dir.is_dir() => format!("not in {}", dir.display()),
        None => format!("there is no {}", dir.display()),
    });
    dirs.collect::<Vec<_>>().join(", ")
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn without_a_codex_anywhere_the_error_names_the_places_and_the_remedies() {
        let error = find_codex_in(None, None, Some(OsStr::new("/nowhere:/proc")))
            .unwrap_err()
            .to_string();
        for part in [
            "`codex` on $PATH: there is no /nowhere, not in /proc",
            "the builder's `codex`",
            "$CAS_CODEX",
            "npm install -g @openai/codex",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_codex_that_was_named_but_is_not_there_is_not_replaced_by_another() {
        let path = Some(OsStr::new("/bin:/usr/bin"));
        assert!(find_codex_in(Some(Path::new("sh")), None, path).is_ok());
        assert!(find_codex_in(None, Some("/bin/sh".into()), path).is_ok());
        let error = find_codex_in(
            Some(Path::new("/no/such/codex")),
            Some("/bin/sh".into()),
            path,
        )
        .unwrap_err();
        assert!(error.to_string().contains("/no/such/codex"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_executable_is_named_with_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let plain = dir.path().join("codex");
        std::fs::write(&plain, "").unwrap();
        let told = |explicit: Option<&Path>, path: &Path| {
            let error = find_codex_in(explicit, None, Some(path.as_os_str()));
            error.unwrap_err().to_string()
        };
        let nowhere = Path::new("/nowhere");
        for (error, what) in [
            (told(Some(&plain), nowhere), "is not executable"),
            (told(None, dir.path()), "is not executable"),
            (told(Some(dir.path()), nowhere), "is a directory"),
            (
                told(Some(&dir.path().join("no")), nowhere),
                "does not exist",
            ),
        ] {
            assert!(error.contains(what), "{what}: {error}");
        }
    }
}
