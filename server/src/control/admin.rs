//! The admin interface: HTTP on a port of its own.

use super::{Shards, encode};
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use std::future::Future;
use tokio::net::TcpListener;

/// The content type of Prometheus' text format, version 1 of OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves until `stop` is ready.
///
/// # Errors
/// The operating system's, when it no longer accepts.
pub async fn serve(
    listener: TcpListener,
    shards: Shards,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(health))
        .route("/metrics", get(metrics))
        .merge(super::jobs::routes())
        .with_state(shards);
    axum::serve(listener, router).with_graceful_shutdown(stop).await
}

/// Healthy is a server all of whose shards answer.
async fn health(State(shards): State<Shards>) -> Response {
    match shards.on_all(|_| ()).await {
        Ok(_) => (StatusCode::OK, "ok\n").into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

async fn metrics(State(shards): State<Shards>) -> Response {
    let gathered = match shards.on_all(|shard| shard.metrics()).await {
        Ok(gathered) => gathered,
        Err(error) => return (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    };
    match encode(gathered) {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
