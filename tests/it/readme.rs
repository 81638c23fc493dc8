//! The README says what the code says.

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
fn every_command_is_named() {
    use clap::CommandFactory;
    let command = upistream::cli::Cli::command();
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        let name = format!("upistream {}", subcommand.get_name());
        assert!(README.contains(&name), "README.md does not show `{name}`");
    }
}

#[test]
fn the_settings_that_are_shown_are_a_good_configuration() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let samples: Vec<&str> = README.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(samples.len(), 4, "an account at Razorpay, the others, a caller, and a redis are shown");
    let sample = samples.concat();
    // Their secrets lie where the reader's machine keeps them: here in a folder of the test.
    let secrets = [
        "razorpay-key",
        "razorpay-webhook",
        "redis",
        "till-url",
        "enkash-secret",
        "counter-url",
        "oqpay-registration",
        "kiosk-url",
        "eko-access",
    ];
    for secret in secrets {
        std::fs::write(folder.path().join(secret), "a-secret-of-some-length").expect("a file");
    }
    let sample = sample.replace("/run/secrets", &folder.path().display().to_string());
    // The variable would be read from this process's environment: a text stands in for it.
    let sample = sample.replace(r#"{ env = "SHOP_WEBHOOK_URL_SECRET" }"#, r#""an-unguessable-part""#);
    let file = folder.path().join("config.toml");
    std::fs::write(&file, sample).expect("a file");
    let loaded = upistream::config::Config::load(Some(&file), std::iter::empty()).expect("the sample is accepted");
    let names: Vec<&str> = loaded.config.accounts.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["counter", "kiosk", "shop", "till"]);
}
