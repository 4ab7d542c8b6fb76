//! The file of settings: `NAME=value` on each line, read by the rules that systemd has for an `EnvironmentFile`.
//!
//! One file serves both, so it must mean the same to both: the libraries for `.env` files expand `$`, end a
//! value at ` #` and refuse a bare `0 9 * * *`, and systemd does none of that.

use std::collections::BTreeMap;
use std::io;
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::str::Chars;

/// Why a file of settings could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not there.
    #[error(
        "there is no file {path}: make it, with NAME=value on each line (as in .env.example), or let --env-file name \
         another"
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It is there, and cannot be read.
    #[error("the file of settings {path} cannot be read: let the user that runs this read it, as UTF-8")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A line of it means nothing. What stands there is not told: it may be a secret.
    #[error("line {line} of {path}: {detail}")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line's number, from 1.
        line: usize,
        /// What to write instead.
        detail: &'static str,
    },
}

/// A file of settings, read.
#[derive(Clone)]
pub struct EnvFile {
    path: PathBuf,
    values: BTreeMap<String, String>,
}

/// Values may be secrets: nothing prints one.
impl std::fmt::Debug for EnvFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EnvFile({})", self.path.display())
    }
}

impl EnvFile {
    /// Reads a file.
    ///
    /// # Errors
    /// It is not there, cannot be read, or holds a line that means nothing.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let path = path.to_owned();
        match std::fs::read_to_string(&path) {
            Ok(text) => match parse(&text) {
                Ok(values) => Ok(Self { path, values }),
                Err((line, detail)) => Err(Error::Line { path, line, detail }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::Missing { path }),
            Err(source) => Err(Error::Unreadable { path, source }),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The value that it gives to a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }
}

const UNNAMED: &str = "must be NAME=value (or a comment, # …): a name has letters, digits and _, and nothing before it";
const UNCLOSED: &str = "the quote that opens here is never closed: close it";

/// The number of the line at fault, and what to write instead.
type Fault = (usize, &'static str);

fn parse(text: &str) -> Result<BTreeMap<String, String>, Fault> {
    let mut reader = Reader { rest: text.chars().peekable(), line: 1 };
    let mut values = BTreeMap::new();
    while let Some(first) = reader.skip_space() {
        if matches!(first, '#' | ';') {
            reader.comment();
            continue;
        }
        let name = reader.name()?;
        values.insert(name, reader.value()?);
    }
    Ok(values)
}

struct Reader<'t> {
    rest: Peekable<Chars<'t>>,
    line: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let next = self.rest.next();
        self.line += usize::from(next == Some('\n'));
        next
    }

    /// Goes past all white space; what follows is still to be taken.
    fn skip_space(&mut self) -> Option<char> {
        while self.rest.peek().is_some_and(|next| is_blank(*next) || is_end(*next)) {
            self.next();
        }
        self.rest.peek().copied()
    }

    /// A comment that ends with a backslash goes on in the next line.
    fn comment(&mut self) {
        while let Some(next) = self.next() {
            match next {
                '\\' => _ = self.next(),
                next if is_end(next) => return,
                _ => {}
            }
        }
    }

    fn name(&mut self) -> Result<String, Fault> {
        let line = self.line;
        let mut name = String::new();
        loop {
            match self.next() {
                Some('=') => break,
                Some(next) if !is_end(next) => name.push(next),
                Some(_) | None => return Err((line, UNNAMED)),
            }
        }
        let name = name.trim_end();
        let of_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let is_name = name.chars().all(of_name) && !name.starts_with(|first: char| first.is_ascii_digit());
        if is_name && !name.is_empty() { Ok(name.to_owned()) } else { Err((line, UNNAMED)) }
    }

    /// Quoted parts, then what is not quoted, which reaches to the end of the line: quotes in there are letters.
    fn value(&mut self) -> Result<String, Fault> {
        let mut value = String::new();
        loop {
            while self.rest.peek().copied().is_some_and(is_blank) {
                self.next();
            }
            match self.rest.peek() {
                Some('\'') => self.single_quoted(&mut value)?,
                Some('"') => self.double_quoted(&mut value)?,
                Some(_) | None => {
                    self.bare(&mut value);
                    return Ok(value);
                }
            }
        }
    }

    fn single_quoted(&mut self, value: &mut String) -> Result<(), Fault> {
        let line = self.line;
        self.next();
        loop {
            match self.next() {
                Some('\'') => return Ok(()),
                Some(next) => value.push(next),
                None => return Err((line, UNCLOSED)),
            }
        }
    }

