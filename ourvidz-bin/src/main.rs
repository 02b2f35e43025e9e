//! The `ourvidz` command.
#![forbid(unsafe_code)]

mod cli;
mod commands;
mod config;
#[cfg(feature = "demo-models")]
mod demo;
mod demo_model;
mod failure;
mod job_failures;
mod load;
mod load_qwen;
mod load_wan;
mod output;
mod parameters;
mod progress;
mod sdxl_jobs;
mod service;
mod setup;
mod store;
mod tensors;
mod video_file;
mod wan_jobs;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command, Generate};
use failure::Failure;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if !error.use_stderr() => {
            output::line(&error.to_string());
            return ExitCode::SUCCESS;
        }
        Err(error) => return Failure::from(error).report(),
    };
    output::start_logging();
    let result = match cli.command {
        Command::Generate { what: Generate::Image(options) } => commands::generate_image(&options, cli.json),
        Command::Generate { what: Generate::Video(options) } => commands::generate_video(&options, cli.json),
        Command::Enhance(options) => commands::enhance(&options, cli.json),
        Command::Chat(options) => commands::chat(&options, cli.json),
        Command::Complete(options) => commands::complete(&options, cli.json),
        Command::Embed(options) => commands::embed(&options, cli.json),
        Command::RunJob(options) => commands::run_job(&options),
        #[cfg(feature = "demo-models")]
        Command::Demo(options) => demo::demo(&options, cli.json),
        Command::Submit(options) => service::submit(&options, cli.json),
        Command::Worker(arguments) => service::worker(&arguments, cli.json),
        Command::Queue(arguments) => service::queue(&arguments, cli.json),
        Command::Outbox(arguments) => service::outbox(&arguments, cli.json),
        Command::Config(arguments) => service::config_check(&arguments, cli.json),
        Command::Export(options) => commands::export(&options, cli.json),
        Command::Setup(options) => setup::run(&options).map_err(Failure::from),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
