//! What is typed is what is asked, and what is answered is what is shown.

use std::sync::{Arc, Mutex};

use clap::Parser as _;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::super::Cli;
use super::super::console::captured::console;
use super::super::testing::{at, inr, served, typed};
use super::*;
use crate::grpc::pb::settlement_service_server::{SettlementService, SettlementServiceServer};

fn settlement() -> pb::Settlement {
    pb::Settlement {
        id: "setl_1".to_owned(),
        account: "shop".to_owned(),
        state: pb::SettlementState::Processed.into(),
        amount: Some(inr(36_720)),
        utr: "UTR17".to_owned(),
        settle_time: Some(at(1)),
        create_time: Some(at(0)),
        entry_count: 2,
        entries_net: Some(inr(36_720)),
        entries_complete: true,
        ..pb::Settlement::default()
    }
}

fn payment_line() -> pb::SettlementEntry {
    pb::SettlementEntry {
        id: "sent_1".to_owned(),
        provider_ref: "pay_Ab3".to_owned(),
        settlement_id: "setl_1".to_owned(),
        kind: pb::SettlementEntryKind::Payment.into(),
        payment_id: "pay_1".to_owned(),
        gross: Some(inr(49_900)),
        fee: Some(inr(1_180)),
        tax: Some(inr(180)),
        net: Some(inr(48_720)),
        transact_time: Some(at(0)),
        settle_time: Some(at(1)),
        ..pb::SettlementEntry::default()
    }
}

fn refund_line() -> pb::SettlementEntry {
    pb::SettlementEntry {
        id: "sent_2".to_owned(),
        provider_ref: "rfnd_Ab3".to_owned(),
        kind: pb::SettlementEntryKind::Refund.into(),
        refund_id: "rfnd_1".to_owned(),
        gross: Some(inr(-12_000)),
        fee: Some(inr(0)),
        net: Some(inr(-12_000)),
        ..payment_line()
    }
}

fn break_of_amounts() -> pb::SettlementBreak {
    pb::SettlementBreak {
        id: "sbrk_1".to_owned(),
        kind: pb::SettlementBreakKind::AmountDiffers.into(),
        settlement_id: "setl_1".to_owned(),
        payment_id: "pay_1".to_owned(),
        provider_ref: "pay_Ab3".to_owned(),
        our_amount: Some(inr(49_900)),
        provider_amount: Some(inr(4_990)),
        message: "both have it, with different amounts".to_owned(),
        open_time: Some(at(2)),
        ..pb::SettlementBreak::default()
    }
}

#[derive(Default)]
struct Books {
    entries_asked: Mutex<Vec<pb::ListSettlementEntriesRequest>>,
    breaks_asked: Mutex<Vec<pb::ListSettlementBreaksRequest>>,
}

#[tonic::async_trait]
impl SettlementService for Books {
    async fn get_settlement(&self, _: Request<pb::GetSettlementRequest>) -> Result<Response<pb::GetSettlementResponse>, Status> {
        let found = pb::Settlement { open_break_count: 1, entries_complete: false, ..settlement() };
        Ok(Response::new(pb::GetSettlementResponse { settlement: Some(found) }))
    }

    async fn list_settlements(&self, _: Request<pb::ListSettlementsRequest>) -> Result<Response<pb::ListSettlementsResponse>, Status> {
        Ok(Response::new(pb::ListSettlementsResponse { settlements: vec![settlement()], next_page_token: String::new() }))
    }

    async fn list_settlement_entries(
        &self,
        request: Request<pb::ListSettlementEntriesRequest>,
    ) -> Result<Response<pb::ListSettlementEntriesResponse>, Status> {
        self.entries_asked.lock().unwrap().push(request.into_inner());
        Ok(Response::new(pb::ListSettlementEntriesResponse { entries: vec![payment_line()], next_page_token: String::new() }))
    }

