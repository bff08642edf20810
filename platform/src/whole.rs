//! Which whole number is this JSON number?

use serde_json::Value;

/// The number, also where it is written with a fraction of zero or an exponent (`8.0`, `1e3`): JSON knows one kind of numbers, and
/// encoders of languages without whole numbers write them so. Such a form is exact up to 2^53 and no whole number of ours beyond.
pub fn whole(value: &Value) -> Option<u64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let float = || value.as_f64().filter(|float| float.fract() == 0.0 && (0.0..=EXACT).contains(float));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is whole and in range")]
    value.as_u64().or_else(|| float().map(|float| float as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_is_the_same_however_it_is_written() {
        let read = |json: &str| whole(&serde_json::from_str(json).unwrap());
        for (json, number) in [
            ("8", 8),
            ("8.0", 8),
            ("8e0", 8),
            ("1E3", 1_000),
            ("0.0", 0),
            ("-0.0", 0),
            ("9007199254740992.0", 1 << 53),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(read(json), Some(number), "{json}");
        }
        for json in ["8.5", "-1", "-1.0", "1e300", "1e16", "\"8\"", "null", "true", "[8]"] {
            assert_eq!(read(json), None, "{json}");
        }
    }
}
