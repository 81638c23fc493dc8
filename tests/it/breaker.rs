//! A provider that does not work gets nothing for a while: what is asked for is not sent, and said so at once; what is in doubt
//! is the first that is asked about again. And one that hangs holds up nobody else.

use std::time::Duration;

use tonic::{Code, Status};
use upistream::clock::Clock as _;
use upistream::config::{Config, ProviderConfig};
use upistream::grpc::pb;
use upistream::sandbox::{Fault, FaultKind, Sandbox};

use crate::mandate::{debit_order, instant, mandate_order};
use crate::support::app::{ACCOUNT, App, hasty, order, provider, provider_on, told, until, within};

/// How long nothing is sent. Longer than the busiest machine takes for what is looked at meanwhile.
const OPEN_FOR: Duration = Duration::from_secs(4);
/// A request is tried half as long later than a look-up.
const REQUESTS_AFTER: Duration = Duration::from_secs(6);
const FAILURES: usize = 3;
/// Another account, at a provider of its own.
const OTHER: &str = "other";

/// Three failures, however much went well before, and nothing is sent for a while.
fn sensitive(config: &mut Config) {
    config.provider_calls.breaker_failures = FAILURES;
    config.provider_calls.breaker_failure_percent = 1;
    config.provider_calls.breaker_open_ms = u64::try_from(OPEN_FOR.as_millis()).expect("it is short");
    config.provider_calls.breaker_trials = 1;
}

/// The account as the service shows it.
async fn calls_of(app: &App) -> pb::ProviderCalls {
    let accounts = app.accounts().list_accounts(pb::ListAccountsRequest {}).await.expect("accounts are listed").into_inner().accounts;
    let account = accounts.into_iter().find(|account| account.name == ACCOUNT).expect("the account is there");
    account.provider_calls.expect("it is told of each account")
}

async fn is_measured(app: &App, line: &str) {
    let metrics = app.metrics().await;
    assert!(metrics.lines().any(|told| told == line), "{line} is not in\n{metrics}");
}

/// What was asked for was not sent, and when to ask again is said.
fn assert_held_back(status: &Status) -> Duration {
    let told = told(status);
    assert_eq!((told.code, told.reason.as_str(), told.outcome()), (Code::Unavailable, "PROVIDER_UNAVAILABLE", "NOT_SENT"), "{status:?}");
    told.retry_after.expect("it is said when to ask again")
}

