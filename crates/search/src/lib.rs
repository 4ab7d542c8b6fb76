//! What a search asks for, and how it is looked for: the query as people type it, the vocabulary of the
//! texts, and the plan that joins the two.
//!
//! Pure: stemming, stop words and the texts themselves are the database's.

mod distance;
pub mod layout;
mod plan;
mod query;
mod vectors;
mod vocabulary;

pub use plan::{Alternative, Corpus, Plan, Repairs, Term, Typed};
pub use query::{MAX_QUERY, Query, Word};
pub use vectors::{Near, Vectors};
pub use vocabulary::{Neighbour, Vocabulary};
