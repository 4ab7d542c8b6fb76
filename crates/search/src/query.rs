//! A query as people type it: words, `starts*`, `"phrases"`, `-exclusions`, `domain:name` and `tag:name`.

use kos_model::Violation;

/// Longest query, in characters.
pub const MAX_QUERY: usize = 1_000;

/// A word to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// As it was typed.
    pub text: String,
    /// Whether it is only the start of one (`conf*`).
    pub is_start: bool,
}

/// A query, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Any of these; a text that has more of them, and rarer ones, ranks higher.
    pub any: Vec<Word>,
    /// All of these, word beside word.
    pub phrases: Vec<String>,
    /// None of these.
    pub without: Vec<String>,
    /// In the domain of this name only; of several, the last counts.
    pub domain: Option<String>,
    /// With all of these tags.
    pub tags: Vec<String>,
}

impl Query {
    /// Reads a query. A quote that is never closed reaches to the end.
    ///
    /// # Errors
    /// A query that is blank, too long or that Postgres cannot take, at `/query`.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        let text = kos_model::knowledge::text("/query", text, MAX_QUERY)?;
        let mut query = Self::default();
        let mut rest = text.as_str();
        while let Some((token, remainder)) = next_token(rest) {
            query.add(&token);
            rest = remainder;
        }
        Ok(query)
    }

    /// Whether it names nothing to look for, only what to leave out.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.any.is_empty() && self.phrases.is_empty()
    }

    fn add(&mut self, token: &Token<'_>) {
        let text = token.text.trim();
        if !text.chars().any(char::is_alphanumeric) {
            return;
        }
        match token.kind {
            Kind::Excluded => self.without.push(text.to_owned()),
            Kind::Phrase => self.phrases.push(text.to_owned()),
            Kind::Domain => self.domain = Some(text.to_owned()),
            Kind::Tag => self.tags.push(text.to_lowercase()),
            Kind::Word => {
                let start = text.strip_suffix('*');
                self.any.push(Word { text: start.unwrap_or(text).to_owned(), is_start: start.is_some() });
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Word,
    Phrase,
    Excluded,
    Domain,
    Tag,
}

struct Token<'a> {
    text: &'a str,
    kind: Kind,
}

/// What may stand before a word or a quote, and what it makes of it.
const PREFIXES: [(&str, Kind); 3] = [("-", Kind::Excluded), ("domain:", Kind::Domain), ("tag:", Kind::Tag)];

fn next_token(text: &str) -> Option<(Token<'_>, &str)> {
    let text = text.trim_start();
    if text.is_empty() {
        return None;
    }
    let prefixed = PREFIXES.iter().find_map(|(prefix, kind)| Some((*kind, text.strip_prefix(prefix)?)));
    let (kind, text) = prefixed.unwrap_or((Kind::Word, text));
    if let Some(inside) = text.strip_prefix('"') {
        let (text, rest) = inside.split_once('"').unwrap_or((inside, ""));
        let kind = if kind == Kind::Word { Kind::Phrase } else { kind };
        return Some((Token { text, kind }, rest));
    }
    let end = text.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(text.len());
    let (text, rest) = text.split_at(end);
    Some((Token { text, kind }, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(query: &Query) -> Vec<&str> {
        query.any.iter().map(|word| word.text.as_str()).collect()
    }

    #[test]
    fn words_phrases_and_exclusions_are_told_apart() {
        let query = Query::parse(r#"async await "event loop" -callback -"old style""#).unwrap();
        assert_eq!(words(&query), ["async", "await"]);
        assert_eq!(query.phrases, ["event loop"]);
        assert_eq!(query.without, ["callback", "old style"]);
    }

    #[test]
    fn starts_domains_and_tags_are_named_in_the_query_itself() {
        let query = Query::parse(r#"conf* domain:"data science" tag:Draft rest:plain"#).unwrap();
        assert_eq!(query.any[0], Word { text: "conf".to_owned(), is_start: true });
        assert_eq!((query.domain.as_deref(), query.tags.as_slice()), (Some("data science"), &["draft".to_owned()][..]));
        assert_eq!(words(&query), ["conf", "rest:plain"]);
    }

    #[test]
    fn signs_alone_ask_for_nothing() {
        assert_eq!(Query::parse(r#"- \ '' && | ! ( ) :* <-> domain: tag:"" * ""#).unwrap(), Query::default());
    }

    #[test]
    fn a_blank_or_endless_query_is_refused_at_its_field() {
        for bad in [" ", &"x".repeat(MAX_QUERY + 1), "a\0b"] {
            assert_eq!(Query::parse(bad).unwrap_err().pointer, "/query");
        }
    }

    proptest! {
        #[test]
        fn every_text_is_read_to_its_end(text in ".{1,200}") {
            if let Ok(query) = Query::parse(&text) {
                for part in words(&query).into_iter().chain(query.phrases.iter().chain(&query.without).map(String::as_str)) {
                    prop_assert!(text.contains(part) && !part.trim().is_empty());
                }
            }
        }
    }
}
