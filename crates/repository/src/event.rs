//! Events and the deliveries they cause: written together, or not at all.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Double, Json, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kos_model::{DeliveryId, Event, EventId, EventType, Payload, WebhookId};
use uuid::Uuid;

use crate::database::Repository;
use crate::delivery::{Claimed, Tier};
use crate::directory::{Directory, Recipient};
use crate::error::{Error, Result};
use crate::holder::TokenMint;
use crate::payload::{ReadPayload, WrittenPayload};
use crate::schema::events;
use crate::statement::{Bind as _, statement};

/// How often an event is matched against a directory that has changed meanwhile, before it is given up.
const MATCHES: usize = 10;

/// An event that is about to happen.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// What happens.
    pub event_type: EventType,
    /// The details, a JSON object.
    pub payload: Payload,
    /// The webhook that it tells of, which does not hear of it itself.
    pub about: Option<WebhookId>,
}

impl NewEvent {
    /// An event with these details.
    pub fn new(event_type: EventType, payload: impl Into<Payload>) -> Self {
        Self { event_type, payload: payload.into(), about: None }
    }
}

/// On what terms a writer takes the deliveries that its own change gives birth to.
#[derive(Clone, Debug, Default)]
pub struct LeaseTerms {
    /// Makes the tokens; without it every delivery is left to whoever claims first.
    pub mint: Option<TokenMint>,
    /// How long the writer keeps them.
    pub lease: Duration,
    /// For how many deliveries of a webhook the writer has room; more are left to the claims.
    pub room: HashMap<WebhookId, u32>,
    /// For how many beyond its places, where a webhook is not named there.
    pub backlog: u32,
}

impl LeaseTerms {
    /// Nothing where so many as are taken leave no room.
    fn token(&self, recipient: &Recipient, taken: &mut HashMap<WebhookId, u32>) -> Option<i64> {
        let mint = self.mint.as_ref().filter(|_| recipient.enabled && !recipient.is_governed())?;
        let room = self.room.get(&recipient.webhook_id).copied();
        let room = room.unwrap_or_else(|| recipient.policy.in_flight().saturating_add(self.backlog));
        let taken = taken.entry(recipient.webhook_id).or_default();
        (*taken < room).then(|| {
            *taken += 1;
            mint.token()
        })
    }
}

/// An event that has happened, and the deliveries born with it.
#[derive(Debug)]
pub struct Emitted {
    /// The event as stored.
    pub event: Arc<Event>,
    /// How many webhooks will hear of it.
    pub deliveries: usize,
    /// Those deliveries that are leased to the caller, to be sent at once.
    pub claimed: Vec<Claimed>,
}

impl Emitted {
    /// Whether some of its deliveries are left to the claims.
    #[must_use]
    pub fn leaves_some(&self) -> bool {
        self.claimed.len() < self.deliveries
    }
}

/// Stores nothing unless the directory is still the one that the listeners were chosen by.
const EMIT: &str = "
WITH present AS MATERIALIZED (
    SELECT version FROM directory WHERE version = $1
), told AS (
    INSERT INTO events (id, event_type, payload, about)
    SELECT e.id, e.event_type, e.payload, e.about
    FROM present, unnest($2, $3, $4, $5) AS e (id, event_type, payload, about)
), born AS (
    INSERT INTO deliveries (id, event_id, webhook_id, due_at, lease_token, place)
    SELECT d.id, d.event_id, d.webhook_id,
           CASE WHEN d.token IS NULL THEN now() ELSE now() + make_interval(secs => $6) END, d.token,
           CASE WHEN d.ordered THEN nextval('delivery_order') END
    FROM present, unnest($7, $8, $9, $10, $11) AS d (id, event_id, webhook_id, token, ordered)
)
SELECT now() AS happened_at, EXISTS (SELECT 1 FROM present) AS is_current";

#[derive(QueryableByName)]
struct EmitRow {
    #[diesel(sql_type = Timestamptz)]
    happened_at: DateTime<Utc>,
    #[diesel(sql_type = Bool)]
    is_current: bool,
}

/// One delivery that is about to be born.
struct Birth {
    id: DeliveryId,
    event: usize,
    recipient: Arc<Recipient>,
    token: Option<i64>,
}

impl Repository {
    /// Stores an event and every delivery it causes, in one transaction.
    ///
    /// # Errors
    /// The database is unavailable or refuses; then nothing is stored.
    pub async fn event_emit(&self, event: NewEvent, terms: &LeaseTerms) -> Result<Emitted> {
        let emitted = self.event_emit_all(vec![event], terms).await?;
        emitted.into_iter().next().ok_or(Error::Stale)
    }

