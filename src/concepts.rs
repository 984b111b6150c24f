//! Behaviour that all parts of the crate share: ordering, cancellation, back-pressure, time,
//! shutdown, versions. This module has no items.
//!
//! # Ordering
//! Events of a stream are in the order of the server. [`Event::seq`](crate::Event::seq) compares
//! events of different streams. Everything the server sends before the response to a request is in
//! the queues before the future of that request wakes. `turn/started` and items of a turn may
//! precede the response to `turn/start`; the [`Turn`](crate::Turn) has them all the same.
//!
//! # Cancellation
//! Every future of this crate may be dropped at any time. Dropping a [`Request`](crate::Request)
//! discards the response, not the work: the server may have carried it out. A frame is handed to
//! the pipe as a whole, so nothing is left half-written. Dropping a [`Turn`](crate::Turn) that has
//! not ended interrupts it; [`Turn::detach`](crate::Turn::detach) lets it run. The future of a
//! handler is dropped when its request is withdrawn: another client answered, the turn ended, or
//! the connection ended.
//!
//! # Back-pressure
//! The task that reads from the server waits for nobody. Each subscription has a bounded queue of
//! two rings. One is for errors and for the end of a turn, an item, a thread or a request of the
//! server; the other is for all other events. A full ring drops its oldest event, and the reader of
//! the stream gets [`Error::Lagged`](crate::Error::Lagged) in its place. So a slow reader loses
//! pieces of text and never the end of the turn. The outcome of a turn is complete, since a
//! completed item carries its full text. [`CasClient::wire`](crate::CasClient::wire) is the
//! exception: it loses nothing, and while it is full nothing is read from the server.
//!
//! In the other direction, at most 64 requests are in flight, plus 16 urgent ones and 64
//! [long](crate::Request::no_timeout) ones. Further requests wait. The server has a queue of 128
//! and drops requests beyond that without an answer. So the limit counts what the server holds: a
//! request that was given up keeps its place until it is answered.
//!
//! # Time
//! Requests have a deadline, which includes the wait for a place in flight: 60 s by default, 5 s
//! for urgent ones. A later response is an event of kind
//! [`LateResponse`](crate::events::MessageKind::LateResponse). Turns have no deadline, and neither have
//! approvals and questions to the user, since people answer slowly.
//!
//! # Shutdown
//! [`CasClient::shutdown`](crate::CasClient::shutdown), or dropping the last client,
//! [`Thread`](crate::Thread) and [`Turn`](crate::Turn), closes the input of the server. If the
//! server has not ended after the grace period, it gets SIGTERM and then SIGKILL, together with
//! everything that it started: its process group, and on Linux also processes that left the group.
//!
//! The end of the runtime kills them at once, and ends every use of the client on other runtimes
//! ([`CloseCause::RuntimeEnded`](crate::error::CloseCause::RuntimeEnded)). On a current-thread runtime
//! that is not driven, dropping the last client only closes the input of the server. Handlers and
//! event streams do not keep a server alive. A killed program leaves no server, since the server
//! ends with its input; [`Builder::registry`](crate::Builder::registry) ends one that hangs.
//!
//! # Crashes
//! The end of the connection fails each request, turn and stream once, after everything that was
//! received before it. The error has the exit status and the end of stderr.
//! [`Builder::supervise`](crate::Builder::supervise) restarts the server and resumes its threads.
//! Nothing is repeated by default; [`Request::retry`](crate::Request::retry) repeats a request only
//! if the server was too busy to take it.
//!
//! # Versions
//! The types are generated from the schema of one version, and the protocol grows every week.
//! Messages of the server are decoded leniently: an unknown method is an event, an unknown enum
//! value or union member is `Unknown` with its JSON, and an unknown field is in the raw text. A
//! message that does not fit its type is an error of that event, not of the connection. The
//! generated types follow the schema and are exempt from semantic versioning.
