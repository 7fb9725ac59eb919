//! How text is fitted into a terminal: sentences are broken between words, a log loses its oldest lines.

use console::{measure_text_width, truncate_str};

use super::line::{Body, Detail, log_line};

/// How many rows a sentence may have; the cluster's own go on for kilobytes.
const MOST_ROWS: usize = 4;

/// How many cells it may have at least, which on a narrow terminal are more rows.
const LEAST_CELLS: usize = 320;

/// The same of what matters less, and of anything beside the cause where rows are scarce.
const FEW_ROWS: usize = 3;

/// Fewer rows than this are scarce.
const SCARCE: usize = 20;

/// How many rows of a log are shown however little room there is.
const LEAST_LOG: usize = 5;

/// How many lines of a log are shown to their end, the last ones; those before have a row each.
const WHOLE_LINES: usize = 3;

/// Breaks a text between words into rows of at most `width` cells; the second and later ones begin `hang` cells in. A word
/// that is wider than that is left whole, for whoever copies it.
pub(super) fn rows(text: &str, width: usize, hang: usize) -> Vec<String> {
    let mut rows = Vec::new();
    for line in text.lines() {
        let first = if rows.is_empty() { 0 } else { hang };
        rows.extend(line_rows(line, width, first, hang));
    }
    if rows.is_empty() { vec![String::new()] } else { rows }
}

fn line_rows(line: &str, width: usize, first: usize, hang: usize) -> Vec<String> {
    let mut rows = Vec::new();
    let mut row = " ".repeat(first);
    for (place, word) in line.split(' ').enumerate() {
        if place > 0 && measure_text_width(&row) + 1 + measure_text_width(word) > width {
            rows.push(row);
            row = " ".repeat(hang);
        } else if place > 0 {
            row.push(' ');
        }
        row.push_str(word);
    }
    rows.push(row);
    rows
}

/// Sets what stands below a line on a terminal of this width, in about `room` rows.
pub(super) fn details(details: &[Detail], width: usize, room: usize) -> Vec<String> {
    let taken: usize = details.iter().map(|detail| sentences(detail, width, room).len()).sum();
    let mut room_for_log = room.saturating_sub(taken).max(LEAST_LOG);
    let mut rows = Vec::new();
    for detail in details {
        if let Body::Log(lines) = &detail.body {
            rows.extend(log(lines, detail.indent, width, room_for_log));
            // Another log is another object's, which is seldom the cause.
            room_for_log = LEAST_LOG;
        } else {
            rows.extend(sentences(detail, width, room));
        }
    }
    rows
}

fn sentences(detail: &Detail, width: usize, room: usize) -> Vec<String> {
    let most = match &detail.body {
        Body::Whole(_) => return detail.lines(),
        Body::Log(_) => return Vec::new(),
        Body::Event(_) if room < SCARCE => 1,
        Body::Event(_) => FEW_ROWS,
        Body::Words(_) => MOST_ROWS.max(LEAST_CELLS / width.max(1)),
    };
    let hang = detail.indent + 2;
    detail.lines().iter().flat_map(|line| shortened(line, width, hang, most)).collect()
}

/// Breaks a line into a few rows and leaves out the middle: how it begins and how it ends tells most.
fn shortened(line: &str, width: usize, hang: usize, most: usize) -> Vec<String> {
    if most == 1 {
        return vec![truncate_str(line, width, "…").into_owned()];
    }
    let mut rows = line_rows(line, width, 0, hang);
    if rows.len() > most {
        let last = rows.split_off(rows.len() - most / 2);
        rows.truncate(most - last.len());
        if let Some(row) = rows.last_mut() {
            *row = truncate_str(row, width.saturating_sub(2), "").into_owned() + " …";
        }
        rows.extend(last);
    }
    rows
}

/// The last lines of a log, as many as there is room for; the very last one in any case.
fn log(lines: &[String], indent: usize, width: usize, room: usize) -> Vec<String> {
    let pad = " ".repeat(indent);
    let most = if room < SCARCE { FEW_ROWS } else { MOST_ROWS };
    let set = |(place, line): (usize, &String)| {
        let most = if place + WHOLE_LINES < lines.len() { 1 } else { most };
        shortened(&format!("{pad}{}", log_line(line)), width, indent + 4, most)
    };
    let lines: Vec<_> = lines.iter().enumerate().map(set).collect();
    let all: usize = lines.iter().map(Vec::len).sum();
    // One row says that there is more.
    let mut left = if all > room { room - 1 } else { room };
    let mut first = lines.len().saturating_sub(1);
    left = left.saturating_sub(lines.last().map_or(0, Vec::len));
    while first > 0 && lines[first - 1].len() <= left {
        first -= 1;
        left -= lines[first].len();
    }
    let note = match first {
        0 => None,
        1 => Some(format!("{pad}… 1 line before")),
        _ => Some(format!("{pad}… {first} lines before")),
    };
    note.into_iter().chain(lines.into_iter().skip(first).flatten()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_broken_between_words_and_hangs() {
        assert_eq!(rows("one two three four", 9, 2), ["one two", "  three", "  four"]);
        assert_eq!(rows("short", 9, 2), ["short"]);
        assert_eq!(
            rows("a registry.example/very/long b", 9, 2),
            ["a", "  registry.example/very/long", "  b"]
        );
        assert_eq!(rows("  its own\nand more", 20, 4), ["  its own", "    and more"]);
    }

    #[test]
    fn of_a_sentence_without_end_the_middle_is_left_out() {
        let text = format!("begin {}end", "word ".repeat(100));
        for (width, rows) in [(100, MOST_ROWS), (20, 16)] {
            let shown = details(&[Detail::words(0, text.clone())], width, 40);
            assert_eq!(shown.len(), rows);
            let ends = shown[0].starts_with("begin") && shown[rows - 1].ends_with("end");
            assert!(ends && shown[rows / 2 - 1].ends_with('…'), "{shown:?}");
            assert!(shown.iter().all(|row| measure_text_width(row) <= width), "{shown:?}");
        }
        assert_eq!(details(&[Detail { indent: 0, body: Body::Event(text) }], 20, 5).len(), 1);
    }

    #[test]
    fn a_log_gives_way_to_the_rest_but_not_altogether() {
        let lines: Vec<_> = (1..=20).map(|line| format!("line {line}")).collect();
        let log = [Detail::words(0, "log:"), Detail { indent: 2, body: Body::Log(lines) }];
        assert_eq!(details(&log, 80, 40).len(), 21);
        let shown = details(&log, 80, 11);
        assert_eq!((shown.len(), shown[1].as_str()), (11, "  … 11 lines before"));
        assert_eq!(shown[10], "  | line 20");
        assert_eq!(details(&log, 80, 3).len(), 1 + LEAST_LOG);
    }

    #[test]
    fn the_last_line_of_a_log_is_shown_to_its_end() {
        let lines = vec!["one".to_owned(), format!("panic: {}because", "so ".repeat(30))];
        let shown = details(&[Detail { indent: 2, body: Body::Log(lines) }], 30, 4);
        assert_eq!(shown[0], "  | one");
        assert!(shown[1].starts_with("  | panic: so") && shown[3].ends_with("because"), "{shown:?}");
        assert_eq!(shown.len(), 4);
    }
}
