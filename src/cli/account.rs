//! `upistream account`: the accounts, and what can be done with each.

use clap::{Args, Subcommand};

use super::arguments::duration_shown;
use super::client::{Client, ClientArgs};
use super::console::{Console, Tone};
use super::failure::Failure;
use super::qr::rupees;
use super::table::{Cell, Table};
use super::wire;
use crate::grpc::pb;

/// Show the accounts, and what can be done with each
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  upistream account list
  upistream account list --capabilities")]
pub struct AccountArgs {
    #[command(flatten)]
    pub client: ClientArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the accounts that you may see
    List {
        /// Show what each can do, and how lost answers are found out about
        #[arg(long)]
        capabilities: bool,
    },
}

pub async fn run(AccountArgs { client, verb: Verb::List { capabilities } }: AccountArgs, console: &Console) -> Result<(), Failure> {
    let client = Client::connect(&client, console).await?;
    let accounts = client.accounts().await?;
    if client.args.json {
        for account in &accounts {
            console.print(&wire::tree("Account", account).json())?;
        }
        return Ok(());
    }
    if accounts.is_empty() {
        console.note("no accounts that you may see");
        return Ok(());
    }
    console.print(&table(&accounts).text(console))?;
    if capabilities {
        for account in &accounts {
            let title = console.paint(Tone::Strong, &account.name);
            console.print(&format!("\n{title}\n{}", capability_table(account).text(console)))?;
        }
    }
    Ok(())
}

fn table(accounts: &[pb::Account]) -> Table {
    let mut table = Table::new(&["NAME", "PROVIDER", "SANDBOX", "CALLS", "KEYS KEPT", "PERMISSIONS"]);
    for account in accounts {
        let kept = account.idempotency_retention.and_then(|retention| retention.try_into().ok());
        table.row([
            account.name.as_str().into(),
            account.provider.as_str().into(),
            if account.sandbox { "yes: no money moves" } else { "no" }.into(),
            calls(account.provider_calls.as_ref()),
            kept.map(duration_shown).unwrap_or_default().into(),
            account.permissions.join(" ").into(),
        ]);
    }
    table
}

/// Whether calls to its provider are made now.
fn calls(calls: Option<&pb::ProviderCalls>) -> Cell {
    let Some(calls) = calls else { return "".into() };
    match calls.breaker() {
        pb::ProviderBreaker::Unspecified => "".into(),
        pb::ProviderBreaker::Closed => Cell::toned(Some(Tone::Good), "made"),
        pb::ProviderBreaker::HalfOpen => Cell::toned(Some(Tone::Warning), "tried again"),
        pb::ProviderBreaker::Open => {
            let wait = calls.retry_after.and_then(|wait| wait.try_into().ok()).map(duration_shown).unwrap_or_default();
            Cell::toned(Some(Tone::Bad), format!("held back for {wait}"))
        }
    }
}

/// What it can't do is as worth knowing as what it can.
fn capability_table(account: &pb::Account) -> Table {
    let mut table = Table::new(&["WHAT", "POSSIBLE", "WHEN AN ANSWER IS LOST", "WHY NOT"]);
    let capabilities = account.capabilities.clone().unwrap_or_default();
    for operation in &capabilities.operations {
        let name = operation.operation().as_str_name().trim_start_matches("PROVIDER_OPERATION_");
        table.row([
            name.to_ascii_lowercase().into(),
            possible(operation.supported),
            remedy(operation.doubt()).into(),
            operation.missing_reason.as_str().into(),
        ]);
        match (operation.operation(), operation.supported) {
            (pb::ProviderOperation::CreateRefund, true) => capabilities.refunds.iter().for_each(|refunds| add_refunds(&mut table, refunds)),
            (pb::ProviderOperation::CreateMandate, true) => {
                capabilities.mandates.iter().for_each(|mandates| add_mandates(&mut table, mandates));
            }
            _ => (),
        }
    }
    for qr in &capabilities.qrs {
        let name = qr.usage().as_str_name().trim_start_matches("QR_USAGE_").to_ascii_lowercase();
        table.row([format!("qr {name}").into(), possible(qr.supported), remedy(qr.doubt()).into(), qr.missing_reason.as_str().into()]);
        if !qr.supported {
            continue;
        }
        for (what, supported, why) in [
            ("an amount", qr.amount_supported, "the payer chooses"),
            ("no amount", !qr.amount_required, "an amount is needed"),
            ("an end", qr.expire_time_supported, "the provider decides"),
            ("closing", qr.close_supported, qr.close_missing_reason.as_str()),
            ("payments told of", qr.payments_observable, "nobody hears of them"),
        ] {
            let why = if supported { "" } else { why };
            table.row([format!("   {what}").into(), possible(supported), "".into(), why.into()]);
        }
    }
    table
}

