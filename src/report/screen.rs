//! A terminal as indicatif draws on it, with two manners of our own.
//!
//! Indicatif fills each line with spaces to the edge. Here a line ends where its text ends, so that a copied line is clean,
//! a narrowed window does not wrap, and the `^C` that a terminal echoes stands behind the last line, where the next
//! drawing wipes it away. And what is drawn in several goes is shown in one, so that nothing flickers.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::TermLike;

/// A terminal that ends its lines early and shows them at once; its clones share it.
#[derive(Clone, Debug)]
pub(super) struct Screen<T> {
    term: T,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The cursor stands behind a line's text: whatever comes next begins a new line.
    ended: AtomicBool,
    held: AtomicBool,
}

impl<T: TermLike> Screen<T> {
    pub(super) fn new(term: T) -> Self {
        Self { term, state: Arc::default() }
    }

    /// Does several things that are shown at once.
    pub(super) fn at_once(&self, draw: impl FnOnce()) {
        self.state.held.store(true, Ordering::Relaxed);
        draw();
        self.state.held.store(false, Ordering::Relaxed);
        let _ = self.flush();
    }

    /// Writes lines below all that is there, and stands on a new line after them.
    pub(super) fn close_with(&self, text: &str) {
        let _ = self.begin_line();
        for line in text.lines() {
            let _ = self.term.write_line(line);
        }
        let _ = self.flush();
    }

    fn begin_line(&self) -> io::Result<()> {
        if self.state.ended.swap(false, Ordering::Relaxed) { self.term.write_line("") } else { Ok(()) }
    }
}

impl<T: TermLike> TermLike for Screen<T> {
    fn width(&self) -> u16 {
        self.term.width()
    }

    fn height(&self) -> u16 {
        self.term.height()
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.term.move_cursor_up(n)
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.term.move_cursor_down(n)
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.term.move_cursor_right(n)
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.term.move_cursor_left(n)
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.begin_line()?;
        self.term.write_line(text)
    }

    /// Writes a text, or for indicatif's filling (spaces, perhaps none) remembers that the line has ended.
    fn write_str(&self, text: &str) -> io::Result<()> {
        if text.bytes().all(|byte| byte == b' ') {
            self.state.ended.store(true, Ordering::Relaxed);
            return Ok(());
        }
        self.begin_line()?;
        self.term.write_str(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.state.ended.store(false, Ordering::Relaxed);
        self.term.clear_line()
    }

    fn flush(&self) -> io::Result<()> {
        if self.state.held.load(Ordering::Relaxed) { Ok(()) } else { self.term.flush() }
    }
}
