//! The real TUI in a terminal, on a session that this program serves.
