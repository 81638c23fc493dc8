//! The table of what each provider can do, in the README: made from what callers see in ListAccounts.

use std::collections::BTreeMap;

use secrecy::SecretString;
use upistream::config::{AccountConfig, EkoConfig, EnkashConfig, OqpayConfig, ProviderConfig, RazorpayConfig, Secrets};
use upistream::domain::money::Money;
use upistream::grpc::pb;

use crate::support::app::{App, provider};

const README: &str = include_str!("../../README.md");

/// An account at each provider with nothing configured but what is needed.
fn accounts() -> BTreeMap<&'static str, ProviderConfig> {
    let secret = || Secrets::one(SecretString::from("a-secret-of-some-length"));
    BTreeMap::from([
        ("razorpay", ProviderConfig::Razorpay(RazorpayConfig::new("rzp_test_1", secret(), secret()))),
        ("enkash", ProviderConfig::Enkash(EnkashConfig::new("AK1", secret()))),
        ("oqpay", ProviderConfig::Oqpay(OqpayConfig::new(secret()))),
        ("eko", ProviderConfig::Eko(EkoConfig::new("a-developer-key", secret(), "9000000001", "20810200"))),
    ])
}

fn rupees(money: Option<&pb::Money>) -> Option<String> {
    let text = money.map(|money| Money::from_paise(money.minor_units).display())?;
    Some(text.strip_suffix(".00").map_or(text.clone(), str::to_owned))
}

fn amount(qr: &pb::QrCapability) -> String {
    let least = rupees(qr.min_amount.as_ref()).unwrap_or_default();
    let most = rupees(qr.max_amount.as_ref()).map(|most| format!(", at most {most}")).unwrap_or_default();
    match (qr.amount_supported, qr.amount_required) {
        (true, true) => format!("needed; from {least}{most}"),
        (true, false) => format!("fixed or open; from {least}{most}"),
        (false, _) => format!("open only; from {least}{most}"),
    }
}

fn lifetime(qr: &pb::QrCapability) -> String {
    let minutes = |duration: &prost_types::Duration| format!("{} min", duration.seconds / 60);
    match (&qr.min_lifetime, &qr.max_lifetime) {
        _ if !qr.expire_time_supported => "the provider's".to_owned(),
        (Some(least), Some(most)) => format!("{} to {}", minutes(least), minutes(most)),
        _ => "any".to_owned(),
    }
}

fn payments(qr: &pb::QrCapability) -> &'static str {
    match qr.callback_evidence() {
        _ if !qr.payments_observable => "not told",
        pb::Evidence::Signature => "signed callback, or asked for",
        pb::Evidence::Enquiry => "asked for after a hint",
        pb::Evidence::UrlSecret => "callback to the secret URL",
        _ => "reported only; an operator decides",
    }
}

fn doubt(qr: &pb::QrCapability) -> &'static str {
    match qr.doubt() {
        pb::DoubtRemedy::Lookup => "looked up",
        pb::DoubtRemedy::SafeResend => "asked for again",
        pb::DoubtRemedy::None => "an operator decides",
        pb::DoubtRemedy::Unspecified => "",
    }
}

fn table(accounts: &[pb::Account]) -> String {
    let mut table = "| provider | usage | amount | lifetime | payments | lost answer | close | drawn here | needs |\n".to_owned();
    table.push_str("|---|---|---|---|---|---|---|---|---|\n");
    for account in accounts {
        for qr in &account.capabilities.as_ref().expect("each account says what it can do").qrs {
            let usage = if qr.usage() == pb::QrUsage::SingleUse { "single use" } else { "multiple use" };
            let yes = |yes: bool| if yes { "yes" } else { "no" };
            let cells = if qr.supported {
                let needs = qr.required_fields.join(", ");
                format!(
                    "{} | {} | {} | {} | {} | {} | {}",
                    amount(qr),
                    lifetime(qr),
                    payments(qr),
                    doubt(qr),
                    yes(qr.close_supported),
                    yes(qr.upi_link_available),
                    if needs.is_empty() { "" } else { &needs }
                )
            } else {
                format!("no: {} | | | | | |", qr.missing_reason)
            };
            table.push_str(&format!("| {} | {usage} | {cells} |\n", account.provider));
        }
    }
    table
}

#[tokio::test]
async fn the_table_of_the_readme_is_what_the_accounts_say() {
    let app = App::start_with(provider().await, |config| {
        config.accounts.clear();
        for (name, provider) in accounts() {
            let webhook_url_secrets = Secrets::one(SecretString::from("an-unguessable-part"));
            config.accounts.insert(name.parse().expect("a name"), AccountConfig { webhook_url_secrets, provider });
        }
    })
    .await;
    let listed = app.accounts().list_accounts(pb::ListAccountsRequest {}).await.expect("accounts are listed").into_inner();
    let table = table(&listed.accounts);
    assert!(README.contains(&table), "replace the table of capabilities in README.md by this one:\n{table}");
}
