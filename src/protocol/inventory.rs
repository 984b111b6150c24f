//! The methods of the built-in schema, as data.

use std::sync::OnceLock;

/// Who sends a message of a method, and whether it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum MethodKind {
    /// From the client, answered by the server.
    Request,
    /// From the server, answered by the client.
    ServerRequest,
    /// From the server, not answered.
    Notification,
    /// From the client, not answered.
    ClientNotification,
}

/// One method of the schema that this crate was built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MethodInfo {
    /// Who sends it, and whether it is answered.
    pub kind: MethodKind,
    /// The method on the wire.
    pub method: &'static str,
    /// The type of its params. `None` if it has none.
    pub params: Option<&'static str>,
    /// The type of its response, if it is answered.
    pub response: Option<&'static str>,
    /// Whether the server refuses it unless `experimentalApi` was negotiated.
    pub experimental: bool,
    /// The first sentence of the schema's description; often empty.
    pub doc: &'static str,
}

/// Every method of the schema that this crate was built with, by kind and name.
#[must_use]
pub fn inventory() -> &'static [MethodInfo] {
    static METHODS: OnceLock<Vec<MethodInfo>> = OnceLock::new();
    METHODS.get_or_init(|| {
        // Text: reading 282 lines once costs less than compiling a table of 282 structs.
        let text = include_str!(concat!(env!("OUT_DIR"), "/inventory.txt"));
        text.lines().map(MethodInfo::read).collect()
    })
}

impl MethodInfo {
    /// Reads a line of the build script's inventory.
    fn read(line: &'static str) -> Self {
        let mut parts = line.split('\t');
        let mut next = || parts.next().unwrap_or_default();
        let given = |part: &'static str| Some(part).filter(|part| !part.is_empty());
        Self {
            kind: match next() {
                "Request" => MethodKind::Request,
                "ServerRequest" => MethodKind::ServerRequest,
                "Notification" => MethodKind::Notification,
                _ => MethodKind::ClientNotification,
            },
            method: next(),
            params: given(next()),
            response: given(next()),
            experimental: !next().is_empty(),
            doc: next(),
        }
    }
}