/// Time passes until calls are made again. The reconciler's looks are what finds out.
async fn is_found_to_work_again(app: &App) {
    until("calls to be made again", async || {
        app.advance(Duration::from_secs(1));
        (calls_of(app).await.breaker() == pb::ProviderBreaker::Closed).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_provider_that_fails_gets_nothing_until_a_look_up_finds_it_well() {
    let app = App::start_with(provider().await, sensitive).await;
    app.lose_callbacks();
    assert_eq!(calls_of(&app).await.breaker(), pb::ProviderBreaker::Closed);
    is_measured(&app, r#"upistream_provider_breaker_open{account="shop"} 0"#).await;
    app.always("qr.create", FaultKind::StatusAfter { status: 502 });
    app.always("qr.list", FaultKind::StatusBefore { status: 503 });
    let mut in_doubt = Vec::new();
    for key in ["one", "two", "three"] {
        let qr = app.create(key, 49_900).await;
        assert_eq!((qr.state(), qr.in_doubt), (pb::QrState::Requested, true));
        in_doubt.push(qr);
    }

    let seen = app.provider.seen().len();
    let calls = calls_of(&app).await;
    assert_eq!(calls.breaker(), pb::ProviderBreaker::Open);
    let wait: Duration = calls.retry_after.expect("it is tried again").try_into().expect("it is ahead");
    assert!(wait <= OPEN_FOR, "{wait:?}");
    is_measured(&app, r#"upistream_provider_breaker_open{account="shop"} 1"#).await;
    is_measured(&app, r#"upistream_provider_errors_total{account="shop",class="server_error"} 3"#).await;
    let refused = app.qrs().create_qr(order("four", 49_900)).await.expect_err("nothing is sent");
    let retry_after = assert_held_back(&refused);
    assert!(retry_after <= REQUESTS_AFTER, "{retry_after:?}");
    // A repeat of what is in doubt is no new request: it is answered with what is known.
    let again = app.qrs().create_qr(within(Duration::from_secs(1), order("one", 49_900))).await.expect("it is known").into_inner();
    assert_eq!((again.idempotency_replayed, again.qr.as_ref()), (true, Some(&in_doubt[0])));
    assert_eq!(app.provider.seen().len(), seen, "nothing was sent meanwhile");
    assert_eq!(app.list_qrs().await.len(), 3, "and nothing written of what was not sent");

    // What is in doubt is tried before what is new, fails, and the provider is left alone again.
    until("a look-up to be tried", async || {
        app.advance(Duration::from_secs(1));
        assert_held_back(&app.qrs().create_qr(order("four", 49_900)).await.expect_err("nothing is sent"));
        (app.asked("qr.list") > 0).then_some(())
    })
    .await;
    assert_eq!(calls_of(&app).await.breaker(), pb::ProviderBreaker::Open);

    app.provider.clear_faults();
    app.lose_callbacks();
    is_found_to_work_again(&app).await;
    for qr in &in_doubt {
        until("the doubt to be resolved", async || {
            app.advance(Duration::from_secs(1));
            Some(app.get_qr(&qr.id).await).filter(|qr| qr.state() == pb::QrState::Active)
        })
        .await;
    }
    let qr = app.create("four", 49_900).await;
    assert_eq!((qr.state(), app.asked("qr.create"), app.codes().len()), (pb::QrState::Active, FAILURES + 1, FAILURES + 1));
    is_measured(&app, r#"upistream_provider_breaker_open{account="shop"} 0"#).await;
    let mut sent = app.references_sent();
    sent.sort();
    sent.dedup();
    assert_eq!(sent.len(), FAILURES + 1, "nothing was sent twice");
}

#[tokio::test]
async fn a_provider_that_can_not_be_reached_is_not_tried_for_each_caller_and_then_found_back() {
    let mut app = App::start_with(provider().await, |config| {
        hasty(config);
        sensitive(config);
        config.provider_calls.breaker_open_ms = 1_500;
    })
    .await;
    let address = app.provider.address();
    app.provider.stop().await;

    let first = app.qrs().create_qr(order("one", 49_900)).await.expect_err("it is not there");
    assert!(assert_held_back(&first) <= Duration::from_millis(2_250));
    // The first one was written down before anything was known; the second one not even that.
    assert_held_back(&app.qrs().create_qr(order("two", 49_900)).await.expect_err("it is held back"));
    let all = app.list_qrs().await;
    assert_eq!(all.iter().map(|qr| (qr.state(), qr.reference.as_str())).collect::<Vec<_>>(), [(pb::QrState::Failed, "ref-one")]);
    is_measured(&app, r#"upistream_provider_errors_total{account="shop",class="not_connected"} 3"#).await;

    let listener = until("the address to be free", async || tokio::net::TcpListener::bind(address).await.ok()).await;
    app.provider = provider_on(listener).await;
    // Nothing is open that would be looked at: the request itself is the trial.
    for key in ["one", "two"] {
        let qr = until("the provider to be found back", async || app.qrs().create_qr(order(key, 49_900)).await.ok()).await;
        assert_eq!(qr.into_inner().qr.map(|qr| qr.state()), Some(pb::QrState::Active));
    }
    assert_eq!((app.codes().len(), app.references_sent().len()), (2, 2));
    assert_eq!(calls_of(&app).await.breaker(), pb::ProviderBreaker::Closed);
}

#[tokio::test]
async fn a_trial_whose_answer_is_lost_is_in_doubt_like_any_other() {
    let app = App::start_with(provider().await, |config| {
        sensitive(config);
        config.provider_calls.breaker_open_ms = 2_000;
    })
    .await;
    app.lose_callbacks();
    app.always("qr.create", FaultKind::StatusBefore { status: 500 });
    for key in ["one", "two", "three"] {
        app.create(key, 49_900).await;
    }
    app.provider.clear_faults();
    app.lose_callbacks();
    // No look-up is answered, so requests get their turn.
    app.always("qr.list", FaultKind::StatusBefore { status: 500 });
    app.always("qr.create", FaultKind::AnswerLost);
    let tried = until("a request to be tried", async || app.qrs().create_qr(order("four", 49_900)).await.ok()).await;
    let qr = tried.into_inner().qr.expect("the answer has the code");
    assert!(app.asked("qr.list") > 0, "look-ups were tried before");
    assert_eq!((qr.state(), qr.in_doubt, app.codes().len()), (pb::QrState::Requested, true, 1), "it was acted on, and nobody knows");
    assert_held_back(&app.qrs().create_qr(order("five", 49_900)).await.expect_err("the trial failed"));

    app.provider.clear_faults();
    app.lose_callbacks();
    let found = until("the trial to be found", async || {
        app.advance(Duration::from_secs(1));
        Some(app.get_qr(&qr.id).await).filter(|qr| qr.state() == pb::QrState::Active)
    })
    .await;
    assert_eq!((found.provider_ref, app.asked("qr.create")), (app.only_code(), FAILURES + 1));
}

#[tokio::test]
async fn a_debit_that_is_due_waits_for_a_provider_that_does_not_work_and_is_made_once() {
    let app = App::start_with(provider().await, sensitive).await;
    app.advance_to_day(2, 6, 0);
    let mandate = app.approved(mandate_order(&app, "mandate")).await;
    let waiting = app.announced(debit_order("debit", &mandate, 49_900)).await;
    app.always("qr.create", FaultKind::StatusBefore { status: 500 });
    app.always("qr.list", FaultKind::StatusBefore { status: 500 });
    for key in ["one", "two", "three"] {
        app.create(key, 49_900).await;
    }
    assert_eq!(calls_of(&app).await.breaker(), pb::ProviderBreaker::Open);
    let seen = app.provider.seen().len();
    app.advance_to(instant(waiting.next_permitted_time.as_ref()).expect("it is told when"));
    until("all that is due to be looked at", async || {
        let due = app.running.store().next_due().await.expect("the store answers");
        due.is_some_and(|due| due > app.clock.now()).then_some(())
    })
    .await;
    // No attempt is written down, let alone counted.
    assert_eq!((app.get_debit(&waiting.id).await, app.provider.seen().len()), (waiting.clone(), seen));

    app.provider.clear_faults();
    is_found_to_work_again(&app).await;
    let done = app
        .passing(Duration::from_secs(60), "the debit", async || {
            Some(app.get_debit(&waiting.id).await).filter(|debit| debit.state() == pb::DebitState::Succeeded)
        })
        .await;
    assert_eq!((done.attempts.len(), app.asked("payment.create_recurring")), (1, 1));
    assert_eq!(app.collected_at_provider(&mandate), [49_900]);
}

fn at_other(key: &str) -> pb::CreateQrRequest {
    pb::CreateQrRequest { account: OTHER.to_owned(), ..order(key, 49_900) }
}

/// A service that has another account, at a provider of its own; and that provider.
async fn with_another(change: impl FnOnce(&mut Config)) -> (App, Sandbox) {
    let slow = provider().await;
    let url = slow.razorpay_url();
    let app = App::start_with(provider().await, |config| {
        let mut account = config.accounts[ACCOUNT].clone();
        let ProviderConfig::Razorpay(settings) = &mut account.provider else { panic!("the account is at Razorpay") };
        settings.base_url = url;
        config.accounts.insert(OTHER.parse().expect("a name"), account);
        change(config);
    })
    .await;
    (app, slow)
}

#[tokio::test]
async fn a_provider_that_hangs_holds_up_nobody_else() {
    let (app, slow) = with_another(|config| {
        for account in config.accounts.values_mut() {
            let ProviderConfig::Razorpay(razorpay) = &mut account.provider else { panic!("the accounts are at Razorpay") };
            razorpay.timeout_ms = 20_000;
        }
        config.reconciler.lease_ms = 60_000;
        // One of the two is kept for look-ups, and nobody waits.
        config.provider_calls.calls_max = 2;
        config.provider_calls.waiting_max = 0;
    })
    .await;
    slow.fault(Fault { times: u32::MAX, ..Fault::on("qr.create", FaultKind::Stall) }).expect("there is room for a fault");
    let creations = || slow.seen().iter().filter(|request| request.operation == "qr.create").count();
    let (mut qrs, hanging) = (app.qrs(), within(Duration::from_secs(10), at_other("hangs")));
    let hangs = tokio::spawn(async move { qrs.create_qr(hanging).await });
    until("the call to hang", async || (creations() > 0).then_some(())).await;

    for key in ["one", "two"] {
        let refused = app.qrs().create_qr(at_other(key)).await.expect_err("there is no place");
        assert_eq!(assert_held_back(&refused), Duration::from_secs(1));
    }
    for number in 0..5 {
        assert_eq!(app.create(&format!("quick-{number}"), 49_900).await.state(), pb::QrState::Active);
    }
    is_measured(&app, r#"upistream_provider_calls_in_flight{account="other"} 1"#).await;
    assert!(!hangs.is_finished(), "all of that went past the call that hangs");
    let answer = hangs.await.expect("nothing panics").expect("what is written down is answered").into_inner();
    assert_eq!(answer.qr.map(|qr| qr.state()), Some(pb::QrState::Requested));
    assert_eq!(creations(), 1, "what was turned away was not sent");
}

#[tokio::test]
async fn one_account_that_is_held_back_is_not_another() {
    let (app, failing) = with_another(sensitive).await;
    let fault = Fault { times: u32::MAX, ..Fault::on("qr.create", FaultKind::StatusBefore { status: 500 }) };
    failing.fault(fault).expect("there is room for a fault");
    for key in ["one", "two", "three"] {
        app.qrs().create_qr(at_other(key)).await.expect("doubt is no error");
    }
    assert_held_back(&app.qrs().create_qr(at_other("four")).await.expect_err("it is held back"));
    assert_eq!(app.create("one", 49_900).await.state(), pb::QrState::Active);
    assert_eq!(calls_of(&app).await.breaker(), pb::ProviderBreaker::Closed);
}
