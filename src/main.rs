//! The `lockstep` command.

use std::process::ExitCode;

/// How much it keeps of what is given back is set where it runs, by `_RJEM_MALLOC_CONF`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    lockstep::cli::run()
}
