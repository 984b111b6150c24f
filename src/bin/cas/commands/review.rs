//! `cas review`: what a reviewer says of a repository.

use cas_sdk::{
    protocol::ReviewTarget,
    turn::{Finding, ReviewOutcome, Verdict},
};
use serde::Serialize;

use crate::{
    failure::{DECLINED, DONE, FAILED},
    input::given,
    output::{Result, complain, field, json as json_line, line},
    screen::spinner,
    server::{Server, close},
};

/// Have the working tree, a commit or a branch reviewed.
///
/// By default, the uncommitted changes are reviewed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit status: 0 the reviewer says that it is right, 1 failed or there is no verdict, 2 wrong usage, 3 the reviewer says that it is not right."
)]
pub(crate) struct Args {
    /// Review the changes of the checked-out branch since it left this branch
    #[arg(long, value_name = "BRANCH", value_parser = given, conflicts_with_all = ["commit", "uncommitted"])]
    base: Option<String>,
    /// Review the changes of this commit
    #[arg(long, value_name = "SHA", value_parser = given, conflicts_with = "uncommitted")]
    commit: Option<String>,
    /// Review the uncommitted changes; the default
    #[arg(long)]
    uncommitted: bool,
    /// Review whatever these instructions describe
    #[arg(long, value_name = "TEXT", value_parser = given, conflicts_with_all = ["base", "commit", "uncommitted"])]
    instructions: Option<String>,
    /// Print the verdict as one JSON object
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
    #[command(flatten)]
    server: Server,
}

impl Args {
    fn target(&self) -> ReviewTarget {
        match (&self.base, &self.commit, &self.instructions) {
            (Some(branch), _, _) => ReviewTarget::base_branch(branch),
            (_, Some(sha), _) => ReviewTarget::commit(sha),
            (_, _, Some(text)) => ReviewTarget::custom(text),
            _ => ReviewTarget::uncommitted(),
        }
    }
}

/// Returns the exit status.
pub(crate) async fn run(args: Args) -> Result<u8> {
    let params = args.server.new_thread()?;
    let client = args.server.client().await?;
    let reviewed = async {
        let thread = client.start_thread(params).await?;
        let outcome = thread.review(args.target()).await?.finish().await?;
        Ok::<_, cas_sdk::Error>(outcome)
    };
    let spinner = (!args.json).then(|| spinner("reviewing"));
    let reviewed = reviewed.await;
    if let Some(spinner) = spinner {
        spinner.finish_and_clear();
    }
    close(&client).await;
    let outcome = reviewed?;
    if args.json {
        json_line(&Report::new(&outcome))?;
    } else {
        print(&outcome.verdict)?;
    }
    Ok(match outcome.verdict.is_correct() {
        Some(true) => DONE,
        Some(false) => DECLINED,
        None => FAILED,
    })
}

fn print(verdict: &Verdict) -> Result {
    match verdict {
        Verdict::Typed(found) => {
            line(&found.explanation)?;
            for finding in &found.findings {
                let place = finding.location.as_ref();
                let place = place.map(|place| format!(" — {}", field(&place.to_string())));
                let place = place.unwrap_or_default();
                line(format_args!("\n- {}{place}", field(&finding.title)))?;
                line(format_args!("  {}", finding.body.replace('\n', "\n  ")))?;
            }
        }
        Verdict::Raw { text, reason } => {
            line(text)?;
            complain(&format!("no verdict: {reason}"));
        }
        _ => {}
    }
    Ok(())
}

/// `docs/json.md` shows it.
#[derive(Debug, Serialize)]
struct Report<'a> {
    correct: Option<bool>,
    explanation: Option<&'a str>,
    confidence: Option<f64>,
    findings: Option<Vec<One<'a>>>,
    text: &'a str,
    reviewed: Of<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct One<'a> {
    title: &'a str,
    body: &'a str,
    priority: Option<u8>,
    confidence: Option<f64>,
    file: Option<String>,
    start_line: Option<u32>,
    end_line: Option<u32>,
}

#[derive(Debug, Serialize)]
struct Of<'a> {
    head: Option<&'a str>,
    base: Option<&'a str>,
    commit: Option<&'a str>,
    changes: Option<&'a str>,
}

impl<'a> Report<'a> {
    fn new(outcome: &'a ReviewOutcome) -> Self {
        let typed = outcome.verdict.typed();
        let of = &outcome.reviewed;
        Self {
            correct: outcome.verdict.is_correct(),
            explanation: typed.map(|found| found.explanation.as_str()),
            confidence: typed.and_then(|found| found.confidence),
            findings: typed.map(|found| found.findings.iter().map(One::new).collect()),
            text: &outcome.turn.text,
            reviewed: Of {
                head: of.head.as_deref(),
                base: of.base.as_deref(),
                commit: of.commit.as_deref(),
                changes: of.changes.as_deref(),
            },
        }
    }
}

impl<'a> One<'a> {
    fn new(finding: &'a Finding) -> Self {
        let location = finding.location.as_ref();
        Self {
            title: &finding.title,
            body: &finding.body,
            priority: finding.priority,
            confidence: finding.confidence,
            file: location.map(|at| at.file.display().to_string()),
            start_line: location.map(|at| at.start),
            end_line: location.map(|at| at.end),
        }
    }
}
