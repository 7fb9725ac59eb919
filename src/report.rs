//! Temporary.
#![allow(missing_docs, clippy::all, clippy::pedantic)]
use crate::error::Error;
use crate::event::Event;
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    Human,
    Plain,
    Json,
}
#[derive(Clone, Copy, Debug, Default)]
pub enum Color {
    #[default]
    Auto,
    Always,
    Never,
}
#[derive(Clone, Debug)]
pub struct Options {
    pub output: Output,
    pub quiet: bool,
    pub verbose: bool,
}
#[derive(Clone, Debug)]
pub struct Printer;
impl Printer {
    pub fn stdio(_: Color) -> Self {
        Self
    }
    pub fn data(&self, text: &str) -> std::io::Result<()> {
        print!("{text}");
        Ok(())
    }
    pub fn say(&self, text: &str) {
        eprintln!("{text}")
    }
    pub fn error(&self, error: &Error) {
        eprintln!("error: {error} {:?} {:?}", error.causes(), error.hint_text())
    }
}
pub async fn run(
    mut receiver: tokio::sync::mpsc::UnboundedReceiver<Event>,
    _options: &Options,
    _printer: Printer,
) {
    while let Some(event) = receiver.recv().await {
        println!("{:6} {}", event.elapsed_ms, serde_json::to_string(&event.kind).unwrap());
    }
}
