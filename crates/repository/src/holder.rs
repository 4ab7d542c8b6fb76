//! Who holds leases: each process has an id, and an advisory lock on it for as long as it lives.
//!
//! A lock goes with its connection, and a connection with its process. Whoever can take another's lock
//! therefore knows that it is dead, and its leases are handed back within seconds instead of after
//! their end. A holder whose connection merely broke takes its lock again before anybody acts on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use secrecy::ExposeSecret;
use tokio::time::timeout;

use crate::database::{Repository, connect};
use crate::error::{Error, Result};
use crate::schema::holders;
use crate::statement::{Bind as _, statement};

/// The class of our advisory locks on holders' ids.
const LOCK_CLASS: i32 = 0x6b6f_7368;
/// Bits of a token below the holder's id.
const COUNTER_BITS: u32 = 40;
/// How long a lock must have been free before its holder counts as dead.
const GRACE: Duration = Duration::from_secs(2);
/// How long a holder's connection may stay silent before it counts as broken.
const PATIENCE: Duration = Duration::from_secs(3);

/// Makes lease tokens that nobody else makes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TokenMint(Arc<Mint>);

#[derive(Debug)]
struct Mint {
    next: AtomicI64,
}

impl TokenMint {
    /// For the holder with this id.
    #[must_use]
    pub fn new(holder: i32) -> Self {
        Self(Arc::new(Mint { next: AtomicI64::new(least_token(holder)) }))
    }

    /// A token.
    #[must_use]
    pub fn token(&self) -> i64 {
        self.tokens(1)
    }

    /// The first of `count` tokens that follow one another.
    #[must_use]
    pub(crate) fn tokens(&self, count: i64) -> i64 {
        self.0.next.fetch_add(count, Ordering::Relaxed)
    }
}

fn least_token(holder: i32) -> i64 {
    i64::from(holder) << COUNTER_BITS
}

/// A process's standing as a holder, with the connection that its lock hangs on.
pub struct Holder {
    id: i32,
    mint: TokenMint,
    connection: AsyncPgConnection,
}

impl std::fmt::Debug for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Holder({})", self.id)
    }
}

impl Holder {
    /// Makes its lease tokens.
    #[must_use]
    pub fn mint(&self) -> TokenMint {
        self.mint.clone()
    }

    /// Whether the connection, and with it the lock, still stands.
    pub async fn is_standing(&mut self) -> bool {
        let asked = timeout(PATIENCE, statement("SELECT 1").execute(&mut self.connection)).await;
        asked.is_ok_and(|answer| answer.is_ok())
    }

    /// Ends the standing: what is still leased falls due by itself.
    ///
    /// # Errors
    /// The database is unavailable; then others will find the lock free.
    pub async fn resign(mut self) -> Result<()> {
        diesel::delete(holders::table.find(self.id)).execute(&mut self.connection).await?;
        Ok(())
    }
}

#[derive(QueryableByName)]
struct LostRow {
    #[diesel(sql_type = Integer)]
    id: i32,
    #[diesel(sql_type = Bool)]
    is_dead: bool,
}

/// Takes the locks of the dead until the transaction ends, so that one server at a time sees to them.
const LOST: &str = "
UPDATE holders h SET lost_at = coalesce(h.lost_at, now())
WHERE pg_try_advisory_xact_lock($1, h.id)
RETURNING h.id, h.lost_at < now() - make_interval(secs => $2) AS is_dead";

/// Whether a probe was made nobody knows: there is room for the next one.
const HAND_BACK: &str = "
WITH freed AS (
    UPDATE deliveries d SET due_at = now(), lease_token = NULL
    FROM unnest($1, $2) AS dead (least, most)
    WHERE d.lease_token >= dead.least AND d.lease_token < dead.most
    RETURNING d.webhook_id
), probes AS (
    UPDATE webhook_health h SET probe_until = NULL
    WHERE h.breaker = 'half_open' AND h.webhook_id IN (SELECT webhook_id FROM freed)
)
SELECT 1 FROM freed";

impl Repository {
    /// Makes the calling process a holder.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn holder_enlist(&self) -> Result<Holder> {
        let mut connection = self.dedicated().await?;
        let id: i32 = diesel::insert_into(holders::table)
            .default_values()
            .returning(holders::id)
            .get_result(&mut connection)
            .await?;
        lock(&mut connection, id).await?;
        Ok(Holder { id, mint: TokenMint::new(id), connection })
    }

    /// Takes a broken holder's lock again, on a new connection. `false`: it came too late, its leases
    /// were handed to others, and it must enlist anew.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn holder_return(&self, holder: &mut Holder) -> Result<bool> {
        let mut connection = self.dedicated().await?;
        lock(&mut connection, holder.id).await?;
        let standing = diesel::update(holders::table.find(holder.id))
            .set(holders::lost_at.eq(None::<chrono::DateTime<chrono::Utc>>))
            .execute(&mut connection)
            .await?;
        holder.connection = connection;
        Ok(standing > 0)
    }

    /// Hands the leases of dead holders back; returns how many deliveries that freed.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn holder_reap(&self) -> Result<usize> {
        let mut connection = self.queue_connection().await?;
        connection
            .transaction(async |tx| {
                let lost: Vec<LostRow> = statement(LOST)
                    .bind::<Integer, _>(LOCK_CLASS)
                    .bind::<Double, _>(GRACE.as_secs_f64())
                    .get_results(tx)
                    .await?;
                let dead: Vec<i32> = lost.iter().filter(|row| row.is_dead).map(|row| row.id).collect();
                if dead.is_empty() {
                    return Ok(0);
                }
                let freed = statement(HAND_BACK)
                    .bind::<Array<BigInt>, _>(dead.iter().map(|id| least_token(*id)).collect::<Vec<_>>())
                    .bind::<Array<BigInt>, _>(dead.iter().map(|id| least_token(*id + 1)).collect::<Vec<_>>())
                    .execute(tx)
                    .await?;
                diesel::delete(holders::table.filter(holders::id.eq_any(dead))).execute(tx).await?;
                Ok(freed)
            })
            .await
    }

    async fn dedicated(&self) -> Result<AsyncPgConnection> {
        connect(self.url.expose_secret()).await.map_err(|error| Error::Unavailable(Box::new(error)))
    }
}

async fn lock(connection: &mut AsyncPgConnection, id: i32) -> Result<()> {
    sql_query("SELECT pg_advisory_lock($1, $2)")
        .bind::<Integer, _>(LOCK_CLASS)
        .bind::<Integer, _>(id)
        .execute(connection)
        .await?;
    Ok(())
}
