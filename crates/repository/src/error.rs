//! What can go wrong between us and Postgres, told apart by what the caller can do about it.

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel_async::pooled_connection::bb8::RunError;
use kos_model::{KnowledgeId, TaskStatus, Violations};
use uuid::Uuid;

use crate::seal::KeyRingError;

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a repository call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Postgres cannot be reached or is too busy: the same call may succeed later.
    #[error("the database is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Every connection is in use: the same call may succeed a moment later.
    #[error("every connection to the database is in use")]
    Busy,
    /// The database refused a statement.
    #[error("the database refused a statement")]
    Query(#[source] DieselError),
    /// A stored value breaks the rules of the model.
    #[error("{table}.{column} of row {row} holds an unreadable value")]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row's key.
        row: String,
        /// What the reader says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The address and its secrets could not be opened or sealed.
    #[error("a stored secret could not be opened")]
    Sealed(#[from] KeyRingError),
    /// The migrations could not be applied.
    #[error("the database could not be migrated")]
    Migrate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Postgres answers, but will not let us in until somebody changes something.
    #[error("Postgres refuses this user, password or database")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The address cannot be understood.
    #[error("the database's address must be like postgres://user:password@host:5432/database")]
    Url(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A search was given up.
    #[error("the search took longer than it may")]
    TookTooLong,
    /// Someone changed the row since it was read.
    #[error("the row was changed by someone else in the meantime")]
    Stale,
    /// Fields point at rows that do not exist; names each.
    #[error("a reference leads nowhere: {0}")]
    Dangling(Violations),
    /// A request under the same idempotency key is under way.
    #[error("a request under this idempotency key is under way")]
    KeyBusy,
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// Another row has this value, which only one may have.
    #[error("another row has this {field}")]
    Taken {
        /// The field.
        field: &'static str,
        /// The row that has it, unless it is gone meanwhile.
        by: Option<Uuid>,
    },
    /// Other rows need this one: what they are, and how many.
    #[error("it is in use")]
    InUse(Vec<(&'static str, i64)>),
    /// A task's life does not go that way.
    #[error("a task that is {from} cannot become {to}")]
    Transition {
        /// Where it stands.
        from: TaskStatus,
        /// Where it was to go.
        to: TaskStatus,
    },
    /// A link of its kind may not run in a circle, and would close this one, back to its first item.
    #[error("it would close a circle")]
    Cycle(Vec<KnowledgeId>),
    /// The same text is stored already.
    #[error("the same text is stored already as {id}")]
    Duplicate {
        /// Where.
        id: KnowledgeId,
    },
    /// Others wrote the same rows at the same time, again and again: the same call may succeed later.
    #[error("others wrote the same rows at the same time")]
    Contended,
    /// Others kept the same rows for themselves for as long as this call may wait: it may succeed later.
    #[error("others kept the same rows for themselves for too long")]
    Held,
}

impl Error {
    /// Whether the same call may succeed later, without anybody changing anything.
    #[must_use]
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Busy | Self::Contended | Self::Held)
    }

    /// A search has a time of its own, and its end is no sign of trouble.
    pub(crate) fn of_search(self) -> Self {
        let is_late = |cause: &(dyn std::error::Error + Send + Sync)| cause.to_string().contains("statement timeout");
        if matches!(&self, Self::Unavailable(cause) if is_late(&**cause)) { Self::TookTooLong } else { self }
    }
}

impl From<DieselError> for Error {
    fn from(error: DieselError) -> Self {
        if is_deadlock(&error) {
            Self::Contended
        } else if says(&error, "due to lock timeout") {
            Self::Held
        } else if is_outage(&error) {
            Self::Unavailable(Box::new(error))
        } else {
            Self::Query(error)
        }
    }
}

impl From<RunError> for Error {
    fn from(error: RunError) -> Self {
        match error {
            RunError::TimedOut => Self::Busy,
            RunError::User(_) => Self::Unavailable(Box::new(error)),
        }
    }
}

/// Whether somebody else was faster: took a key, took away the row that another refers to, or held what we wanted while
/// we held what he did.
pub(crate) fn is_raced(error: &Error) -> bool {
    let Error::Query(DieselError::DatabaseError(kind, _)) = error else { return matches!(error, Error::Contended) };
    matches!(kind, DatabaseErrorKind::UniqueViolation | DatabaseErrorKind::ForeignKeyViolation)
}

/// Somebody has to go first: the same call succeeds a moment later.
fn is_deadlock(error: &DieselError) -> bool {
    says(error, "deadlock detected")
}

/// Whether a statement was given up because its time was over, that it waited or that it worked.
pub(crate) fn is_late(error: &DieselError) -> bool {
    says(error, "timeout")
}

fn says(error: &DieselError, words: &str) -> bool {
    matches!(error, DieselError::DatabaseError(_, info) if info.message().contains(words))
}

/// Diesel does not carry the SQLSTATE, so an outage is known by its kind or its words
/// (the server is run with `lc_messages = C`; another server's words may differ, and then the
/// caller merely sees 500 for 503).
fn is_outage(error: &DieselError) -> bool {
    const WORDS: [&str; 13] = [
        "terminating connection",
        "connection closed",
        "database system is starting up",
        "database system is shutting down",
        "database system is in recovery mode",
        "too many clients",
        "remaining connection slots",
        "canceling statement due to",
        // A full disk: nothing is stored until somebody makes room.
        "could not extend file",
        "could not write",
        "No space left on device",
        "out of memory",
        "out of shared memory",
    ];
    if let DieselError::DatabaseError(kind, info) = error {
        let cut = matches!(
            kind,
            DatabaseErrorKind::ClosedConnection
                | DatabaseErrorKind::UnableToSendCommand
                | DatabaseErrorKind::SerializationFailure
        );
        return cut || WORDS.iter().any(|words| info.message().contains(words));
    }
    matches!(error, DieselError::BrokenTransactionManager) || error.to_string().contains("connection closed")
}

/// An error with all its causes, on one line.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a>(pub &'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