    async fn list_settlement_breaks(
        &self,
        request: Request<pb::ListSettlementBreaksRequest>,
    ) -> Result<Response<pb::ListSettlementBreaksResponse>, Status> {
        self.breaks_asked.lock().unwrap().push(request.into_inner());
        Ok(Response::new(pb::ListSettlementBreaksResponse::default()))
    }
}

async fn books() -> (String, Arc<Books>) {
    let books = Arc::new(Books::default());
    let address = served(Server::builder().add_service(SettlementServiceServer::from_arc(books.clone()))).await;
    (address, books)
}

#[tokio::test]
async fn one_settlement_says_what_is_wrong_with_it_and_where_to_look() {
    let (address, _) = books().await;
    let told = typed(&address, "settlement get setl_1").await;
    let expected = "\
the provider's books and ours differ in 1 open break: `upistream settlement breaks --account shop --settlement setl_1`
2 lines: `upistream settlement entries --account shop --settlement setl_1`
more lines may come: their sum is compared with the amount when all are in
";
    assert_eq!(told.err, expected);
    assert!(told.out.contains("\nutr               UTR17\n"), "{}", told.out);
}

#[tokio::test]
async fn programs_get_settlements_as_json() {
    let (address, _) = books().await;
    let told = typed(&address, "settlement list --account shop --json").await;
    let json: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!((&json["amount"]["minor_units"], &json["open_break_count"]), (&36_720.into(), &0.into()));
}

#[tokio::test]
async fn lines_are_asked_for_by_one_of_three() {
    let (address, books) = books().await;
    let told = typed(&address, "settlement entries --account shop --payment pay_1 --kind payment").await;
    let expected = pb::ListSettlementEntriesRequest {
        account: "shop".to_owned(),
        page_size: 50,
        payment_id: "pay_1".to_owned(),
        kinds: vec![pb::SettlementEntryKind::Payment.into()],
        ..pb::ListSettlementEntriesRequest::default()
    };
    assert_eq!((told.exit_code, books.entries_asked.lock().unwrap().as_slice()), (0, [expected].as_slice()));

    for line in ["", "--settlement setl_1 --payment pay_1", "--payment pay_1 --refund rfnd_1"] {
        let words = ["upistream", "settlement", "entries"].into_iter().chain(line.split_whitespace());
        assert!(Cli::try_parse_from(words).is_err(), "{line}");
    }
}

#[tokio::test]
async fn breaks_are_the_open_ones_unless_all_are_wanted() {
    let (address, books) = books().await;
    let told = typed(&address, "settlement breaks --account shop").await;
    assert_eq!(told.err, "no open breaks\n");
    typed(&address, "settlement breaks --account shop --kind duplicate --settlement setl_1 --since 2026-02-17 --until 2026-02-18 --all")
        .await;
    let open = pb::ListSettlementBreaksRequest { account: "shop".to_owned(), page_size: 50, ..pb::ListSettlementBreaksRequest::default() };
    let all = pb::ListSettlementBreaksRequest {
        kinds: vec![pb::SettlementBreakKind::Duplicate.into()],
        settlement_id: "setl_1".to_owned(),
        // Midnight in India.
        open_time_from: Some(at(-930)),
        open_time_to: Some(at(510)),
        include_closed: true,
        ..open.clone()
    };
    assert_eq!(*books.breaks_asked.lock().unwrap(), [open, all]);
}

#[test]
fn settlements_stand_in_columns() {
    let announced = pb::Settlement {
        id: "setl_22".to_owned(),
        state: pb::SettlementState::Created.into(),
        amount: Some(inr(-123_456_700)),
        utr: String::new(),
        settle_time: None,
        entry_count: 1_200,
        entries_complete: false,
        open_break_count: 3,
        ..settlement()
    };
    let expected = "\
ID       STATE              AMOUNT        LINES  OPEN BREAKS  UTR    SETTLED (IST)        CREATED (IST)
setl_1   PROCESSED         ₹367.20            2            0  UTR17  2026-02-17 15:31:00  2026-02-17 15:30:00
setl_22  CREATED    -₹12,34,567.00  1200 so far            3                              2026-02-17 15:30:00";
    assert_eq!(table(&[settlement(), announced]).text(&console().0), expected);
}

