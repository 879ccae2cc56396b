//! `/metrics`, `/healthz` and `/readyz` over plain HTTP, for the kubelet and for Prometheus.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;

use crate::reconcile::Shared;

/// Whether the process can do its work: it has reached the API server, and leads or waits to lead.
#[derive(Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// From now on it can.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Serves `/healthz` and `/readyz`.
///
/// # Errors
/// When the address is taken.
pub async fn health(address: SocketAddr, readiness: Readiness) -> std::io::Result<()> {
    let ready = move || {
        let is_ready = readiness.0.load(Ordering::Acquire);
        std::future::ready(if is_ready {
            (StatusCode::OK, "ok")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready")
        })
    };
    let routes = Router::new().route("/healthz", get(|| std::future::ready("ok"))).route("/readyz", get(ready));
    serve(address, routes).await
}

/// Serves `/metrics`.
///
/// # Errors
/// When the address is taken.
pub async fn metrics(address: SocketAddr, shared: Arc<Shared>) -> std::io::Result<()> {
    let text = move || std::future::ready(shared.world.redactor.redact(&shared.metrics.text()).into_owned());
    serve(address, Router::new().route("/metrics", get(text))).await
}

async fn serve(address: SocketAddr, routes: Router) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    axum::serve(listener, routes).await
}
