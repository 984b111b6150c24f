//! The orchestrator's side of a session: its commands carried out.

use super::{
    answers,
    command::{self, Answer, Command, complete, id_key},
    events::{Keys, OwnedKeys},
    scan::Kind,
    session::{Asked, MAX_PENDING, Phase, Reason, Session, refusal},
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
            } => {
                if self.asked.len() >= MAX_PENDING {
                    return self.error("too many requests wait for an answer", |m| {
                        m.raw("msg", Some(line));
                    });
                }
                self.request(method, params, id, client_request_id);
            }
            Command::Respond { id, answer } => self.respond(line, id, &answer),
            Command::Send(msg) => self.send_raw(msg),
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
        let keys = match self.scan.message(frame.as_bytes()) {
            Some(message) => {
                let mut keys = OwnedKeys::from(Keys::of(&message));
                keys.turn_or_else(|| expected_turn(message.params()));
                keys
            }
            None => OwnedKeys::default(),
        };
        if self.server_listens {
            self.asked.insert(
                id_key(&id).into(),
                Asked {
                    method: method.into(),
                    client_request_id: client_request_id.map(Into::into),
                    internal: false,
                    keys,
                },
            );
        }
        self.send(&frame, Reason::ClientRequest { client_request_id });
    }

    fn respond(&mut self, line: &str, id: &str, answer: &Answer<'_>) {
        let Some(request) = self.forwarded.remove(&*id_key(id)) else {
            return self.error("cas/respond answers no pending server request", |m| {
                m.raw("id", Some(id)).raw("msg", Some(line));
            });
        };
        let (id, method, keys) = (&request.id, &request.method, request.keys.borrow());
        match answer {
            Answer::Error(error) => {
                let frame = format!(r#"{{"id":{id},"error":{error}}}"#);
                self.answer(&frame, "clientResponse", method, keys);
            }
            Answer::Result(result) => match check(method, result) {
                Ok(()) => {
                    let frame = format!(r#"{{"id":{id},"result":{result}}}"#);
                    self.answer(&frame, "clientResponse", method, keys);
                }
                Err(wrong) => {
                    self.error(
                        "cas/respond has a result that the app-server would not understand",
                        |m| {
                            m.raw("id", Some(id)).raw("method", Some(method));
                            m.value("validationError", &wrong).raw("msg", Some(line));
                        },
                    );
                    let frame = refusal(id, -32602, &wrong, None);
                    self.answer(&frame, "clientResponseValidationError", method, keys);
                }
            },
        }
    }

    fn send_raw(&mut self, msg: &str) {
        // An answer sent this way settles its request too.
        if let Some(message) = self.scan.message(msg.as_bytes())
            && message.kind() == Kind::Response
            && let Some(id) = message.id()
        {
            self.forwarded.remove(&*id_key(id));
        }
        self.send(msg, Reason::ClientRaw);
    }
}

fn check(method: &str, result: &str) -> Result<(), String> {
    let method: String = serde_json::from_str(method).unwrap_or_default();
    // Deeper than serde goes is no answer that any schema describes.
    let result = serde_json::from_str(result).map_err(|e| format!("{method}: {e}"))?;
    answers::check(&method, &result)
}

/// The turn that a steer names; the text of a JSON string.
fn expected_turn(params: Option<&str>) -> Option<Box<str>> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Steer<'a> {
        #[serde(borrow)]
        expected_turn_id: &'a serde_json::value::RawValue,
    }
    let params = params.filter(|params| params.contains("expectedTurnId"))?;
    let steer: Steer<'_> = serde_json::from_str(params).ok()?;
    let id = steer.expected_turn_id.get();
    id.starts_with('"').then(|| id.into())
}
