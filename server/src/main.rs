//! The `millrace` binary.

use std::process::ExitCode;

/// Shards allocate at connection set-up, joins of groups, and admin calls; the hot path reuses its buffers. mimalloc
/// keeps what remains off the kernel's allocator lock.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    millrace::main(|_| {})
}
