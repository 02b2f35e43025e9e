//! Embeddings over HTTP: one thread owns the embedder, requests come to it through a channel.
//!
//! `cargo run --release --example embed_service -- models/all-MiniLM-L6-v2 127.0.0.1:8080`, then
//! `curl -d '["a red fox", "an arctic fox"]' -H 'content-type: application/json' localhost:8080/embed`

use std::thread;

use anyhow::{Context, Result};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use ourvidz_qwen::Embedder;
use tokio::sync::{mpsc, oneshot};

type Answer = Result<Vec<Vec<f32>>, ourvidz_qwen::Error>;

/// Texts and where their vectors go.
struct Request {
    texts: Vec<String>,
    answer: oneshot::Sender<Answer>,
}

/// The embedder's thread; it ends when every sender is gone.
fn start(mut embedder: Embedder) -> mpsc::Sender<Request> {
    // A bounded channel: when it is full, handlers wait instead of piling up texts.
    let (sender, mut requests) = mpsc::channel::<Request>(64);
    thread::spawn(move || {
        while let Some(Request { texts, answer }) = requests.blocking_recv() {
            let vectors = embedder.embed(&texts);
            let vectors = vectors.map(|all| all.into_iter().map(|e| e.into_vec()).collect());
            // Who asked may have gone away.
            let _ = answer.send(vectors);
        }
    });
    sender
}

async fn embed(
    State(embedder): State<mpsc::Sender<Request>>,
    Json(texts): Json<Vec<String>>,
) -> Result<Json<Vec<Vec<f32>>>, (StatusCode, String)> {
    let (answer, vectors) = oneshot::channel();
    let ended = || (StatusCode::SERVICE_UNAVAILABLE, "the embedder has ended".to_owned());
    embedder.send(Request { texts, answer }).await.map_err(|_| ended())?;
    match vectors.await.map_err(|_| ended())? {
        Ok(vectors) => Ok(Json(vectors)),
        Err(error) if error.is_request() => Err((StatusCode::BAD_REQUEST, error.to_string())),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: embed_service MODEL ADDRESS";
    let (model, address) = (arguments.next().context(usage)?, arguments.next().context(usage)?);
    let embedder = start(Embedder::builder(model).load()?);
    let listener = tokio::net::TcpListener::bind(address).await?;
    let routes = Router::new().route("/embed", post(embed)).with_state(embedder);
    Ok(axum::serve(listener, routes).await?)
}
