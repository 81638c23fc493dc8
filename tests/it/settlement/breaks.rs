//! Every kind of difference between the two books: made by the provider, found, and closed again when it is mended.

use upistream::grpc::pb;
use upistream::sandbox::{FaultKind, ReconFault, WebhookFaultKind};

use super::{A_ROUND, app};
use crate::refund::paise;
use crate::support::app::{ACCOUNT, App, minutes, until};

use pb::SettlementBreakKind as Kind;

impl App {
    /// The open difference of this kind, once it is found.
    async fn break_until(&self, kind: Kind) -> pb::SettlementBreak {
        let found = async || self.breaks(false).await.into_iter().find(|found| found.kind() == kind);
        self.rounds_until(&format!("a break {kind:?}"), found).await
    }

    /// Waits until no difference is open; all that ever were.
    async fn all_closed(&self) -> Vec<pb::SettlementBreak> {
        self.rounds_until("all breaks to be closed", async || self.breaks(false).await.is_empty().then_some(())).await;
        let all = self.breaks(true).await;
        assert!(all.iter().all(|found| found.close_time.is_some()));
        all
    }

    /// What events told of a difference.
    async fn names_of_break(&self, found: &pb::SettlementBreak) -> Vec<String> {
        let log = self.log().await;
        log.into_iter().filter(|event| event.resource_id == found.id).map(|event| event.r#type).collect()
    }

    async fn wrong(&self, fault: ReconFault) {
        self.provider.recon_fault(ACCOUNT, fault).await.expect("the fault can be made");
    }

    async fn mend(&self) {
        self.provider.mend_recon(ACCOUNT).await.expect("the sandbox knows the account");
    }
}

const OPENED_AND_CLOSED: [&str; 2] = ["settlement_break.opened", "settlement_break.closed"];

#[tokio::test]
async fn a_line_that_is_off_by_a_paisa_is_found_and_closed_when_it_is_mended() {
    let app = app().await;
    let (payment, _) = (app.paid("one", 45_000).await, app.paid("two", 30_000).await);
    let settlement = app.settled(&app.settle().await).await;
    app.wrong(ReconFault::OffBy { entity_id: payment.provider_ref.clone(), paise: 1 }).await;
    let found = app.break_until(Kind::AmountDiffers).await;
    let of_line =
        until("the line's own break", async || app.breaks(false).await.into_iter().find(|found| found.payment_id == payment.id)).await;
    assert_eq!((paise(&of_line.our_amount), paise(&of_line.provider_amount)), (45_000, 45_001), "{found:?}");
    assert_eq!((of_line.settlement_id.as_str(), of_line.provider_ref.as_str()), (settlement.id.as_str(), payment.provider_ref.as_str()));
    let of_sum = until("the sum's break", async || app.breaks(false).await.into_iter().find(|found| found.entry_id.is_empty())).await;
    assert_eq!(paise(&of_sum.our_amount) - paise(&of_sum.provider_amount), 1);
    assert_eq!(app.settled(&settlement.provider_ref).await.open_break_count, 2);
    app.mend().await;
    assert_eq!(app.all_closed().await.len(), 2);
    for found in [&of_line, &of_sum] {
        assert_eq!(app.names_of_break(found).await, OPENED_AND_CLOSED);
    }
    assert_eq!(app.settled(&settlement.provider_ref).await.open_break_count, 0);
}

#[tokio::test]
async fn a_settlement_that_is_not_the_sum_of_its_lines_is_found() {
    let app = app().await;
    app.paid("one", 45_000).await;
    let settlement = app.settled(&app.settle().await).await;
    app.wrong(ReconFault::SettlementOffBy { settlement_id: settlement.provider_ref.clone(), paise: -1 }).await;
    let found = app.break_until(Kind::AmountDiffers).await;
    assert_eq!((found.settlement_id.as_str(), found.entry_id.as_str()), (settlement.id.as_str(), ""));
    assert_eq!(paise(&found.our_amount) - paise(&found.provider_amount), 1);
    app.mend().await;
    app.all_closed().await;
    assert_eq!(app.names_of_break(&found).await, OPENED_AND_CLOSED);
}

#[tokio::test]
async fn a_line_that_comes_twice_is_a_duplicate() {
    let app = app().await;
    let (payment, _) = (app.paid("one", 45_000).await, app.paid("two", 30_000).await);
    let settlement = app.settled(&app.settle().await).await;
    app.wrong(ReconFault::Doubled { entity_id: payment.provider_ref.clone() }).await;
    let found = app.break_until(Kind::Duplicate).await;
    assert_eq!((found.payment_id.as_str(), paise(&found.provider_amount)), (payment.id.as_str(), 45_000));
    assert_eq!(app.entries_of(&settlement).await.len(), 3);
    app.mend().await;
    app.all_closed().await;
    assert_eq!(app.entries_of(&settlement).await.len(), 2, "the line is gone with the fault");
    assert_eq!(app.names_of_break(&found).await, OPENED_AND_CLOSED);
    assert_eq!(app.get_payment(&payment.id).await.settlement_id, settlement.id);
}

#[tokio::test]
async fn a_payment_in_two_settlements_is_a_duplicate() {
    let app = app().await;
    let payment = app.paid("one", 45_000).await;
    let first = app.settled(&app.settle().await).await;
    app.paid("two", 30_000).await;
    app.settled(&app.settle().await).await;
    app.wrong(ReconFault::InOtherSettlementToo { entity_id: payment.provider_ref.clone() }).await;
    let found = app.break_until(Kind::Duplicate).await;
    assert_eq!(found.payment_id, payment.id);
    assert_ne!(found.settlement_id, first.id);
    app.mend().await;
    app.all_closed().await;
    assert_eq!(app.get_payment(&payment.id).await.settlement_id, first.id);
}

#[tokio::test]
async fn a_line_about_a_payment_that_nobody_knows_is_found() {
    let app = app().await;
    app.paid("one", 45_000).await;
    app.settled(&app.settle().await).await;
    app.wrong(ReconFault::Unknown).await;
    let found = app.break_until(Kind::SettledUnknown).await;
    assert!(found.payment_id.is_empty() && found.our_amount.is_none() && paise(&found.provider_amount) > 0, "{found:?}");
    app.mend().await;
    app.all_closed().await;
    assert_eq!(app.names_of_break(&found).await, OPENED_AND_CLOSED);
}

#[tokio::test]
async fn a_payment_without_a_line_is_missed_after_the_settlement_time() {
    let app = app().await;
    let (payment, _) = (app.paid("one", 45_000).await, app.paid("two", 30_000).await);
    let settlement = app.settle().await;
    app.wrong(ReconFault::Missing { entity_id: payment.provider_ref.clone() }).await;
    let of_sum = app.break_until(Kind::AmountDiffers).await;
    assert!(of_sum.entry_id.is_empty(), "the lines don't add up: {of_sum:?}");
    assert!(!app.breaks(false).await.iter().any(|found| found.kind() == Kind::SucceededNotSettled), "it is not late yet");
    // Two working days are never more than five days away.
    app.advance(minutes(6 * 24 * 60));
    let found = app.break_until(Kind::SucceededNotSettled).await;
    assert_eq!((found.payment_id.as_str(), paise(&found.our_amount), found.provider_amount.as_ref()), (payment.id.as_str(), 45_000, None));
    assert!(app.get_payment(&payment.id).await.settlement_id.is_empty());
    app.mend().await;
    app.all_closed().await;
    assert_eq!(app.names_of_break(&found).await, OPENED_AND_CLOSED);
    assert_eq!(app.get_payment(&payment.id).await.settlement_id, app.settled(&settlement).await.id);
}

#[tokio::test]
async fn a_refund_without_a_line_is_missed_after_the_settlement_time() {
    let app = app().await;
    let payment = app.paid("one", 45_000).await;
    app.paid("two", 45_000).await;
    let refund = app.refund("back", &payment, 12_000).await;
    app.advance(minutes(1));
    let refund = app.refund_until(&refund.id, pb::RefundState::Succeeded).await;
    app.settle().await;
    app.wrong(ReconFault::Missing { entity_id: refund.provider_ref.clone() }).await;
    app.advance(minutes(6 * 24 * 60));
    let found = app.break_until(Kind::RefundWithoutLine).await;
    assert_eq!((found.refund_id.as_str(), paise(&found.our_amount)), (refund.id.as_str(), -12_000));
    app.mend().await;
    app.all_closed().await;
    assert_eq!(app.names_of_break(&found).await, OPENED_AND_CLOSED);
}

#[tokio::test]
async fn a_refund_of_the_provider_s_that_only_its_line_tells_of_is_learned() {
    let app = app().await;
    let payment = app.paid("one", 45_000).await;
    app.paid("two", 45_000).await;
    app.callbacks("refund.*", WebhookFaultKind::Drop);
    app.lose_callbacks();
    app.provider.refund_payment(ACCOUNT, &payment.provider_ref, Some(20_000)).await.unwrap();
    app.advance(minutes(2));
    app.settle().await;
    let refund = app.rounds_until("the refund to be learned", async || app.refunds_of(&payment).await.pop()).await;
    assert_eq!(refund.origin(), pb::RefundOrigin::Provider);
    app.all_closed().await;
    until("its line to be linked", async || Some(app.get_refund(&refund.id).await).filter(|refund| !refund.settlement_id.is_empty())).await;
    assert_eq!(app.refunded(&payment).await, (20_000, 0));
}

#[tokio::test]
async fn a_report_that_fails_in_the_middle_opens_no_break() {
    let app = app().await;
    for number in 0..3 {
        app.paid(&format!("p-{number}"), 10_000).await;
    }
    app.always("settlement.recon", FaultKind::StatusBefore { status: 502 });
    app.settle().await;
    app.advance(A_ROUND);
    app.advance(minutes(60));
    assert!(app.breaks(true).await.is_empty());
    app.provider.clear_faults();
    let is_read = async || app.all_settlements().await.into_iter().find(|settlement| settlement.entries_complete);
    app.rounds_until("the settlement to be read", is_read).await;
    assert!(app.breaks(true).await.is_empty());
}
