//! HTTP, as Upstash has it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Extract;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::rest_words::{json_words, path_words, query_token};
use super::shared::{Shared, State};
use super::table::{self, Class};
use crate::Reply;
use crate::faults::{Face, Verdict};

const SYNC_TOKEN: &str = "upstash-sync-token";

type Words = Vec<Vec<u8>>;

/// Serves until the runtime ends.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let router = Router::new().fallback(answer).with_state(shared);
    let _ = axum::serve(listener, router).await;
}

/// What one request asks for.
enum Asked {
    One(Words),
    Pipeline(Vec<Words>),
    Transaction(Vec<Words>),
}

async fn answer(
    Extract(shared): Extract<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    shared.change(|state| count_request(state, header(SYNC_TOKEN)));
    if ![Method::GET, Method::POST, Method::PUT, Method::HEAD].contains(&method) {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "ERR method not allowed");
    }
    let bearer = header(header::AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix("Bearer "));
    let token = bearer.map(str::to_owned).or_else(|| query_token(&uri));
    if token.as_deref() != Some(shared.rest_token.as_str()) {
        return refuse(StatusCode::UNAUTHORIZED, "WRONGPASS invalid or missing auth token");
    }
    let asked = match read(&method, &uri, &body) {
        Ok(asked) => asked,
        Err(text) => return refuse(StatusCode::BAD_REQUEST, &text),
    };
    let commands = match &asked {
        Asked::One(words) => std::slice::from_ref(words),
        Asked::Pipeline(all) | Asked::Transaction(all) => all,
    };
    let verdicts: Vec<Verdict> =
        shared.change(|state| commands.iter().map(|words| state.arrive(Face::Rest, words)).collect());
    if verdicts.iter().any(|verdict| verdict.drop_before) {
        hang_up();
    }
    let delay: Duration = verdicts.iter().map(|verdict| verdict.delay).sum();
    if delay > Duration::ZERO {
        tokio::time::sleep(delay).await;
    }
    if let Some(status) = verdicts.iter().find_map(|verdict| verdict.status) {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return refuse(status, "ERR injected fault");
    }
    let base64 = header("upstash-encoding") == Some("base64");
    let (status, result, token) = shared.change(|state| {
        if verdicts.iter().any(|verdict| verdict.flush_scripts) {
            state.store.scripts.clear();
        }
        let (status, result) = execute(state, &asked, &verdicts, base64);
        (status, result, state.sync_token())
    });
    if verdicts.iter().any(|verdict| verdict.lose_reply) {
        hang_up();
    }
    let mut response = respond(status, &result);
    if let Ok(value) = token.parse() {
        response.headers_mut().insert(SYNC_TOKEN, value);
    }
    response
}

fn count_request(state: &mut State, token: Option<&str>) {
    let latest = state.sync_token();
    let stats = &mut state.stats;
    stats.http_requests += 1;
    match token {
        None => stats.sync_token_absent += 1,
        Some(token) if token == latest => stats.sync_token_latest += 1,
        Some(_) => stats.sync_token_stale += 1,
    }
}

fn read(method: &Method, uri: &Uri, body: &[u8]) -> Result<Asked, String> {
    let many = |body: &[u8]| -> Result<Vec<Words>, String> {
        let value: Value =
            serde_json::from_slice(body).map_err(|e| format!("ERR failed to parse pipeline request: {e}"))?;
        let items = value.as_array().ok_or("ERR failed to parse pipeline request: not an array")?;
        items.iter().map(json_words).collect()
    };
    match uri.path().trim_matches('/') {
        "pipeline" => many(body).map(Asked::Pipeline),
        "multi-exec" => many(body).map(Asked::Transaction),
        "" => {
            let value: Value =
                serde_json::from_slice(body).map_err(|e| format!("ERR failed to parse command: {e}"))?;
            json_words(&value).map(Asked::One)
        }
        path => {
            let body = if *method == Method::GET || body.is_empty() { None } else { Some(body) };
            Ok(Asked::One(path_words(path, body, uri.query())))
        }
    }
}

fn execute(state: &mut State, asked: &Asked, verdicts: &[Verdict], base64: bool) -> (StatusCode, Value) {
    let mut one = |words: &Words, verdict: Option<&Verdict>| {
        let reply = match verdict.and_then(|verdict| verdict.error.clone()) {
            Some(text) => Reply::Error(text),
            None => run(state, words),
        };
        match reply {
            Reply::Error(text) => json!({ "error": text }),
            reply => json!({ "result": to_json(&reply, base64) }),
        }
    };
    match asked {
        Asked::One(words) => {
            let result = one(words, verdicts.first());
            let failed = result.get("error").is_some();
            (if failed { StatusCode::BAD_REQUEST } else { StatusCode::OK }, result)
        }
        Asked::Pipeline(all) => {
            let results = all.iter().zip(verdicts).map(|(words, verdict)| one(words, Some(verdict)));
            (StatusCode::OK, results.collect())
        }
        Asked::Transaction(all) => {
            // An error before execution discards everything.
            let injected = verdicts.iter().find_map(|verdict| verdict.error.clone());
            let refused = injected.or_else(|| all.iter().find_map(|words| refused(state, words)));
            if let Some(text) = refused {
                let text = format!("EXECABORT Transaction discarded because of: {text}");
                return (StatusCode::BAD_REQUEST, json!({ "error": text }));
            }
            let mut one = |words: &Words| match run(state, words) {
                Reply::Error(text) => json!({ "error": text }),
                reply => json!({ "result": to_json(&reply, base64) }),
            };
            (StatusCode::OK, all.iter().map(&mut one).collect())
        }
    }
}

fn run(state: &mut State, words: &Words) -> Reply {
    refused(state, words).map_or_else(|| state.run(words, true), Reply::Error)
}

/// Commands that REST does not have: those that wait and those about a connection.
fn refused(state: &State, words: &Words) -> Option<String> {
    match table::find(&state.store, words) {
        Ok(spec) if matches!(spec.class, Class::Blocking | Class::Session) => {
            Some(format!("ERR Command is not available: '{}'", spec.name.to_uppercase()))
        }
        Ok(_) => None,
        Err(text) => Some(text),
    }
}

fn to_json(reply: &Reply, base64: bool) -> Value {
    match reply.to_resp2() {
        Reply::Int(n) => n.into(),
        Reply::Bulk(bytes) if base64 => BASE64_STANDARD.encode(bytes).into(),
        Reply::Bulk(bytes) => String::from_utf8_lossy(&bytes).into(),
        Reply::Status(text) if base64 && text != "OK" => BASE64_STANDARD.encode(text).into(),
        Reply::Status(text) | Reply::Error(text) => text.into(),
        Reply::Array(items) => items.iter().map(|item| to_json(item, base64)).collect(),
        _ => Value::Null,
    }
}

fn refuse(status: StatusCode, text: &str) -> Response {
    respond(status, &json!({ "error": text }))
}

fn respond(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// Ends the task that serves this connection, which closes it without an answer; nothing is printed.
fn hang_up() -> ! {
    std::panic::resume_unwind(Box::new("connection closed by an injected fault"))
}
