//! Event text as Telegram shows it: as it was written, with `@name` calling nobody.

use crate::links::{Link, Span, spans};

/// Past about a hundred entities Telegram forgets the rest, and its names would be live again.
const MAX_ENTITIES: usize = 80;

/// All addresses together inside of tags, in bytes: with them, and with every character an escape, a
/// text of 4096 units stays below the 32,768 bytes that Telegram reads.
const MAX_ADDRESSES: usize = 8000;

/// A stretch of text.
enum Piece<'t> {
    /// What Telegram may make of it concerns nobody.
    Plain(&'t str),
    /// `@name`, which Telegram would take for a mention.
    Name(&'t str),
    /// An address that has such a name in it.
    Address(Link<'t>),
}

impl Piece<'_> {
    fn text(&self) -> &str {
        match self {
            Self::Plain(text) | Self::Name(text) => text,
            Self::Address(link) => link.text,
        }
    }
}

/// HTML in which no name is called, and from which every character is copied as it was written: nothing
/// inside of an entity is taken for a mention. A name stands in `<code>`, an address with a name in it
/// is a link to itself, other addresses Telegram finds by itself.
pub(super) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut done, mut entities, mut addresses) = (0, 0, 0);
    for piece in pieces(text) {
        let shown = escaped(piece.text());
        let entity = match &piece {
            Piece::Plain(_) => {
                out.push_str(&shown);
                done += piece.text().len();
                continue;
            }
            Piece::Name(_) => code(&shown),
            Piece::Address(link) => {
                let address = escaped(link.address()).replace('"', "&quot;");
                addresses += address.len();
                format!(r#"<a href="{address}">{shown}</a>"#)
            }
        };
        entities += 1;
        if entities >= MAX_ENTITIES || addresses > MAX_ADDRESSES {
            out.push_str(&code(&escaped(text.get(done..).unwrap_or_default())));
            break;
        }
        out.push_str(&entity);
        done += piece.text().len();
    }
    out
}

/// Text without markup. An invisible character parts the `@` from a name; addresses stay whole, as
/// Telegram sees no name in them.
pub(super) fn plain(text: &str) -> String {
    let show = |piece: Piece<'_>| match piece {
        Piece::Name(name) => name.replacen('@', "@\u{200B}", 1),
        Piece::Plain(text) => text.to_owned(),
        Piece::Address(link) => link.text.to_owned(),
    };
    pieces(text).into_iter().map(show).collect()
}

/// The most that a character takes in [`plain`].
pub(super) const fn plain_units(c: char) -> usize {
    if c == '@' { "@ ".len() } else { c.len_utf16() }
}

pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn code(html: &str) -> String {
    format!("<code>{html}</code>")
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let parted = |span| match span {
        Span::Text(text) => names_apart(text),
        // Where the host has no dot, Telegram sees no address.
        Span::Link(link) if !link.has_dotted_host() => names_apart(link.text),
        Span::Link(link) if names_apart(link.text).len() > 1 => vec![Piece::Address(link)],
        Span::Link(link) => vec![Piece::Plain(link.text)],
    };
    spans(text).into_iter().flat_map(parted).collect()
}

/// A name is `@` and two letters, digits or `_` at least, where no word goes before it: so addresses of
/// mail stay plain. Which letters of other scripts Telegram takes for a word is not known; one that has
/// such a letter before it is taken for a name.
fn names_apart(text: &str) -> Vec<Piece<'_>> {
    let of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut pieces = Vec::new();
    let mut done = 0;
    for (at, mark) in text.match_indices('@') {
        let (before, after) = (text.get(..at).unwrap_or_default(), text.get(at + mark.len()..).unwrap_or_default());
        let length = after.find(|c| !of_name(c)).unwrap_or(after.len());
        // Behind an entity Telegram may begin to read anew.
        let in_word = at != done && before.ends_with(of_name);
        if length < 2 || in_word {
            continue;
        }
        let end = at + mark.len() + length;
        pieces.extend(text.get(done..at).filter(|plain| !plain.is_empty()).map(Piece::Plain));
        pieces.extend(text.get(at..end).map(Piece::Name));
        done = end;
    }
    pieces.extend(text.get(done..).filter(|rest| !rest.is_empty()).map(Piece::Plain));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_with_names_are_marked_and_nothing_is_put_into_them() {
        for (raw, sent) in [
            ("npm i @types/node", "npm i <code>@types</code>/node"),
            ("hi @bob_1, mail a@b.c or @!", "hi <code>@bob_1</code>, mail a@b.c or @!"),
            ("@@bob @б @1", "@<code>@bob</code> @б @1"),
            ("@bob@eve", "<code>@bob</code><code>@eve</code>"),
            // A mark that Rust counts as alphabetic and Telegram may not.
            ("\u{345}@bob", "\u{345}<code>@bob</code>"),
            ("see https://a.example/x?a&b.", "see https://a.example/x?a&amp;b."),
            (
                "https://github.com/@user/x?a&b",
                r#"<a href="https://github.com/@user/x?a&amp;b">https://github.com/@user/x?a&amp;b</a>"#,
            ),
            ("https://Кот.example/@user", r#"<a href="https://xn--j1aim.example/@user">https://Кот.example/@user</a>"#),
            ("http://build/@user", "http://build/<code>@user</code>"),
            ("a <b> & c", "a &lt;b&gt; &amp; c"),
        ] {
            assert_eq!(html(raw), sent);
        }
    }

    #[test]
    fn where_there_are_more_names_than_entities_the_rest_is_one() {
        let text = html(&"@some_one ".repeat(200));
        assert_eq!(text.matches("<code>").count(), MAX_ENTITIES);
        assert!(text.ends_with("<code>@some_one @some_one </code>") || text.ends_with("@some_one </code>"));
        assert_eq!(text.matches("@some_one").count(), 200);
    }

    #[test]
    fn without_markup_only_a_name_is_parted_and_no_address() {
        let raw = "@types/node a@b.c https://github.com/@user/x";
        assert_eq!(plain(raw), "@\u{200B}types/node a@b.c https://github.com/@user/x");
    }
}
