//! The `vmferry` command: arguments, rendering, progress. What it does is in
//! the `vmferry` library.

mod answer;
mod args;
mod command;
mod confirm;
mod counting;
mod interrupt;
mod log;
mod progress;
mod render;

use std::process::ExitCode as ProcessExitCode;

use clap::Parser as _;
use tracing_subscriber::filter::LevelFilter;
use vmferry::core::ExitCode;

use crate::args::{Cli, Command};

fn main() -> ProcessExitCode {
    let cli = Cli::parse();
    // A guard must set its signal mask before any thread is started.
    if let Command::Guard { state, move_id } = &cli.command {
        // Its standard error is a file of the move.
        log::write(log::level(cli.global.verbose).max(LevelFilter::INFO));
        return finish(command::guard::run(state, move_id));
    }
    log::write(log::level(cli.global.verbose));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(command::run(&cli));
            // A helper thread stuck in a system call must not keep the process.
            runtime.shutdown_background();
            result
        }
        Err(source) => Err(vmferry::Error::Io {
            what: "starting threads".into(),
            source,
        }),
    };
    finish(result)
}

fn finish(result: Result<ExitCode, vmferry::Error>) -> ProcessExitCode {
    result
        .unwrap_or_else(|error| {
            progress::say_error(&error);
            error.exit_code()
        })
        .into()
}
