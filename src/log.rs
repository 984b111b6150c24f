//! What this crate tells through `tracing`, under the target `cas_sdk`, and `cas_sdk::stderr` and `cas_sdk::audit` for
//! what the server and the audit say.
//!
//! One call of each macro for all events: every further one is a third of a megabyte of the compiler's memory.

use std::fmt::Display;

/// What an event is about; what it has not is not among its fields.
#[derive(Default)]
pub(crate) struct About<'a> {
    method: Option<&'a str>,
    thread: Option<&'a str>,
    turn: Option<&'a str>,
    tool: Option<&'a str>,
    error: Option<&'a dyn Display>,
}

macro_rules! setters {
    ($($field:ident: $value:ty,)*) => {
        impl<'a> About<'a> {
            $(pub(crate) fn $field(mut self, $field: $value) -> Self {
                self.$field = Some($field);
                self
            })*
        }
    };
}

setters! {
    method: &'a str,
    thread: &'a str,
    turn: &'a str,
    tool: &'a str,
    error: &'a dyn Display,
}

macro_rules! level {
    ($level:ident) => {
        pub(crate) fn $level(what: &dyn Display, about: About<'_>) {
            let About {
                method,
                thread,
                turn,
                tool,
                error,
            } = about;
            let error = error.map(tracing::field::display);
            tracing::$level!(target: "cas_sdk", method, thread, turn, tool, error, "{what}");
        }
    };
}

level!(debug);
level!(warn);
level!(error);

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        sync::{Arc, Mutex},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_event_has_the_fields_that_are_given_and_no_others() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .without_time()
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let about = About::default().turn("t").error(&std::fmt::Error);
            warn(&format_args!("it is {}", "odd"), about);
        });
        let told = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let error = std::fmt::Error;
        assert_eq!(
            told.trim(),
            format!("WARN cas_sdk: it is odd turn=\"t\" error={error}")
        );
    }
}
