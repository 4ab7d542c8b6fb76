//! PATCH /webhooks/{id}

use std::collections::BTreeMap;

use actix_web::http::header::ETAG;
use actix_web::{HttpResponse, web};
use kos_model::json::Fields;
use kos_model::{DeliveryPolicy, EventFilter, Violations, WebhookId};
use kos_repository::{Error, Repository, WebhookChange, WebhookRecord};
use kos_webhooks::{Sender, Target};
use serde::Deserialize;
use serde_json::Map;
use utoipa::ToSchema;

use super::create::judge_target;
use super::policy::{PolicyDraft, check_policy};
use super::{
    Address, ChatId, WebhookView, address_of, check_locale, check_metadata, check_name, no_such, stored_target,
};
use crate::body::Body;
use crate::body::given;
use crate::path::{Id, IfMatch, etag};
use crate::problem::Result;
use crate::state::State;

/// How often a change is made of what was read, while others change it too.
const TRIES: usize = 10;

/// What is to change; a field that is absent stays as it is. Null is refused, but for those that say otherwise.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateWebhook {
    /// A new address: of slack, discord and custom.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String)]
    url: Option<String>,
    /// Telegram: another chat.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = ChatId)]
    chat_id: Option<ChatId>,
    /// Telegram: another bot; null for the server's own.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    bot_token: Option<Option<String>>,
    /// Telegram: another topic; null for none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i64>)]
    message_thread_id: Option<Option<i64>>,
    /// Custom: another signing secret, in the place of every other one at once. To let the old one sign along
    /// for a while, rotate it instead.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String)]
    secret: Option<String>,
    /// Custom: headers to send beside ours; replaces what was there.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = BTreeMap<String, String>)]
    headers: Option<BTreeMap<String, String>>,
    /// How to send to it; what is left out stays as it is.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = PolicyDraft)]
    policy: Option<PolicyDraft>,
    /// What it listens to.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<String>)]
    events: Option<Vec<String>>,
    /// On or off. What was already waiting stays, and goes on when it is switched on.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = bool)]
    enabled: Option<bool>,
    /// A name for people.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String)]
    name: Option<String>,
    /// Anything else; replaces what was there.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Object)]
    metadata: Option<Fields>,
    /// The language of its messages, `ru` or `en`.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String)]
    locale: Option<String>,
}

/// Changes a webhook. A new address switches it on again after the service switched it off; a new address or
/// `enabled: true` lifts whatever held it back.
#[utoipa::path(
    patch, path = "/webhooks/{id}", tag = "webhooks", request_body = UpdateWebhook,
    params(
        ("id" = String, Path, format = Uuid),
        ("If-Match" = Option<String>, Header, description = "The ETag that was read; another writer's change is not overwritten then"),
    ),
    responses(
        (status = 200, body = WebhookView),
        (status = 404, description = "There is none", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 412, description = "It was changed in the meantime", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The body breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(
    state: web::Data<State>,
    id: Id<WebhookId>,
    version: IfMatch,
    body: Body<UpdateWebhook>,
) -> Result<HttpResponse> {
    let (id, version) = (id.0, version.0);
    let (repository, engine) = (state.repository.clone(), state.engine.clone());
    let record = state
        .run(async move {
            let changed = apply(&repository, id, &body.0, version, engine.sender()).await?;
            engine.wake();
            Ok(changed)
        })
        .await?;
    Ok(HttpResponse::Ok().insert_header((ETAG, etag(record.version))).json(WebhookView::from(record)))
}

/// Changes what was read and nothing else: where somebody was faster, and the caller has not said which
/// version he means, it is read anew.
async fn apply(
    repository: &Repository,
    id: WebhookId,
    body: &UpdateWebhook,
    version: Option<i32>,
    sender: &Sender,
) -> Result<WebhookRecord> {
    for _ in 0..TRIES {
        let record = repository.webhook_get(id).await?.ok_or_else(|| no_such(id))?;
        let target = stored_target(repository, id).await?;
        let change = check(body.clone(), target, record.policy, sender)?;
        match repository.webhook_update(id, change, Some(version.unwrap_or(record.version))).await {
            Err(Error::Stale) if version.is_none() => {}
            changed => return changed?.ok_or_else(|| no_such(id)),
        }
    }
    Err(Error::Contended.into())
}

fn check(
    body: UpdateWebhook,
    present: Target,
    policy: DeliveryPolicy,
    sender: &Sender,
) -> std::result::Result<WebhookChange, Violations> {
    let mut faults = Violations::new();
    let (forgets_bot, forgets_topic) = (body.bot_token == Some(None), body.message_thread_id == Some(None));
    let present = if forgets_bot { present.without_bot_token() } else { present };
    let present = if forgets_topic { present.without_topic() } else { present };
    let address = Address {
        url: body.url,
        chat_id: body.chat_id,
        bot_token: body.bot_token.flatten(),
        message_thread_id: body.message_thread_id.flatten(),
        secret: body.secret,
        headers: body.headers,
    };
    let target = if address.is_empty() && !forgets_bot && !forgets_topic {
        None
    } else {
        judge_target(address.draft().check_over(&present, sender.platforms()), sender, &mut faults)
    };
    let events = body.events.and_then(|texts| faults.take(EventFilter::parse_all(&texts)));
    let name = body.name.map(|name| check_name(&name, &mut faults));
    if let Some(metadata) = &body.metadata {
        check_metadata(metadata, &mut faults);
    }
    let locale = body.locale.and_then(|text| check_locale(&text, &mut faults));
    let policy = body.policy.map(|draft| check_policy(draft, policy, &mut faults));
    if !faults.is_empty() {
        return Err(faults);
    }
    let address = target.as_ref().map(address_of);
    let metadata = body.metadata.map(Map::from);
    Ok(WebhookChange { name, address, enabled: body.enabled, events, metadata, policy, locale })
}
