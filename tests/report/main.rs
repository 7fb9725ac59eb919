//! How runs look: each reporter over the same scripted runs, with the clock in the script.

mod json;
mod plain;
mod printer;
mod script;
mod terminal;
