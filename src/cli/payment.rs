//! `upistream payment`: shows payments, and asks the provider about one.

use clap::{Args, Subcommand};

use super::advice::quoted;
use super::arguments::payment_state;
use super::client::{Client, ClientArgs};
use super::console::Console;
use super::failure::Failure;
use super::listing::{self, ListArgs};
use super::qr::{rupees, state, time};
use super::table::Table;
use super::wire;
use crate::domain::money::Money;
use crate::grpc::pb;
use crate::grpc::pb::payment_service_client::PaymentServiceClient;

/// Show payments, and ask the provider about one
///
/// A payment is never made here: it appears when the provider first reports it. Only SUCCEEDED means that the money which
/// was asked for is received.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  upistream payment list --qr qr_01J8Z0K3V5
  upistream payment list --debit dbt_01J8Z0K3V5
  upistream payment list --state succeeded --since 2026-02-17 --json
  upistream payment get pay_01J8Z0K3V5
  upistream payment refresh pay_01J8Z0K3V5 --deadline 15s")]
pub struct PaymentArgs {
    #[command(flatten)]
    pub client: ClientArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show one payment as it is written down
    Get(OneArgs),
    /// List payments, newest first
    List(ListPaymentArgs),
    /// Ask the provider about one payment now, and show what is known then
    Refresh(OneArgs),
}

#[derive(Debug, Args)]
struct OneArgs {
    /// Its id, pay_…
    id: String,
}

#[derive(Debug, Args)]
struct ListPaymentArgs {
    #[command(flatten)]
    list: ListArgs,
    /// Only in this state: pending, authorized, succeeded, mismatched, failed, reversed. May be given more than once
    #[arg(long = "state", value_parser = payment_state, value_name = "STATE")]
    states: Vec<pb::PaymentState>,
    /// Only those of this QR code
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ID", conflicts_with = "debit")]
    qr: String,
    /// Only those of this debit
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
    debit: String,
}

pub async fn run(args: PaymentArgs, console: &Console) -> Result<(), Failure> {
    let client = Client::connect(&args.client, console).await?;
    let mut payments = PaymentServiceClient::new(client.channel.clone()).max_decoding_message_size(Client::answer_bytes_max());
    let payment = match args.verb {
        Verb::List(args) => return list(&client, payments, args).await,
        Verb::Get(OneArgs { id }) => {
            let call = payments.get_payment(client.request(pb::GetPaymentRequest { id }));
            client.answer("reading the payment", None, call).await?.payment
        }
        Verb::Refresh(OneArgs { id }) => {
            let call = payments.refresh_payment(client.request(pb::RefreshPaymentRequest { id }));
            client.answer("asking the provider", None, call).await?.payment
        }
    };
    let payment = payment.unwrap_or_default();
    client.show(&wire::tree("Payment", &payment))?;
    note_way(client.console, &payment);
    Ok(())
}

async fn list(
    client: &Client<'_>,
    payments: PaymentServiceClient<tonic::transport::Channel>,
    ListPaymentArgs { list, states, qr, debit }: ListPaymentArgs,
) -> Result<(), Failure> {
    let account = client.account(list.period.account.clone()).await?;
    let listed = listing::pages(list.period.limit, |page_size, page_token| {
        let request = pb::ListPaymentsRequest {
            account: account.clone(),
            page_size,
            page_token,
            states: states.iter().map(|&state| state.into()).collect(),
            create_time_from: list.period.from(),
            create_time_to: list.period.to(),
            reference: list.reference.clone(),
            labels: list.labels.iter().cloned().collect(),
            qr_id: qr.clone(),
            debit_id: debit.clone(),
        };
        let mut payments = payments.clone();
        async move {
            let answer = client.answer("reading the list", None, payments.list_payments(client.request(request))).await?;
            Ok((answer.payments, answer.next_page_token))
        }
    });
    listing::show(client, listed.await?, "payments", |payment| wire::tree("Payment", payment), table)
}

