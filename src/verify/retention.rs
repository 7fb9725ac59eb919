//! How long a store keeps what it was given, in whichever way it is written: `7d` and `1w`, `4GB` and `4GiB` are the same.

use serde_json::Value;

use super::check::{Verdict, failed};
use super::program::UP;

/// What is written in a configuration, and what a program says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Retention {
    milliseconds: Option<u64>,
    bytes: Option<u64>,
    /// As it was written.
    text: String,
}

/// Prometheus' own words for it, such as `1w or 4GiB`.
pub(super) fn of_prometheus(text: &str) -> Retention {
    let parts = || text.split(" or ");
    Retention {
        milliseconds: parts().find_map(milliseconds),
        bytes: parts().find_map(bytes),
        text: text.to_owned(),
    }
}

/// `{time: 7d, size: 4GB}` of prometheus.yml; `None` when it says neither.
pub(super) fn of_config(config: &Value) -> Option<Retention> {
    let (time, size) = (config["time"].as_str(), config["size"].as_str());
    if time.is_none() && size.is_none() {
        return None;
    }
    Some(Retention {
        milliseconds: time.and_then(milliseconds),
        bytes: size.and_then(bytes),
        text: [time, size].into_iter().flatten().collect::<Vec<_>>().join(" or "),
    })
}

/// A time alone, as Loki has it.
pub(super) fn of_time(text: &str) -> Retention {
    Retention { milliseconds: milliseconds(text), bytes: None, text: text.to_owned() }
}

/// Passes when a program keeps what the stack says that it should.
pub(super) fn compare(program: &str, has: &Retention, wants: &Retention) -> Verdict {
    if (has.milliseconds, has.bytes) == (wants.milliseconds, wants.bytes) {
        return Ok(format!("{program} keeps {}", wants.text));
    }
    let has = if has.text.is_empty() { "everything" } else { &has.text };
    Err(failed(format!("{program} keeps {has}, and not {} as the stack says", wants.text)).hint(UP))
}

/// A duration as Prometheus and Loki write it: `1w2d`, `168h`, `168h0m0s`.
fn milliseconds(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 7] = [
        ("ms", 1),
        ("y", 365 * 86_400_000),
        ("w", 7 * 86_400_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
    ];
    total(text, &UNITS)
}

/// A size as Prometheus writes it; its units are powers of 1024 with and without the `i`.
fn bytes(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 11] = [
        ("KiB", 1 << 10),
        ("KB", 1 << 10),
        ("MiB", 1 << 20),
        ("MB", 1 << 20),
        ("GiB", 1 << 30),
        ("GB", 1 << 30),
        ("TiB", 1 << 40),
        ("TB", 1 << 40),
        ("PiB", 1 << 50),
        ("PB", 1 << 50),
        ("B", 1),
    ];
    total(text, &UNITS)
}

/// The sum of numbers, each with its unit; `None` for anything else.
fn total(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let mut rest = text.trim();
    let mut total = 0;
    loop {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let (unit, size) = units.iter().find(|(unit, _)| rest.starts_with(unit))?;
        total += number * size;
        rest = &rest[unit.len()..];
        if rest.is_empty() {
            return Some(total);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_same_retention_in_other_words_is_the_same() {
        let wants = of_config(&json!({"time": "7d", "size": "4GB"})).expect("a retention");
        assert_eq!(compare("P", &of_prometheus("1w or 4GiB"), &wants), Ok("P keeps 7d or 4GB".to_owned()));
        assert!(compare("P", &of_prometheus("15d"), &wants).is_err());
        assert!(compare("P", &of_prometheus("1w or 5GiB"), &wants).is_err());
        assert_eq!(compare("L", &of_time("1w"), &of_time("168h")), Ok("L keeps 168h".to_owned()));
        assert_eq!(of_config(&Value::Null), None);
    }

    #[test]
    fn durations_and_sizes_are_sums() {
        assert_eq!(milliseconds("1d12h"), Some(129_600_000));
        assert_eq!(milliseconds("168h0m0s"), Some(604_800_000));
        assert_eq!(milliseconds("250ms"), Some(250));
        assert_eq!((milliseconds("4GB"), milliseconds(""), milliseconds("7")), (None, None, None));
        assert_eq!(bytes("512MB"), Some(536_870_912));
    }
}
