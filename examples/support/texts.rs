//! Real texts that a Debian machine carries: what apt says of packages (English), and the messages of
//! programs (Russian).

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// A text, and what it is about.
pub struct Text {
    /// The package's section, or the program.
    pub domain: String,
    /// The text.
    pub content: String,
}

/// Shorter ones say too little.
const LEAST: usize = 80;

/// Up to `wanted` texts, Russian and English in turn as long as there are both.
#[must_use]
pub fn gather(wanted: usize) -> Vec<Text> {
    let half = wanted / 2;
    let mut russian = messages(Path::new("/usr/share/locale/ru/LC_MESSAGES"), half);
    let mut english = packages(wanted - russian.len());
    if english.len() + russian.len() < wanted {
        russian = messages(Path::new("/usr/share/locale/ru/LC_MESSAGES"), wanted - english.len());
    }
    let mut texts = Vec::with_capacity(english.len() + russian.len());
    let (mut english, mut russian) = (english.drain(..), russian.drain(..));
    loop {
        let pair = [english.next(), russian.next()];
        if pair.iter().all(Option::is_none) {
            // What two programs say alike is one piece of knowledge.
            let mut seen = HashSet::new();
            let folded = |content: &str| content.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
            texts.retain(|text: &Text| seen.insert(folded(&text.content)));
            return texts;
        }
        texts.extend(pair.into_iter().flatten());
    }
}

/// Package descriptions, from what apt or dpkg keeps; the section is the domain.
fn packages(wanted: usize) -> Vec<Text> {
    let listed = Command::new("apt-cache").arg("dumpavail").output().ok().filter(|output| !output.stdout.is_empty());
    let listed = listed.map(|output| output.stdout).or_else(|| fs::read("/var/lib/dpkg/status").ok());
    let listed = String::from_utf8_lossy(&listed.unwrap_or_default()).into_owned();
    listed.split("\n\n").filter_map(package).take(wanted).collect()
}

fn package(stanza: &str) -> Option<Text> {
    let field = |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let name = field("Package:")?;
    let mut described = stanza.lines().skip_while(|line| !line.starts_with("Description"));
    let short = described.next()?.split_once(':')?.1.trim();
    let long: Vec<&str> = described.take_while(|line| line.starts_with(' ')).map(str::trim).collect();
    let content = format!("{name}: {short}\n{}", long.join(" ")).trim().to_owned();
    let domain = field("Section:").unwrap_or("debian").to_owned();
    (content.chars().count() >= LEAST).then_some(Text { domain, content })
}

/// Translated messages from the catalogues (`.mo`) in a folder; the program is the domain.
fn messages(folder: &Path, wanted: usize) -> Vec<Text> {
    let mut files: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    let texts = files.iter().flat_map(|file| {
        let domain = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let catalogue = fs::read(file).unwrap_or_default();
        let long = |text: &String| text.chars().count() >= LEAST;
        let texts: Vec<_> = translations(&catalogue).into_iter().filter(long).collect();
        texts.into_iter().map(move |content| Text { domain: domain.clone(), content })
    });
    texts.take(wanted).collect()
}

/// The translations of a little-endian GNU message catalogue: at offset 8 their number, at 16 where
/// the table of (length, offset) begins.
fn translations(catalogue: &[u8]) -> Vec<String> {
    let word = |at: usize| -> Option<usize> {
        let bytes: [u8; 4] = catalogue.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    if word(0) != Some(0x9504_12de) {
        return Vec::new();
    }
    let (Some(count), Some(table)) = (word(8), word(16)) else { return Vec::new() };
    let read = |index: usize| {
        let (length, start) = (word(table + 8 * index)?, word(table + 8 * index + 4)?);
        let text = catalogue.get(start..start + length)?.split(|byte| *byte == 0).next()?;
        String::from_utf8(text.to_vec()).ok()
    };
    // The first entry is the catalogue's own heading.
    (1..count).filter_map(read).collect()
}
