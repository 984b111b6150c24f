//! The input of `cas ask` (the prompt, files, piped text, pictures), and where the answer goes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use cas_sdk::{Input, internal::open_regular};
use serde_json::Value;

use super::{Approvals, Args};
use crate::{
    files::NewFile,
    input::piped,
    output::{Failure, Result},
};

/// The checked input. Every error that can be found before a server is started is found here.
pub(super) struct Prepared {
    pub(super) input: Input,
    /// The text of the input.
    pub(super) prompt: String,
    pub(super) schema: Option<Schema>,
    pub(super) output: Option<NewFile>,
}

pub(super) struct Schema {
    pub(super) value: Value,
    validator: jsonschema::Validator,
}

impl Prepared {
    pub(super) async fn new(args: &Args) -> Result<Self> {
        let schema = args.schema.as_deref().map(Schema::read).transpose()?;
        if args.approvals == Approvals::Ask && !super::consent::has_terminal() {
            let text = "--approvals ask needs a terminal to ask on";
            return Err(Failure::Usage(text.to_owned()));
        }
        let prompt = prompt(args).await?;
        let mut input = Input::new().text(prompt.as_str());
        for image in &args.image {
            let image = std::path::absolute(image)?;
            if let Err(e) = open_regular(&image) {
                return Err(Failure::Usage(format!("{}: {e}", image.display())));
            }
            input = input.local_image(image);
        }
        let output = args
            .output
            .as_deref()
            .map(|path| NewFile::create(path, args.force));
        Ok(Self {
            input,
            prompt,
            schema,
            output: output.transpose()?,
        })
    }
}

impl Schema {
    fn read(file: &Path) -> Result<Self> {
        let wrong = |e: &dyn std::fmt::Display| Failure::Usage(format!("{}: {e}", file.display()));
        let text = fs::read_to_string(file).map_err(|e| wrong(&e))?;
        let value = serde_json::from_str(&text).map_err(|e| wrong(&e))?;
        let validator = jsonschema::validator_for(&value)
            .map_err(|e| wrong(&format!("it is not a JSON schema: {e}")))?;
        Ok(Self { value, validator })
    }

    /// What in an answer does not fit.
    pub(super) fn misfit(&self, answer: &str) -> Option<String> {
        let value = match serde_json::from_str::<Value>(answer) {
            Ok(value) => value,
            Err(e) => return Some(format!("the answer is not JSON: {e}")),
        };
        let error = self.validator.iter_errors(&value).next()?;
        let at = match error.instance_path().to_string() {
            path if path.is_empty() => "the answer".to_owned(),
            path => path,
        };
        Some(format!("the answer does not fit the schema: {at}: {error}"))
    }
}

/// The prompt, the files and what is piped in, one after the other.
async fn prompt(args: &Args) -> Result<String> {
    let mut parts = Vec::new();
    let from_stdin = args.prompt.as_deref().is_none_or(|prompt| prompt == "-");
    parts.extend(args.prompt.clone().filter(|prompt| prompt != "-"));
    if args.prompt.as_deref() == Some("-") || is_piped() {
        let text = piped().await?;
        match from_stdin {
            true => parts.push(text),
            false if text.trim().is_empty() => {}
            false => parts.push(format!(
                "<stdin>\n{}\n</stdin>",
                text.trim_end_matches('\n')
            )),
        }
    }
    for file in &args.file {
        parts.push(attached(file)?);
    }
    parts.retain(|part| !part.trim().is_empty());
    if parts.is_empty() {
        let text =
            "there is nothing to ask: give a PROMPT, a file with --file, or pipe something in";
        return Err(Failure::Usage(text.to_owned()));
    }
    Ok(parts.join("\n\n"))
}

fn attached(file: &PathBuf) -> Result<String> {
    let text =
        fs::read_to_string(file).map_err(|e| Failure::Usage(format!("{}: {e}", file.display())))?;
    let name = file.display();
    Ok(format!(
        "<file path=\"{name}\">\n{}\n</file>",
        text.trim_end_matches('\n')
    ))
}

/// Whether somebody may have put something into standard input for this command.
#[cfg(unix)]
fn is_piped() -> bool {
    use rustix::fs::{FileType, fstat};

    let Ok(about) = fstat(rustix::stdio::stdin()) else {
        return false;
    };
    matches!(
        FileType::from_raw_mode(about.st_mode),
        FileType::Fifo | FileType::Socket | FileType::RegularFile
    )
}

/// Whether somebody may have put something into standard input for this command.
#[cfg(not(unix))]
fn is_piped() -> bool {
    !std::io::IsTerminal::is_terminal(&std::io::stdin())
}
