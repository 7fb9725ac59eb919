//! Colour, where it is wanted. It only ever underlines what the words say already.

use console::Style;

/// Paints words for one stream, or leaves them as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// Paints if `on`.
    #[must_use]
    pub fn new(on: bool) -> Self {
        Self { on }
    }

    /// What went well.
    #[must_use]
    pub fn good(self, text: &str) -> String {
        self.with(Style::new().green(), text)
    }

    /// What went wrong.
    #[must_use]
    pub fn bad(self, text: &str) -> String {
        self.with(Style::new().red().bold(), text)
    }

    /// What should be looked at.
    #[must_use]
    pub fn attention(self, text: &str) -> String {
        self.with(Style::new().yellow(), text)
    }

    /// What can be done, and what is being done.
    #[must_use]
    pub fn active(self, text: &str) -> String {
        self.with(Style::new().cyan(), text)
    }

    /// What carries the line.
    #[must_use]
    pub fn strong(self, text: &str) -> String {
        self.with(Style::new().bold(), text)
    }

    /// What may be passed over.
    #[must_use]
    pub fn faint(self, text: &str) -> String {
        self.with(Style::new().dim(), text)
    }

    fn with(self, style: Style, text: &str) -> String {
        style.force_styling(self.on).apply_to(text).to_string()
    }
}
