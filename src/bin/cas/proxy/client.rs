//! The orchestrator's side of a session: its commands carried out.

use std::time::Instant;

use serde_json::value::RawValue;

use super::{
    answers,
    command::{self, Answer, Command, complete, id_key},
    events::OwnedKeys,
    requests::{Admission, Lane, Origin, Request, Unanswered},
    scan::Kind,
    session::{Phase, Reason, Session, refusal},
};

impl Session {
    /// Takes a line from the orchestrator.
    pub(super) fn client_line(&mut self, line: &[u8]) {
        if line.trim_ascii().is_empty() {
            return;
        }
        self.counts.client_lines += 1;
        let Some(message) = self.scan.message(line) else {
            self.counts.client_parse_errors += 1;
            self.error("a command line is not JSON", |m| {
                m.value("line", String::from_utf8_lossy(line));
            });
            return;
        };
        let text = message.text.trim_ascii();
        match command::parse(text) {
            Ok(command) => self.carry_out(text, command),
            Err(wrong) => self.error(&wrong, |m| {
                m.raw("msg", Some(text));
            }),
        }
    }

    fn carry_out(&mut self, line: &str, command: Command<'_>) {
        match command {
            Command::Request {
                method,
                params,
                id,
                client_request_id,
            } => self.request(line, method, params, id, client_request_id),
            Command::Respond { id, answer } => self.respond(line, id, &answer),
            Command::Send(msg) => self.send_raw(line, msg),
            Command::StateGet => self.emit_state("get"),
            Command::StatsGet => self.emit_stats("get"),
            Command::Exit => {
                self.events.emit("exiting", |m| {
                    m.word("reason", "client");
                });
                self.phase = Phase::Exit;
            }
        }
    }

