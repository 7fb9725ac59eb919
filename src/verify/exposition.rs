//! The text in which programs tell their metrics to Prometheus, as far as counting and summing need it.

/// The series of a metric: its labels, as they are written, and its value.
pub(super) fn series<'a>(text: &'a str, metric: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
    text.lines().filter_map(move |line| {
        let rest = line.strip_prefix(metric)?;
        // A label's value may have any character in it, but after the last brace there are only numbers.
        let (labels, numbers) = match rest.strip_prefix('{') {
            Some(rest) => rest.rsplit_once('}')?,
            None if rest.starts_with(' ') => ("", rest),
            None => return None,
        };
        Some((labels, numbers.split_whitespace().next()?.parse().ok()?))
    })
}

/// The sum of all series of a metric; 0 when there is none.
pub(super) fn sum(text: &str, metric: &str) -> f64 {
    series(text, metric).fold(0.0, |sum, (_, value)| sum + value)
}

/// The value of a label among those of a series.
pub(super) fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    let start = labels.find(&format!("{name}=\""))? + name.len() + 2;
    labels[start..].split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP sent_total What was sent.\n# TYPE sent_total counter\n\
        sent_total{url=\"http://a/{b}\",code=\"200\"} 3\nsent_total{url=\"c\"} 1.5e+01 1764000000\nsent_total_more 7\n\
        plain 2\nbroken{a=\"b\"\n";

    #[test]
    fn series_of_one_metric_are_told_from_those_of_a_longer_name() {
        assert_eq!(sum(TEXT, "sent_total").to_string(), "18");
        assert_eq!(sum(TEXT, "plain").to_string(), "2");
        assert_eq!(sum(TEXT, "nothing").to_string(), "0");
        assert_eq!(series(TEXT, "broken").count(), 0);
        let (labels, _) = series(TEXT, "sent_total").next().expect("a series");
        assert_eq!(label(labels, "code"), Some("200"));
        assert_eq!(label(labels, "host"), None);
    }
}
