//! The macros behind the methods: the three traits, and the enums of all methods of a kind.

use serde::{Serialize, Serializer, de::DeserializeOwned};

use super::structs::Writer;

macro_rules! call {
    ($params:ident, $method:literal, experimental, $response:ty) => {
        impl Call for $params {
            const METHOD: &'static str = $method;
            const EXPERIMENTAL: bool = true;
            type Response = $response;
        }
    };
    ($params:ident, $method:literal, $response:ty) => {
        impl Call for $params {
            const METHOD: &'static str = $method;
            type Response = $response;
        }
    };
}

macro_rules! paged {
    ($params:ident, $item:ty) => {
        impl Paged for $params {
            type Item = $item;
        }
    };
}

macro_rules! notification {
    ($payload:ident, $methods:expr) => {
        impl Notification for $payload {
            const METHODS: &'static [&'static str] = &$methods;
        }
    };
    // With the fields of a delta that is simple.
    ($payload:ident, $methods:expr, { $($field:ident $wire:literal,)* }) => {
        impl Notification for $payload {
            const METHODS: &'static [&'static str] = &$methods;

            #[inline]
            fn decode(params: &str) -> Result<Self, serde_json::Error> {
                delta::read(params)
            }
            #[inline]
            fn refill(&mut self, params: &str) -> bool {
                delta::Delta::fill(self, params).is_some()
            }
        }
        impl delta::Delta for $payload {
            #[inline]
            fn empty() -> Self {
                Self { $($field: Default::default(),)* }
            }
            #[inline]
            fn fill(&mut self, text: &str) -> Option<()> {
                delta::fill(text, &mut [$(($wire, (&mut self.$field).into()),)*])
            }
        }
    };
}

macro_rules! server_call {
    ($params:ident, $method:literal, $response:ty) => {
        impl ServerCall for $params {
            const METHOD: &'static str = $method;
            type Response = $response;
        }
    };
}

/// Params that are `null`: the server refuses a request without `params`, and one with `{}` here.
macro_rules! no_params {
    ($name:ident) => {
        impl PartialEq for $name {
            #[inline]
            fn eq(&self, _: &Self) -> bool {
                true
            }
        }
        impl Eq for $name {}
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_unit()
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self)
            }
        }
    };
}

/// The params of a second method with the same params type: on the wire there is no difference.
#[allow(unused_macros, reason = "a schema may have no such method")]
macro_rules! newtype {
    ($name:ident($inner:ty)) => {
        impl From<$inner> for $name {
            #[inline]
            fn from(params: $inner) -> Self {
                Self(params)
            }
        }
        impl From<$name> for $inner {
            #[inline]
            fn from(params: $name) -> Self {
                params.0
            }
        }
        impl std::ops::Deref for $name {
            type Target = $inner;

            #[inline]
            fn deref(&self) -> &$inner {
                &self.0
            }
        }
        impl std::ops::DerefMut for $name {
            #[inline]
            fn deref_mut(&mut self) -> &mut $inner {
                &mut self.0
            }
        }
        impl Serialize for $name {
            #[inline]
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.0.serialize(serializer)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            #[inline]
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <$inner>::deserialize(deserializer).map(Self)
            }
        }
    };
}

/// Writes `{"method": …, "params": …}`.
pub(crate) fn write<S: Serializer, P: Serialize + ?Sized>(
    serializer: S,
    method: &str,
    params: &P,
) -> Result<S::Ok, S::Error> {
    let mut out = Writer::open(serializer);
    out.field("method", method);
    out.field("params", params);
    out.end()
}

/// Reads params of a request of the client. Many of them may also be `null`, which means none of their fields.
pub(crate) fn read_params<T: DeserializeOwned>(params: &str) -> serde_json::Result<T> {
    match serde_json::from_str(params) {
        Err(error) if params.trim() == "null" => serde_json::from_str("{}").map_err(|_| error),
        read => read,
    }
}

/// Params that were read, as a variant of one of the enums.
pub(crate) fn variant<P: Into<B>, B, T, E>(
    params: Result<P, E>,
    variant: fn(B) -> T,
) -> Result<T, E> {
    match params {
        Ok(params) => Ok(variant(params.into())),
        Err(error) => Err(error),
    }
}

/// Writes `{"method": …}`.
pub(crate) fn write_bare<S: Serializer>(serializer: S, method: &str) -> Result<S::Ok, S::Error> {
    let mut out = Writer::open(serializer);
    out.field("method", method);
    out.end()
}

