//! How values are written: numbers, sizes, times, origins, lists.

use std::ops::RangeInclusive;

use crate::server::Origins;

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
        Some((scheme, authority)) => {
            !scheme.is_empty() && !authority.is_empty() && !authority.contains('/')
        }
        None => origin == "null",
    };
    if !is_origin {
        return Err(
            "expected SCHEME://HOST[:PORT] without a path, like https://example.org, or any"
                .to_owned(),
        );
    }
    match origins {
        Origins::Any => {}
        Origins::Listed(listed) => listed.push(origin.to_owned()),
        Origins::Own => *origins = Origins::Listed(vec![origin.to_owned()]),
    }
    Ok(())
}

/// A whole number within `range`.
pub(super) fn number(value: &str, range: RangeInclusive<u64>, out: &mut u32) -> Result<(), String> {
    let out_of_range = || format!("out of range; expected {} to {}", range.start(), range.end());
    let number =
        value.parse().ok().filter(|number| range.contains(number)).ok_or_else(out_of_range)?;
    *out = u32::try_from(number).map_err(|_| out_of_range())?;
    Ok(())
}

/// Bytes, with K or M.
pub(super) fn size(value: &str, range: RangeInclusive<u64>, out: &mut u32) -> Result<(), String> {
    let out_of_range =
        || format!("out of range; expected {} to {}, K and M allowed", range.start(), range.end());
    let bytes = scaled(value, &[("K", 1024), ("M", 1024 * 1024), ("", 1)]);
    let bytes = bytes.filter(|bytes| range.contains(bytes)).ok_or_else(out_of_range)?;
    *out = u32::try_from(bytes).map_err(|_| out_of_range())?;
    Ok(())
}

/// Milliseconds, from a time with ms, s or m; 0 is outside of every range and allowed.
pub(super) fn time(value: &str, range: RangeInclusive<u64>, out: &mut u64) -> Result<(), String> {
    let ms = match value {
        "0" => Some(0),
        _ => scaled(value, &[("ms", 1), ("s", 1000), ("m", 60_000)])
            .filter(|ms| *ms == 0 || range.contains(ms)),
    };
    *out = ms.ok_or_else(|| {
        format!(
            "out of range; expected 0, or {}ms to {}ms, with ms, s or m",
            range.start(),
            range.end()
        )
    })?;
    Ok(())
}

/// A number with the first of the units that it ends in.
fn scaled(value: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (digits, unit) = units.iter().find_map(|&(name, unit)| {
        let digits = value.strip_suffix(name)?;
        Some((digits, unit))
    })?;
    digits.parse::<u64>().ok()?.checked_mul(unit)
}
