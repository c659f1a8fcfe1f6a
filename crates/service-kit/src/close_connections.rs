//! Closes client connections before an instance stops, and at a maximum age.
//!
//! A load balancer picks an instance only when a client connects. So once shutdown begins, each
//! response closes its connection, and the client's next request goes to an instance that stays.
//! Connections that are still open when intake ends are idle, and are closed. Old connections are
//! closed with their next response too; otherwise a new instance would get no requests.

use std::any::Any;
use std::time::Duration;

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{Extensions, ServiceRequest, ServiceResponse};
use actix_web::http::ConnectionType;
use actix_web::middleware::Next;
use actix_web::web::Data;
use rand::random_range;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The time from which a connection is old.
#[derive(Clone, Copy, Debug)]
struct OldFrom(Instant);

/// Sets the maximum age of each new connection, for [`close_connections`]. It varies by up to 10%, so
/// that connections that began together do not end together.
pub fn set_max_age(max_age: Duration) -> impl Fn(&dyn Any, &mut Extensions) + Clone {
    move |_, connection| {
        let age = max_age.mul_f64(random_range(0.9..1.1));
        connection.insert(OldFrom(Instant::now() + age));
    }
}

/// Cancelled when the stop signal arrives; app data for [`close_connections`].
#[derive(Clone, Debug)]
pub struct Stopping(pub CancellationToken);

/// Middleware for all routes: adds `Connection: close` to each response after the stop signal, or
/// on an old connection.
pub async fn close_connections<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let mut response = next.call(request).await?;
    let stopping = response.request().app_data::<Data<Stopping>>();
    let is_stopping = stopping.is_some_and(|stopping| stopping.0.is_cancelled());
    let old_from = response.request().conn_data::<OldFrom>();
    if is_stopping || old_from.is_some_and(|from| Instant::now() >= from.0) {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, call_service, init_service};
    use actix_web::{App, HttpResponse, web};

    use super::*;

    #[actix_web::test]
    async fn responses_close_their_connections_after_the_stop_signal() {
        let signal = CancellationToken::new();
        let app = App::new()
            .app_data(Data::new(Stopping(signal.clone())))
            .route("/", web::get().to(HttpResponse::Ok))
            .wrap(from_fn(close_connections));
        let app = init_service(app).await;
        let ends = async || {
            let response = call_service(&app, TestRequest::get().uri("/").to_request()).await;
            response.response().head().connection_type() == ConnectionType::Close
        };
        assert!(!ends().await);
        signal.cancel();
        assert!(ends().await);
    }
}
