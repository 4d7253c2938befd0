//! placeholder
use super::summary::Summary;
pub fn draw(_summaries: &[Summary]) -> Option<String> {
    None
}
