//! What the built-in schema has, as data.

/// Who sends a method, and whether it is answered.
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
    /// Who sends it.
    pub kind: MethodKind,
    /// The method on the wire.
    pub method: &'static str,
    /// The type of its params, or `None` if it has no payload at all.
    pub params: Option<&'static str>,
    /// The type of its response, if it is answered.
    pub response: Option<&'static str>,
    /// Whether the server refuses it unless `experimentalApi` was negotiated.
    pub experimental: bool,
    /// What the schema says of it, in a sentence; often empty.
    pub doc: &'static str,
}

/// Every method of the schema that this crate was built with, by kind and name.
#[must_use]
pub fn inventory() -> &'static [MethodInfo] {
    static METHODS: &[MethodInfo] = include!(concat!(env!("OUT_DIR"), "/inventory.rs"));
    METHODS
}
