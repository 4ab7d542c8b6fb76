//! Takes secrets and unreadable characters out of texts that others wrote, before anyone stores or
//! shows them.

/// What stands where a secret stood.
const MARK: &str = "[redacted]";

/// Shorter texts are not looked for: they would be found in innocent words.
const SHORTEST: usize = 6;

/// Secrets in every spelling in which a server may echo them; made once for a destination.
pub(crate) struct Redactor {
    /// The longest first: a part of a secret, replaced before the whole, would leave the rest standing.
    spellings: Vec<String>,
    shortest: usize,
}

impl Redactor {
    pub(crate) fn new(secrets: &[String]) -> Self {
        let mut spellings: Vec<String> =
            secrets.iter().filter(|secret| secret.len() >= SHORTEST).flat_map(spellings).collect();
        spellings.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        spellings.dedup();
        let shortest = spellings.last().map_or(usize::MAX, String::len);
        Self { spellings, shortest }
    }

    /// `text` in one line without control characters and without secrets, in at most `limit` bytes.
    pub(crate) fn readable(&self, text: &str, limit: usize) -> String {
        // Control characters go first: one inside a secret would hide it from the search.
        let line: String = text
            .chars()
            .map(|c| if matches!(c, '\n' | '\r' | '\t') { ' ' } else { c })
            .filter(|c| !c.is_control())
            .collect();
        let safe = self.without(line);
        let end = (0..=limit.min(safe.len())).rev().find(|end| safe.is_char_boundary(*end)).unwrap_or_default();
        safe.get(..end).unwrap_or_default().trim().to_owned()
    }

    fn without(&self, mut text: String) -> String {
        if text.len() < self.shortest {
            return text;
        }
        for spelling in &self.spellings {
            if text.contains(spelling) {
                text = text.replace(spelling, MARK);
            }
        }
        text
    }
}

/// The end of a secret, by which its owner knows it again; nothing of a short one.
#[cfg(any(feature = "slack", feature = "discord"))]
pub(crate) fn tail(secret: &str) -> String {
    const SHOWN: usize = 4;
    let enough = secret.len() >= 4 * SHOWN;
    let tail = secret.len().checked_sub(SHOWN).filter(|_| enough).and_then(|start| secret.get(start..));
    format!("****{}", tail.unwrap_or_default())
}

/// The ways in which a server may echo a secret: as it is, inside JSON, inside HTML, inside a URL.
fn spellings(secret: &String) -> Vec<String> {
    let in_url: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let mut all = vec![
        secret.clone(),
        secret.replace('/', "\\/"),
        secret.replace('&', "&amp;"),
        secret.replace('&', "\\u0026"),
        in_url,
    ];
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readable(text: &str, secrets: &[String], limit: usize) -> String {
        Redactor::new(secrets).readable(text, limit)
    }

    #[test]
    fn a_secret_is_found_in_every_spelling() {
        let secrets = ["/services/T0/B0/s3cr3t".to_owned()];
        for echo in
            ["no /services/T0/B0/s3cr3t!", "no \\/services\\/T0\\/B0\\/s3cr3t!", "no %2Fservices%2FT0%2FB0%2Fs3cr3t!"]
        {
            assert_eq!(readable(echo, &secrets, 100), "no [redacted]!");
        }
        assert_eq!(readable("no /services/T0/B\u{0}0/s3cr3t!", &secrets, 100), "no [redacted]!");
    }

    #[test]
    fn a_secret_is_removed_before_the_text_is_cut_and_the_cut_keeps_characters_whole() {
        assert_eq!(readable("abc sesame1 ы", &["sesame1".to_owned()], 16), "abc [redacted]");
        assert_eq!(readable("ыы", &[], 3), "ы");
    }

    #[test]
    fn control_characters_are_removed_and_lines_joined() {
        assert_eq!(readable("a\u{0}\nb\u{7f}\u{1b}[0m\r\n", &[], 100), "a b[0m");
    }
}