/// What its refunds can be.
fn add_refunds(table: &mut Table, refunds: &pb::RefundCapability) {
    let offers = |speed: pb::RefundSpeed| refunds.speeds.contains(&speed.into());
    let no_such_speed = "the provider has no refunds of this speed";
    for (what, supported, why) in [
        ("at normal speed", offers(pb::RefundSpeed::Normal), no_such_speed),
        ("instant", offers(pb::RefundSpeed::Instant), no_such_speed),
        ("of a part", refunds.partial_supported, "whole payments only"),
    ] {
        let why = if supported { "" } else { why };
        table.row([format!("   {what}").into(), possible(supported), "".into(), why.into()]);
    }
    let age = refunds.max_payment_age.and_then(|age| age.try_into().ok()).map(duration_shown);
    table.row(["   up to the age of".into(), age.unwrap_or_else(|| "not known".to_owned()).into(), "".into(), "".into()]);
}

/// What its mandates can be.
fn add_mandates(table: &mut Table, mandates: &pb::MandateCapability) {
    let all = (1..64).filter_map(|number| pb::MandateFrequency::try_from(number).ok());
    for frequency in all {
        let name = frequency.as_str_name().trim_start_matches("MANDATE_FREQUENCY_").to_ascii_lowercase().replace('_', "-");
        let offered = mandates.frequencies.contains(&frequency.into());
        table.row([format!("   {name}").into(), possible(offered), "".into(), "".into()]);
    }
    for (what, supported, why) in [
        ("asked in the UPI app", mandates.payer_vpa_supported, "the payer gets a link"),
        ("asked by a link", mandates.approval_link_supported, "the payer's UPI address is needed"),
        ("funds blocked", mandates.block_funds_supported, "the provider blocks none"),
        ("not revocable", mandates.irrevocable_supported, "the payer may always revoke"),
    ] {
        let why = if supported { "" } else { why };
        table.row([format!("   {what}").into(), possible(supported), "".into(), why.into()]);
    }
    for (what, limit) in [("from", &mandates.min_amount), ("up to", &mandates.max_amount)] {
        let limit = limit.as_ref().map_or_else(|| "not known".to_owned(), |limit| rupees(Some(limit)));
        table.row([format!("   {what}").into(), limit.into(), "".into(), "".into()]);
    }
    for field in &mandates.required_fields {
        table.row([format!("   {field}").into(), "needed".into(), "".into(), "".into()]);
    }
}

fn possible(supported: bool) -> Cell {
    match supported {
        true => Cell::toned(Some(Tone::Good), "yes"),
        false => Cell::toned(Some(Tone::Faint), "no"),
    }
}

fn remedy(doubt: pb::DoubtRemedy) -> &'static str {
    match doubt {
        pb::DoubtRemedy::Unspecified => "",
        pb::DoubtRemedy::Lookup => "looked up",
        pb::DoubtRemedy::SafeResend => "sent again, safely",
        pb::DoubtRemedy::None => "an operator decides",
    }
}

#[cfg(test)]
mod tests {
    use super::super::console::captured::console;
    use super::*;

    #[test]
    fn whether_calls_are_made_is_told() {
        let account = |name: &str, breaker: pb::ProviderBreaker, retry_after: Option<i64>| pb::Account {
            name: name.to_owned(),
            provider: "eko".to_owned(),
            permissions: vec!["qr:read".to_owned()],
            provider_calls: Some(pb::ProviderCalls {
                breaker: breaker.into(),
                retry_after: retry_after.map(|seconds| prost_types::Duration { seconds, nanos: 0 }),
            }),
            ..pb::Account::default()
        };
        let accounts = [
            account("counter", pb::ProviderBreaker::Closed, None),
            account("kiosk", pb::ProviderBreaker::Open, Some(8)),
            account("shop", pb::ProviderBreaker::HalfOpen, None),
        ];
        let expected = "\
NAME     PROVIDER  SANDBOX  CALLS             KEYS KEPT  PERMISSIONS
counter  eko       no       made                         qr:read
kiosk    eko       no       held back for 8s             qr:read
shop     eko       no       tried again                  qr:read";
        assert_eq!(table(&accounts).text(&console().0), expected);
    }