#[test]
fn lines_of_a_settlement_stand_in_columns() {
    let adjustment = pb::SettlementEntry {
        kind: pb::SettlementEntryKind::Adjustment.into(),
        provider_ref: "adj_1".to_owned(),
        payment_id: String::new(),
        gross: Some(inr(-100)),
        fee: Some(inr(0)),
        net: Some(inr(-100)),
        description: "reserve".to_owned(),
        ..payment_line()
    };
    let unknown = pb::SettlementEntry { payment_id: String::new(), ..payment_line() };
    let expected = "\
KIND           GROSS     FEE       NET  ABOUT           AT THE PROVIDER  HAPPENED (IST)
PAYMENT      ₹499.00  ₹11.80   ₹487.20  pay_1           pay_Ab3          2026-02-17 15:30:00
REFUND      -₹120.00   ₹0.00  -₹120.00  rfnd_1          rfnd_Ab3         2026-02-17 15:30:00
ADJUSTMENT    -₹1.00   ₹0.00    -₹1.00  reserve         adj_1            2026-02-17 15:30:00
PAYMENT      ₹499.00  ₹11.80   ₹487.20  not known here  pay_Ab3          2026-02-17 15:30:00";
    assert_eq!(entries_of_one(&[payment_line(), refund_line(), adjustment, unknown]).text(&console().0), expected);
}

#[test]
fn lines_about_a_payment_say_which_settlement_has_them() {
    let waiting = pb::SettlementEntry { settlement_id: String::new(), settle_time: None, ..refund_line() };
    let expected = "\
KIND        GROSS     FEE       NET  ABOUT   AT THE PROVIDER  SETTLEMENT       SETTLED (IST)
PAYMENT   ₹499.00  ₹11.80   ₹487.20  pay_1   pay_Ab3          setl_1           2026-02-17 15:31:00
REFUND   -₹120.00   ₹0.00  -₹120.00  rfnd_1  rfnd_Ab3         not settled yet";
    assert_eq!(entries_of_several(&[payment_line(), waiting]).text(&console().0), expected);
}

#[test]
fn breaks_show_both_sides_and_since_when() {
    let missing = pb::SettlementBreak {
        id: "sbrk_22".to_owned(),
        kind: pb::SettlementBreakKind::RefundWithoutLine.into(),
        settlement_id: String::new(),
        refund_id: "rfnd_1".to_owned(),
        our_amount: Some(inr(-12_000)),
        provider_amount: None,
        message: "no settlement has it".to_owned(),
        close_time: Some(at(60)),
        ..break_of_amounts()
    };
    let expected = "\
ID      KIND               OURS  THE PROVIDER'S  ABOUT  SETTLEMENT  SINCE (IST)          WHY
sbrk_1  AMOUNT_DIFFERS  ₹499.00          ₹49.90  pay_1  setl_1      2026-02-17 15:32:00  both have it, with different amounts";
    assert_eq!(open_breaks(&[break_of_amounts()]).text(&console().0), expected);
    let expected = "\
ID       KIND                     OURS  THE PROVIDER'S  ABOUT   SETTLEMENT  SINCE (IST)          CLOSED (IST)         WHY
sbrk_1   AMOUNT_DIFFERS        ₹499.00          ₹49.90  pay_1   setl_1      2026-02-17 15:32:00  open                 both have it, with different amounts
sbrk_22  REFUND_WITHOUT_LINE  -₹120.00            none  rfnd_1              2026-02-17 15:32:00  2026-02-17 16:30:00  no settlement has it";
    assert_eq!(all_breaks(&[break_of_amounts(), missing]).text(&console().0), expected);
}
