//! Where the codex executable is.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use crate::error::SpawnError;

/// Finds the codex executable: the one named, else `$CAS_CODEX`, else `codex` on `$PATH`.
///
/// # Errors
/// [`SpawnError::NotFound`] with every place that was looked at.
pub fn find_codex(explicit: Option<&Path>) -> Result<PathBuf, SpawnError> {
    find_codex_in(
        explicit,
        env::var_os("CAS_CODEX"),
        env::var_os("PATH").as_deref(),
    )
}

fn find_codex_in(
    explicit: Option<&Path>,
    named: Option<OsString>,
    path: Option<&OsStr>,
) -> Result<PathBuf, SpawnError> {
    let cwd = env::current_dir().unwrap_or_default();
    let find = |name: &OsStr| which::which_in(name, path, &cwd);
    // A place that names a codex which isn't there is a mistake to be told, not a reason to look further.
    let (explicit, variable, on_path) = match (explicit, named.filter(|n| !n.is_empty())) {
        (Some(program), _) => match find(program.as_os_str()) {
            Ok(found) => return Ok(found),
            Err(e) => (
                format!("{}: {e}", program.display()),
                "not looked at".to_owned(),
                "not looked at",
            ),
        },
        (None, Some(program)) => match find(&program) {
            Ok(found) => return Ok(found),
            Err(e) => (
                "not given".to_owned(),
                format!("{}: {e}", Path::new(&program).display()),
                "not looked at",
            ),
        },
        (None, None) => match find(OsStr::new("codex")) {
            Ok(found) => return Ok(found),
            Err(_) => (
                "not given".to_owned(),
                "not set".to_owned(),
                "no `codex` in it",
            ),
        },
    };
    let looked = vec![
        format!("the builder's `codex`: {explicit}"),
        format!("$CAS_CODEX: {variable}"),
        format!("$PATH: {on_path}"),
    ];
    Err(SpawnError::NotFound { looked })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_codex_anywhere_the_error_names_the_three_places_and_the_remedy() {
        let error = find_codex_in(None, None, Some(OsStr::new("/nowhere")))
            .unwrap_err()
            .to_string();
        for part in [
            "the builder's `codex`",
            "$CAS_CODEX",
            "$PATH",
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
}
