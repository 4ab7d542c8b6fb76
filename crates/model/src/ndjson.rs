//! Lines of a stream of unknown length, in bounded memory.

/// One line of a stream; blank lines are counted and left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Its number, from 1, and what it says without its end.
    Whole(u64, Vec<u8>),
    /// The number of a line that is longer than the limit; what it says was thrown away.
    TooLong(u64),
}

/// Cuts a stream into lines, and holds at most one of them.
#[derive(Debug)]
pub struct Lines {
    limit: usize,
    number: u64,
    partial: Vec<u8>,
    is_too_long: bool,
}

impl Lines {
    /// For lines of at most `limit` bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { limit, number: 1, partial: Vec::new(), is_too_long: false }
    }

    /// Reads on; tells of every line that ends within these bytes.
    pub fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(Line)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at(end);
            self.append(line);
            if let Some(line) = self.finish() {
                each(line);
            }
            bytes = rest.get(1..).unwrap_or_default();
        }
        self.append(bytes);
    }

    /// The last line, which nothing ended.
    pub fn end(&mut self) -> Option<Line> {
        self.finish()
    }

    fn append(&mut self, bytes: &[u8]) {
        if self.partial.len() + bytes.len() > self.limit {
            self.is_too_long = true;
            self.partial = Vec::new();
        }
        if !self.is_too_long {
            self.partial.extend_from_slice(bytes);
        }
    }

    fn finish(&mut self) -> Option<Line> {
        let (number, line) = (self.number, std::mem::take(&mut self.partial));
        self.number += 1;
        if std::mem::take(&mut self.is_too_long) {
            return Some(Line::TooLong(number));
        }
        let is_blank = line.trim_ascii().is_empty();
        (!is_blank).then_some(Line::Whole(number, line))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(limit: usize, pieces: &[&[u8]]) -> Vec<Line> {
        let mut all = Vec::new();
        let mut lines = Lines::new(limit);
        for piece in pieces {
            lines.feed(piece, |line| all.push(line));
        }
        all.extend(lines.end());
        all
    }

    #[test]
    fn a_line_that_is_too_long_is_an_error_of_its_own_and_the_next_is_read() {
        let whole = |number, text: &str| Line::Whole(number, text.as_bytes().to_vec());
        assert_eq!(
            lines(5, &[b"12345\n123", b"456", b"789\n\n \r\nab"]),
            [whole(1, "12345"), Line::TooLong(2), whole(5, "ab")]
        );
        assert_eq!(lines(5, &[b"123456"]), [Line::TooLong(1)]);
        assert_eq!(lines(5, &[b""]), []);
    }

    proptest! {
        #[test]
        fn how_a_stream_is_cut_makes_no_difference(text in "[ab\n]{0,60}", cuts in prop::collection::vec(0_usize..60, 0..6)) {
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < text.len()).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&text.as_bytes()[from..cut]);
                from = cut;
            }
            pieces.push(&text.as_bytes()[from..]);
            prop_assert_eq!(lines(4, &pieces), lines(4, &[text.as_bytes()]));
        }
    }
}
