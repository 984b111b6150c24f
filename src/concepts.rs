//! How things behave: ordering, cancellation, back-pressure, shutdown, versions. Nothing here but text.
//!
//! # Ordering
//! Within a stream, events come in the order of the server. Between streams compare [`Event::seq`](crate::Event::seq).
//! What the server said before it answered a request is in the queues before the request's future wakes. `turn/started`
//! and items of a turn may come before the answer to `turn/start`; a [`Turn`](crate::Turn) has them all the same.
//!
//! # Cancellation
//! Every future here may be dropped at any time. A dropped [`Request`](crate::Request) forgets the answer, not the work: the server may have
//! carried it out. A frame is handed to the pipe whole, so nothing is left half-written. A dropped
//! [`Turn`](crate::Turn) that has not ended is interrupted; [`Turn::detach`](crate::Turn::detach) lets it run. A handler's future is dropped when
//! its request is withdrawn: somebody else answered, the turn ended, the connection ended.
//!
//! # Back-pressure
//! The task that reads from the server waits for nobody. Each subscription has a bounded queue of two rings: one for what
//! ends something (a turn, an item, a thread, a request of the server) and errors, one for all the rest. A full ring drops its oldest, and
//! the reader of the stream gets [`Error::Lagged`](crate::Error::Lagged) at that place. So a slow reader loses pieces of text, not the end of the turn, and
//! a turn's outcome is whole, since a completed item carries its full text.
//! [`CasClient::wire`](crate::CasClient::wire) is the exception: nothing is lost on it, and while it is full nothing is read from the
//! server.
//!
//! In the other direction 64 requests are in flight at most, 16 more that are urgent, and 64 that are
//! [long](crate::Request::no_timeout); the others wait. The server has a queue of 128 and drops requests without an answer
//! beyond that, so what counts is what it holds: a request that was given up keeps its place until it is answered.
//!
//! # Time
//! Requests have a deadline, 60 s unless set, urgent ones 5 s; it covers the wait for a place in flight. An answer that comes
//! later is an event of kind [`LateResponse`](crate::events::MessageKind::LateResponse). A turn has none, nor have
//! approvals and questions to the user: people answer slowly.
//!
//! # Shutdown
//! [`CasClient::shutdown`](crate::CasClient::shutdown), or the drop of the last client, [`Thread`](crate::Thread) and [`Turn`](crate::Turn), closes the server's input; a server that
//! has not ended after the grace period gets SIGTERM, then SIGKILL, with all that it has started: the process group, and on
//! Linux also what has left that. The runtime's end kills them at once, and ends all that the client is used for on other runtimes
//! ([`CloseCause::RuntimeEnded`](crate::error::CloseCause::RuntimeEnded)). On a runtime of one thread that nobody drives, the drop
//! of the last client closes the server's input and can do no more. Handlers and event streams do not keep a server
//! alive. A program that is killed leaves no server, since that ends with its input;
//! [`Builder::registry`](crate::Builder::registry) is for one that hangs.
//!
//! # Crashes
//! The end of the connection fails each request, turn and stream once, with the exit status and the end of stderr, after
//! what was said before it. [`Builder::supervise`](crate::Builder::supervise) starts the server again and takes up its
//! threads. Nothing is repeated by itself; [`Request::retry`](crate::Request::retry) repeats what the server was too busy
//! to take, and only that.
//!
//! # Versions
//! The types are generated from one version's schema, and the protocol grows every week. What the server sends is read
//! openly: an unknown method is an event, an unknown enum value or union member is `Unknown` with what came, an unknown field is
//! in the raw text. What does not fit at all is an error of the one event, not of the connection. The generated types follow
//! the schema and are outside the promise of semantic versioning.
