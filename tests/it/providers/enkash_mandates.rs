//! EnKash's mandates: spoken of in words that are configured, asked for by the payer's address, and known by asking alone; and
//! their debits, of which an attempt whose answer is lost is a person's to decide.

mod debits;
mod killed;
mod lost;
mod once;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tonic::{Code, Status};
use upistream::config::{
    Config, EnkashMandatesConfig, MandateAmountUnit, MandateMeaning, MandateNaming, MandatePaths, NoticeMeaning, Period, ProviderConfig,
    Rule,
};
use upistream::grpc::pb;
use upistream::sandbox::{EnkashSwitches, PayerAct};

use super::shop::{At, Shop};
use crate::mandate::{MAX, instant, mandate_order, money, switched, told_of};
use crate::refund::paise;
use crate::support::app::{App, check_revisions, minutes, told, until};

/// The sum of the stories' debits.
const PAISE: i64 = 49_900;
/// Longer than any pause between two looks at what is open.
const A_DAY_AND_MORE: Duration = Duration::from_secs(27 * 3_600);

/// The words that the simulator assumes.
pub(crate) fn words() -> EnkashMandatesConfig {
    let word = |text: &str| text.to_owned();
    EnkashMandatesConfig {
        paths: MandatePaths::G3,
        naming: MandateNaming::SnakeCase,
        amount_unit: MandateAmountUnit::Paise,
        no_rule: Some(word("NA")),
        periods: BTreeMap::from([
            (Period::OneTime, word("ONETIME")),
            (Period::Daily, word("DAILY")),
            (Period::Monthly, word("MONTHLY")),
            (Period::AsPresented, word("ASPRESENTED")),
        ]),
        rules: BTreeMap::from([(Rule::On, word("ON")), (Rule::Before, word("BEFORE")), (Rule::After, word("AFTER"))]),
        statuses: BTreeMap::from([
            (word("INITIATED"), MandateMeaning::AwaitingApproval),
            (word("ACTIVE"), MandateMeaning::Active),
            (word("PAUSED"), MandateMeaning::Paused),
            (word("REVOKED"), MandateMeaning::Revoked),
            (word("REJECTED"), MandateMeaning::Rejected),
            (word("EXPIRED"), MandateMeaning::Expired),
            (word("COMPLETED"), MandateMeaning::Completed),
        ]),
        notice_statuses: BTreeMap::from([
            (word("SUCCESS"), NoticeMeaning::Delivered),
            (word("PENDING"), NoticeMeaning::Pending),
            (word("FAILED"), NoticeMeaning::Failed),
        ]),
    }
}

/// The accounts at EnKash have these words.
pub(crate) fn spoken(config: &mut Config, words: &EnkashMandatesConfig) {
    for account in config.accounts.values_mut() {
        if let ProviderConfig::Enkash(enkash) = &mut account.provider {
            enkash.mandates = Some(words.clone());
        }
    }
}

/// A shop with mandates, early in a month and a day, so that a cycle leaves time for everything.
async fn open() -> Shop {
    open_by(&words()).await
}

async fn open_by(words: &EnkashMandatesConfig) -> Shop {
    let shop = Shop::open_with(At::Enkash, |config| spoken(config, words)).await;
    // What was sent is counted, and a token that ended would have it sent once more.
    reads(&shop.app, |enkash| enkash.token_lifetime_s = 10 * 365 * 24 * 3_600);
    shop.app.advance_to_day(2, 6, 0);
    shop
}

/// A monthly mandate over at most [`MAX`], which the payer is asked for in his app.
fn order(app: &App, key: &str) -> pb::CreateMandateRequest {
    pb::CreateMandateRequest {
        account: At::Enkash.account().to_owned(),
        payer_vpa: "asha@examplebank".to_owned(),
        payer_phone: String::new(),
        payer_email: String::new(),
        ..mandate_order(app, key)
    }
}

/// One of a frequency without a day.
pub(crate) fn order_without_day(app: &App, key: &str, frequency: pb::MandateFrequency) -> pb::CreateMandateRequest {
    let no_rule = pb::MandateDebitDayRule::Unspecified.into();
    pb::CreateMandateRequest { frequency: frequency.into(), debit_day: None, debit_day_rule: no_rule, ..order(app, key) }
}

