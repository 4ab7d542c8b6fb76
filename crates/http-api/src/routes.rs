//! Every path, its methods, and who may call it.

pub(crate) mod events;
pub(crate) mod knowledge;
pub(crate) mod search;
pub(crate) mod stats;
pub(crate) mod system;
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
        .service(Path::new("/metrics").get(system::metrics).done().wrap(from_fn(guarded)))
        .service(Path::new("/stats").get(stats::stats).done().wrap(from_fn(guarded)))
        .service(Path::new("/knowledge").post(knowledge::create::handler).done().wrap(from_fn(guarded)))
        .service(Path::new("/knowledge/{id}").get(knowledge::get::handler).done().wrap(from_fn(guarded)))
        .service(Path::new("/search").post(search::handler).done().wrap(from_fn(guarded)))
        .service(Path::new("/events").post(events::create::handler).done().wrap(from_fn(guarded)))
        .service(
            Path::new("/webhooks")
                .post(webhooks::create::handler)
                .get(webhooks::list::handler)
                .done()
                .wrap(from_fn(guarded)),
        )
        .service(
            Path::new("/webhooks/{id}")
                .get(webhooks::get::handler)
                .on(Method::PATCH, webhooks::update::handler)
                .on(Method::DELETE, webhooks::delete::handler)
                .done()
                .wrap(from_fn(guarded)),
        )
        .service(Path::new("/webhooks/{id}/logs").get(webhooks::logs::handler).done().wrap(from_fn(guarded)))
        .service(Path::new("/webhooks/{id}/test").post(webhooks::test::handler).done().wrap(from_fn(guarded)));
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
