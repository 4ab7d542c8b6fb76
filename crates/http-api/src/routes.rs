//! Every path, its methods, and who may call it.

pub(crate) mod deliveries;
pub(crate) mod domains;
pub(crate) mod events;
pub(crate) mod experts;
pub(crate) mod graph;
pub(crate) mod interactions;
pub(crate) mod knowledge;
pub(crate) mod links;
pub(crate) mod replays;
pub(crate) mod search;
pub(crate) mod stats;
pub(crate) mod system;
pub(crate) mod tasks;
pub(crate) mod webhooks;

use actix_web::http::Method;
use actix_web::middleware::from_fn;
use actix_web::{FromRequest, Handler, HttpResponse, Resource, Responder, guard, web};

use crate::access::guarded;
use crate::docs;
use crate::problem::ApiError;

/// Adds every route. The open ones come first; everything after needs the key.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(Path::new("/").get(system::root).done())
        .service(Path::new("/health").get(system::health).done())
        .service(Path::new("/livez").get(system::livez).done())
        .service(Path::new("/readyz").get(system::readyz).done())
        .service(Path::new("/docs").get(docs::redirect).done())
        .service(Path::new("/event-types").get(events::types::handler).done())
        .configure(configure_guarded);
}

fn configure_guarded(config: &mut web::ServiceConfig) {
    let system = vec![Path::new("/metrics").get(system::metrics), Path::new("/stats").get(stats::stats)];
    for path in [system, of_knowledge(), of_people(), of_events()].into_iter().flatten() {
        config.service(path.done().wrap(from_fn(guarded)));
    }
}

/// Knowledge, its links, and the search.
fn of_knowledge() -> Vec<Path> {
    vec![
        Path::new("/knowledge").post(knowledge::create::handler).get(knowledge::list::handler),
        Path::new("/knowledge/batch").post(knowledge::batch::handler),
        Path::new("/knowledge/export").get(knowledge::export::handler),
        Path::new("/knowledge/import").post(knowledge::import::handler),
        Path::new("/knowledge/{id}")
            .get(knowledge::get::handler)
            .on(Method::PATCH, knowledge::update::handler)
            .on(Method::DELETE, knowledge::delete::handler),
        Path::new("/knowledge/{id}/duplicates").get(knowledge::duplicates::handler),
        Path::new("/knowledge/{id}/history").get(knowledge::history::handler),
        Path::new("/knowledge/{id}/restore").post(knowledge::restore::handler),
        Path::new("/knowledge/{id}/revert").post(knowledge::revert::handler),
        Path::new("/knowledge/{id}/verify").post(knowledge::verify::handler),
        Path::new("/knowledge/{id}/links").post(links::create::handler).get(links::list::handler),
        Path::new("/links/batch").post(links::batch::handler),
        Path::new("/links/{id}")
            .get(links::get::handler)
            .on(Method::PATCH, links::update::handler)
            .on(Method::DELETE, links::delete::handler),
        Path::new("/graph/neighborhood").get(graph::neighborhood::handler),
        Path::new("/graph/path").get(graph::path::handler),
        Path::new("/graph/subgraph").get(graph::subgraph::handler),
        Path::new("/graph/stats").get(graph::stats::handler),
        Path::new("/graph/export").get(graph::export::handler),
        Path::new("/graph/suggestions").get(graph::suggestions::handler),
        Path::new("/graph/suggestions/accept").post(graph::accept::handler),
        Path::new("/graph/suggestions/dismiss").post(graph::dismiss::handler),
        Path::new("/search").post(search::handler),
    ]
}