/// What else there is to see of it.
fn note_way(console: &Console, payment: &pb::Payment) {
    let (id, account) = (quoted(&payment.id), quoted(&payment.account));
    let paise = |money: &Option<pb::Money>| money.as_ref().map_or(0, |money| money.minor_units);
    let refunds = paise(&payment.amount_refunded).saturating_add(paise(&payment.amount_refund_pending));
    if refunds != 0 {
        let left = Money::from_paise(paise(&payment.amount).saturating_sub(refunds)).display();
        console.note(&format!("{left} of it is left; its refunds: `upistream refund list --account {account} --payment {id}`"));
    }
    if payment.settle_time.is_some() {
        console.note(&format!("its settlement: `upistream settlement entries --account {account} --payment {id}`"));
    }
}

/// What it was paid by: a code, a debit, or the registration of a mandate.
pub fn came_by(payment: &pb::Payment) -> &str {
    let ids = [&payment.qr_id, &payment.debit_id, &payment.mandate_id];
    ids.into_iter().find(|id| !id.is_empty()).map_or("", String::as_str)
}

fn table(payments: &[pb::Payment]) -> Table {
    let mut table = Table::new(&["ID", "STATE", ">AMOUNT", ">EXPECTED", ">REFUNDED", "RRN", "PAID BY", "REFERENCE", "CREATED (IST)"]);
    for payment in payments {
        table.row([
            payment.id.as_str().into(),
            state(payment.state().as_str_name(), "PAYMENT_STATE_"),
            rupees(payment.amount.as_ref()).into(),
            rupees(payment.expected_amount.as_ref()).into(),
            rupees(payment.amount_refunded.as_ref().filter(|refunded| refunded.minor_units != 0)).into(),
            payment.rrn.as_str().into(),
            came_by(payment).into(),
            payment.reference.as_str().into(),
            time(payment.create_time.as_ref()),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::console::captured::console;
    use super::super::testing::{at, inr};
    use super::*;

    #[test]
    fn a_payment_says_what_is_left_of_it_and_where_it_went() {
        let check = |payment: &pb::Payment, expected: &str| {
            let (console, _, err) = console();
            note_way(&console, payment);
            assert_eq!(err.text(), expected);
        };
        let payment = pb::Payment {
            id: "pay_1".to_owned(),
            account: "shop".to_owned(),
            amount: Some(inr(49_900)),
            amount_refunded: Some(inr(10_000)),
            amount_refund_pending: Some(inr(2_000)),
            settle_time: Some(at(0)),
            ..pb::Payment::default()
        };
        let expected = "\
₹379.00 of it is left; its refunds: `upistream refund list --account shop --payment pay_1`
its settlement: `upistream settlement entries --account shop --payment pay_1`
";
        check(&payment, expected);
        check(&pb::Payment { amount_refunded: None, amount_refund_pending: Some(inr(0)), settle_time: None, ..payment.clone() }, "");
    }

    #[test]
    fn payments_stand_in_columns() {
        let of_a_code = pb::Payment {
            id: "pay_1".to_owned(),
            state: pb::PaymentState::Succeeded.into(),
            amount: Some(inr(49_900)),
            rrn: "612345678901".to_owned(),
            qr_id: "qr_1".to_owned(),
            create_time: Some(at(0)),
            ..pb::Payment::default()
        };
        let of_a_debit = pb::Payment {
            id: "pay_22".to_owned(),
            qr_id: String::new(),
            debit_id: "dbt_1".to_owned(),
            mandate_id: "mndt_1".to_owned(),
            rrn: String::new(),
            ..of_a_code.clone()
        };
        let of_a_registration = pb::Payment { id: "pay_3".to_owned(), debit_id: String::new(), ..of_a_debit.clone() };
        let expected = "\
ID      STATE       AMOUNT  EXPECTED  REFUNDED  RRN           PAID BY  REFERENCE  CREATED (IST)
pay_1   SUCCEEDED  ₹499.00                      612345678901  qr_1                2026-02-17 15:30:00
pay_22  SUCCEEDED  ₹499.00                                    dbt_1               2026-02-17 15:30:00
pay_3   SUCCEEDED  ₹499.00                                    mndt_1              2026-02-17 15:30:00";
        assert_eq!(table(&[of_a_code, of_a_debit, of_a_registration]).text(&console().0), expected);
    }
}
