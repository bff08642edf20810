//! Which language is this text in, and which text does somebody get who reads another one?

use std::collections::BTreeMap;

/// The grammar in words.
pub const ALLOWED: &str = "a language tag such as de, de-CH or zh-Hant-TW: at most 35 characters";
const CHARS: usize = 35;

/// A language tag in its usual spelling: the language in small letters, a script with a capital, a region in capitals.
pub fn canonical(text: &str) -> Option<String> {
    let fits = (2..=CHARS).contains(&text.len())
        && text.split('-').enumerate().all(|(index, part)| {
            let is_word = part.bytes().all(|b| b.is_ascii_alphanumeric());
            match index {
                0 => (2..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphabetic()),
                _ => (1..=8).contains(&part.len()) && is_word,
            }
        });
    if !fits {
        return None;
    }
    let parts = text.split('-').enumerate().map(|(index, part)| {
        let mut part = part.to_ascii_lowercase();
        match (index, part.len()) {
            (0, _) => {}
            (_, 2) => part.make_ascii_uppercase(),
            (_, 4) if part.bytes().all(|b| b.is_ascii_alphabetic()) => {
                if let Some(first) = part.get_mut(..1) {
                    first.make_ascii_uppercase();
                }
            }
            _ => {}
        }
        part
    });
    Some(parts.collect::<Vec<_>>().join("-"))
}

/// The text for somebody who reads `wanted`: of this language tag, else of it without its last part, and so on. None: the
/// text that is in no particular language.
pub fn pick<'a, T>(texts: &'a BTreeMap<String, T>, wanted: &str) -> Option<(&'a str, &'a T)> {
    let wanted = canonical(wanted)?;
    let mut tag = wanted.as_str();
    loop {
        if let Some((known, text)) = texts.get_key_value(tag) {
            return Some((known, text));
        }
        tag = tag.rsplit_once('-')?.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_has_one_spelling() {
        for (text, expected) in [
            ("de", "de"),
            ("DE-ch", "de-CH"),
            ("zh-hant-tw", "zh-Hant-TW"),
            ("sl-rozaj", "sl-rozaj"),
            ("es-419", "es-419"),
            ("de-CH-1996", "de-CH-1996"),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(expected));
        }
        for bad in
            ["", "d", "deutsch", "de_CH", "de-", "-de", "de--CH", "d1", "de-ä", &"de-abcdefgh".repeat(4)]
        {
            assert_eq!(canonical(bad), None, "{bad}");
        }
    }

    #[test]
    fn whoever_reads_swiss_german_gets_german_where_there_is_no_swiss() {
        let texts =
            BTreeMap::from([("de".to_owned(), 1), ("pt-BR".to_owned(), 2), ("zh-Hant".to_owned(), 3)]);
        for (wanted, expected) in [
            ("de-CH", Some("de")),
            ("de", Some("de")),
            ("pt-br", Some("pt-BR")),
            ("pt", None),
            ("pt-PT", None),
            ("zh-Hant-TW", Some("zh-Hant")),
            ("en", None),
            ("?", None),
        ] {
            assert_eq!(pick(&texts, wanted).map(|(tag, _)| tag), expected, "{wanted}");
        }
    }
}
