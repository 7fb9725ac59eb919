//! The `bootstrap` command.

use std::alloc::System;
use std::process::ExitCode;

use zeroizing_alloc::ZeroAlloc;

/// Wipes all memory that is freed: copies of secrets are made where none of this program's own types can reach.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    ExitCode::from(bootstrap::commands::run(std::env::args_os()))
}
