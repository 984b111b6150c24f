//! The HTTP server of `MockModel`: connections, routing, and the answer to one model request.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::post,
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{
    reply::{Reply, Step},
    request::ModelRequest,
    script::{Refusal, Script},
    sse,
};

/// Serves until the task is aborted. The task owns the connections, so they end with it.
pub(super) async fn serve(listener: TcpListener, script: Arc<Script>) {
    let router = Router::new()
        .route("/v1/responses", post(responses))
        .fallback(side_route)
        .layer(DefaultBodyLimit::disable())
        .with_state(script);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, router.clone()));
                }
                // Most likely out of file descriptors: other connections must end first.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, router: Router) {
    // Deltas are small and must be sent at once.
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(router);
    // An error means that the client is gone or that the script dropped the connection.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn responses(State(script): State<Arc<Script>>, headers: HeaderMap, body: Bytes) -> Response {
    let size = body.len();
    let body: Value = match serde_json::from_slice(&body) {
        Ok(body) => body,
        Err(error) => {
            script.unexpected(format!(
                "POST /v1/responses with a body that is not JSON: {error}"
            ));
            return status(
                400,
                &json!({ "error": { "message": "the body is not JSON" } }),
            );
        }
    };
    let request = ModelRequest::new(headers, body, size);
    let reply = match catch_unwind(AssertUnwindSafe(|| script.answer(&request))) {
        Ok(Ok(reply)) => reply,
        Ok(Err(Refusal::Bearer)) => {
            return status(
                401,
                &json!({ "error": { "message": "the bearer token is not the required one" } }),
            );
        }
        Ok(Err(Refusal::Unscripted)) => {
            return unscripted(&script, format!("no reply scripted for {request:?}"));
        }
        Err(panic) => {
            let what = panic.downcast_ref::<String>().map(String::as_str);
            let what = what
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("not a text");
            return unscripted(
                &script,
                format!("the function given to respond_with panicked: {what}"),
            );
        }
    };
    play(reply).await
}

fn unscripted(script: &Script, what: String) -> Response {
    let answer = status(500, &json!({ "error": { "message": what } }));
    script.unexpected(what);
    answer
}

async fn play(mut reply: Reply) -> Response {
    let headers = std::mem::take(&mut reply.headers);
    let mut response = if let Some((code, body)) = reply.status.take() {
        for step in reply.steps {
            match step {
                Step::Hold(gate) => gate.passed().await,
                Step::Pause(duration) => tokio::time::sleep(duration).await,
                _ => {}
            }
        }
        status(code, &body)
    } else {
        let stream = Body::from_stream(sse::play(sse::frames(reply)));
        ([(header::CONTENT_TYPE, "text/event-stream")], stream).into_response()
    };
    response.headers_mut().extend(headers);
    response
}

async fn side_route(State(script): State<Arc<Script>>, method: Method, uri: Uri) -> Response {
    if let Some((code, body)) = script.side_route(method.clone(), uri.path()) {
        return status(code, &body);
    }
    script.unexpected(format!("no route for {method} {}", uri.path()));
    status(
        404,
        &json!({ "error": { "message": "no such route in the mock model" } }),
    )
}

/// A response with a JSON body, or with plain text if the body is a string.
fn status(code: u16, body: &Value) -> Response {
    let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match body {
        Value::String(text) => (code, text.clone()).into_response(),
        _ => (
            code,
            [(header::CONTENT_TYPE, "application/json")],
            body.to_string(),
        )
            .into_response(),
    }
}