/// Domains, experts, tasks, interactions.
fn of_people() -> Vec<Path> {
    vec![
        Path::new("/domains").post(domains::create::handler).get(domains::list::handler),
        Path::new("/domains/{id}")
            .get(domains::get::handler)
            .on(Method::PATCH, domains::update::handler)
            .on(Method::DELETE, domains::delete::handler),
        Path::new("/experts").post(experts::create::handler).get(experts::list::handler),
        Path::new("/experts/{id}")
            .get(experts::get::handler)
            .on(Method::PATCH, experts::update::handler)
            .on(Method::DELETE, experts::delete::handler),
        Path::new("/tasks").post(tasks::create::handler).get(tasks::list::handler),
        Path::new("/tasks/{id}")
            .get(tasks::get::handler)
            .on(Method::PATCH, tasks::update::handler)
            .on(Method::DELETE, tasks::delete::handler),
        Path::new("/interactions").post(interactions::create::handler).get(interactions::list::handler),
        Path::new("/interactions/{id}")
            .get(interactions::get::handler)
            .on(Method::DELETE, interactions::delete::handler),
        Path::new("/interactions/{id}/feedback").on(Method::PUT, interactions::feedback::handler),
    ]
}

/// Events, and how they get to whom.
fn of_events() -> Vec<Path> {
    vec![
        Path::new("/events").post(events::create::handler).get(events::list::handler),
        Path::new("/events/batch").post(events::batch::handler),
        Path::new("/events/{id}").get(events::get::handler),
        Path::new("/webhooks").post(webhooks::create::handler).get(webhooks::list::handler),
        Path::new("/webhooks/{id}")
            .get(webhooks::get::handler)
            .on(Method::PATCH, webhooks::update::handler)
            .on(Method::DELETE, webhooks::delete::handler),
        Path::new("/webhooks/{id}/logs").get(webhooks::logs::handler),
        Path::new("/webhooks/{id}/health").get(webhooks::health::handler),
        Path::new("/webhooks/{id}/test").post(webhooks::test::handler),
        Path::new("/webhooks/{id}/preview").post(webhooks::preview::handler),
        Path::new("/webhooks/{id}/pause").post(webhooks::pause::handler),
        Path::new("/webhooks/{id}/resume").post(webhooks::resume::handler),
        Path::new("/webhooks/{id}/replay").post(webhooks::replay::handler),
        Path::new("/webhooks/{id}/secret/rotate").post(webhooks::rotate::handler),
        Path::new("/replays/{id}").get(replays::get::handler),
        Path::new("/replays/{id}/cancel").post(replays::cancel::handler),
        Path::new("/deliveries").get(deliveries::list::handler),
        Path::new("/deliveries/{id}").get(deliveries::get::handler),
        Path::new("/deliveries/{id}/retry").post(deliveries::retry::handler),
        Path::new("/deliveries/{id}/cancel").post(deliveries::cancel::handler),
    ]
}

/// A path under construction; it remembers its methods, to name them where another one is tried.
struct Path {
    resource: Resource,
    allowed: Vec<String>,
}

impl Path {
    fn new(path: &str) -> Self {
        Self { resource: web::resource(path), allowed: Vec::new() }
    }

    /// Answers GET, and HEAD in the same way without a body.
    fn get<H, A>(mut self, handler: H) -> Self
    where
        H: Handler<A>,
        A: FromRequest + 'static,
        H::Output: Responder + 'static,
    {
        let route = web::route().guard(guard::Any(guard::Get()).or(guard::Head())).to(handler);
        self.allowed.extend(["GET".to_owned(), "HEAD".to_owned()]);
        Self { resource: self.resource.route(route), ..self }
    }

    fn post<H, A>(self, handler: H) -> Self
    where
        H: Handler<A>,
        A: FromRequest + 'static,
        H::Output: Responder + 'static,
    {
        self.on(Method::POST, handler)
    }

    fn on<H, A>(mut self, method: Method, handler: H) -> Self
    where
        H: Handler<A>,
        A: FromRequest + 'static,
        H::Output: Responder + 'static,
    {
        self.allowed.push(method.to_string());
        Self { resource: self.resource.route(web::method(method).to(handler)), ..self }
    }

    /// Every other method is told which ones there are.
    fn done(self) -> Resource {
        let allowed = self.allowed.join(", ");
        self.resource.default_service(web::to(move || {
            let refusal = ApiError::MethodNotAllowed(allowed.clone());
            async move { Err::<HttpResponse, _>(refusal) }
        }))
    }
}