    /// A backslash escapes what a shell would understand here; before anything else it stands for itself.
    fn double_quoted(&mut self, value: &mut String) -> Result<(), Fault> {
        let line = self.line;
        self.next();
        loop {
            match self.next() {
                Some('"') => return Ok(()),
                Some('\\') => match self.next() {
                    Some(escaped @ ('"' | '\\' | '`' | '$')) => value.push(escaped),
                    Some('\n') => {}
                    Some(other) => value.extend(['\\', other]),
                    None => return Err((line, UNCLOSED)),
                },
                Some(next) => value.push(next),
                None => return Err((line, UNCLOSED)),
            }
        }
    }

    /// To the end of the line, without the space before it. A backslash makes the next character a plain one,
    /// and goes on in the next line when it ends this one.
    fn bare(&mut self, value: &mut String) {
        let mut kept = value.len();
        while let Some(next) = self.next() {
            match next {
                '\\' => match self.next() {
                    Some(end) if is_end(end) => {}
                    Some(escaped) => {
                        value.push(escaped);
                        kept = value.len();
                    }
                    None => {}
                },
                next if is_end(next) => break,
                next => {
                    value.push(next);
                    if !is_blank(next) {
                        kept = value.len();
                    }
                }
            }
        }
        value.truncate(kept);
    }
}

const fn is_blank(letter: char) -> bool {
    matches!(letter, ' ' | '\t')
}

const fn is_end(letter: char) -> bool {
    matches!(letter, '\n' | '\r')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        parse(text).unwrap().into_iter().collect()
    }

    fn value(text: &str) -> String {
        parse(&format!("NAME={text}\n")).unwrap().remove("NAME").unwrap()
    }

    #[test]
    fn what_a_shell_would_take_apart_is_a_value_like_any_other() {
        for (written, meant) in [
            ("postgres://u:p$1&x@h/db?sslmode=require", "postgres://u:p$1&x@h/db?sslmode=require"),
            ("0 9 * * *", "0 9 * * *"),
            ("\"0 9 * * *\"", "0 9 * * *"),
            ("'p$a\"s&s #1'", "p$a\"s&s #1"),
            ("a # is no comment", "a # is no comment"),
            ("it's", "it's"),
            ("  spaces around  ", "spaces around"),
            ("' kept '", " kept "),
            ("", ""),
            (r#""a\"b\\c\$d\e""#, r#"a"b\c$d\e"#),
            (r"a\\b\ ", r"a\b "),
            ("one\\\ntwo", "onetwo"),
            ("'one\ntwo'", "one\ntwo"),
            ("'a' \"b\" c", "abc"),
        ] {
            assert_eq!(value(written), meant, "{written}");
        }
    }

    #[test]
    fn the_example_of_all_settings_can_be_read_once_they_are_set() {
        let example = include_str!("../../../.env.example");
        let set = |line: &str| match line.strip_prefix('#') {
            Some(setting) if setting.starts_with(|first: char| first.is_ascii_uppercase()) => setting.to_owned(),
            _ => line.to_owned(),
        };
        let values = parse(&example.lines().map(set).collect::<Vec<_>>().join("\n")).unwrap();
        assert_eq!(values["DAILY_REPORT_AT"], "0 9 * * *");
        assert_eq!(values.len(), 31);
    }

    #[test]
    fn comments_and_empty_lines_say_nothing_and_the_last_of_two_counts() {
        let text = "# first\n; second \\\n goes on\n\n  A=1\r\nB = 2\nA=3";
        assert_eq!(read(text), [("A".to_owned(), "3".to_owned()), ("B".to_owned(), "2".to_owned())]);
    }

    #[test]
    fn a_line_that_means_nothing_is_named_by_its_number() {
        for (text, line) in
            [("A=1\nexport B=2", 2), ("A", 1), ("\n\n=x", 3), ("1A=x", 1), ("A='x\ny\n", 1), ("A=\"\\", 1)]
        {
            assert_eq!(parse(text).unwrap_err().0, line, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_stands_in_single_quotes_is_meant_as_it_is(text in "[^'\0]{0,60}") {
            prop_assert_eq!(value(&format!("'{text}'")), text);
        }

        #[test]
        fn no_file_is_read_for_ever(text in "\\PC{0,80}|[A='\"\\\\\n #]{0,40}") {
            let _ = parse(&text);
        }
    }
}