    /// As [`Self::event_emit`], for many events at once: all are stored, or none.
    ///
    /// # Errors
    /// The database is unavailable or refuses; then nothing is stored.
    pub async fn event_emit_all(&self, events: Vec<NewEvent>, terms: &LeaseTerms) -> Result<Vec<Emitted>> {
        let mut connection = self.ingest_connection().await?;
        // One statement is a transaction of its own.
        self.event_emit_all_in_tx(&mut connection, events, terms).await
    }

    /// The event part of a larger change.
    pub(crate) async fn event_emit_in_tx(
        &self,
        tx: &mut AsyncPgConnection,
        event: NewEvent,
        terms: &LeaseTerms,
    ) -> Result<Emitted> {
        let emitted = self.event_emit_all_in_tx(tx, vec![event], terms).await?;
        emitted.into_iter().next().ok_or(Error::Stale)
    }

    /// As [`Self::event_emit_all_in_tx`], for so many that all of it is left to the claims: the answer is one of them
    /// that has listeners, if any has.
    pub(crate) async fn event_leave_in_tx(
        &self,
        tx: &mut AsyncPgConnection,
        events: Vec<NewEvent>,
    ) -> Result<Option<Emitted>> {
        let emitted = self.event_emit_all_in_tx(tx, events, &LeaseTerms::default()).await?;
        Ok(emitted.into_iter().find(Emitted::leaves_some))
    }

    pub(crate) async fn event_emit_all_in_tx(
        &self,
        tx: &mut AsyncPgConnection,
        events: Vec<NewEvent>,
        terms: &LeaseTerms,
    ) -> Result<Vec<Emitted>> {
        let ids: Vec<EventId> = events.iter().map(|_| EventId::generate()).collect();
        let mut directory = self.directory();
        for _ in 0..MATCHES {
            let births = births(&directory, &events, terms);
            let row = emit(tx, &directory, &ids, &events, &births, terms.lease).await?;
            if row.is_current {
                return Ok(emitted(ids, events, births, row.happened_at));
            }
            directory = self.directory_refresh_on(tx).await?;
        }
        Err(Error::Stale)
    }

    /// Stores an event that nobody is told of by itself: the test of one webhook.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub async fn event_record(&self, event: NewEvent) -> Result<Event> {
        let mut connection = self.connection().await?;
        let id = EventId::generate();
        let created_at: DateTime<Utc> = diesel::insert_into(events::table)
            .values((
                events::id.eq(id.0),
                events::event_type.eq(event.event_type.as_str()),
                events::payload.eq(WrittenPayload(&event.payload)),
            ))
            .returning(events::created_at)
            .get_result(&mut connection)
            .await?;
        Ok(Event { id, event_type: event.event_type, created_at, payload: event.payload })
    }

    /// One event; none when there is none, or it is no longer kept.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn event_get(&self, id: EventId) -> Result<Option<Event>> {
        let mut connection = self.connection().await?;
        let row: Option<EventRow> =
            events::table.find(id.0).select(EventRow::as_select()).first(&mut connection).await.optional()?;
        row.map(EventRow::read).transpose()
    }

    /// Events, newest first, older than `before`, at most `limit`; of one name only when it is given.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn event_list(
        &self,
        event_type: Option<&EventType>,
        before: Option<EventId>,
        limit: u32,
    ) -> Result<Vec<Event>> {
        let mut connection = self.connection().await?;
        let mut query = events::table.select(EventRow::as_select()).order(events::id.desc()).into_boxed();
        if let Some(event_type) = event_type {
            query = query.filter(events::event_type.eq(event_type.as_str()));
        }
        if let Some(before) = before {
            query = query.filter(events::id.lt(before.0));
        }
        let rows: Vec<EventRow> = query.limit(limit.into()).load(&mut connection).await?;
        rows.into_iter().map(EventRow::read).collect()
    }
}

/// Bytes of payloads that are read at once; one more than that may be read.
const PAYLOADS: i64 = 16 << 20;

/// Payloads are measured as they will be read, and kept packed until then.
const SOME: &str = "
SELECT id, event_type, created_at, CASE WHEN total - size < $2 THEN payload END AS payload
FROM (
    SELECT e.*, sum(e.size) OVER (ORDER BY wanted.turn) AS total
    FROM unnest($1) WITH ORDINALITY AS wanted (id, turn) CROSS JOIN LATERAL (
        SELECT id, event_type, created_at, payload, octet_length(payload::text) AS size
        FROM events WHERE events.id = wanted.id OFFSET 0
    ) AS e
) AS e";