macro_rules! client_notification {
    ($($method:literal $variant:ident $(($params:ident))?,)*) => {
        impl ClientNotification {
            /// The method on the wire.
            #[inline]
            #[must_use]
            pub const fn method(&self) -> &'static str {
                match *self {
                    $(Self::$variant { .. } => $method,)*
                }
            }
        }
        impl Serialize for ClientNotification {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match *self {
                    $(client_notification!(@pattern params $variant $($params)?) =>
                        client_notification!(@write serializer $method params $($params)?),)*
                }
            }
        }
    };
    (@pattern $name:ident $variant:ident) => { Self::$variant };
    (@pattern $name:ident $variant:ident $params:ident) => { Self::$variant(ref $name) };
    (@write $serializer:ident $method:literal $name:ident) => { method::write_bare($serializer, $method) };
    (@write $serializer:ident $method:literal $name:ident $params:ident) => { method::write($serializer, $method, $name) };
}

/// The methods must be sorted.
macro_rules! server_message {
    (ServerNotification { $($method:literal $variant:ident($params:ident),)* }) => {
        /// The method of a notification, for [`opt_out_notification_methods`] and [`Filter::method`].
        ///
        /// [`opt_out_notification_methods`]: crate::Builder::opt_out_notification_methods
        /// [`Filter::method`]: crate::Filter::method
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum NotificationMethod {
            $(#[doc = concat!("`", $method, "`")] $variant,)*
        }
        impl NotificationMethod {
            /// All that the schema has, in the order of their names.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The method on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                const NAMES: &[&str] = &[$($method,)*];
                NAMES[self as usize]
            }
        }
        impl From<NotificationMethod> for String {
            fn from(method: NotificationMethod) -> Self {
                method.as_str().to_owned()
            }
        }
        impl ServerNotification {
            /// Reads the next one of the same method into this one, if that saves work. Otherwise nothing is known of it.
            #[inline]
            pub(crate) fn refill(&mut self, method: &str, params: &str) -> bool {
                self.method() == method && match self {
                    $(Self::$variant(payload) => payload.refill(params),)*
                    Self::Unknown { .. } => false,
                }
            }
        }
        impl ::std::fmt::Display for NotificationMethod {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
        server_message!(@message ServerNotification by Notification::decode { $($method $variant($params),)* });
    };
    (ClientRequest { $($method:literal $variant:ident($params:ident),)* }) => {
        $(impl From<$params> for ClientRequest {
            #[inline]
            fn from(params: $params) -> Self {
                Self::$variant(params.into())
            }
        })*
        server_message!(@message ClientRequest by method::read_params { $($method $variant($params),)* });
    };
    ($name:ident { $($rest:tt)* }) => {
        server_message!(@message $name by ::serde_json::from_str { $($rest)* });
    };
    (@message $name:ident by $decode:path { $($method:literal $variant:ident($params:ident),)* }) => {
        impl $name {
            /// The method on the wire.
            #[must_use]
            pub fn method(&self) -> &str {
                match self {
                    $(Self::$variant(_) => $method,)*
                    Self::Unknown { method, .. } => method,
                }
            }

            /// Decodes the params that came with a method. A method that is not in the schema is `Unknown`.
            ///
            /// # Errors
            /// If the params don't have the form that the schema gives them.
            #[inline]
            pub fn decode(method: &str, params: &str) -> Result<Self, ::serde_json::Error> {
                use ::std::sync::atomic::{AtomicUsize, Ordering};
                const METHODS: &[&str] = &[$($method,)*];
                // In a flood it is mostly the one before.
                static LAST: AtomicUsize = AtomicUsize::new(0);
                let last = LAST.load(Ordering::Relaxed);
                let index = if METHODS.get(last) == Some(&method) {
                    Some(last)
                } else {
                    METHODS.binary_search(&method).ok()
                };
                if let Some(index) = index {
                    if index != last {
                        LAST.store(index, Ordering::Relaxed);
                    }
                    // A jump table in the end: the positions are constants.
                    let mut at = 0;
                    $(if at == index {
                        return method::variant::<$params, _, _, _>($decode(params), $name::$variant);
                    }
                    at += 1;)*
                }
                let params = RawValue::from_string(params.to_owned())?;
                Ok(Self::Unknown { method: method.to_owned(), params })
            }
        }
        /// As `{"method": …, "params": …}`.
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self {
                    $(Self::$variant(params) => method::write(serializer, $method, params),)*
                    Self::Unknown { method: name, params } => method::write(serializer, name, params),
                }
            }
        }
    };
}

#[allow(unused_imports, reason = "a schema may need none of one")]
pub(crate) use {
    call, client_notification, newtype, no_params, notification, paged, server_call, server_message,
};
