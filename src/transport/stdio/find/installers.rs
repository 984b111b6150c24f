//! The places where installers put codex. A program started from a desktop has a short `PATH`
//! without these places.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::inspect::defect;
use crate::error::SpawnError;

/// The first place that has a codex, or `error` with all places added to it.
pub(super) fn find_or(error: SpawnError) -> Result<PathBuf, SpawnError> {
    let SpawnError::NotFound { mut looked } = error else {
        return Err(error);
    };
    let home = env::home_dir().unwrap_or_default();
    let places = places(env::consts::OS, &home, |name| {
        env::var_os(name).filter(|value| !value.is_empty())
    });
    if let Some(found) = places.iter().find(|place| place.is_file()) {
        return Ok(found.clone());
    }
    looked.extend(places.iter().map(|place| {
        format!(
            "{} {}",
            place.display(),
            defect(place).unwrap_or("does not exist")
        )
    }));
    Err(SpawnError::NotFound { looked })
}

/// The places in the order in which they are searched. Linux has none: its installers put codex on
/// the `$PATH`.
fn places(os: &str, home: &Path, variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let codex_home = variable("CODEX_HOME").map_or_else(|| home.join(".codex"), PathBuf::from);
    // Codex's own installer has two layouts.
    let standalone = |name: &str| {
        let current = codex_home.join("packages/standalone/current");
        [current.join("bin").join(name), current.join(name)]
    };
    match os {
        "macos" => {
            let mut places: Vec<PathBuf> = ["/opt/homebrew/bin/codex", "/usr/local/bin/codex"]
                .map(PathBuf::from)
                .into();
            places.extend(standalone("codex"));
            for applications in [PathBuf::from("/Applications"), home.join("Applications")] {
                for app in ["ChatGPT.app", "Codex.app"] {
                    places.push(applications.join(app).join("Contents/Resources/codex"));
                }
            }
            places
        }
        "windows" => {
            let mut places = Vec::new();
            let below = |name, rest: &str| Some(PathBuf::from(variable(name)?).join(rest));
            places.extend(below("APPDATA", "npm/codex.cmd"));
            places.extend(below("LOCALAPPDATA", "Microsoft/WinGet/Links/codex.exe"));
            places.extend(standalone("codex.exe"));
            places
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(os: &str, variables: &[(&str, &str)]) -> Vec<String> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let places = places(os, Path::new("/home/me"), variable);
        let text = |place: &PathBuf| place.display().to_string().replace('\\', "/");
        places.iter().map(text).collect()
    }

    #[test]
    fn macos_has_the_places_of_homebrew_codexs_installer_and_the_desktop_app() {
        assert_eq!(
            on("macos", &[]),
            [
                "/opt/homebrew/bin/codex",
                "/usr/local/bin/codex",
                "/home/me/.codex/packages/standalone/current/bin/codex",
                "/home/me/.codex/packages/standalone/current/codex",
                "/Applications/ChatGPT.app/Contents/Resources/codex",
                "/Applications/Codex.app/Contents/Resources/codex",
                "/home/me/Applications/ChatGPT.app/Contents/Resources/codex",
                "/home/me/Applications/Codex.app/Contents/Resources/codex",
            ]
        );
    }

    #[test]
    fn windows_has_the_places_of_npm_winget_and_codexs_installer() {
        let variables = [
            ("APPDATA", "C:/Users/me/AppData/Roaming"),
            ("LOCALAPPDATA", "C:/Users/me/AppData/Local"),
            ("CODEX_HOME", "D:/codex"),
        ];
        assert_eq!(
            on("windows", &variables),
            [
                "C:/Users/me/AppData/Roaming/npm/codex.cmd",
                "C:/Users/me/AppData/Local/Microsoft/WinGet/Links/codex.exe",
                "D:/codex/packages/standalone/current/bin/codex.exe",
                "D:/codex/packages/standalone/current/codex.exe",
            ]
        );
        assert_eq!(on("windows", &[]).len(), 2);
    }

    #[test]
    fn linux_has_no_such_places() {
        assert_eq!(on("linux", &[]), [""; 0]);
    }
}
