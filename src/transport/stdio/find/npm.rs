//! npm's way to codex: a script that needs Node, and a package with the binary for this machine,
//! which does not.

use std::{
    env,
    ffi::OsStr,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use crate::error::SpawnError;

/// The name of a machine in codex's packages, and the binary in them.
struct Target {
    package: &'static str,
    triple: &'static str,
    binary: &'static str,
}

impl Target {
    fn new(os: &str, arch: &str) -> Option<Self> {
        let (package, triple) = match (os, arch) {
            ("linux" | "android", "x86_64") => ("codex-linux-x64", "x86_64-unknown-linux-musl"),
            ("linux" | "android", "aarch64") => ("codex-linux-arm64", "aarch64-unknown-linux-musl"),
            ("macos", "x86_64") => ("codex-darwin-x64", "x86_64-apple-darwin"),
            ("macos", "aarch64") => ("codex-darwin-arm64", "aarch64-apple-darwin"),
            ("windows", "x86_64") => ("codex-win32-x64", "x86_64-pc-windows-msvc"),
            ("windows", "aarch64") => ("codex-win32-arm64", "aarch64-pc-windows-msvc"),
            _ => return None,
        };
        let binary = if os == "windows" {
            "codex.exe"
        } else {
            "codex"
        };
        Some(Self {
            package,
            triple,
            binary,
        })
    }

    /// Where the binary of the package at `root` may be: in the package for this machine, which is
    /// found as Node finds it, or in the package itself, as in older versions. Each has two
    /// layouts.
    fn places(&self, root: &Path) -> Vec<PathBuf> {
        let above = root.ancestors().map(|dir| dir.join("node_modules/@openai"));
        let beside = root.parent().map(Path::to_owned);
        let homes = beside.into_iter().chain(above);
        let packages = homes.map(|dir| dir.join(self.package));
        let roots: Vec<PathBuf> = packages.chain([root.to_owned()]).collect();
        let layouts = ["bin", "codex"];
        let places = roots.iter().flat_map(|root| {
            let vendor = root.join("vendor").join(self.triple);
            layouts.map(|layout| vendor.join(layout).join(self.binary))
        });
        places.collect()
    }
}

/// The program to start instead of `program`. This is `program` itself, unless it is npm's script
/// and `path`, the search path of the child, has no Node for it. Then it is the binary that the
/// script would start.
///
/// A Windows command script is replaced even if there is a Node: it would open a console, and `cmd`
/// reads quotes and percent signs in its own way.
pub(super) fn look_through(program: PathBuf, path: Option<&OsStr>) -> Result<PathBuf, SpawnError> {
    let Some(root) = package_of(&program) else {
        return Ok(program);
    };
    let can_run = has_node(&program, path);
    if can_run && !is_command_script(&program) {
        return Ok(program);
    }
    let target = Target::new(env::consts::OS, env::consts::ARCH);
    let places = target
        .map(|target| target.places(&root))
        .unwrap_or_default();
    if let Some(binary) = places.iter().find(|place| place.is_file()) {
        return Ok(without_verbatim_prefix(binary));
    }
    if can_run {
        return Ok(program);
    }
    // Of the places that Node would search, those that exist at all.
    let is_likely = |place: &&PathBuf| {
        let package = place.ancestors().nth(4);
        package.is_some_and(|package| package == root || package.parent().is_some_and(Path::is_dir))
    };
    let looked = places.iter().filter(is_likely);
    Err(SpawnError::NodeMissing {
        script: program,
        looked: looked
            .map(|place| format!("{} does not exist", place.display()))
            .collect(),
    })
}

/// The same path in the form that programs expect, if it has one: on Windows a canonical path
/// begins with `\\?\`.
fn without_verbatim_prefix(path: &Path) -> PathBuf {
    let text = path.to_str().and_then(|path| path.strip_prefix(r"\\?\"));
    let is_drive = |text: &&str| text.as_bytes().get(1) == Some(&b':');
    text.filter(is_drive)
        .map_or_else(|| path.to_owned(), PathBuf::from)
}

/// Whether the script finds a Node. The scripts of pnpm and npm first look for a Node beside them.
fn has_node(program: &Path, path: Option<&OsStr>) -> bool {
    let dir = program.parent().unwrap_or(Path::new(""));
    let beside = is_shell_script(program)
        && ["node", "node.exe"]
            .iter()
            .any(|node| dir.join(node).is_file());
    beside || path.is_some_and(|path| which::which_in("node", Some(path), dir).is_ok())
}

/// The directory of the package `@openai/codex` whose script `program` is, or starts.
fn package_of(program: &Path) -> Option<PathBuf> {
    let script = script_of(program)?;
    let script = script.canonicalize().ok()?;
    let root = script.parent()?.parent()?;
    root.join("package.json").is_file().then(|| root.to_owned())
}

/// The Node script itself. It is reached by a link, as npm and bun create it, or named in a shell
/// script, as pnpm creates it everywhere, and npm on Windows.
fn script_of(program: &Path) -> Option<PathBuf> {
    let is_node = |path: &Path| path.ends_with("bin/codex.js");
    if program.canonicalize().is_ok_and(|path| is_node(&path)) {
        return Some(program.to_owned());
    }
    let text = shell_script(program)?;
    let dir = program.parent()?;
    let named = text
        .split(['"', '\'', ' ', '\n', '\r'])
        .map(|word| word.replace('\\', "/"));
    let named = named.filter(|word| word.ends_with("@openai/codex/bin/codex.js"));
    let mut resolved = named.map(|word| {
        // How the scripts of the three shells refer to their own directory.
        let own = ["$basedir/", "%~dp0/", "%dp0%/", "%~dp0", "%dp0%"];
        let within = own.iter().find_map(|own| word.strip_prefix(own));
        within.map_or_else(|| PathBuf::from(&word), |rest| dir.join(rest))
    });
    resolved.find(|script| script.is_file())
}

fn is_shell_script(program: &Path) -> bool {
    shell_script(program).is_some()
}

/// The text of a shell script. Such scripts are short.
fn shell_script(program: &Path) -> Option<String> {
    const LONGEST: u64 = 16 * 1024;
    let mut text = Vec::new();
    let file = File::open(program).ok()?;
    file.take(LONGEST).read_to_end(&mut text).ok()?;
    let text = String::from_utf8(text).ok()?;
    let is_for_shell = text.starts_with("#!") && text.lines().next()?.ends_with("sh");
    (is_command_script(program) || is_for_shell).then_some(text)
}

/// Whether a program is a Windows command script.
fn is_command_script(program: &Path) -> bool {
    program
        .extension()
        .is_some_and(|of| of.eq_ignore_ascii_case("cmd") || of.eq_ignore_ascii_case("ps1"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn file(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// An installation of the package without a binary: its script and its root.
    fn installed(dir: &Path) -> (PathBuf, PathBuf) {
        let root = dir.join("node_modules/@openai/codex");
        let script = root.join("bin/codex.js");
        file(&script, "#!/usr/bin/env node\n");
        file(&root.join("package.json"), "{}");
        (script, root)
    }

    fn here() -> Target {
        Target::new(env::consts::OS, env::consts::ARCH).unwrap()
    }

    #[test]
    fn the_binary_is_found_in_either_layout_of_either_package_when_there_is_no_node() {
        let target = here();
        let packages = [
            format!("node_modules/@openai/{}", target.package),
            format!(
                "node_modules/@openai/codex/node_modules/@openai/{}",
                target.package
            ),
            "node_modules/@openai/codex".to_owned(),
        ];
        for package in packages {
            for layout in ["bin", "codex"] {
                let dir = tempfile::tempdir().unwrap();
                let base = dir.path().canonicalize().unwrap();
                let (script, _) = installed(&base);
                let vendor = base.join(&package).join("vendor").join(target.triple);
                let binary = vendor.join(layout).join(target.binary);
                file(&binary, "");
                for path in [None, Some(OsStr::new("/nowhere"))] {
                    let found = look_through(script.clone(), path).unwrap();
                    assert_eq!(found.canonicalize().unwrap(), binary);
                }
            }
        }
    }

    /// npm's script for `cmd`, as npm writes it.
    const COMMAND_SCRIPT: &str =
        "@ECHO off\r\n\"%_prog%\"  \"%dp0%\\node_modules\\@openai\\codex\\bin\\codex.js\" %*\r\n";

    /// A directory with a Node.
    fn with_node(dir: &Path) -> PathBuf {
        let bin = dir.join("bin");
        let node = bin.join(if cfg!(windows) { "node.exe" } else { "node" });
        file(&node, "#!/bin/sh\n");
        #[cfg(unix)]
        fs::set_permissions(&node, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        bin
    }

    #[test]
    fn where_there_is_a_node_the_script_is_what_is_started() {
        let dir = tempfile::tempdir().unwrap();
        let (script, _) = installed(dir.path());
        let bin = with_node(dir.path());
        let path = bin.as_os_str();
        assert_eq!(look_through(script.clone(), Some(path)).unwrap(), script);
    }

    #[test]
    fn a_command_script_is_replaced_by_the_binary_even_where_there_is_a_node() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        let (_, root) = installed(&base);
        let script = base.join("codex.cmd");
        file(&script, COMMAND_SCRIPT);
        let bin = with_node(&base);
        let path = Some(bin.as_os_str());
        let same = look_through(script.clone(), path).unwrap();
        assert_eq!(same, script, "there is no binary, and the script can run");
        let binary = root.join("vendor").join(here().triple).join("bin");
        let binary = binary.join(here().binary);
        file(&binary, "");
        let found = look_through(script, path).unwrap();
        assert_eq!(found.canonicalize().unwrap(), binary);
    }

    #[test]
    fn without_node_and_without_a_binary_the_error_says_that_node_is_missing_and_where_was_looked()
    {
        let dir = tempfile::tempdir().unwrap();
        let (script, root) = installed(dir.path());
        let error = look_through(script.clone(), None).unwrap_err().to_string();
        let own = root
            .canonicalize()
            .unwrap()
            .join("vendor")
            .join(here().triple);
        for part in [
            "needs Node",
            script.to_str().unwrap(),
            own.to_str().unwrap(),
            here().package,
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert!(
            !error.contains("npm install -g"),
            "it is installed: {error}"
        );
    }

    #[test]
    fn a_shells_script_that_starts_nodes_is_looked_through_and_any_other_program_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        installed(&base);
        let binary = base
            .join("node_modules/@openai/codex/vendor")
            .join(here().triple);
        let binary = binary.join("bin").join(here().binary);
        file(&binary, "");
        let pnpm = base.join("codex");
        file(
            &pnpm,
            "#!/bin/sh\nbasedir=$(dirname \"$0\")\nexec node  \"$basedir/node_modules/@openai/codex/bin/codex.js\" \"$@\"\n",
        );
        let cmd = base.join("codex.cmd");
        file(&cmd, COMMAND_SCRIPT);
        for script in [pnpm, cmd] {
            let found = look_through(script, None).unwrap();
            assert_eq!(found.canonicalize().unwrap(), binary);
        }
        for (name, text) in [
            ("own", "#!/bin/sh\nexec /opt/codex \"$@\"\n"),
            ("binary", "\x7fELF"),
        ] {
            let own = base.join(name);
            file(&own, text);
            assert_eq!(look_through(own.clone(), None).unwrap(), own);
        }
    }

    #[test]
    fn every_platform_of_the_packages_has_its_names() {
        for (os, arch, place) in [
            (
                "macos",
                "aarch64",
                "codex-darwin-arm64/vendor/aarch64-apple-darwin/bin/codex",
            ),
            (
                "windows",
                "x86_64",
                "codex-win32-x64/vendor/x86_64-pc-windows-msvc/codex/codex.exe",
            ),
        ] {
            let places = Target::new(os, arch)
                .unwrap()
                .places(Path::new("/p/@openai/codex"));
            let wanted = Path::new("/p/@openai").join(place);
            assert!(places.contains(&wanted), "{places:?}");
        }
        assert!(Target::new("plan9", "mips").is_none());
    }
}
