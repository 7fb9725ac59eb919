//! How long something may take, as a person writes it.

use std::time::Duration;

/// Longer than anybody waits, and short enough to be added to any time.
const MOST: Duration = Duration::from_hours(365 * 24);

/// Reads a time such as `10m` or `1h 30m`.
///
/// # Errors
/// What is wrong with it, in a few words.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time <= MOST { Ok(time) } else { Err("it is longer than a year".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_at_most_a_year() {
        assert_eq!(parse("1h 30m"), Ok(Duration::from_mins(90)));
        assert_eq!(parse("365d"), Ok(MOST));
        for text in ["366d", "10000000000000000000s", "99999999999y"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
