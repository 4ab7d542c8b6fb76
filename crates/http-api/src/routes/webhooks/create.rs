//! POST /webhooks

use std::collections::BTreeMap;

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpResponse, web};
use kos_model::json::Fields;
use kos_model::{DeliveryPolicy, EventFilter, Locale, Violation, Violations, WebhookType};
use kos_repository::NewWebhook;
use kos_webhooks::{Sender, Target, TargetDraft};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::policy::{PolicyDraft, check_policy};
use super::{Address, ChatId, WebhookView, address_of, check_locale, check_metadata, check_name};
use crate::creation::{Creation, IdempotencyKey, created};
use crate::problem::Result;
use crate::state::State;

/// A webhook to be registered.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateWebhook {
    /// `slack`, `discord`, `telegram` or `custom`.
    #[schema(example = "slack")]
    webhook_type: String,
    /// The address: of slack, discord and custom.
    #[schema(example = "https://hooks.slack.com/services/YOUR/WEBHOOK/URL")]
    url: Option<String>,
    /// Telegram: the chat; the server's `TELEGRAM_CHAT_ID` when not given.
    chat_id: Option<ChatId>,
    /// Telegram: the bot; the server's `TELEGRAM_BOT_TOKEN` when not given.
    bot_token: Option<String>,
    /// Telegram: a forum's topic.
    message_thread_id: Option<i64>,
    /// Custom: the signing secret (`whsec_…`, 24 to 64 bytes); one is made when not given.
    secret: Option<String>,
    /// Custom: headers to send beside ours, such as `Authorization`; at most 20. Their values are kept secret.
    headers: Option<BTreeMap<String, String>>,
    /// How to send to it; what is left out is as is usual for the platform.
    #[serde(default)]
    policy: PolicyDraft,
    /// What it listens to: names and families (`knowledge_*`); empty means everything.
    #[serde(default)]
    #[schema(example = json!(["knowledge_created", "task_completed"]))]
    events: Vec<String>,
    /// Whether it is switched on.
    #[serde(default = "switched_on")]
    enabled: bool,
    /// A name for people.
    #[serde(default)]
    name: String,
    /// Anything else, kept as it is.
    #[serde(default)]
    #[schema(value_type = Object)]
    metadata: Fields,
    /// The language of its messages, `ru` or `en`; the server's `LOCALE` when not given.
    locale: Option<String>,
}

const fn switched_on() -> bool {
    true
}

/// A webhook that was just registered.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedWebhook {
    #[serde(flatten)]
    webhook: WebhookView,
    /// Custom: the signing secret. It is shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// Custom: the public key that messages can be verified with as well. No secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
}

/// Registers a webhook.
#[utoipa::path(
    post, path = "/webhooks", tag = "webhooks", request_body = CreateWebhook,
    params(IdempotencyKey),
    responses(
        (status = 201, body = CreatedWebhook),
        (status = 409, description = "A request with this key is under way (`idempotency_key_busy`)", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The body breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, request: Creation<CreateWebhook>) -> Result<HttpResponse> {
    let (new, target) = check(request.body, state.engine.sender(), state.locale)?;
    let secret = target.secret().map(|secret| secret.expose_secret().to_owned());
    let public_key = target.public_key();
    state
        .create(new, request.idempotency, move |record| {
            let (location, version) = (format!("/webhooks/{}", record.id), record.version);
            let (secret, public_key) = (secret.clone(), public_key.clone());
            let view = CreatedWebhook { webhook: record.into(), secret, public_key };
            let mut answer = created(location, Some(version), &view);
            answer.headers.push((CACHE_CONTROL.to_string(), "no-store".to_owned()));
            answer
        })
        .await
}

fn check(
    body: CreateWebhook,
    sender: &Sender,
    default_locale: Locale,
) -> std::result::Result<(NewWebhook, Target), Violations> {
    let mut faults = Violations::new();
    let address = Address {
        url: body.url,
        chat_id: body.chat_id,
        bot_token: body.bot_token,
        message_thread_id: body.message_thread_id,
        secret: body.secret,
        headers: body.headers,
    };
    let webhook_type = faults.take(check_type(&body.webhook_type));
    let target = webhook_type.and_then(|kind| check_target(address.draft(), kind, sender, &mut faults));
    let events = faults.take(EventFilter::parse_all(&body.events)).unwrap_or_default();
    let name = check_name(&body.name, &mut faults);
    check_metadata(&body.metadata, &mut faults);
    let locale = body.locale.map_or(Some(default_locale), |text| check_locale(&text, &mut faults));
    let usual =
        DeliveryPolicy { rate_limit: target.as_ref().and_then(Target::usual_rate), ..DeliveryPolicy::default() };
    let policy = check_policy(body.policy, usual, &mut faults);
    match (target, locale) {
        (Some(target), Some(locale)) if faults.is_empty() => {
            let new = NewWebhook {
                webhook_type: target.webhook_type(),
                name,
                address: address_of(&target),
                enabled: body.enabled,
                events,
                metadata: body.metadata.into(),
                policy,
                locale,
            };
            Ok((new, target))
        }
        _ => Err(faults),
    }
}

fn check_type(text: &str) -> std::result::Result<WebhookType, Violation> {
    text.parse().map_err(|error: kos_model::webhook::UnknownWebhookType| {
        Violation::new("/webhook_type", "unknown_webhook_type", error.to_string())
    })
}

/// A new target that may be sent to, or everything that is wrong with it.
fn check_target(draft: TargetDraft, kind: WebhookType, sender: &Sender, faults: &mut Violations) -> Option<Target> {
    judge_target(draft.check(kind, sender.platforms()), sender, faults)
}

/// A target that may be sent to, or everything that is wrong with it.
pub(super) fn judge_target(
    checked: std::result::Result<Target, Violations>,
    sender: &Sender,
    faults: &mut Violations,
) -> Option<Target> {
    match checked {
        Ok(target) => faults.take(sender.check_destination(&target)).map(|()| target),
        Err(more) => {
            more.as_slice().iter().cloned().for_each(|fault| faults.push(fault));
            None
        }
    }
}
