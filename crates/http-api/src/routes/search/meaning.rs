//! Whether a search also goes by meaning, and what comes of it.

use kos_embeddings::{Degraded, Provider};
use kos_repository::{Search, SearchSort};

/// How the finds of an answer were found. The pages of one search are all found alike: the cursor holds this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// By words.
    Words,
    /// By words and by meaning.
    Both,
    /// By words, for want of a vector.
    Degraded(Degraded),
}

impl Mark {
    pub(super) const fn letter(self) -> char {
        match self {
            Self::Words => 'o',
            Self::Both => 'v',
            Self::Degraded(Degraded::Timeout) => 't',
            Self::Degraded(Degraded::Unavailable) => 'u',
        }
    }

    pub(super) const fn read(letter: char) -> Option<Self> {
        match letter {
            'o' => Some(Self::Words),
            'v' => Some(Self::Both),
            't' => Some(Self::Degraded(Degraded::Timeout)),
            'u' => Some(Self::Degraded(Degraded::Unavailable)),
            _ => None,
        }
    }

    /// By words, for want of a vector, which is counted.
    pub(super) fn degrade(why: Degraded) -> Self {
        metrics::counter!("kos_search_degraded_total", "reason" => why.as_str()).increment(1);
        Self::Degraded(why)
    }

    /// What the answer says of it.
    pub(super) const fn degraded(self) -> Option<&'static str> {
        match self {
            Self::Degraded(why) => Some(why.as_str()),
            Self::Words | Self::Both => None,
        }
    }
}

/// Whether the provider is to be asked.
pub(super) enum Meaning {
    Known(Mark),
    Ask { provider: Provider, text: String },
}

impl Meaning {
    /// A first page asks where there is a provider and a text to ask it for; a further one is as the first was.
    pub(super) fn of(search: &Search, mark: Option<Mark>, provider: Option<&Provider>) -> Self {
        let text = text(search);
        match (provider, mark) {
            (Some(provider), None | Some(Mark::Both)) if search.sort == SearchSort::Relevance && !text.is_empty() => {
                Self::Ask { provider: provider.clone(), text }
            }
            (Some(_), Some(mark @ Mark::Degraded(_))) => Self::Known(mark),
            (_, _) => Self::Known(Mark::Words),
        }
    }

    /// Has the search go by meaning as well, if that can be had in time.
    pub(super) async fn ask(self, search: &mut Search) -> Mark {
        let (provider, text) = match self {
            Self::Known(mark) => return mark,
            Self::Ask { provider, text } => (provider, text),
        };
        match provider.query(&text).await {
            Ok(vector) => {
                search.vector = Some(vector);
                Mark::Both
            }
            Err(why) => Mark::degrade(why),
        }
    }
}

/// What the query is about, without its signs.
fn text(search: &Search) -> String {
    let words = search.query.any.iter().map(|word| word.text.as_str());
    words.chain(search.query.phrases.iter().map(String::as_str)).collect::<Vec<_>>().join(" ")
}
