//! Cuts text and tags to what Kustomer takes. Pure. Source: Kustomer's Core Resources schema; whether its lengths count
//! bytes or characters isn't said, so notes stay below both.

/// Kustomer takes 10,240; the rest is left for counting differences.
pub const NOTE_CHARS_MAX: usize = 10_000;
/// Keeps a note of four-byte characters far below the 100 kB a request may have.
pub const NOTE_BYTES_MAX: usize = 30_000;
/// Names of customers and conversations, subjects.
pub const NAME_CHARS_MAX: usize = 256;
const TAGS_MAX: usize = 20;
const TAG_CHARS_MAX: usize = 64;
/// Shows that something was cut.
const CUT_MARK: char = '…';

/// `text` with at most this many characters and bytes; a cut text ends in `…`.
pub fn cut(text: &str, chars_max: usize, bytes_max: usize) -> String {
    if text.len() <= bytes_max && text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let bytes_max = bytes_max.saturating_sub(CUT_MARK.len_utf8());
    let mut kept: String = text
        .char_indices()
        .take(chars_max.saturating_sub(1))
        .take_while(|(at, letter)| at + letter.len_utf8() <= bytes_max)
        .map(|(_, letter)| letter)
        .collect();
    kept.push(CUT_MARK);
    kept
}

/// A name: one line of at most 256 characters.
pub fn name(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    cut(&line, NAME_CHARS_MAX, NAME_CHARS_MAX * 4)
}

/// A note's or message's text.
pub fn body(text: &str) -> String {
    cut(text, NOTE_CHARS_MAX, NOTE_BYTES_MAX)
}

/// Tags as Kustomer's pattern has them: what it refuses becomes `_`, empty and repeated ones go, 20 stay. One bad
/// character would get the whole conversation rejected.
pub fn tags(raw: &[String]) -> Vec<String> {
    let mut tags: Vec<String> = Vec::new();
    for tag in raw {
        let tag: String = tag
            .trim()
            .chars()
            .map(|letter| if allowed(letter) { letter } else { '_' })
            .collect();
        let tag: String = tag.chars().take(TAG_CHARS_MAX).collect();
        if !tag.is_empty() && !tags.contains(&tag) && tags.len() < TAGS_MAX {
            tags.push(tag);
        }
    }
    tags
}

fn allowed(letter: char) -> bool {
    letter.is_ascii_alphanumeric()
        || matches!(letter, 'À'..='ÿ' | ' ' | '_' | '/' | '<' | '>' | '-' | '.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tags_become_what_kustomer_takes() {
        let raw = [" phone ", "", "#vip", "+49 211", "phone", "Größe", "漢字"].map(str::to_owned);
        assert_eq!(tags(&raw), ["phone", "_vip", "_49 211", "Größe", "__"]);
        let many: Vec<String> = (0..30).map(|n| format!("tag-{n}")).collect();
        assert_eq!(tags(&many).len(), TAGS_MAX);
    }

    #[test]
    fn names_are_one_line() {
        assert_eq!(name(" Ada\n  Example "), "Ada Example");
        assert_eq!(name(&"x".repeat(300)).chars().count(), NAME_CHARS_MAX);
    }

    proptest! {
        #[test]
        fn a_cut_keeps_to_both_limits(text in "\\PC{0,60}", chars in 1_usize..40, bytes in 4_usize..80) {
            let kept = cut(&text, chars, bytes);
            prop_assert!(kept.chars().count() <= chars && kept.len() <= bytes);
            prop_assert!(kept == text || (kept.ends_with(CUT_MARK) && text.starts_with(kept.trim_end_matches(CUT_MARK))));
        }
    }
}
