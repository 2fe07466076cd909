//! What a player sends to somebody who is asked for help: one zip, without what lets anybody in.
//!
//! Invite links, short codes and the codes of open rooms are keys. They are taken out twice: those that are known by their text
//! wherever it stands, and everything that looks like one.

use std::io::{Cursor, Write};

use zip::{CompressionMethod, ZipWriter, result::ZipResult, write::SimpleFileOptions};

/// What stands where a secret was.
pub const REMOVED: &str = "[removed]";

/// How every invite link begins.
const LINK: &str = "lanparty://";
/// A secret that is shorter would take ordinary words out.
const LEAST_SECRET: usize = 4;

/// A zip of texts: name and content of each, cleaned of these secrets.
///
/// # Errors
/// Two texts have one name.
pub fn archive(texts: &[(&str, String)], secrets: &[String]) -> ZipResult<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, text) in texts {
        zip.start_file(*name, options)?;
        zip.write_all(without_secrets(text, secrets).as_bytes())?;
    }
    Ok(zip.finish()?.into_inner())
}

/// The text without these secrets, and without anything that looks like one.
pub fn without_secrets(text: &str, secrets: &[String]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| secret.len() >= LEAST_SECRET) {
        text = replace_ignoring_case(&text, secret);
    }
    text.split_inclusive(|c: char| c.is_whitespace() || "\"'<>,()".contains(c))
        .map(|word| {
            let core = word.trim_end_matches(|c: char| c.is_whitespace() || "\"'<>,().:;".contains(c));
            let tail = &word[core.len()..];
            if let Some(start) = core.find(LINK) {
                format!("{}{LINK}{REMOVED}{tail}", &core[..start])
            } else if looks_like_short_code(core) {
                format!("{REMOVED}{tail}")
            } else {
                word.to_owned()
            }
        })
        .collect()
}

/// Room codes are typed in either case; all of them are ASCII.
fn replace_ignoring_case(text: &str, secret: &str) -> String {
    let (lower, secret) = (text.to_ascii_lowercase(), secret.to_ascii_lowercase());
    let mut clean = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(found) = lower[at..].find(&secret) {
        clean.push_str(&text[at..at + found]);
        clean.push_str(REMOVED);
        at += found + secret.len();
    }
    clean.push_str(&text[at..]);
    clean
}

/// `4711-rider-apple-stone`, whether its words are in the list or not.
fn looks_like_short_code(word: &str) -> bool {
    let mut parts = word.split('-');
    let number = parts.next().unwrap_or_default();
    let words: Vec<&str> = parts.collect();
    let is_number = (1..=5).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    is_number
        && words.len() == 3
        && words
            .iter()
            .all(|word| word.len() >= 3 && word.bytes().all(|b| b.is_ascii_alphabetic()))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use zip::ZipArchive;

    use super::*;

    #[test]
    fn what_lets_somebody_in_is_taken_out_and_the_rest_stays() {
        let secrets = ["GAME-NIGHT".to_owned(), "lan".to_owned()];
        for (text, clean) in [
            ("Joining room game-night (open)", "Joining room [removed] (open)"),
            (
                "link \"lanparty://relay.example.org/abc#def\", then",
                "link \"lanparty://[removed]\", then",
            ),
            ("by 4711-Rider-apple-stone.\n", "by [removed].\n"),
            ("2026-11-21 lan 10-20-30-40 lan", "2026-11-21 lan 10-20-30-40 lan"),
            ("übung game-NIGHT ü", "übung [removed] ü"),
        ] {
            assert_eq!(without_secrets(text, &secrets), clean);
        }
    }

    #[test]
    fn a_zip_holds_every_text_cleaned() {
        let texts = [
            ("log.txt", "by 4711-a-b-c and 4711-rider-apple-stone".repeat(50)),
            ("a.json", "{}".to_owned()),
        ];
        let zip = archive(&texts, &[]).unwrap();
        let mut zip = ZipArchive::new(Cursor::new(zip)).unwrap();
        assert_eq!(zip.len(), 2);
        let mut log = String::new();
        zip.by_name("log.txt").unwrap().read_to_string(&mut log).unwrap();
        assert!(log.starts_with("by 4711-a-b-c and [removed]"), "{log}");
    }
}
