//! The `bootstrap` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(bootstrap::commands::run(std::env::args_os()))
}
