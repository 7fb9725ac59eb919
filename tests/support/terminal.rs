//! The command on a terminal of its own, as a person has it: what is shown there, and what is typed.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// How long a text may take to be shown.
const PATIENCE: Duration = Duration::from_secs(30);

/// A command that runs on a terminal.
pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    shown: Arc<Shown>,
}

#[derive(Default)]
struct Shown {
    text: Mutex<(String, bool)>,
    changed: Condvar,
}

impl Terminal {
    /// Starts a command on a terminal with so many columns, of a kind that can do all, unless the command says which it is.
    pub(crate) fn start(mut command: Command, columns: u16) -> Self {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("unlocked");
        let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).expect("a size");
        let name = ptsname(&master, Vec::new()).expect("a name");
        let path = Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()));
        let open = || OpenOptions::new().read(true).write(true).open(path).expect("the other end");
        if !command.get_envs().any(|(name, _)| name == "TERM") {
            command.env("TERM", "xterm-256color");
        }
        command.stdin(open()).stdout(open()).stderr(open());
        let child = command.spawn().expect("the command starts");
        // The command's own copies of the other end: while one is open, the terminal is.
        drop(command);
        let keyboard = File::from(master);
        let mut screen = keyboard.try_clone().expect("a copy");
        let shown = Arc::new(Shown::default());
        let writes = Arc::clone(&shown);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The end of a terminal is an error.
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                writes.text.lock().expect("no panic").0 += &String::from_utf8_lossy(&bytes[..count]);
                writes.changed.notify_all();
            }
            writes.text.lock().expect("no panic").1 = true;
            writes.changed.notify_all();
        });
        Self { child, keyboard, shown }
    }

    /// Waits until a text is shown.
    pub(crate) fn await_text(&self, text: &str) {
        let guard = self.shown.text.lock().expect("no panic");
        let waiting = |shown: &mut (String, bool)| !shown.0.contains(text) && !shown.1;
        let (guard, _) = self.shown.changed.wait_timeout_while(guard, PATIENCE, waiting).expect("no panic");
        assert!(guard.0.contains(text), "{text:?} is not shown:\n{}", guard.0);
    }

    /// Types a line.
    pub(crate) fn type_line(&mut self, line: &str) {
        self.keyboard.write_all(format!("{line}\n").as_bytes()).expect("typed");
    }

    /// Waits for the command's end: its exit code, and all that was shown.
    pub(crate) fn end(mut self) -> (i32, String) {
        let status = self.child.wait().expect("the command ends");
        let guard = self.shown.text.lock().expect("no panic");
        let (guard, _) =
            self.shown.changed.wait_timeout_while(guard, PATIENCE, |shown| !shown.1).expect("no panic");
        (status.code().unwrap_or(-1), guard.0.clone())
    }
}
