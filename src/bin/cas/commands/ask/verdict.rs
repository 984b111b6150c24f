//! How a turn ended: the last line, and the exit status.

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use anstyle::AnsiColor;
use cas_sdk::TurnOutcome;
use tokio::time::timeout;

use super::{End, LAST_WORDS, events::Ended, input::Prepared, show::Show};
use crate::{
    failure::{DECLINED, DONE, TIMED_OUT},
    output::{Result, fail, field, remark},
    screen::DIM,
    server::short,
    when::length,
};

impl Show {
    /// The last line for the outcome of a turn.
    pub(super) fn ended(&self, outcome: TurnOutcome) -> Ended {
        Ended {
            plan: outcome.plan().map(|plan| plan.text),
            thread_id: outcome.thread_id,
            turn_id: outcome.turn_id,
            status: "completed",
            text: outcome.text,
            error: None,
            declined: self.declined,
            usage: outcome.usage.map(Into::into),
            duration_ms: outcome
                .duration
                .and_then(|took| u64::try_from(took.as_millis()).ok()),
            exit_status: DONE,
        }
    }

    /// The last line for a turn whose outcome was not waited for.
    pub(super) fn cut_off(&self, status: &'static str, exit_status: u8, error: String) -> Ended {
        let text = if self.message.shown.is_empty() {
            self.text.clone()
        } else {
            self.message.shown.clone()
        };
        Ended {
            thread_id: self.ids.0.clone(),
            turn_id: self.ids.1.clone(),
            status,
            text,
            plan: None,
            error: Some(error),
            declined: self.declined,
            usage: None,
            duration_ms: None,
            exit_status,
        }
    }

    /// Says how it ended; returns the exit status.
    pub(super) async fn finish(&mut self, end: End, prepared: Prepared) -> Result<u8> {
        self.spins = false;
        self.clear();
        let _ = timeout(LAST_WORDS, self.notes()).await;
        let mut ended = end.last_line(self)?;
        if ended.exit_status == DONE || ended.exit_status == DECLINED {
            if let Some(misfit) = prepared
                .schema
                .and_then(|schema| schema.misfit(&ended.text))
            {
                ended.error = Some(misfit);
                ended.exit_status = DECLINED;
            }
            if let Some(file) = prepared.output {
                let text = ended.plan.as_ref().unwrap_or(&ended.text);
                file.write(&format!("{}\n", text.trim_end_matches('\n')))?;
            }
        }
        let status = ended.exit_status;
        patient(self.say(ended), status).await
    }

    /// Writes the last line of JSON; returns the exit status.
    pub(super) async fn last(&mut self, line: &impl serde::Serialize, status: u8) -> Result<u8> {
        patient(self.page.json(line), status).await
    }

    async fn say(&mut self, ended: Ended) -> Result {
        if self.json {
            return self.page.json(&ended).await;
        }
        if !self.shown && !ended.text.is_empty() && ended.status == "completed" {
            self.whole(&ended.text.clone()).await?;
            self.clear();
        }
        if let (false, Some(plan), "completed") = (self.shown, &ended.plan, ended.status) {
            self.whole_plan("", plan).await?;
            self.clear();
        }
        self.page.new_line().await?;
        if let Some(error) = &ended.error {
            fail(error);
        }
        self.say_declined();
        if !self.quiet && io::stderr().is_terminal() {
            let footer = footer(&ended, self.is_ephemeral);
            if !footer.is_empty() {
                remark(DIM, &footer);
            }
        }
        Ok(())
    }

    pub(super) fn say_declined(&self) {
        let declined = self.declined - self.unasked;
        if declined == 0 {
            return;
        }
        let actions = match declined {
            1 => "action was",
            _ => "actions were",
        };
        let text = format!(
            "{declined} {actions} declined; --approvals ask asks you, --approvals auto accepts"
        );
        remark(AnsiColor::Yellow.on_default(), &text);
    }
}

/// Writes it. After a timeout or a signal, does not wait for a reader that does not read.
async fn patient(said: impl Future<Output = Result>, status: u8) -> Result<u8> {
    if status < TIMED_OUT {
        return said.await.map(|()| status);
    }
    match timeout(LAST_WORDS, said).await {
        Ok(said) => said.map(|()| status),
        Err(_) => Ok(status),
    }
}

fn footer(ended: &Ended, is_ephemeral: bool) -> String {
    let mut parts = Vec::new();
    if let Some(took) = ended.duration_ms {
        parts.push(length(Duration::from_millis(took)));
    }
    if let Some(usage) = &ended.usage {
        parts.push(format!(
            "{} in / {} out",
            usage.input_tokens, usage.output_tokens
        ));
    }
    if is_ephemeral {
        return parts.join(" · ");
    }
    let thread = field(short(&ended.thread_id)).into_owned();
    parts.push(match ended.plan {
        Some(_) => {
            format!("go ahead: cas ask --thread {thread} --execute \"Implement the plan.\"")
        }
        None => format!("continue: cas ask --thread {thread} …"),
    });
    parts.join(" · ")
}