#[derive(QueryableByName)]
struct SomeRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    event_type: String,
    #[diesel(sql_type = Nullable<Json>)]
    payload: Option<ReadPayload>,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
}

/// Those of these events that are kept, by id; nothing in the place of those that are too much at once: the last ones
/// of the list.
pub(crate) async fn events_by_id(
    connection: &mut AsyncPgConnection,
    ids: Vec<Uuid>,
) -> Result<HashMap<EventId, Option<Arc<Event>>>> {
    let rows: Vec<SomeRow> =
        statement(SOME).bind::<Array<SqlUuid>, _>(ids).bind::<BigInt, _>(PAYLOADS).get_results(connection).await?;
    let read = |SomeRow { id, event_type, payload, created_at }: SomeRow| {
        let row = payload.map(|payload| EventRow { id, event_type, payload, created_at });
        Ok((EventId(id), row.map(EventRow::read).transpose()?.map(Arc::new)))
    };
    rows.into_iter().map(read).collect()
}

fn births(directory: &Directory, events: &[NewEvent], terms: &LeaseTerms) -> Vec<Birth> {
    let mut taken = HashMap::new();
    let mut of = |(number, event): (usize, &NewEvent)| {
        let listeners = directory.listeners(&event.event_type);
        let about = event.about;
        let heard = move |recipient: &&Arc<Recipient>| Some(recipient.webhook_id) != about;
        let birth = |recipient: &Arc<Recipient>| Birth {
            id: DeliveryId::generate(),
            event: number,
            recipient: Arc::clone(recipient),
            token: terms.token(recipient, &mut taken),
        };
        listeners.iter().filter(heard).map(birth).collect::<Vec<_>>()
    };
    events.iter().enumerate().flat_map(&mut of).collect()
}

async fn emit(
    tx: &mut AsyncPgConnection,
    directory: &Directory,
    ids: &[EventId],
    events: &[NewEvent],
    births: &[Birth],
    lease: Duration,
) -> Result<EmitRow> {
    let event_of = |birth: &Birth| ids.get(birth.event).map(|id| id.0).unwrap_or_default();
    Ok(statement(EMIT)
        .bind::<BigInt, _>(directory.version())
        .bind::<Array<SqlUuid>, _>(ids.iter().map(|id| id.0).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(events.iter().map(|event| event.event_type.as_str()).collect::<Vec<_>>())
        .bind::<Array<Json>, _>(events.iter().map(|event| WrittenPayload(&event.payload)).collect::<Vec<_>>())
        .bind::<Array<Nullable<SqlUuid>>, _>(events.iter().map(|event| event.about.map(|id| id.0)).collect::<Vec<_>>())
        .bind::<Double, _>(lease.as_secs_f64())
        .bind::<Array<SqlUuid>, _>(births.iter().map(|birth| birth.id.0).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(births.iter().map(event_of).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(births.iter().map(|birth| birth.recipient.webhook_id.0).collect::<Vec<_>>())
        .bind::<Array<Nullable<BigInt>>, _>(births.iter().map(|birth| birth.token).collect::<Vec<_>>())
        .bind::<Array<Bool>, _>(births.iter().map(|birth| birth.recipient.policy.ordered).collect::<Vec<_>>())
        .get_result(tx)
        .await?)
}

fn emitted(ids: Vec<EventId>, events: Vec<NewEvent>, births: Vec<Birth>, created_at: DateTime<Utc>) -> Vec<Emitted> {
    let stored = ids.into_iter().zip(events).map(|(id, event)| Emitted {
        event: Arc::new(Event { id, event_type: event.event_type, created_at, payload: event.payload }),
        deliveries: 0,
        claimed: Vec::new(),
    });
    let mut emitted: Vec<Emitted> = stored.collect();
    for birth in births {
        let Some(of) = emitted.get_mut(birth.event) else { continue };
        of.deliveries += 1;
        if let Some(lease_token) = birth.token {
            of.claimed.push(Claimed {
                id: birth.id,
                lease_token,
                attempts: 0,
                tier: Tier::First,
                event: Arc::clone(&of.event),
                recipient: birth.recipient,
            });
        }
    }
    emitted
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = events, check_for_backend(diesel::pg::Pg))]
struct EventRow {
    id: Uuid,
    event_type: String,
    payload: ReadPayload,
    created_at: DateTime<Utc>,
}

impl EventRow {
    fn read(self) -> Result<Event> {
        let event_type = self.event_type.parse().map_err(|source| Error::Inconsistent {
            table: "events",
            column: "event_type",
            row: self.id.to_string(),
            source: Box::new(source),
        })?;
        Ok(Event { id: EventId(self.id), event_type, created_at: self.created_at, payload: self.payload.0 })
    }
}