    #[test]
    fn what_can_be_done_is_told_down_to_refunds() {
        let operation = |operation: pb::ProviderOperation, missing: &str, doubt: pb::DoubtRemedy| pb::OperationCapability {
            operation: operation.into(),
            supported: missing.is_empty(),
            doubt: doubt.into(),
            missing_reason: missing.to_owned(),
        };
        let capabilities = pb::Capabilities {
            operations: vec![
                operation(pb::ProviderOperation::CreateQr, "", pb::DoubtRemedy::Lookup),
                operation(pb::ProviderOperation::CreateRefund, "", pb::DoubtRemedy::SafeResend),
                operation(pb::ProviderOperation::FetchSettlements, "it publishes none", pb::DoubtRemedy::Unspecified),
            ],
            refunds: Some(pb::RefundCapability {
                speeds: vec![pb::RefundSpeed::Normal.into()],
                partial_supported: true,
                max_payment_age: Some(prost_types::Duration { seconds: 180 * 24 * 3_600, nanos: 0 }),
            }),
            ..pb::Capabilities::default()
        };
        let account = pb::Account { capabilities: Some(capabilities), ..pb::Account::default() };
        let expected = "\
WHAT                 POSSIBLE  WHEN AN ANSWER IS LOST  WHY NOT
create_qr            yes       looked up
create_refund        yes       sent again, safely
   at normal speed   yes
   instant           no                                the provider has no refunds of this speed
   of a part         yes
   up to the age of  180d
fetch_settlements    no                                it publishes none";
        assert_eq!(capability_table(&account).text(&console().0), expected);
    }

    #[test]
    fn what_can_be_done_is_told_down_to_mandates() {
        let operation = |operation: pb::ProviderOperation, missing: &str, doubt: pb::DoubtRemedy| pb::OperationCapability {
            operation: operation.into(),
            supported: missing.is_empty(),
            doubt: doubt.into(),
            missing_reason: missing.to_owned(),
        };
        let (lookup, none) = (pb::DoubtRemedy::Lookup, pb::DoubtRemedy::Unspecified);
        let capabilities = pb::Capabilities {
            operations: vec![
                operation(pb::ProviderOperation::CreateMandate, "", lookup),
                operation(pb::ProviderOperation::UpdateMandate, "it changes none", none),
                operation(pb::ProviderOperation::PauseMandate, "only the payer can pause", none),
                operation(pb::ProviderOperation::ResumeMandate, "only the payer can resume", none),
                operation(pb::ProviderOperation::RevokeMandate, "", lookup),
                operation(pb::ProviderOperation::CreateDebit, "", lookup),
                operation(pb::ProviderOperation::ExecuteDebit, "", pb::DoubtRemedy::None),
                operation(pb::ProviderOperation::CancelDebit, "", none),
            ],
            mandates: Some(pb::MandateCapability {
                frequencies: [pb::MandateFrequency::Monthly, pb::MandateFrequency::AsPresented].map(Into::into).into(),
                payer_vpa_supported: false,
                approval_link_supported: true,
                min_amount: Some(pb::Money { currency_code: "INR".to_owned(), minor_units: 100 }),
                required_fields: vec!["payer_phone".to_owned()],
                ..pb::MandateCapability::default()
            }),
            ..pb::Capabilities::default()
        };
        let account = pb::Account { capabilities: Some(capabilities), ..pb::Account::default() };
        let expected = "\
WHAT                     POSSIBLE   WHEN AN ANSWER IS LOST  WHY NOT
create_mandate           yes        looked up
   one-time              no
   daily                 no
   weekly                no
   fortnightly           no
   monthly               yes
   bimonthly             no
   quarterly             no
   half-yearly           no
   yearly                no
   as-presented          yes
   asked in the UPI app  no                                 the payer gets a link
   asked by a link       yes
   funds blocked         no                                 the provider blocks none
   not revocable         no                                 the payer may always revoke
   from                  ₹1.00
   up to                 not known
   payer_phone           needed
update_mandate           no                                 it changes none
pause_mandate            no                                 only the payer can pause
resume_mandate           no                                 only the payer can resume
revoke_mandate           yes        looked up
create_debit             yes        looked up
execute_debit            yes        an operator decides
cancel_debit             yes";
        assert_eq!(capability_table(&account).text(&console().0), expected);
    }
}
