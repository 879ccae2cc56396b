//! The order of keys in Go's libraries: letters behind all else, numbers by value, so that `a2` stands before `a10`.

use super::writer::Version;

/// Sorts by Go's comparison, which is no order for every set of keys: in v2 `a1x` < `a2` < `a10` < `a1x`. Go prints such
/// keys in another order each time, as its maps have none; this prints them in one. The sorts of the standard library
/// may panic here.
pub(super) fn sort<T>(entries: &mut Vec<(&str, T)>, version: Version) {
    if entries.is_sorted_by(|(a, _), (b, _)| !is_less(b, a, version)) {
        return;
    }
    let mut right = entries.split_off(entries.len() / 2);
    sort(entries, version);
    sort(&mut right, version);
    let left = std::mem::take(entries);
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let (Some((a, _)), Some((b, _))) = (left.peek(), right.peek()) {
        let next = if is_less(b, a, version) { right.next() } else { left.next() };
        entries.extend(next);
    }
    entries.extend(left);
    entries.extend(right);
}

fn is_less(a: &str, b: &str, version: Version) -> bool {
    let common = common_prefix(a, b);
    let (before, a_rest, b_rest) = (&a[..common], &a[common..], &b[common..]);
    let (Some(a_first), Some(b_first)) = (a_rest.chars().next(), b_rest.chars().next()) else {
        return a_rest.is_empty() && !b_rest.is_empty();
    };
    match (a_first.is_alphabetic(), b_first.is_alphabetic()) {
        (true, true) => return a_first < b_first,
        (false, false) => {}
        (a_letter, b_letter) => {
            let behind_digit = before.ends_with(|character: char| character.is_ascii_digit());
            return if version == Version::V3 && behind_digit { a_letter } else { b_letter };
        }
    }
    // A zero behind other digits counts: 100 is more than 10.
    let start = i64::from((a_first == '0' || b_first == '0') && ends_with_number(before));
    let (a_number, a_digits) = number(a_rest, start);
    let (b_number, b_digits) = number(b_rest, start);
    (a_number, a_digits, a_first) < (b_number, b_digits, b_first)
}

/// Bytes of the characters that both begin with.
fn common_prefix(a: &str, b: &str) -> usize {
    let same = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    (0..=same).rev().find(|&at| a.is_char_boundary(at) && b.is_char_boundary(at)).unwrap_or(0)
}

fn ends_with_number(text: &str) -> bool {
    text.bytes().rev().take_while(u8::is_ascii_digit).any(|digit| digit != b'0')
}

/// The number that the text begins with, which may wrap around as in Go, and how many digits it has.
fn number(text: &str, start: i64) -> (i64, usize) {
    let digits = text.bytes().take_while(u8::is_ascii_digit);
    digits.fold((start, 0), |(number, count), digit| {
        (number.wrapping_mul(10).wrapping_add(i64::from(digit - b'0')), count + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(version: Version, expected: &[&str]) {
        let mut entries: Vec<(&str, ())> = expected.iter().rev().map(|key| (*key, ())).collect();
        sort(&mut entries, version);
        let keys: Vec<&str> = entries.into_iter().map(|(key, ())| key).collect();
        assert_eq!(keys, expected);
    }

    #[test]
    fn numbers_sort_by_value_and_letters_last() {
        for version in [Version::V2, Version::V3] {
            check(version, &["", "-", "1", "9", "10", "A", "a", "a-b", "a1", "a2", "a10", "aB", "ab", "é"]);
        }
    }

    #[test]
    fn a_letter_behind_a_digit_stands_before_other_characters_in_v3() {
        check(Version::V2, &["a1-b", "a1b"]);
        check(Version::V3, &["a1b", "a1-b"]);
    }
}
