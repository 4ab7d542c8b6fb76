//! The REST API on actix-web: routes, the views they answer with, problem+json, OpenAPI.
//!
//! A handler reads, checks, calls the repository and answers; it holds no rules (those are kos-model's)
//! and no SQL. Every error leaves through [`problem`], whatever raised it.

mod access;
mod body;
mod clash;
mod creation;
mod docs;
mod page;
mod path;
pub mod problem;
mod query;
mod routes;
mod sorted;
mod state;
mod trace;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::{Compress, from_fn};
use actix_web::{App, web};

pub use docs::openapi;
pub use state::{ApiKey, State};

/// The whole application. Called once per worker; everything shared lives in the state.
pub fn app(
    state: State,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    App::new()
        .app_data(web::Data::new(state))
        .configure(routes::configure)
        .service(docs::swagger())
        .default_service(web::to(problem::not_found))
        .wrap(Compress::default())
        .wrap(from_fn(trace::traced))
}
