//! Files that the operator names.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// The text of a file that has at most so many bytes.
///
/// # Errors
/// Why it cannot be had; a sentence with what to do.
pub fn read_text(path: &Path, bytes_max: usize) -> Result<String, String> {
    let say = |why: String| Err(format!("{}: {why}", path.display()));
    let mut text = String::new();
    // What has no end is read only so far.
    let whole = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let read = File::open(path).and_then(|file| file.take(whole).read_to_string(&mut text));
    match read {
        Ok(len) if len <= bytes_max => Ok(text),
        Ok(_) => say(format!("the text is over {bytes_max} bytes; shorten it")),
        Err(error) => {
            let advice = "it must be UTF-8 text that the user of the server may read";
            say(format!("cannot be read: {error}; {advice}"))
        }
    }
}
