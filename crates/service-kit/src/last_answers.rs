//! Clients that keep their connections are sent elsewhere before a service goes, and now and then.
//!
//! A client that has a connection does not ask its balancer again. So once a service is told to stop, each answer is the
//! last one on its connection: whoever has a next request opens another one, and is led to an instance that stays. What
//! is still open when intake ends is idle, and is closed. The answer of an old connection is its last one too, or an
//! instance that was added would get nothing to do.

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

/// From when on a connection is old.
#[derive(Clone, Copy, Debug)]
struct OldFrom(Instant);

/// Notes the age of each connection, for [`last_answers`]: to be called when one begins. Connections that began together
/// do not end together.
pub fn note_age(max_age: Duration) -> impl Fn(&dyn Any, &mut Extensions) + Clone {
    move |_, connection| {
        let age = max_age.mul_f64(random_range(0.9..1.1));
        connection.insert(OldFrom(Instant::now() + age));
    }
}

/// Cancelled once the service was told to stop; for [`last_answers`], among the data of the app.
#[derive(Clone, Debug)]
pub struct Stopping(pub CancellationToken);

/// A layer around all routes: `Connection: close` on each answer of a service that stops, or on an old connection.
pub async fn last_answers<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let mut answer = next.call(request).await?;
    let stopping = answer.request().app_data::<Data<Stopping>>();
    let is_stopping = stopping.is_some_and(|stopping| stopping.0.is_cancelled());
    let old_from = answer.request().conn_data::<OldFrom>();
    if is_stopping || old_from.is_some_and(|from| Instant::now() >= from.0) {
        answer.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, call_service, init_service};
    use actix_web::{App, HttpResponse, web};

    use super::*;

    #[actix_web::test]
    async fn answers_end_their_connections_once_the_service_was_told_to_stop() {
        let signal = CancellationToken::new();
        let app = App::new()
            .app_data(Data::new(Stopping(signal.clone())))
            .route("/", web::get().to(HttpResponse::Ok))
            .wrap(from_fn(last_answers));
        let app = init_service(app).await;
        let ends = async || {
            let answer = call_service(&app, TestRequest::get().uri("/").to_request()).await;
            answer.response().head().connection_type() == ConnectionType::Close
        };
        assert!(!ends().await);
        signal.cancel();
        assert!(ends().await);
    }
}
