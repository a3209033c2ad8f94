//! The program `mockbroker`, built for the tests of this package: cargo tells a test where the programs of its own package are.

use std::process::ExitCode;

fn main() -> ExitCode {
    mockbroker::cli::main()
}
