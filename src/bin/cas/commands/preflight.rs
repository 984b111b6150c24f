//! `cas preflight`: whether the installed codex has what a program needs.

use std::path::Path;

use cas_sdk::{
    find_codex,
    schema::{self, Contract, DriftError, Needs, Problem, Profile},
};
use serde_json::{Value, json};

use crate::{
    failure::done_if,
    output::{Failure, Members, Result, complain, json as json_line, line},
};

/// Check whether codex has the methods, fields and values that a program needs.
///
/// Exits with 0 if it has all of them, with 1 if some are missing or this could not be determined.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The codex executable [default: `$CAS_CODEX`, else codex on `$PATH`]
    #[arg(long, value_name = "PATH")]
    codex: Option<std::path::PathBuf>,
    /// What the program does; may be given several times
    #[arg(long, value_enum, value_name = "PROFILE", default_value = "core")]
    profile: Vec<Named>,
    /// Report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Named {
    /// Threads, turns, steering, interrupting, approvals
    Core,
    /// Dynamic tools, and questions to the user
    Tools,
    /// Reviews
    Review,
    /// Goals of threads
    Goals,
    /// Reading stored sessions
    Mining,
    /// Working on a server together with other clients
    Live,
    /// All of them
    All,
}

impl Named {
    fn profiles(self) -> Vec<Profile> {
        match self {
            Self::Core => vec![Profile::Core],
            Self::Tools => vec![Profile::Tools],
            Self::Review => vec![Profile::Review],
            Self::Goals => vec![Profile::Goals],
            Self::Mining => vec![Profile::Mining],
            Self::Live => vec![Profile::Live],
            Self::All => Profile::ALL.to_vec(),
        }
    }
}

pub(crate) async fn run(args: Args) -> Result {
    let profiles: Vec<Profile> = args
        .profile
        .iter()
        .flat_map(|named| named.profiles())
        .collect();
    let names: Vec<&str> = profiles.iter().map(|profile| profile.name()).collect();
    let program = match find_codex(args.codex.as_deref()) {
        Ok(program) => program,
        Err(error) => return could_not(&Failure::from(error), args.json),
    };
    let contract = match look(&program, &profiles).await {
        Ok(contract) => contract,
        Err(error) => return could_not(&Failure::from(error), args.json),
    };
    if args.json {
        json_line(&Members([
            ("codex", json!(program)),
            ("profiles", names.into()),
            ("ok", contract.is_met().into()),
            ("checked", contract.checked.into()),
            ("unmet", unmet(&contract).into()),
        ]))?;
    } else {
        line(format_args!(
            "{} ({}): {contract}",
            program.display(),
            names.join(", ")
        ))?;
    }
    done_if(contract.is_met())
}

/// What of these profiles a codex does not have.
pub(crate) async fn look(program: &Path, profiles: &[Profile]) -> Result<Contract, DriftError> {
    schema::contract(program, needs(profiles)).await
}

/// What programs with these profiles need.
pub(crate) fn needs(profiles: &[Profile]) -> Needs {
    let all = profiles.iter().copied();
    all.fold(Needs::new(), Needs::profile)
}

fn could_not(failure: &Failure, json: bool) -> Result {
    let text = failure.text();
    if json {
        json_line(&Members([("ok", Value::Null), ("error", text.into())]))?;
    } else {
        complain(&text);
    }
    done_if(false)
}

/// For reports.
pub(crate) fn unmet(contract: &Contract) -> Vec<Value> {
    let one = |unmet: &schema::Unmet| {
        let mut report = json!({ "need": unmet.need, "since": unmet.since, "until": unmet.until, "text": unmet.to_string() });
        match &unmet.problem {
            Problem::Renamed { to } => report["renamedTo"] = to.as_str().into(),
            Problem::Refused { accepted } => report["takes"] = json!(accepted),
            _ => {}
        }
        report
    };
    contract.unmet.iter().map(one).collect()
}
