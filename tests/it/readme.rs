//! The README says what the code says.

use upistream::telemetry::Metrics;

const README: &str = include_str!("../../README.md");

#[test]
fn the_configuration_table_is_the_reference() {
    let table = upistream::config::reference_table();
    if !README.contains(&table) {
        println!("{table}");
    }
    assert!(README.contains(&table), "replace the configuration table in README.md by the one printed here");
}

#[test]
fn every_metric_is_named() {
    let metrics = Metrics::new();
    for name in metrics.names() {
        assert!(README.contains(&format!("`{name}`")), "README.md does not name the metric {name}");
    }
}

#[test]
fn every_command_is_named() {
    use clap::CommandFactory;
    let command = upistream::cli::Cli::command();
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        let name = format!("upistream {}", subcommand.get_name());
        assert!(README.contains(&name), "README.md does not show `{name}`");
    }
}
