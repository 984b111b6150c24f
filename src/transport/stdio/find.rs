//! Where the codex executable is.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use super::npm;
use crate::error::SpawnError;

/// Finds the codex executable: the one named, else `$CAS_CODEX`, else `codex` on `$PATH`.
///
/// Where that is npm's script and there is no Node on `$PATH` to run it, as in a program that was started from a desktop, it
/// is the binary of npm's package.
///
/// # Errors
/// [`SpawnError::NotFound`] with every place that was looked at and what was there; [`SpawnError::NodeMissing`] for a script
/// of npm that can't be run, and whose package has no binary for this machine.
pub fn find_codex(explicit: Option<&Path>) -> Result<PathBuf, SpawnError> {
    find_codex_for(explicit, env::var_os("PATH").as_deref())
}

/// The same for a child that gets another search path.
pub(crate) fn find_codex_for(
    explicit: Option<&Path>,
    childs_path: Option<&OsStr>,
) -> Result<PathBuf, SpawnError> {
    let (named, path) = (env::var_os("CAS_CODEX"), env::var_os("PATH"));
    let program = find_codex_in(explicit, named, path.as_deref())?;
    npm::look_through(program, childs_path)
}

fn find_codex_in(
    explicit: Option<&Path>,
    named: Option<OsString>,
    path: Option<&OsStr>,
) -> Result<PathBuf, SpawnError> {
    let cwd = env::current_dir().unwrap_or_default();
    let find = |name: &OsStr| which::which_in(name, path, &cwd).ok();
    // A place that names a codex which isn't there is a mistake to be told, not a reason to look further.
    let named = named.filter(|name| !name.is_empty());
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

/// What there is in the place of an executable.
fn instead(program: &Path, path: Option<&OsStr>, cwd: &Path) -> String {
    let state = |place: &Path| match place.metadata() {
        Ok(found) if found.is_dir() => Some("is a directory"),
        Ok(_) => Some("is not executable"),
        Err(_) if place.is_symlink() => Some("is a link to nowhere"),
        Err(_) => None,
    };
    if program.components().count() > 1 {
        return state(&cwd.join(program))
            .unwrap_or("does not exist")
            .to_owned();
    }
    let Some(path) = path.filter(|path| !path.is_empty()) else {
        return "$PATH is empty".to_owned();
    };
    let dirs = env::split_paths(path).map(|dir| match state(&dir.join(program)) {
        Some(state) => format!("{} {state}", dir.join(program).display()),
        None if dir.is_dir() => format!("not in {}", dir.display()),
        None => format!("there is no {}", dir.display()),
    });
    dirs.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
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
    fn what_is_there_in_the_place_of_an_executable_is_told() {
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