/// What the payer does about it.
async fn payer(app: &App, mandate: &pb::Mandate, act: PayerAct) {
    let done = app.provider.decide_mandate(At::Enkash.account(), &mandate.provider_ref, act).await;
    done.expect("the payer can do that");
}

/// A mandate whose payer approved it.
pub(crate) async fn approved(app: &App, order: pb::CreateMandateRequest) -> pb::Mandate {
    let asked = app.mandate(order).await;
    payer(app, &asked, PayerAct::Approve).await;
    app.mandate_until(&asked.id, pb::MandateState::Active).await
}

/// How EnKash's readings differ from now on, besides those of before.
pub(crate) fn reads(app: &App, change: impl FnOnce(&mut EnkashSwitches)) {
    let mut switches = app.provider.current_switches();
    change(&mut switches.enkash);
    app.provider.switches(switches);
}

fn revoke_order(key: &str, mandate: &pb::Mandate) -> pb::RevokeMandateRequest {
    pb::RevokeMandateRequest { idempotency_key: key.to_owned(), id: mandate.id.clone() }
}

async fn revoke(shop: &Shop, key: &str, mandate: &pb::Mandate) -> Result<pb::Mandate, Status> {
    let answer = shop.app.mandates().revoke_mandate(revoke_order(key, mandate)).await?.into_inner();
    Ok(answer.mandate.expect("the answer has it"))
}

/// The bodies of what EnKash was asked for, oldest first.
fn bodies(app: &App, operation: &str) -> Vec<Value> {
    app.provider.seen().into_iter().filter(|asked| asked.operation == operation).map(|asked| asked.body).collect()
}

/// Nothing is at hand that is due now.
async fn settled(app: &App) {
    use upistream::clock::Clock;
    until("the reconciler to have nothing at hand", async || {
        let due = app.running.store().next_due().await.expect("the store answers");
        due.is_none_or(|due| due > app.clock.now()).then_some(())
    })
    .await;
}

/// Time passes in steps until the mandate is in `state`.
async fn mandate_in_time(shop: &Shop, id: &str, by: Duration, state: pb::MandateState) -> pb::Mandate {
    let look = async || Some(shop.app.get_mandate(id).await).filter(|mandate| mandate.state() == state);
    shop.app.passing(by, &format!("a mandate that is {state:?}"), look).await
}

/// Time passes in steps until the debit is in `state`.
async fn debit_in_time(shop: &Shop, id: &str, by: Duration, state: pb::DebitState) -> pb::Debit {
    let look = async || Some(shop.app.get_debit(id).await).filter(|debit| debit.state() == state);
    shop.app.passing(by, &format!("a debit that is {state:?}"), look).await
}

#[tokio::test]
async fn without_words_there_are_no_mandates_and_the_account_says_why() {
    let shop = Shop::open(At::Enkash).await;
    let capabilities = shop.account.capabilities.clone().expect("it says what it can do");
    assert_eq!(capabilities.mandates, None);
    let create = capabilities.operations.iter().find(|can| can.operation() == pb::ProviderOperation::CreateMandate);
    let create = create.expect("each operation is told of");
    assert!(!create.supported && create.missing_reason.contains("set accounts.NAME.enkash.mandates"), "{create:?}");
    let refused = told(&shop.app.mandates().create_mandate(order(&shop.app, "one")).await.expect_err("there are none"));
    assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "PROVIDER_LACKS_CAPABILITY"));
    assert_eq!(refused.outcome(), "NOT_SENT");
    assert_eq!(shop.asked("mandate.create"), 0);

    let shop = open().await;
    let capabilities = shop.account.capabilities.clone().expect("it says what it can do");
    let mandates = capabilities.mandates.expect("it has mandates");
    assert!(mandates.payer_vpa_supported && !mandates.approval_link_supported && mandates.block_funds_supported);
    let offered: Vec<_> = mandates.frequencies().collect();
    assert!(offered.contains(&pb::MandateFrequency::Monthly) && !offered.contains(&pb::MandateFrequency::Weekly), "{offered:?}");
    let execute = capabilities.operations.iter().find(|can| can.operation() == pb::ProviderOperation::ExecuteDebit);
    assert_eq!(execute.map(|can| (can.supported, can.doubt())), Some((true, pb::DoubtRemedy::None)));
}

