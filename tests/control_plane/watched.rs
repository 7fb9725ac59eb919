//! Runs of `up` that are followed line by line, so that something can be done when they have come so far.

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStderr};

use rustix::process::{Pid, Signal, kill_process};

use crate::Scene;

/// A run of `up` whose lines are read as they come.
pub(crate) struct Watched {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    said: String,
}

impl Watched {
    pub(crate) fn start(scene: &Scene, more: &[&str]) -> Self {
        let mut child = scene.start("up", more);
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        Self { child, lines, said: String::new() }
    }

    /// Reads on until a line says this.
    pub(crate) fn await_line(&mut self, words: &str) {
        for line in self.lines.by_ref().map_while(Result::ok) {
            self.said += &format!("{line}\n");
            if line.contains(words) {
                return;
            }
        }
        panic!("it never said {words:?}:\n{}", self.said);
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("asked").is_none()
    }

    /// Stops it as Ctrl-C does, and gives all that it has said.
    pub(crate) fn interrupt(self) -> String {
        kill_process(Pid::from_child(&self.child), Signal::INT).expect("it is still running");
        self.end(130)
    }

    /// Reads all that is left, and waits for the end, which must be with this exit code.
    pub(crate) fn end(mut self, code: i32) -> String {
        self.said.extend(self.lines.map_while(Result::ok).map(|line| line + "\n"));
        let ended = self.child.wait().expect("it ends").code();
        assert_eq!(ended, Some(code), "{}", self.said);
        self.said
    }
}

/// Runs `up` until a line says this, stops it, and returns what it said: for stacks that cannot become ready.
pub(crate) fn up_to(scene: &Scene, words: &str) -> String {
    let mut up = Watched::start(scene, &["-v"]);
    up.await_line(words);
    up.interrupt()
}
