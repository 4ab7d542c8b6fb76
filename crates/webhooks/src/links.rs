//! Finds the web addresses in a text, so that each platform can make links of them. Only what begins
//! with `http://` or `https://` and leads where it says counts; knows no platform's markup.

use url::{Host, Url};

use crate::message::is_invisible;

/// Longest address that becomes a link, in bytes, as written and as a browser would send it.
const MAX_URL: usize = 2048;

/// A stretch of text.
#[derive(Debug)]
pub(crate) enum Span<'t> {
    Text(&'t str),
    Link(Link<'t>),
}

/// An address that is its own label.
#[derive(Debug)]
pub(crate) struct Link<'t> {
    /// As it stands in the text.
    pub(crate) text: &'t str,
    #[cfg_attr(
        not(any(feature = "slack", feature = "telegram")),
        expect(dead_code, reason = "Discord links to the text as it is")
    )]
    url: Url,
}

#[cfg(any(feature = "slack", feature = "telegram"))]
impl Link<'_> {
    /// What to link to: the address as written, or as a browser would send it where that differs.
    pub(crate) fn address(&self) -> &str {
        let sent = self.url.as_str();
        if sent.strip_suffix('/') == Some(self.text) { self.text } else { sent }
    }
}

#[cfg(feature = "telegram")]
impl Link<'_> {
    pub(crate) fn has_dotted_host(&self) -> bool {
        self.url.host_str().is_some_and(|host| host.contains('.'))
    }
}

/// The whole text, in order; no stretch is empty.
pub(crate) fn spans(text: &str) -> Vec<Span<'_>> {
    let mut spans = Vec::new();
    let (mut done, mut run_end) = (0, 0);
    for (colon, _) in text.match_indices("://") {
        let Some(start) = scheme_start(text, colon).filter(|start| *start >= done) else { continue };
        // Each run is looked through once, however many addresses seem to begin in it.
        if start >= run_end {
            run_end = end_of_run(text, start);
        }
        let Some(link) = link_at(text, start, run_end) else { continue };
        spans.extend(text.get(done..start).filter(|before| !before.is_empty()).map(Span::Text));
        done = start + link.text.len();
        spans.push(Span::Link(link));
    }
    spans.extend(text.get(done..).filter(|rest| !rest.is_empty()).map(Span::Text));
    spans
}

/// Where what could be one address ends.
fn end_of_run(text: &str, start: usize) -> usize {
    let run = text.get(start..).unwrap_or_default();
    run.find(|c: char| !may_stand_in_a_url(c)).map_or(text.len(), |length| start + length)
}

/// Where the `http` or `https` before this colon begins, unless it is the end of a longer word.
fn scheme_start(text: &str, colon: usize) -> Option<usize> {
    let before = text.get(..colon)?;
    let start = ["https", "http"].iter().find_map(|scheme| {
        let start = colon.checked_sub(scheme.len())?;
        before.get(start..)?.eq_ignore_ascii_case(scheme).then_some(start)
    })?;
    let joined = |c: char| c.is_alphanumeric() || matches!(c, '+' | '-' | '.');
    (!before.get(..start)?.ends_with(joined)).then_some(start)
}

fn link_at(text: &str, start: usize, run_end: usize) -> Option<Link<'_>> {
    let (run, rest) = (text.get(start..run_end)?, text.get(run_end..)?);
    // An address that was shortened, by us or by its writer, leads elsewhere than the whole one.
    if run.len() > MAX_URL || rest.starts_with('…') {
        return None;
    }
    let text = without_the_sentence(run, text.get(..start)?);
    // `https:///x` and `https://bank.example@x` lead to x.
    let host = text.split("://").nth(1)?.split(['/', '?', '#']).next()?;
    if host.is_empty() || host.contains('@') {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let whole = matches!(url.host(), Some(Host::Domain(_) | Host::Ipv4(_) | Host::Ipv6(_)));
    (whole && url.as_str().len() <= MAX_URL).then_some(Link { text, url })
}