/// What there is no word for, or EnKash has no field for, is told before anything is written.
#[tokio::test]
async fn what_cannot_be_said_to_enkash_is_a_violation() {
    let shop = open().await;
    let check = async |change: fn(&mut pb::CreateMandateRequest), field: &str| {
        let mut order = order(&shop.app, "one");
        change(&mut order);
        let refused = told(&shop.app.mandates().create_mandate(order).await.expect_err("it is refused"));
        assert_eq!(refused.reason, "INVALID_FIELDS");
        assert!(refused.fields.iter().any(|named| named == field), "{field}: {refused:?}");
    };
    check(|order| order.payer_vpa.clear(), "payer_vpa").await;
    check(|order| order.payer_name.clear(), "payer_name").await;
    check(|order| order.frequency = pb::MandateFrequency::Yearly.into(), "frequency").await;
    check(|order| order.notes = [("case".to_owned(), "7".to_owned())].into(), "notes").await;
    check(|order| order.revocable = Some(false), "revocable").await;
    assert_eq!(shop.asked("mandate.create"), 0);
}

#[tokio::test]
async fn a_payer_is_asked_by_his_address_and_his_approval_is_found_by_asking() {
    let shop = open().await;
    let asked = shop.app.mandate(order(&shop.app, "one")).await;
    assert_eq!((asked.state(), asked.in_doubt), (pb::MandateState::AwaitingApproval, false), "{asked:?}");
    assert!(asked.approval_link.is_empty() && asked.umn.is_empty() && !asked.provider_ref.is_empty(), "{asked:?}");
    assert!(asked.approval_expire_time.is_some());
    let sent = bodies(&shop.app, "mandate.create").remove(0);
    assert_eq!((sent["amount"].as_i64(), sent["payer"]["vpa"].as_str()), (Some(MAX), Some("asha@examplebank")));
    assert_eq!((sent["recurrence"]["period"].as_str(), sent["recurrence"]["rule"].as_str()), (Some("MONTHLY"), Some("AFTER")));

    payer(&shop.app, &asked, PayerAct::Approve).await;
    let active = shop.app.mandate_until(&asked.id, pb::MandateState::Active).await;
    assert!(active.umn.ends_with("@examplebank"), "{active:?}");
    assert_eq!((active.provider_ref.as_str(), active.debit_count, paise(&active.amount_debited)), (asked.provider_ref.as_str(), 0, 0));
    let story = shop.app.story(&asked.id, active.revision).await;
    let activated = story.iter().find(|event| event.r#type == "mandate.activated").expect("it is told");
    assert_eq!(activated.evidence(), pb::Evidence::Enquiry, "the callback proves nothing");
    assert_eq!(shop.asked("mandate.create"), 1);
    check_revisions(&shop.app.log().await);
}

#[tokio::test]
async fn without_any_callback_all_that_the_payer_does_is_found_by_looking() {
    let shop = open().await;
    shop.app.lose_callbacks();
    let asked = shop.app.mandate(order(&shop.app, "one")).await;
    payer(&shop.app, &asked, PayerAct::Approve).await;
    mandate_in_time(&shop, &asked.id, minutes(20), pb::MandateState::Active).await;
    for (act, state) in [
        (PayerAct::Pause, pb::MandateState::Paused),
        (PayerAct::Resume, pb::MandateState::Active),
        (PayerAct::Revoke, pb::MandateState::Revoked),
    ] {
        payer(&shop.app, &asked, act).await;
        mandate_in_time(&shop, &asked.id, A_DAY_AND_MORE, state).await;
    }
    check_revisions(&shop.app.log().await);
}

/// Somebody who knows every id says that the payer approved: that is reason to ask, and the answer holds.
#[tokio::test]
async fn a_forged_approval_makes_nothing_active() {
    let shop = open().await;
    let asked = shop.app.mandate(order(&shop.app, "one")).await;
    let (before, looked) = (shop.answered(), shop.asked("mandate.fetch"));
    shop.app.provider.send_forged("enkash", &asked.provider_ref, None).await.expect("the sandbox can forge");
    shop.answered_is(before + 1).await;
    assert!(shop.asked("mandate.fetch") > looked, "it is reason to ask");
    let after = shop.app.get_mandate(&asked.id).await;
    assert_eq!((after.state(), after.umn.as_str()), (pb::MandateState::AwaitingApproval, ""));
    let refused = shop.app.create_debit(crate::mandate::debit_order("early", &asked, PAISE)).await.expect_err("nobody approved");
    assert_eq!(told(&refused).reason, "STATE_FORBIDS");
    assert_eq!(shop.asked("mandate.notify"), 0);
    payer(&shop.app, &asked, PayerAct::Approve).await;
    shop.app.mandate_until(&asked.id, pb::MandateState::Active).await;
}

#[tokio::test]
async fn a_payer_declines_or_lets_the_time_pass() {
    let shop = open().await;
    let asked = shop.app.mandate(order(&shop.app, "one")).await;
    payer(&shop.app, &asked, PayerAct::Reject).await;
    let rejected = shop.app.mandate_until(&asked.id, pb::MandateState::Rejected).await;
    assert_eq!(rejected.failure.expect("it says why").provider_code, "REJECTED");

    let asked = shop.app.mandate(order(&shop.app, "two")).await;
    shop.app.advance_to(instant(asked.approval_expire_time.as_ref()).expect("it was asked for until then"));
    let expired = mandate_in_time(&shop, &asked.id, minutes(20), pb::MandateState::Expired).await;
    assert_eq!(expired.failure.as_ref().map(pb::Failure::reason), Some(pb::FailureReason::ApprovalExpired));
    assert!(expired.end_time.is_some());
}

#[tokio::test]
async fn a_payer_pauses_resumes_and_revokes() {
    let shop = open().await;
    let active = approved(&shop.app, order(&shop.app, "one")).await;
    payer(&shop.app, &active, PayerAct::Pause).await;
    shop.app.mandate_until(&active.id, pb::MandateState::Paused).await;
    let refused = shop.app.create_debit(crate::mandate::debit_order("paused", &active, PAISE)).await.expect_err("it is paused");
    assert_eq!(told(&refused).reason, "STATE_FORBIDS");
    payer(&shop.app, &active, PayerAct::Resume).await;
    shop.app.mandate_until(&active.id, pb::MandateState::Active).await;
    payer(&shop.app, &active, PayerAct::Revoke).await;
    let revoked = shop.app.mandate_until(&active.id, pb::MandateState::Revoked).await;
    assert!(revoked.end_time.is_some());
    let types = told_of(&shop.app, &active.id).await;
    let states: Vec<&str> = types.iter().map(String::as_str).filter(|kind| !kind.ends_with("updated")).collect();
    assert_eq!(states[2..], ["mandate.activated", "mandate.paused", "mandate.resumed", "mandate.revoked"]);
}

/// The merchant revokes: what EnKash answers is not published, so it is asked what became of it.
#[tokio::test]
async fn a_revoke_is_over_when_asking_says_so() {
    let shop = open().await;
    let active = approved(&shop.app, order(&shop.app, "one")).await;
    switched(&shop.app.provider, |mandates| mandates.cancelling_stays = true);
    let pending = revoke(&shop, "revoke", &active).await.expect("it is taken");
    assert_eq!(pending.state(), pb::MandateState::Active);
    assert_eq!(pending.pending_change.as_ref().map(pb::PendingChange::operation), Some(pb::Operation::Revoke));
    let refused = shop.app.create_debit(crate::mandate::debit_order("late", &active, PAISE)).await.expect_err("it is being revoked");
    assert_eq!(told(&refused).reason, "CHANGE_PENDING");
    assert_eq!(told(&revoke(&shop, "other", &active).await.expect_err("one is under way")).reason, "CHANGE_PENDING");
    payer(&shop.app, &active, PayerAct::Revoke).await;
    let over = shop.app.mandate_until(&active.id, pb::MandateState::Revoked).await;
    assert!(over.pending_change.is_none() && shop.asked("mandate.revoke") == 1);
    assert_eq!(revoke(&shop, "third", &active).await.expect("it is so already").state(), pb::MandateState::Revoked);
    assert_eq!(shop.asked("mandate.revoke"), 1);

    switched(&shop.app.provider, |mandates| mandates.cancelling_stays = false);
    let other = approved(&shop.app, order(&shop.app, "two")).await;
    revoke(&shop, "at once", &other).await.expect("it is taken");
    shop.app.mandate_until(&other.id, pb::MandateState::Revoked).await;
}

/// A word that nobody has heard of is no news, whatever it may mean.
#[tokio::test]
async fn an_unheard_of_word_leaves_a_mandate_as_it_is() {
    let shop = open().await;
    let asked = shop.app.mandate(order(&shop.app, "one")).await;
    let active = approved(&shop.app, order(&shop.app, "two")).await;
    reads(&shop.app, |enkash| enkash.unheard_statuses = true);
    payer(&shop.app, &asked, PayerAct::Approve).await;
    payer(&shop.app, &active, PayerAct::Revoke).await;
    for _ in 0..2 {
        shop.app.advance(minutes(13 * 60 / 2));
        settled(&shop.app).await;
    }
    let states = (shop.app.get_mandate(&asked.id).await.state(), shop.app.get_mandate(&active.id).await.state());
    assert_eq!(states, (pb::MandateState::AwaitingApproval, pb::MandateState::Active));
    // One that is made meanwhile is taken, and nothing more is known of it.
    let new = shop.app.mandate(order(&shop.app, "three")).await;
    assert_eq!(new.state(), pb::MandateState::AwaitingApproval);
    reads(&shop.app, |enkash| enkash.unheard_statuses = false);
    mandate_in_time(&shop, &asked.id, minutes(60), pb::MandateState::Active).await;
    mandate_in_time(&shop, &active.id, A_DAY_AND_MORE, pb::MandateState::Revoked).await;
}

#[tokio::test]
async fn its_last_day_over_it_expires() {
    let shop = open().await;
    let mut order = order(&shop.app, "one");
    let end = upistream::clock::after(upistream::clock::Clock::now(&*shop.app.clock), Duration::from_secs(40 * 24 * 3_600));
    order.valid_until = Some(crate::mandate::stamp(end));
    let active = approved(&shop.app, order).await;
    shop.app.advance(Duration::from_secs(42 * 24 * 3_600));
    let over = shop.app.mandate_until(&active.id, pb::MandateState::Expired).await;
    assert!(over.failure.is_none() && over.end_time.is_some());
}

/// The older paths, the other spelling, and rupees: whatever is configured is what is sent and read.
#[tokio::test]
async fn other_paths_spellings_and_units_do_as_well() {
    let words = EnkashMandatesConfig {
        paths: MandatePaths::G2,
        naming: MandateNaming::CamelCase,
        amount_unit: MandateAmountUnit::Rupees,
        ..words()
    };
    let shop = open_by(&words).await;
    reads(&shop.app, |enkash| {
        enkash.mandate_amounts_in_rupees = true;
        enkash.mandate_naming = upistream::sandbox::MandateNaming::CamelCase;
    });
    let odd = pb::CreateMandateRequest { max_amount: Some(money(MAX + 1)), ..order(&shop.app, "odd") };
    let refused = told(&shop.app.mandates().create_mandate(odd).await.expect_err("there is no such number of rupees"));
    assert_eq!(refused.fields, ["max_amount"]);
    let active = approved(&shop.app, order(&shop.app, "one")).await;
    assert_eq!((paise(&active.max_amount), bodies(&shop.app, "mandate.create")[0]["amount"].as_i64()), (MAX, Some(MAX / 100)));
    let waiting = shop.app.announced(crate::mandate::debit_order("one", &active, PAISE)).await;
    shop.app.collected(&waiting).await;
    assert_eq!(bodies(&shop.app, "mandate.execute")[0]["mandateId"].as_str(), Some(active.provider_ref.as_str()));
    revoke(&shop, "revoke", &active).await.expect("it is taken");
    shop.app.mandate_until(&active.id, pb::MandateState::Revoked).await;
}
