//! The last line of a run: how it ended, what it changed, where the time went, and which steps did not get there.

use super::ledger::Ledger;
use super::line::{Detail, Line, Weight};
use super::paint::Paint;
use super::phrases;
use crate::error::Exit;
use crate::event::{Chain, Kind, Tally};

/// Where the time went is told of runs of at least so many milliseconds.
const WORTH_EXPLAINING: u64 = 3_000;

/// A part of the time that is shorter, in milliseconds, is not told.
const WORTH_TELLING: u64 = 100;

/// Tells how a run ended; `None` where it has not.
pub(super) fn line(kind: &Kind, ledger: &Ledger, paint: Paint) -> Option<Line> {
    let Kind::RunFinished { exit_code, tally, took_ms, notes, longest, .. } = kind else { return None };
    let (text, details) = if *exit_code != Exit::Success.code() {
        (badly(*exit_code, *tally, *took_ms, paint), accounts(ledger))
    } else if ledger.foreseen != Tally::default() {
        (foreseen(ledger.foreseen, *took_ms, paint), Vec::new())
    } else if tally.changed() {
        let notes = notes.iter().map(|note| Detail::whole(0, note)).collect();
        (well(*tally, *took_ms, longest.as_ref(), paint), notes)
    } else {
        let found = found(*tally, ledger.releases_unchanged);
        (paint.good(&format!("nothing to do{found} ({})", phrases::duration(*took_ms))), Vec::new())
    };
    Some(Line { details, ..Line::new(text).weighing(Weight::Always) })
}

fn well(tally: Tally, took_ms: u64, chain: Option<&Chain>, paint: Paint) -> String {
    let took = phrases::duration(took_ms);
    let text = format!("{} in {took}: {}", paint.good("done"), phrases::tally(tally));
    match chain {
        Some(chain) if took_ms >= WORTH_EXPLAINING => format!("{text}; {}", longest(chain)),
        _ => text,
    }
}

/// Where the time went: `longest: storage → prometheus 38.0s, of it 21.4s image pulls and 12.0s starts`.
fn longest(chain: &Chain) -> String {
    let parts = [(chain.pulls_ms, "image pulls"), (chain.starts_ms, "starts")];
    let told = parts.iter().filter(|(part_ms, _)| *part_ms >= WORTH_TELLING);
    let told: Vec<_> =
        told.map(|(part_ms, what)| format!("{} {what}", phrases::duration(*part_ms))).collect();
    let parts = if told.is_empty() { String::new() } else { format!(", of it {}", told.join(" and ")) };
    format!("longest: {} {}{parts}", chain.steps.join(" → "), phrases::duration(chain.took_ms))
}

/// What a run that changed nothing has found: `, 31 objects and 2 releases unchanged`.
fn found(tally: Tally, releases: u32) -> String {
    let releases = releases.min(tally.unchanged);
    let counts = [(tally.unchanged - releases, "object"), (releases, "release")];
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    let counts: Vec<_> = counts.map(|(count, noun)| phrases::count(*count, noun)).collect();
    let kept = if tally.kept > 0 { format!(", {} kept", tally.kept) } else { String::new() };
    if counts.is_empty() { kept } else { format!(", {} unchanged{kept}", counts.join(" and ")) }
}

/// What a run that changed nothing would do.
fn foreseen(tally: Tally, took_ms: u64, paint: Paint) -> String {
    let counts = [("delete", tally.deleted), ("keep", tally.kept)];
    let counts = counts.iter().filter(|(_, count)| *count > 0);
    let counts: Vec<_> = counts.map(|(what, count)| format!("{what} {count}")).collect();
    let nothing = paint.good("nothing was changed");
    format!("{nothing}: down would {} ({})", counts.join(" and "), phrases::duration(took_ms))
}

fn badly(exit_code: u8, tally: Tally, took_ms: u64, paint: Paint) -> String {
    let how = if exit_code == Exit::Interrupted.code() {
        "interrupted after"
    } else if exit_code == Exit::Timeout.code() {
        "out of time after"
    } else {
        "failed after"
    };
    let changes = if tally.changed() { phrases::tally(tally) } else { "nothing was changed".to_owned() };
    format!("{} {}: {changes}", paint.bad(how), phrases::duration(took_ms))
}

/// Which steps are done, which failed, and which were not judged.
fn accounts(ledger: &Ledger) -> Vec<Detail> {
    let named = [("done", ledger.ready()), ("failed", ledger.failed())];
    let named = named.into_iter().filter(|(_, steps)| !steps.is_empty());
    let named = named.map(|(what, steps)| format!("{what}: {}", steps.join(", ")));
    let left = ledger.not_judged().into_iter().map(|(why, steps)| {
        let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
        format!("not judged: {}{why}", steps.join(", "))
    });
    named.chain(left).map(|text| Detail::words(0, text)).collect()
}
