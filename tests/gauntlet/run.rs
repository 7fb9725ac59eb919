//! Runs one case: starts `up`, waits for the sign, lends a hand, and judges how it ended.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Child;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::Gauntlet;
use crate::case::{Case, Sign};
use crate::course::{Course, Wrongs};
use crate::hands;
use crate::record::record;
use crate::table::{Ending, Row};
use crate::watch::Seen;

/// How long after its sign `up` is waited for that should have ended; then it is told to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long after the end of `up` the watch may tell of the sign: it is another program, and may be told later.
const LATE: Duration = Duration::from_secs(10);

/// What a case hears of.
enum Heard {
    /// A state of an object of its namespace, or of none.
    Seen(Seen),
    /// A line of `up`'s stdout, and when it came.
    Said(Instant, String),
    /// `up` has ended, and said this on stderr.
    Ended(String),
}

/// Runs a case to its end; gives how it ended, and with what was wrong all that `up` said.
pub(crate) fn run(case: &'static Case, gauntlet: &Gauntlet) -> (Ending, String) {
    hands::before(case, gauntlet);
    let (sender, receiver) = channel();
    listen(case, gauntlet, sender.clone());
    let began = Instant::now();
    let mut up = gauntlet.up(&case.folder(), case.timeout);
    hear(&mut up, sender);
    let mut course = follow(case, gauntlet, &up, &receiver);
    course.code = up.wait().expect("the command ends").code();
    hands::after(case, gauntlet);
    let Wrongs { grave, of_time } = course.wrongs(case);
    let ending = match (&grave[..], &of_time[..]) {
        ([], []) => Ending::Right,
        ([], _) => Ending::Slow,
        _ => Ending::Wrong,
    };
    gauntlet.table.lock().expect("no panic").push(Row {
        case,
        code: course.code,
        to_verdict: course.to_verdict(case),
        took: began.elapsed(),
        cause: [&of_time[..], &[course.cause()]].concat().join("; "),
        ending,
    });
    (ending, format!("{}\n{}", [grave, of_time].concat().join("\n"), course.said()))
}

/// Hands on what the watch sees of the case's namespace, and of no namespace.
fn listen(case: &Case, gauntlet: &Gauntlet, sender: Sender<Heard>) {
    let namespace = case.namespace();
    gauntlet.watch.listen(move |seen| {
        let home = &seen.object["metadata"]["namespace"];
        let is_ours = home.is_null() || *home == *namespace;
        !is_ours || sender.send(Heard::Seen(seen)).is_ok()
    });
}

/// Hands on what `up` says, line by line, and that it has ended.
fn hear(up: &mut Child, sender: Sender<Heard>) {
    let stdout = BufReader::new(up.stdout.take().expect("piped"));
    let mut stderr = up.stderr.take().expect("piped");
    let errors = thread::spawn(move || {
        let mut text = String::new();
        drop(stderr.read_to_string(&mut text));
        text
    });
    thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            drop(sender.send(Heard::Said(Instant::now(), line)));
        }
        drop(sender.send(Heard::Ended(errors.join().unwrap_or_default())));
    });
}

/// Follows a run until `up` has ended and its sign was seen.
fn follow(case: &Case, gauntlet: &Gauntlet, up: &Child, receiver: &Receiver<Heard>) -> Course {
    let mut course = Course::default();
    let mut told_to_stop = false;
    let mut ended: Option<Instant> = None;
    loop {
        let is_whole = course.sign.is_some() || !case.needs_sign();
        if ended.is_some_and(|ended| is_whole || ended.elapsed() > LATE) {
            return course;
        }
        let heard = receiver.recv_timeout(Duration::from_secs(1));
        let overdue = course.sign.is_some_and(|sign| sign.elapsed() > PATIENCE) && case.exit == 5;
        if overdue && course.verdict.is_none() && !told_to_stop {
            told_to_stop = true;
            // It may have ended just now.
            let _ = kill_process(Pid::from_child(up), Signal::INT);
        }
        match heard {
            Ok(Heard::Seen(seen)) => {
                course.see(&seen);
                if course.sign.is_none() && case.sign.is_in(&seen.object) {
                    course.sign = Some(seen.at);
                    if gauntlet.recording {
                        record(&gauntlet.bench, case);
                    }
                    if ended.is_none() {
                        course.lent = Some(Instant::now());
                        hands::at_sign(case, gauntlet);
                    }
                }
            }
            Ok(Heard::Said(at, line)) => {
                if matches!(case.sign, Sign::Start) {
                    course.sign.get_or_insert(at);
                }
                course.hear(at, line);
            }
            Ok(Heard::Ended(stderr)) => {
                course.errors = stderr;
                ended = Some(Instant::now());
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return course,
        }
    }
}
