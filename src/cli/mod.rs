//! The command line: what a person types, and what is shown of the answer. The client commands know the service only
//! through its API over gRPC, like any other caller; only `serve`, `sandbox` and `demo` start something.

mod account;
mod admin;
mod advice;
mod arguments;
mod caller;
mod client;
mod config;
mod console;
mod credential;
mod debit;
mod demo;
mod event_line;
mod events;
mod failure;
mod listing;
mod logs;
mod mandate;
mod payment;
mod qr;
mod refund;
mod resume;
mod sandbox;
mod serve;
mod settlement;
mod signals;
mod store;
mod table;
mod tail;
#[cfg(test)]
mod testing;
mod tree;
mod wire;

use clap::{Parser, Subcommand};

use console::Console;
use failure::Failure;

/// One gRPC API for UPI money movement in India over several providers, and one durable stream of payment-status events.
#[derive(Debug, Parser)]
#[command(
    name = "upistream",
    version,
    after_help = "\
Begin here:
  upistream demo                      a guided tour; needs nothing, leaves nothing behind
  upistream serve                     a trial service on loopback: simulated provider, no money moves
  upistream events tail               in another terminal: watch what happens
  upistream qr create --amount 499    make a QR code and see it

Exit codes: 0 done, 1 something went wrong (standard error says what, and what to do next), 2 wrong usage."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::DemoArgs),
    Serve(serve::ServeArgs),
    Sandbox(sandbox::SandboxArgs),
    Events(events::EventsArgs),
    Qr(qr::QrArgs),
    Payment(payment::PaymentArgs),
    Refund(refund::RefundArgs),
    Mandate(mandate::MandateArgs),
    Debit(debit::DebitArgs),
    Settlement(settlement::SettlementArgs),
    Account(account::AccountArgs),
    Admin(admin::AdminArgs),
    Caller(caller::CallerArgs),
    Config(config::ConfigArgs),
    Store(store::StoreArgs),
}

/// Does what was typed, says what went wrong, and answers the exit code.
pub async fn run(cli: Cli) -> u8 {
    let console = Console::of_process();
    let json = cli.command.json();
    match cli.command.run(&console).await {
        Ok(()) => 0,
        Err(failure) => failure.show(&console, json),
    }
}

impl Command {
    async fn run(self, console: &Console) -> Result<(), Failure> {
        match self {
            Self::Demo(args) => demo::run(args, console).await,
            Self::Serve(args) => serve::run(args, console).await,
            Self::Sandbox(args) => sandbox::run(args, console).await,
            Self::Events(args) => events::run(args, console).await,
            Self::Qr(args) => qr::run(args, console).await,
            Self::Payment(args) => payment::run(args, console).await,
            Self::Refund(args) => refund::run(args, console).await,
            Self::Mandate(args) => mandate::run(args, console).await,
            Self::Debit(args) => debit::run(args, console).await,
            Self::Settlement(args) => settlement::run(args, console).await,
            Self::Account(args) => account::run(args, console).await,
            Self::Admin(args) => admin::run(args, console).await,
            Self::Caller(args) => caller::run(args, console),
            Self::Config(args) => config::run(args, console).await,
            Self::Store(args) => store::run(args, console).await,
        }
    }

    /// Whether errors are for programs too.
    fn json(&self) -> bool {
        match self {
            Self::Events(args) => args.client.json,
            Self::Qr(args) => args.client.json,
            Self::Payment(args) => args.client.json,
            Self::Refund(args) => args.client.json,
            Self::Mandate(args) => args.client.json,
            Self::Debit(args) => args.client.json,
            Self::Settlement(args) => args.client.json,
            Self::Account(args) => args.client.json,
            Self::Admin(args) => args.client.json,
            Self::Caller(args) => args.json(),
            Self::Store(args) => args.json(),
            Self::Demo(_) | Self::Serve(_) | Self::Sandbox(_) | Self::Config(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_commands_are_put_together_soundly() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_the_help_tells_people_to_type_can_be_typed() {
        let check = |line: &str| {
            let parsed = Cli::try_parse_from(line.split_whitespace());
            assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
        };
        let mut help = Cli::command().render_long_help().to_string();
        let groups: Vec<_> = Cli::command().get_subcommands().cloned().collect();
        for mut group in groups {
            help += &group.render_long_help().to_string();
            for verb in group.get_subcommands_mut() {
                help += &verb.render_long_help().to_string();
            }
        }
        let mut typed = 0;
        for line in help.lines().map(str::trim).filter(|line| line.starts_with("upistream ")) {
            // What follows two spaces is an explanation.
            check(line.split("  ").next().unwrap_or(line));
            typed += 1;
        }
        assert!(typed > 10, "{typed}");
    }
}
