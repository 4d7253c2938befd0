//! How values are written: numbers, sizes, times, origins, lists.

use std::ops::RangeInclusive;

use crate::chat::Origins;
use crate::limits::TITLE_CHARS_MAX;

/// The least and the greatest value of a number.
type Range = RangeInclusive<u64>;

/// The parts of a list, which commas or spaces separate.
pub(super) fn parts(list: &str) -> impl Iterator<Item = &str> {
    list.split([',', ' ']).filter(|part| !part.is_empty())
}

/// `SCHEME://HOST[:PORT]`, `null` or `any`, in addition to what is admitted already.
pub(super) fn add_origin(origins: &mut Origins, origin: &str) -> Result<(), String> {
    if origin == "any" {
        *origins = Origins::Any;
        return Ok(());
    }
    let is_origin = match origin.split_once("://") {
        Some(("", _) | (_, "")) => false,
        Some((_, authority)) => !authority.contains('/'),
        None => origin == "null",
    };
    if !is_origin {
        let forms =
            "SCHEME://HOST[:PORT] without a path, like https://example.org, or null, or any";
        return Err(format!("expected {forms}"));
    }
    match origins {
        Origins::Any => {}
        Origins::Listed(listed) => listed.push(origin.to_owned()),
        Origins::Own => *origins = Origins::Listed(vec![origin.to_owned()]),
    }
    Ok(())
}

/// One line of text.
pub(super) fn title(text: &str, out: &mut Option<String>) -> Result<(), String> {
    let text = text.trim();
    if text.is_empty() || text.contains(char::is_control) || text.chars().count() > TITLE_CHARS_MAX
    {
        return Err(format!("expected one line of 1 to {TITLE_CHARS_MAX} characters"));
    }
    *out = Some(text.to_owned());
    Ok(())
}

/// Names of units, each with its factor.
type Units<'u> = &'u [(&'u str, u64)];

/// A whole number within `range`.
pub(super) fn number<T: TryFrom<u64>>(text: &str, range: Range, out: &mut T) -> Result<(), String> {
    put(scaled(text, "number", &[("", 1)], &range, false), out)
}

/// Bytes, with K or M.
pub(super) fn size(value: &str, range: Range, out: &mut u32) -> Result<(), String> {
    let units = [("M", 1024 * 1024), ("K", 1024), ("", 1)];
    put(scaled(value, "size", &units, &range, false), out)
}

/// Milliseconds, from a time with ms, s or m; 0 is outside of every range and allowed.
pub(super) fn time(value: &str, range: Range, out: &mut u64) -> Result<(), String> {
    if is_integer(value) && value.bytes().any(|digit| digit != b'0') {
        return Err(format!("'{value}' has no unit; try {value}s"));
    }
    let units = [("m", 60_000), ("s", 1000), ("ms", 1), ("", 1)];
    put(scaled(value, "time", &units, &range, true), out)
}

fn put<T: TryFrom<u64>>(read: Result<u64, String>, out: &mut T) -> Result<(), String> {
    *out = read?.try_into().map_err(|_| "out of range")?;
    Ok(())
}

/// A whole number in one of the units, within a range or 0 where `is_zero_allowed`.
fn scaled(
    value: &str,
    kind: &str,
    units: Units<'_>,
    range: &Range,
    is_zero_allowed: bool,
) -> Result<u64, String> {
    // An end of the range is written in the first of the units that divides it.
    let written = |end: &u64| {
        let unit = units.iter().find(|(_, unit)| end.is_multiple_of(*unit));
        unit.map_or(end.to_string(), |(name, unit)| format!("{}{name}", end / unit))
    };
    let zero = if is_zero_allowed { "0, or " } else { "" };
    let expected = format!("expected {zero}{} to {}", written(range.start()), written(range.end()));
    let split = |&(name, unit): &(&str, u64)| Some((value.strip_suffix(name)?, unit));
    let (digits, unit) = units
        .iter()
        .filter_map(split)
        .find(|(digits, _)| is_integer(digits))
        .ok_or_else(|| format!("'{value}' is not a {kind}; {expected}"))?;
    let number = digits.parse().ok().and_then(|number: u64| number.checked_mul(unit));
    let is_valid = |number: &u64| range.contains(number) || (*number == 0 && is_zero_allowed);
    number.filter(is_valid).ok_or_else(|| format!("out of range; {expected}"))
}

/// Whether this is a whole number, of whatever size and sign.
fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())
}
