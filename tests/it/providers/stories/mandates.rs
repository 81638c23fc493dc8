//! Mandates, where the provider has them.

use upistream::grpc::pb;

use super::super::shop::{At, Shop};
use super::is_lacking;
use crate::mandate::{mandate_order, money};
use crate::support::app::check_revisions;

/// A mandate is asked for where there are such; what is lacking is refused in the words of the capabilities, before anything is
/// written or sent.
pub async fn a_mandate_is_asked_for_or_refused_by_name(at: At) {
    let shop = Shop::open(at).await;
    let can = shop.can(pb::ProviderOperation::CreateMandate).clone();
    let offers = shop.account.capabilities.as_ref().is_some_and(|capabilities| capabilities.mandates.is_some());
    assert_eq!(can.supported, offers, "the capabilities agree with each other");
    let order = pb::CreateMandateRequest { account: at.account().to_owned(), ..mandate_order(&shop.app, "one") };
    let created = shop.app.mandates().create_mandate(order).await;
    if !can.supported {
        is_lacking(&created.expect_err("it is lacking"), &can.missing_reason);
        let request = pb::ListMandatesRequest { account: at.account().to_owned(), ..Default::default() };
        let listed = shop.app.mandates().list_mandates(request).await.expect("mandates are listed").into_inner();
        assert!(listed.mandates.is_empty() && shop.app.log().await.is_empty());
        assert!(shop.app.provider.seen().is_empty(), "{:?}", shop.app.provider.seen());
        return;
    }
    let mandate = created.expect("it is taken").into_inner().mandate.expect("the answer has it");
    assert_eq!(mandate.state(), pb::MandateState::AwaitingApproval, "{mandate:?}");
    assert_eq!((mandate.account.as_str(), mandate.provider.as_str()), (at.account(), at.name()));
    let (idempotency_key, id) = ("change".to_owned(), mandate.id.clone());
    let lacks = |operation| {
        let can = shop.can(operation);
        assert!(!can.supported, "{can:?}");
        can.missing_reason.as_str()
    };
    let request = pb::PauseMandateRequest { idempotency_key: idempotency_key.clone(), id: id.clone() };
    let refused = shop.app.mandates().pause_mandate(request).await.expect_err("it is lacking");
    is_lacking(&refused, lacks(pb::ProviderOperation::PauseMandate));
    let request = pb::ResumeMandateRequest { idempotency_key: idempotency_key.clone(), id: id.clone() };
    let refused = shop.app.mandates().resume_mandate(request).await.expect_err("it is lacking");
    is_lacking(&refused, lacks(pb::ProviderOperation::ResumeMandate));
    let request = pb::UpdateMandateRequest { idempotency_key, id, max_amount: Some(money(1_000)), valid_until: None };
    let refused = shop.app.mandates().update_mandate(request).await.expect_err("it is lacking");
    is_lacking(&refused, lacks(pb::ProviderOperation::UpdateMandate));
    assert_eq!(shop.app.get_mandate(&mandate.id).await, mandate);
    check_revisions(&shop.app.log().await);
}
