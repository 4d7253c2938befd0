//! A list that fails, made short.

use std::time::Instant;

/// Leaves out what a list does not need to fail, until no single item can be left out, or the
/// time is over: large pieces first, single items last (delta debugging, Zeller and Hildebrandt,
/// 2002).
pub(crate) fn shorten<T: Clone>(
    items: &mut Vec<T>,
    until: Instant,
    mut fails: impl FnMut(&[T]) -> bool,
) {
    let mut piece = items.len().div_ceil(2);
    while piece > 0 {
        let before = items.len();
        let mut at = 0;
        while at < items.len() {
            if Instant::now() >= until {
                return;
            }
            let end = (at + piece).min(items.len());
            let rest = [&items[..at], &items[end..]].concat();
            if fails(&rest) {
                *items = rest;
            } else {
                at = end;
            }
        }
        // What was needed before may not be any more, now that something else is gone.
        let is_done = piece == 1 && items.len() == before;
        piece = if is_done { 0 } else { (piece / 2).max(1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn what_is_needed_stays_in_its_order() {
        let mut items: Vec<u32> = (0..1_000).collect();
        shorten(&mut items, later(), |rest| [3, 500, 999].iter().all(|item| rest.contains(item)));
        assert_eq!(items, [3, 500, 999]);
    }

    #[test]
    fn what_only_others_needed_goes_with_them() {
        // Fails with 9, unless there is a 5 without a 6.
        let fails = |rest: &[u32]| rest.contains(&9) && (!rest.contains(&5) || rest.contains(&6));
        let mut items: Vec<u32> = (0..20).collect();
        shorten(&mut items, later(), fails);
        assert_eq!(items, [9]);
    }

    #[test]
    fn it_ends_when_its_time_is_over() {
        let mut items: Vec<u32> = (0..1_000).collect();
        shorten(&mut items, Instant::now(), |_| panic!("there is no time to try"));
        assert_eq!(items.len(), 1_000);
    }
}
