//! Requests that create something, each carried out once however often it is sent: under the caller's key its
//! answer is kept, in the transaction that makes the change, and given again.

use std::future::Future;

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Bool, Text};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use kos_model::EventId;
use kos_model::domain::NewDomain;
use kos_model::expert::NewExpert;
use kos_model::interaction::NewInteraction;
use kos_model::knowledge::NewKnowledge;
use kos_model::link::NewLink;
use kos_model::task::NewTask;
use sha2::{Digest, Sha256};

use crate::database::Repository;
use crate::domain::DomainRecord;
use crate::error::{Error, Result, is_raced};
use crate::event::{Emitted, LeaseTerms, NewEvent};
use crate::expert::ExpertRecord;
use crate::interaction::InteractionRecord;
use crate::knowledge::{ACTOR_API, ATTEMPTS, CreatedKnowledge, Stored};
use crate::link::{LinkFate, PutLink};
use crate::replay::{NewReplay, ReplayRecord};
use crate::schema::idempotency_keys;
use crate::task::TaskRecord;
use crate::webhook::{NewWebhook, WebhookRecord};

/// A request under its caller's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The key, 1 to 255 visible ASCII characters.
    pub key: String,
    /// Where it was sent; the same key may be used elsewhere for something else.
    pub route: String,
    /// A hash of what was sent.
    pub body_hash: Vec<u8>,
}

/// An answer, as it is given and given again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Names and values of its headers.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: String,
}

/// What became of a request that creates something.
#[derive(Debug)]
pub struct Created {
    /// The answer.
    pub answer: Answer,
    /// The events that tell of what was created.
    pub emitted: Vec<Emitted>,
    /// Whether it was carried out before, and only answered now.
    pub is_replayed: bool,
}

/// What can be created under a key: values that have passed their rules.
pub trait Create: Sync {
    /// It, as stored.
    type Record: Send;

    /// Stores it within the caller's transaction, with the events that tell of it.
    #[doc(hidden)]
    fn create_in_tx(
        &self,
        repository: &Repository,
        tx: &mut AsyncPgConnection,
        terms: &LeaseTerms,
    ) -> impl Future<Output = Result<(Self::Record, Vec<Emitted>)>> + Send;
}

/// One whose key is not the one that seals now; its id stands in bytes 2 to 5.
const SEALED_OTHERWISE: &str = "
SELECT route, key, answer FROM idempotency_keys WHERE substr(answer, 2, 4) <> $1 LIMIT $2 FOR UPDATE SKIP LOCKED";

#[derive(QueryableByName)]
struct SealedRow {
    #[diesel(sql_type = Text)]
    route: String,
    #[diesel(sql_type = Text)]
    key: String,
    #[diesel(sql_type = Binary)]
    answer: Vec<u8>,
}

/// Renders the answer that tells of something new.
pub type Render<'a, R> = &'a (dyn Fn(R) -> Answer + Send + Sync);

impl Repository {
    /// Creates something and renders the answer to whoever asked for it. Under a key that was used before for the
    /// same request nothing is created, and the answer is the one that was given then.
    ///
    /// # Errors
    /// [`Error::KeyBusy`] while such a request is under way; [`Error::KeyReused`] when the key was used for another;
    /// whatever the creation itself may fail with. Then nothing is stored, and the key is free.
    pub async fn create<N: Create>(
        &self,
        new: &N,
        terms: &LeaseTerms,
        idempotency: Option<&Idempotency>,
        render: Render<'_, N::Record>,
    ) -> Result<Created> {
        let mut connection = self.connection().await?;
        for _ in 0..ATTEMPTS {
            let created =
                connection.transaction(async |tx| self.create_in_tx(tx, new, terms, idempotency, render).await);
            match created.await {
                Err(error) if is_raced(&error) => {}
                other => return other,
            }
        }
        Err(Error::Contended)
    }

