//! What a search query asks for: any of its words, all of its "phrases", none of its -exclusions.
//!
//! Pure: it reads what a person typed. Stemming, stop words and ranking are the database's.

use kos_model::Violation;

/// Longest query, in characters.
pub const MAX_QUERY: usize = 1_000;

/// A query, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Any of these; a text that has more of them, and rarer ones, ranks higher.
    pub any: Vec<String>,
    /// All of these, word beside word.
    pub phrases: Vec<String>,
    /// None of these.
    pub without: Vec<String>,
}

impl Query {
    /// Reads a query: words, `"phrases"`, `-words` and `-"phrases"`. A quote that is never closed
    /// reaches to the end.
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

    fn add(&mut self, token: &Token<'_>) {
        let text = token.text.trim();
        if !text.chars().any(char::is_alphanumeric) {
            return;
        }
        let list = match (token.excluded, token.quoted) {
            (true, _) => &mut self.without,
            (false, true) => &mut self.phrases,
            (false, false) => &mut self.any,
        };
        list.push(text.to_owned());
    }
}

struct Token<'a> {
    text: &'a str,
    quoted: bool,
    excluded: bool,
}

fn next_token(text: &str) -> Option<(Token<'_>, &str)> {
    let text = text.trim_start();
    if text.is_empty() {
        return None;
    }
    let (excluded, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    if let Some(inside) = text.strip_prefix('"') {
        let (text, rest) = inside.split_once('"').unwrap_or((inside, ""));
        return Some((Token { text, quoted: true, excluded }, rest));
    }
    let end = text.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(text.len());
    let (text, rest) = text.split_at(end);
    Some((Token { text, quoted: false, excluded }, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_phrases_and_exclusions_are_told_apart() {
        let query = Query::parse(r#"async await "event loop" -callback -"old style""#).unwrap();
        assert_eq!(query.any, ["async", "await"]);
        assert_eq!(query.phrases, ["event loop"]);
        assert_eq!(query.without, ["callback", "old style"]);
    }

    #[test]
    fn signs_alone_ask_for_nothing() {
        assert_eq!(Query::parse(r#"- " \ '' && | ! ( ) :* <->"#).unwrap(), Query::default());
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
                for part in query.any.iter().chain(&query.phrases).chain(&query.without) {
                    prop_assert!(text.contains(part.as_str()) && !part.trim().is_empty());
                }
            }
        }
    }
}
