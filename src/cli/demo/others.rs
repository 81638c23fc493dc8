//! The other providers: at each a code is asked for in the way that its capabilities call for, and paid.

use super::super::client::{Client, fresh_key};
use super::super::console::Console;
use super::super::failure::Failure;
use super::super::qr::rupees;
use super::watch::Watch;
use super::{create, expect, inr, is_success, say, unexpected};
use crate::config::SANDBOX_ACCOUNT;
use crate::grpc::pb;
use crate::grpc::pb::event::Resource;
use crate::grpc::pb::subscribe_request::Start;
use crate::sandbox::{PayOptions, Sandbox};

/// Above the least that any of them takes.
const PAISE: i64 = 75_000;

/// Makes and pays a code at each account but the first tour's; the events that came of it.
pub async fn tour(client: &Client<'_>, console: &Console, simulated: &Sandbox) -> Result<Vec<pb::Event>, Failure> {
    let accounts = client.accounts().await?;
    let mut watch = Watch::begin(client, Start::Latest(true), true);
    watch.until_caught_up().await?;
    for account in accounts.iter().filter(|account| account.name != SANDBOX_ACCOUNT) {
        let usage = usage(account).ok_or_else(|| unexpected(&format!("QR codes at {}", account.name), "none"))?;
        let (qr, _) = create(client, &order(account, usage)).await?;
        expect(&format!("an ACTIVE code at {}", account.name), qr.state() == pb::QrState::Active, qr.state().as_str_name())?;
        let pay = PayOptions { amount: Some(PAISE), ..PayOptions::default() };
        let paid = simulated.pay_qr(&account.name, &qr.provider_ref, pay).await;
        paid.map_err(|error| unexpected("the simulated provider to take the payment", &error.to_string()))?;
        let payment = watch.until("payment.succeeded", |event| is_success(event, &qr.id)).await?;
        let received = match &payment.resource {
            Some(Resource::Payment(payment)) => payment.amount.as_ref().map(|amount| amount.minor_units),
            _ => None,
        };
        expect(&format!("{} received", rupees(Some(&inr(PAISE)))), received == Some(PAISE), "another sum")?;
        say(console, &format!("{}: {}", account.provider, told(usage, payment.evidence())))?;
    }
    Ok(watch.cut().await?.events)
}

/// The first usage that the account offers.
fn usage(account: &pb::Account) -> Option<&pb::QrCapability> {
    account.capabilities.as_ref()?.qrs.iter().find(|usage| usage.supported)
}

/// A request with what this account takes and needs, by its capabilities alone.
fn order(account: &pb::Account, usage: &pb::QrCapability) -> pb::CreateQrRequest {
    let needs_customer = usage.required_fields.iter().any(|field| field.starts_with("customer."));
    pb::CreateQrRequest {
        idempotency_key: fresh_key("demo"),
        account: account.name.clone(),
        reference: format!("{}-1", account.provider),
        usage: usage.usage,
        amount: usage.amount_supported.then(|| inr(PAISE)),
        name: "Demo Stores".to_owned(),
        description: "upistream demo".to_owned(),
        customer: needs_customer.then(|| pb::QrCustomer { phone: "9876500001".to_owned(), ..pb::QrCustomer::default() }),
        ..pb::CreateQrRequest::default()
    }
}

/// What is worth telling of a code and its payment.
fn told(usage: &pb::QrCapability, evidence: pb::Evidence) -> String {
    let kind = match usage.usage() {
        pb::QrUsage::MultipleUse => "a code for any number of payments",
        pb::QrUsage::SingleUse | pb::QrUsage::Unspecified => "a code to be paid once",
    };
    let believed = match evidence {
        pb::Evidence::Signature => "a signed callback told of the payment",
        pb::Evidence::Enquiry => "an unsigned callback was a reason to ask, and the provider confirmed the payment",
        pb::Evidence::UrlSecret => "a callback from an allowed address to the secret URL told of the payment",
        pb::Evidence::Answer | pb::Evidence::Operator | pb::Evidence::Unspecified => "the payment is known",
    };
    format!("{kind}; {believed}")
}