    /// Seals kept answers anew that are sealed under an older key, at most `limit`; returns how many.
    ///
    /// # Errors
    /// The database is unavailable, or an older key is missing.
    pub async fn answer_reseal(&self, limit: u32) -> Result<usize> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |tx| {
                let rows: Vec<SealedRow> = sql_query(SEALED_OTHERWISE)
                    .bind::<Binary, _>(self.keys.sealing_id().as_slice())
                    .bind::<BigInt, _>(i64::from(limit))
                    .get_results(tx)
                    .await?;
                for row in &rows {
                    let sealed = self.keys.reseal(&place(&row.route, &row.key), &row.answer)?;
                    diesel::update(idempotency_keys::table.find((&row.route, &row.key)))
                        .set(idempotency_keys::answer.eq(sealed))
                        .execute(tx)
                        .await?;
                }
                Ok(rows.len())
            })
            .await
    }

    async fn create_in_tx<N: Create>(
        &self,
        tx: &mut AsyncPgConnection,
        new: &N,
        terms: &LeaseTerms,
        idempotency: Option<&Idempotency>,
        render: Render<'_, N::Record>,
    ) -> Result<Created> {
        if let Some(request) = idempotency
            && let Some(answer) = self.answer_find_in_tx(tx, request).await?
        {
            return Ok(Created { answer, emitted: Vec::new(), is_replayed: true });
        }
        let (record, emitted) = new.create_in_tx(self, tx, terms).await?;
        let answer = render(record);
        if let Some(request) = idempotency {
            self.answer_keep_in_tx(tx, request, &answer).await?;
        }
        Ok(Created { answer, emitted, is_replayed: false })
    }

    /// Takes the key until the transaction ends, and finds what was answered under it before.
    async fn answer_find_in_tx(&self, tx: &mut AsyncPgConnection, request: &Idempotency) -> Result<Option<Answer>> {
        let taken: TakenRow = sql_query("SELECT pg_try_advisory_xact_lock($1) AS taken")
            .bind::<BigInt, _>(request.lock())
            .get_result(tx)
            .await?;
        if !taken.taken {
            return Err(Error::KeyBusy);
        }
        // Only now: what whoever held the key before has stored is seen by a statement that begins after it ended.
        let row: Option<(Vec<u8>, i32, Vec<u8>)> = idempotency_keys::table
            .find((&request.route, &request.key))
            .select((idempotency_keys::body_hash, idempotency_keys::status, idempotency_keys::answer))
            .first(tx)
            .await
            .optional()?;
        let Some((body_hash, status, sealed)) = row else { return Ok(None) };
        if body_hash != request.body_hash {
            return Err(Error::KeyReused);
        }
        let unreadable = |source: Box<dyn std::error::Error + Send + Sync>| Error::Inconsistent {
            table: "idempotency_keys",
            column: "answer",
            row: request.place(),
            source,
        };
        let opened = self.keys.open(&request.place(), &sealed)?;
        let (headers, body) = serde_json::from_slice(&opened).map_err(|error| unreadable(Box::new(error)))?;
        let status = status.try_into().map_err(|error: std::num::TryFromIntError| unreadable(Box::new(error)))?;
        Ok(Some(Answer { status, headers, body }))
    }

    async fn answer_keep_in_tx(
        &self,
        tx: &mut AsyncPgConnection,
        request: &Idempotency,
        answer: &Answer,
    ) -> Result<()> {
        // Texts always serialise.
        let plain = serde_json::to_vec(&(&answer.headers, &answer.body)).unwrap_or_default();
        diesel::insert_into(idempotency_keys::table)
            .values((
                idempotency_keys::route.eq(&request.route),
                idempotency_keys::key.eq(&request.key),
                idempotency_keys::body_hash.eq(&request.body_hash),
                idempotency_keys::status.eq(i32::from(answer.status)),
                idempotency_keys::answer.eq(self.keys.seal(&request.place(), &plain)?),
            ))
            .execute(tx)
            .await?;
        Ok(())
    }
}

#[derive(QueryableByName)]
struct TakenRow {
    #[diesel(sql_type = Bool)]
    taken: bool,
}

impl Idempotency {
    /// The row, as it is sealed.
    fn place(&self) -> String {
        place(&self.route, &self.key)
    }

