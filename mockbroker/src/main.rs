//! The `mockbroker` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    mockbroker::cli::main()
}
