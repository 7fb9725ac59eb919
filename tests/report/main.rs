//! How runs look: each reporter over the same scripted runs, with the clock in the script.

mod failing;
mod failures;
mod findings;
mod github;
mod json;
mod junit;
mod plain;
mod printer;
mod script;
mod terminal;