    fn lock(&self) -> i64 {
        let digest: [u8; 32] = Sha256::digest(self.place()).into();
        let mut start = [0; 8];
        start.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        i64::from_be_bytes(start)
    }
}

/// What a sealed answer is bound to.
fn place(route: &str, key: &str) -> String {
    format!("idempotency_keys|{route}|{key}")
}

/// How each is created: for a value, within a repository's transaction and on terms, its record and what tells of it.
macro_rules! creates {
    ($($(#[$doc:meta])* $new:ty => $record:ty, |$it:ident, $repository:ident, $tx:ident, $terms:ident| $body:expr;)+) => {$(
        $(#[$doc])*
        impl Create for $new {
            type Record = $record;

            async fn create_in_tx(
                &self,
                $repository: &Repository,
                $tx: &mut AsyncPgConnection,
                $terms: &LeaseTerms,
            ) -> Result<(Self::Record, Vec<Emitted>)> {
                let $it = self;
                $body
            }
        }
    )+};
}

creates! {
    NewDomain => DomainRecord, |new, repository, tx, terms| told(repository.domain_create_in_tx(tx, new, terms).await?);
    NewExpert => ExpertRecord, |new, repository, tx, terms| told(repository.expert_create_in_tx(tx, new, terms).await?);
    NewTask => TaskRecord, |new, repository, tx, terms| told(repository.task_create_in_tx(tx, new, terms).await?);
    NewInteraction => InteractionRecord, |new, repository, tx, terms| {
        told(repository.interaction_create_in_tx(tx, new, terms).await?)
    };
    /// Nobody is told of a text that was there already.
    NewKnowledge => CreatedKnowledge, |new, repository, tx, terms| {
        let mut created = repository.knowledge_create_in_tx(tx, new, ACTOR_API, terms).await?;
        let emitted = std::mem::take(&mut created.emitted);
        Ok((created, emitted))
    };
    Vec<NewKnowledge> => Vec<Stored>, |new, repository, tx, terms| {
        repository.knowledge_create_all_in_tx(tx, new, ACTOR_API, terms).await
    };
    /// A link that is refused fails by itself.
    NewLink => PutLink, |new, repository, tx, terms| {
        let (fates, emitted) = repository.link_create_all_in_tx(tx, std::slice::from_ref(new), terms).await?;
        match fates.into_iter().next().ok_or(Error::Stale)? {
            LinkFate::Dangling(missing) => Err(Error::Dangling(new.dangling(&missing))),
            LinkFate::Cyclic(cycle) => Err(Error::Cycle(cycle)),
            LinkFate::Created(record) => Ok((PutLink { record, is_new: true }, emitted)),
            LinkFate::Updated(record) | LinkFate::Present(record) => Ok((PutLink { record, is_new: false }, emitted)),
        }
    };
    Vec<NewLink> => Vec<LinkFate>, |new, repository, tx, terms| repository.link_create_all_in_tx(tx, new, terms).await;
    /// Events that somebody tells under a key, and without one share their transactions with those of others. Their
    /// ids, and how many webhooks will hear of each.
    Vec<NewEvent> => Vec<(EventId, usize)>, |new, repository, tx, terms| {
        let emitted = repository.event_emit_all_in_tx(tx, new.clone(), terms).await?;
        Ok((emitted.iter().map(|emitted| (emitted.event.id, emitted.deliveries)).collect(), emitted))
    };
    NewEvent => (EventId, usize), |new, repository, tx, terms| {
        let emitted = repository.event_emit_in_tx(tx, new.clone(), terms).await?;
        told(((emitted.event.id, emitted.deliveries), emitted))
    };
    /// Nobody is told of a new webhook, nor of a replay.
    NewWebhook => WebhookRecord, |new, repository, tx, _terms| {
        Ok((repository.webhook_create_in_tx(tx, new).await?, Vec::new()))
    };
    NewReplay => ReplayRecord, |new, repository, tx, _terms| Ok((repository.replay_begin_in_tx(tx, new).await?, Vec::new()));
}

/// What is told of by one event.
fn told<R>((record, emitted): (R, Emitted)) -> Result<(R, Vec<Emitted>)> {
    Ok((record, vec![emitted]))
}