/// Behind a mark that nobody sees, an address would not be what it looks like.
fn may_stand_in_a_url(c: char) -> bool {
    !(c.is_whitespace() || c.is_control() || is_invisible(c) || matches!(c, '<' | '>' | '"' | '`' | '\\' | '…'))
}

/// The address without the punctuation of the sentence around it: a full stop, a bracket that was
/// opened before it, a mark that stands before it as well.
fn without_the_sentence<'t>(run: &'t str, before: &str) -> &'t str {
    let mut text = run;
    let mut opening = before.chars().rev().peekable();
    let surplus_of = |open: char, close: char| run.matches(close).count().saturating_sub(run.matches(open).count());
    let (mut round, mut square, mut curly) = (surplus_of('(', ')'), surplus_of('[', ']'), surplus_of('{', '}'));
    let take = |surplus: &mut usize| {
        let is_surplus = *surplus > 0;
        *surplus = surplus.saturating_sub(1);
        is_surplus
    };
    while let Some(last) = text.chars().next_back() {
        let is_surplus = match last {
            '.' | ',' | ':' | ';' | '!' | '?' | '\'' | '’' | '“' | '”' | '»' => true,
            ')' => take(&mut round),
            ']' => take(&mut square),
            '}' => take(&mut curly),
            '*' | '_' | '~' | '|' => opening.next_if_eq(&last).is_some(),
            _ => false,
        };
        if !is_surplus {
            break;
        }
        text = text.strip_suffix(last).unwrap_or(text);
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sample::hostile_text;

    fn links(text: &str) -> Vec<&str> {
        let link = |span| match span {
            Span::Link(link) => Some(link.text),
            Span::Text(_) => None,
        };
        spans(text).into_iter().filter_map(link).collect()
    }

    #[test]
    fn an_address_ends_where_its_sentence_goes_on() {
        for (text, expected) in [
            ("see https://a.example/x_y*z, please.", "https://a.example/x_y*z"),
            ("(https://a.example/wiki/Rust_(language))", "https://a.example/wiki/Rust_(language)"),
            ("[x](https://a.example/)", "https://a.example/"),
            ("**https://a.example/x**", "https://a.example/x"),
            ("_https://a.example/__init___", "https://a.example/__init__"),
            ("at https://a.example/__init__", "https://a.example/__init__"),
            ("<https://a.example/?a=1&b=2|label>", "https://a.example/?a=1&b=2|label"),
            ("«https://ru.example/Кот».", "https://ru.example/Кот"),
            ("HTTP://A.example:8080/#x!", "HTTP://A.example:8080/#x"),
            ("http://[::1]/x", "http://[::1]/x"),
            ("https://a.example/\u{200B}x", "https://a.example/"),
        ] {
            assert_eq!(links(text), [expected], "{text}");
        }
    }

    #[test]
    fn what_is_no_web_address_or_leads_elsewhere_than_it_says_is_no_link() {
        for text in [
            "a.example",
            "ftp://a.example/",
            "javascript://a.example/%0aalert(1)",
            "git+https://a.example/",
            "xhttps://a.example/",
            "https://",
            "https://…",
            "https:///a.example/",
            "https://bank.example@evil.example/",
            "https://user:pw@a.example/",
            "https://a.example/cut…",
            "https://a.example:99999/",
            &format!("https://a.example/{}", "x".repeat(MAX_URL)),
        ] {
            assert!(links(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn several_addresses_are_found_each_once() {
        assert_eq!(links("https://a.example https://b.example"), ["https://a.example", "https://b.example"]);
        assert_eq!(links("https://a.example/https://b.example"), ["https://a.example/https://b.example"]);
        assert_eq!(links("https://@https://b.example"), ["https://b.example"]);
    }

    proptest! {
        #[test]
        fn whatever_the_text_the_spans_are_all_of_it(text in hostile_text()) {
            let whole: String = spans(&text).iter().map(|span| match span {
                Span::Text(text) => *text,
                Span::Link(link) => link.text,
            }).collect();
            prop_assert_eq!(whole, text);
        }
    }
}
