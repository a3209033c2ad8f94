//! Values as text. Each function says what it would have taken.

use std::{ops::RangeInclusive, str::FromStr, time::Duration};

/// What a setter says of a value that cannot be meant.
pub(super) type Taken = Result<(), String>;

/// Where Java has -1 and librdkafka 0 for "never": ten years, which can be added to a clock.
pub(super) const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

pub(super) fn number<T>(value: &str, range: RangeInclusive<T>) -> Result<T, String>
where
    T: FromStr + PartialOrd + std::fmt::Display,
{
    let (least, most) = (range.start(), range.end());
    let number = value.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("is {value:?}; it has to be a number from {least} to {most}"))
}

pub(super) fn flag(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("is {value:?}; it has to be true or false")),
    }
}

/// Milliseconds. librdkafka takes fractions of `linger.ms`, so fractions are taken.
pub(super) fn millis(value: &str) -> Result<Duration, String> {
    let milliseconds = value.parse::<f64>().ok().filter(|it| (0.0..=i64::MAX as f64).contains(it));
    let milliseconds = milliseconds.ok_or_else(|| format!("is {value:?}; it has to be milliseconds, 0 or more"))?;
    Ok(Duration::from_micros((milliseconds * 1000.0) as u64).min(NEVER))
}

/// Milliseconds, or never.
pub(super) fn millis_or(never: &[&str], value: &str) -> Result<Duration, String> {
    if never.contains(&value) { Ok(NEVER) } else { millis(value) }
}

/// One of these words, whatever its case.
pub(super) fn word<T: Copy>(value: &str, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(value));
    found.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let words = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        format!("is {value:?}; it has to be one of {words}")
    })
}

/// An ISO 8601 duration of days and less, as in `by_duration:P1DT2H` (`java.time.Duration.parse`).
pub(super) fn iso_duration(value: &str) -> Option<Duration> {
    let upper = value.to_ascii_uppercase();
    let rest = upper.strip_prefix('P')?;
    let (days, time) = rest.split_once('T').unwrap_or((rest, ""));
    if days.is_empty() && time.is_empty() {
        return None;
    }
    let mut seconds = 0.0;
    for (mut part, units) in [(days, &[('D', 86_400.0)][..]), (time, &[('H', 3600.0), ('M', 60.0), ('S', 1.0)][..])] {
        for (unit, length) in units {
            if let Some((count, after)) = part.split_once(*unit) {
                seconds += count.parse::<f64>().ok().filter(|count| *count >= 0.0)? * length;
                part = after;
            }
        }
        if !part.is_empty() {
            return None;
        }
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_java_reads_them() {
        for (text, seconds) in [("P1D", 86_400.0), ("PT1H30M", 5400.0), ("pt0.5s", 0.5), ("P2DT3S", 172_803.0)] {
            assert_eq!(iso_duration(text), Some(Duration::from_secs_f64(seconds)), "{text}");
        }
        for text in ["", "P", "1D", "PT", "P1Y", "PT1D", "PT-1S", "PT1S1M", "PTxS"] {
            assert_eq!(iso_duration(text), None, "{text}");
        }
    }

    #[test]
    fn milliseconds_may_have_fractions_and_no_sign() {
        assert_eq!(millis("0.5").unwrap(), Duration::from_micros(500));
        assert_eq!(millis_or(&["-1"], "-1").unwrap(), NEVER);
        for value in ["-1", "5s", "", "NaN", "inf"] {
            assert!(millis(value).unwrap_err().contains("milliseconds"), "{value}");
        }
    }
}