    fn request(
        &mut self,
        line: &str,
        method: &str,
        params: Option<&str>,
        id: Option<&str>,
        client_request_id: Option<&str>,
    ) {
        let id = id.map_or_else(|| self.allocate_id(), str::to_owned);
        let mut frame = format!(r#"{{"method":{method},"id":{id}"#);
        if let Some(params) = complete(method, params) {
            frame.push_str(r#","params":"#);
            frame.push_str(&params);
        }
        frame.push('}');
        let request = Request {
            id: id.into(),
            method: method.into(),
            client_request_id: client_request_id.map(Into::into),
            origin: Origin::Request,
            lane: Lane::of(method),
            keys: hints(params),
        };
        if !self.server_listens {
            let why = "the app-server takes no messages any more";
            return self.unanswered(why, &request, Unanswered::NotSent);
        }
        self.take(line, request, frame);
    }

    /// Queues a request; it is sent when a place is free.
    fn take(&mut self, line: &str, request: Request, frame: String) {
        let (id, now) = (request.id.clone(), self.clock(Instant::now()));
        let wrong = match self.requests.take(request, frame, now) {
            Admission::Yes => return self.send_waiting(),
            Admission::IdInUse => "another request that has no answer yet has this id",
            Admission::TooMany => "too many requests wait for an answer",
        };
        self.error(wrong, |m| {
            m.raw("id", Some(&id)).raw("msg", Some(line));
        });
    }

    fn respond(&mut self, line: &str, id: &str, answer: &Answer<'_>) {
        let Some(request) = self.forwarded.remove(&*id_key(id)) else {
            return self.error("cas/respond answers no pending server request", |m| {
                m.raw("id", Some(id)).raw("msg", Some(line));
            });
        };
        let (id, method, keys) = (&request.id, &request.method, request.keys.borrow());
        let (checked, member, body) = match answer {
            // NB. The server drops an error of another shape, and the turn would wait for ever.
            Answer::Error(error) => (check_error(error), "error", error),
            Answer::Result(result) => (check(method, result), "result", result),
        };
        match checked {
            Ok(()) => {
                let frame = format!(r#"{{"id":{id},"{member}":{body}}}"#);
                self.answer(&frame, "clientResponse", method, keys);
            }
            Err(wrong) => {
                let text = match answer {
                    Answer::Error(_) => {
                        "cas/respond has an error that the app-server would not understand"
                    }
                    Answer::Result(_) => {
                        "cas/respond has a result that the app-server would not understand"
                    }
                };
                self.error(text, |m| {
                    m.raw("id", Some(id)).raw("method", Some(method));
                    m.value("validationError", &wrong).raw("msg", Some(line));
                });
                let frame = refusal(id, -32602, &wrong, None);
                self.answer(&frame, "clientResponseValidationError", method, keys);
            }
        }
    }

    fn send_raw(&mut self, line: &str, msg: &str) {
        let Some(message) = self.scan.message(msg.as_bytes()) else {
            return self.send(msg, Reason::ClientRaw);
        };
        let (kind, id, method) = (message.kind(), message.id(), message.method());
        match (kind, id, method) {
            // An answer sent this way settles its request too, if the server will understand it.
            (Kind::Response, Some(id), _) => {
                if message
                    .error()
                    .is_none_or(|error| check_error(error).is_ok())
                {
                    self.forwarded.remove(&*id_key(id));
                }
                self.send(msg, Reason::ClientRaw);
            }
            // It takes a place like any other. Two with one id can't be told apart, so the second
            // is merely sent.
            (Kind::Request, Some(id), Some(method))
                if self.server_listens && !self.requests.contains(id) =>
            {
                let request = Request {
                    id: id.into(),
                    method: method.into(),
                    client_request_id: None,
                    origin: Origin::Raw,
                    lane: Lane::of(method),
                    keys: OwnedKeys::default(),
                };
                self.take(line, request, msg.to_owned());
            }
            _ => self.send(msg, Reason::ClientRaw),
        }
    }
}

fn check(method: &str, result: &str) -> Result<(), String> {
    let method: String = serde_json::from_str(method).unwrap_or_default();
    // No schema describes an answer that is nested deeper than serde reads.
    let result = serde_json::from_str(result).map_err(|e| format!("{method}: {e}"))?;
    answers::check(&method, &result)
}

/// Whether the server would read this as an error.
fn check_error(error: &str) -> Result<(), String> {
    #[derive(serde::Deserialize)]
    struct Shape<'a> {
        #[serde(borrow)]
        code: &'a RawValue,
        #[serde(borrow)]
        message: &'a RawValue,
    }
    if !error.starts_with('{') {
        return Err("error must be object".to_owned());
    }
    let shape: Shape<'_> = serde_json::from_str(error).map_err(|e| format!("error: {e}"))?;
    if serde_json::from_str::<i64>(shape.code.get()).is_err() {
        return Err("error.code must be integer".to_owned());
    }
    if !shape.message.get().starts_with('"') {
        return Err("error.message must be string".to_owned());
    }
    Ok(())
}

/// The routing keys that a request's answer takes from its params: the fields themselves and no
/// others.
fn hints(params: Option<&str>) -> OwnedKeys {
    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Params<'a> {
        #[serde(borrow, rename = "threadId")]
        thread: Option<&'a RawValue>,
        #[serde(borrow, rename = "turnId")]
        turn: Option<&'a RawValue>,
        #[serde(borrow, rename = "expectedTurnId")]
        expected: Option<&'a RawValue>,
        #[serde(borrow, rename = "itemId")]
        item: Option<&'a RawValue>,
    }
    let params = params.filter(|params| params.starts_with('{'));
    let Ok(params) = serde_json::from_str::<Params<'_>>(params.unwrap_or("{}")) else {
        return OwnedKeys::default();
    };
    let string = |value: Option<&RawValue>| -> Option<Box<str>> {
        let text = value?.get();
        text.starts_with('"').then(|| text.into())
    };
    OwnedKeys {
        thread: string(params.thread),
        turn: string(params.turn).or_else(|| string(params.expected)),
        item: string(params.item),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_the_server_would_drop_is_told_by_what_is_wrong_with_it() {
        for (error, wrong) in [
            ("\"str\"", "error must be object"),
            ("null", "error must be object"),
            ("[1,\"m\"]", "error must be object"),
            ("{}", "error: missing field `code`"),
            (r#"{"code":1}"#, "error: missing field `message`"),
            (
                r#"{"code":"1","message":"m"}"#,
                "error.code must be integer",
            ),
            (
                r#"{"code":1.5,"message":"m"}"#,
                "error.code must be integer",
            ),
            (
                r#"{"code":1,"message":null}"#,
                "error.message must be string",
            ),
        ] {
            let told = check_error(error).unwrap_err();
            assert!(told.starts_with(wrong), "{error}: {told}");
        }
        let more = r#"{"message":"m","code":-1,"data":{"a":1.50},"more":[]}"#;
        assert_eq!(check_error(more), Ok(()));
    }
}
