//! Logs, to standard error: `RUST_LOG` selects them, `--log-format` sets their format.

use std::io::{self, Write, stderr};

use cas_sdk::terminal::{EscapeWriter, escape_json};
use tracing_subscriber::{EnvFilter, fmt};

/// The form of the log lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

pub(crate) fn start(format: Format) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("off"));
    let logs = fmt().with_env_filter(filter);
    match format {
        // Without colours: the filter could not tell them from escape sequences that come from
        // elsewhere.
        Format::Text => logs
            .with_ansi(false)
            .with_writer(|| EscapeWriter::new(stderr()))
            .init(),
        Format::Json => logs.json().with_writer(|| JsonLines).init(),
    }
}

/// Standard error for JSON that is written a line at a time.
struct JsonLines;

impl Write for JsonLines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let (text, end) = match text.strip_suffix('\n') {
            Some(text) => (text, "\n"),
            None => (&*text, ""),
        };
        stderr().write_all(format!("{}{end}", escape_json(text)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        stderr().flush()
    }
}
