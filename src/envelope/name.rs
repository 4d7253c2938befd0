//! What people and rooms may be called.
//!
//! A name is shown next to every message, so no name may look like another by invisible means,
//! turn the line around it, or move the cursor of a terminal that shows the log.

use std::borrow::Cow;

use crate::clock::Now;

/// The name for `raw`, or `None` where nothing of it remains.
///
/// Strips characters that are [invisible](is_invisible), then white space at both ends, then what
/// is beyond `chars_max` characters. Idempotent; the result is never longer than `raw`.
pub fn clean(raw: &str, chars_max: usize) -> Option<String> {
    // Plain ASCII is visible, and nearly all names are that.
    let visible: Cow<'_, str> = match raw.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        true => raw.into(),
        false => raw.chars().filter(|&char| !is_invisible(char)).collect(),
    };
    let trimmed = visible.trim();
    let end = trimmed.char_indices().nth(chars_max).map_or(trimmed.len(), |(end, _)| end);
    let name = trimmed[..end].trim_end();
    (!name.is_empty()).then(|| name.to_owned())
}

/// The name of somebody who gave none: `Anon_HHmmss` in local time.
pub fn anonymous(now: Now) -> String {
    format!("Anon_{}", now.local_hhmmss())
}

/// Control characters, bidirectional controls, line separators, and everything else that Unicode
/// 17 calls `Default_Ignorable_Code_Point` (DerivedCoreProperties.txt): what a renderer shows as
/// nothing. The blank Braille pattern is not among those, but looks the same.
pub fn is_invisible(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{00ad}' | '\u{034f}' | '\u{061c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::USERNAME_CHARS_MAX;

    fn clean(raw: &str) -> Option<String> {
        super::clean(raw, USERNAME_CHARS_MAX)
    }

    #[test]
    fn invisible_characters_are_stripped_before_trimming() {
        for (raw, name) in [
            ("alice", Some("alice")),
            ("  alice\t", Some("alice")),
            ("\u{200b} al\u{200d}ice \u{feff}", Some("alice")),
            ("\u{202e}ecila\u{202c}", Some("ecila")),
            ("al\u{0}ic\u{1b}[31me", Some("alic[31me")),
            ("two words", Some("two words")),
            ("\u{200b}\u{2066} \u{ad}", None),
            ("", None),
            ("日本 語", Some("日本 語")),
        ] {
            assert_eq!(clean(raw).as_deref(), name, "{raw:?}");
        }
    }

    #[test]
    fn a_long_name_is_cut_and_stays_clean() {
        let name = clean(&format!("{} b", "ä".repeat(USERNAME_CHARS_MAX - 1))).unwrap();
        assert_eq!(name, "ä".repeat(USERNAME_CHARS_MAX - 1), "no space is left at the cut");
        assert_eq!(clean(&name).as_deref(), Some(&name[..]));
    }

    #[test]
    fn the_anonymous_get_the_local_time() {
        let now = Now { mono_ms: 0, unix_ms: 1_700_000_000_000, utc_offset_s: 3600 };
        assert_eq!(anonymous(now), "Anon_231320");
    }
}
