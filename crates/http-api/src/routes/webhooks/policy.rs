//! How a webhook is sent to, as callers write and read it.

use kos_model::{DeliveryPolicy, RateLimit, Violations};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::body::given;

/// How to send to a webhook; every field may be left out.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyDraft {
    /// Messages on their way at the same time, 1 to 100; 10 is usual.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = u32, minimum = 1, maximum = 100)]
    max_in_flight: Option<u32>,
    /// One after the other, in the order of their events; the first that fails holds the rest. Asked for while something
    /// waits, it has that go first, in its order; nothing is sent for the few seconds in which that is arranged.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = bool)]
    ordered: Option<bool>,
    /// No faster than this; null for as fast as they come. Slack and Telegram have limits of their own, which
    /// are usual there.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Rate>)]
    rate_limit: Option<Option<Rate>>,
    /// How long an attempt may take, in seconds, 5 to 30; 15 is usual.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = u32, minimum = 5, maximum = 30)]
    timeout_seconds: Option<u32>,
    /// The waits after the first, second, … failed attempt, in seconds; null for the usual ones.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Vec<u32>>, example = json!([5, 60, 600]))]
    retry_schedule: Option<Option<Vec<u32>>>,
}

/// So many messages in so much time; that many may also go at once.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rate {
    /// Messages, 1 to 10,000.
    #[schema(minimum = 1, maximum = 10_000)]
    limit: u32,
    /// Seconds, 1 to 86,400.
    #[schema(minimum = 1, maximum = 86_400)]
    per_seconds: u32,
}

/// How a webhook is sent to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PolicyView {
    /// Messages on their way at the same time.
    max_in_flight: u32,
    /// One after the other, in the order of their events.
    ordered: bool,
    /// No faster than this; null for as fast as they come.
    rate_limit: Option<Rate>,
    /// How long an attempt may take, in seconds.
    timeout_seconds: u32,
    /// The waits after the first, second, … failed attempt, in seconds; null for the usual ones.
    retry_schedule: Option<Vec<u32>>,
}

/// The draft over what there is.
pub(super) fn check_policy(draft: PolicyDraft, present: DeliveryPolicy, faults: &mut Violations) -> DeliveryPolicy {
    let rate = |rate: Rate| RateLimit { limit: rate.limit, per_seconds: rate.per_seconds };
    let policy = DeliveryPolicy {
        max_in_flight: draft.max_in_flight.unwrap_or(present.max_in_flight),
        ordered: draft.ordered.unwrap_or(present.ordered),
        rate_limit: draft.rate_limit.map_or(present.rate_limit, |given| given.map(rate)),
        timeout_seconds: draft.timeout_seconds.unwrap_or(present.timeout_seconds),
        retry_schedule: draft.retry_schedule.unwrap_or(present.retry_schedule),
    };
    if let Err(more) = policy.check() {
        more.as_slice().iter().cloned().for_each(|fault| faults.push(fault));
    }
    policy
}

impl From<DeliveryPolicy> for PolicyView {
    fn from(policy: DeliveryPolicy) -> Self {
        let rate = |rate: RateLimit| Rate { limit: rate.limit, per_seconds: rate.per_seconds };
        Self {
            max_in_flight: policy.max_in_flight,
            ordered: policy.ordered,
            rate_limit: policy.rate_limit.map(rate),
            timeout_seconds: policy.timeout_seconds,
            retry_schedule: policy.retry_schedule,
        }
    }
}
