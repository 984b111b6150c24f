//! The HTTP request that upgrades a connection to a WebSocket, and the reason for a refusal.

use std::{io, time::Duration};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};
use tungstenite::handshake::{
    client::{Response, generate_key},
    derive_accept_key,
    machine::TryParse as _,
};

use super::secret::Secret;
use crate::error::{AuthRefusal, ConnectErrorKind as Kind};

/// The longest head of a response.
const HEAD: usize = 64 * 1024;
/// The most bytes of a refusal's body that are kept.
const BODY: usize = 1024;
/// How long the body of a refusal may take; the refusal itself is known by then.
const BODY_WITHIN: Duration = Duration::from_secs(1);

/// Upgrades the connection. Returns the bytes after the response, which are frames.
pub(super) async fn upgrade<S>(
    stream: &mut S,
    host: &str,
    path: &str,
    token: Option<&Secret>,
) -> Result<BytesMut, Kind>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let key = generate_key();
    // NB. No Origin, which the server answers with 403. No extensions, so that frames hold the text
    // as it is.
    let mut request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
    );
    if let Some(token) = token {
        request.push_str("Authorization: Bearer ");
        request.push_str(token.expose());
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    // A server that refuses may close the connection before it has read the whole request. Its
    // response counts.
    let sent = async {
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await
    }
    .await;
    let (answer, rest) = read(stream, sent).await?;
    let status = answer.status().as_u16();
    if status != 101 {
        let body = body(stream, &answer, rest, token).await;
        return Err(match status {
            401 => Kind::Unauthorized(AuthRefusal::from_body(&body)),
            _ => Kind::Http { status, body },
        });
    }
    let header = |name: &str| answer.headers().get(name).and_then(|v| v.to_str().ok());
    if !header("upgrade").is_some_and(|v| v.eq_ignore_ascii_case("websocket")) {
        return Err(not("its answer switches to another protocol"));
    }
    if header("sec-websocket-accept") != Some(derive_accept_key(key.as_bytes()).as_str()) {
        return Err(not("its answer is to another request"));
    }
    if header("sec-websocket-extensions").is_some_and(|v| !v.trim().is_empty()) {
        return Err(not("it uses an extension that was not offered"));
    }
    Ok(rest)
}

/// The head of the response, and the bytes after it.
async fn read<S: AsyncRead + Unpin>(
    stream: &mut S,
    sent: io::Result<()>,
) -> Result<(Response, BytesMut), Kind> {
    let mut buf = BytesMut::new();
    loop {
        let read = stream.read_buf(&mut buf).await;
        match read {
            Ok(1..) => {}
            Ok(0) | Err(_) if buf.is_empty() => {
                let reason = sent.err().or(read.err()).map(|e| e.to_string());
                return Err(not(&match reason {
                    Some(reason) => {
                        format!("it closed the connection without an answer ({reason})")
                    }
                    None => "it closed the connection without an answer".to_owned(),
                }));
            }
            Ok(0) | Err(_) => return Err(not("its answer breaks off")),
        }
        match Response::try_parse(&buf) {
            Ok(Some((len, answer))) => {
                let rest = buf.split_off(len);
                return Ok((answer, rest));
            }
            Ok(None) if buf.len() > HEAD => return Err(not("its answer has no end")),
            Ok(None) => {}
            Err(_) => return Err(not("its answer is not HTTP")),
        }
    }
}

/// The first bytes of the body without the token: a proxy may repeat the headers of the request.
async fn body<S: AsyncRead + Unpin>(
    stream: &mut S,
    answer: &Response,
    mut body: BytesMut,
    token: Option<&Secret>,
) -> String {
    let length = answer.headers().get("content-length");
    let length = length
        .and_then(|v| v.to_str().ok()?.parse().ok())
        .unwrap_or(usize::MAX);
    // Read enough that no token is cut off.
    let want = (BODY + token.map_or(0, |token| token.expose().len())).min(length);
    let _ = timeout(BODY_WITHIN, async {
        while body.len() < want && matches!(stream.read_buf(&mut body).await, Ok(1..)) {}
    })
    .await;
    body.truncate(want);
    let mut text = String::from_utf8_lossy(&body).into_owned();
    if let Some(token) = token {
        text = token.hide_in(&text);
    }
    let mut end = BODY.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text.trim()
        .chars()
        .map(|c| {
            if c.is_control() && c != '\n' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

fn not(reason: &str) -> Kind {
    Kind::NotWebSocket(reason.to_owned())
}
