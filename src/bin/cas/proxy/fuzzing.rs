//! A session without its processes and pipes, for the fuzz target.

use super::{
    options::Options,
    session::{Phase, Session},
};

/// A session after its handshake.
#[derive(Debug)]
pub(crate) struct Proxy(Session);

impl Proxy {
    /// A session that has nothing on disk and whose server listens.
    pub(crate) fn ready() -> Self {
        let mut session = Session::new(&Options {
            state_file: Some("/nonexistent/state.json".into()),
            ..Options::default()
        });
        session.server_listens = true;
        session.phase = Phase::Ready;
        Self(session)
    }

    /// A line of the orchestrator.
    pub(crate) fn client_line(&mut self, line: &[u8]) {
        self.0.client_line(line);
        self.0.balance();
    }

    /// A line of the server.
    pub(crate) fn server_line(&mut self, line: &[u8]) {
        self.0.server_line(line);
        self.0.balance();
    }

    /// The events and the frames to the server, as they would be written.
    pub(crate) fn into_output(mut self) -> (Vec<u8>, Vec<u8>) {
        let mut events = Vec::new();
        while !self.0.events.queue.is_empty() {
            let front = self.0.events.queue.front();
            let n = front.len();
            events.extend_from_slice(front);
            self.0.events.queue.wrote(n);
        }
        (events, self.0.to_server.to_vec())
    }
}
