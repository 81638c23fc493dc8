use proptest::prelude::*;

use super::*;

const SETTINGS: BreakerSettings =
    BreakerSettings { failures: 3, failure_percent: 50, window: Duration::from_secs(30), open_for: Duration::from_secs(10), trials: 2 };

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A call that is made, and over at once.
fn call(breaker: &mut Breaker, purpose: Purpose, news: News, now: Instant) -> Result<(), Duration> {
    let ticket = breaker.admit(purpose, now)?;
    breaker.ended(ticket, news, now);
    Ok(())
}

/// A breaker that has just opened.
fn opened(now: Instant) -> Breaker {
    let mut breaker = Breaker::new(SETTINGS);
    for _ in 0..SETTINGS.failures {
        call(&mut breaker, Purpose::Act, News::Fails, now).expect("it is closed");
    }
    assert_eq!(breaker.state(now), BreakerState::Open { retry_after: SETTINGS.open_for });
    breaker
}

#[test]
fn failures_open_it_and_nothing_is_sent() {
    let now = Instant::now();
    let mut breaker = opened(now);
    assert_eq!(breaker.admit(Purpose::Ask, now), Err(seconds(10)));
    // A request waits for half as long again, so that a question can go before it.
    assert_eq!(breaker.admit(Purpose::Act, now + seconds(4)), Err(seconds(11)));
    assert_eq!(breaker.state(now + seconds(4)), BreakerState::Open { retry_after: seconds(6) });
}

#[test]
fn a_few_failures_among_many_calls_open_nothing() {
    let now = Instant::now();
    let mut breaker = Breaker::new(SETTINGS);
    for news in [News::Works, News::Works, News::Works, News::Fails].repeat(20) {
        call(&mut breaker, Purpose::Act, news, now).expect("it is closed");
    }
    assert_eq!(breaker.state(now), BreakerState::Closed);
}

#[test]
fn failures_of_long_ago_do_not_count() {
    let now = Instant::now();
    let mut breaker = Breaker::new(SETTINGS);
    for step in 0..20 {
        call(&mut breaker, Purpose::Act, News::Fails, now + seconds(16 * step)).expect("two of three are too old");
    }
}

#[test]
fn being_asked_to_wait_is_no_failure() {
    let now = Instant::now();
    let mut breaker = Breaker::new(SETTINGS);
    for _ in 0..20 {
        call(&mut breaker, Purpose::Act, News::Nothing, now).expect("it is closed");
    }
    assert_eq!(breaker.state(now), BreakerState::Closed);
}

#[test]
fn questions_are_the_first_trials_and_let_requests_follow() {
    let now = Instant::now();
    let mut breaker = opened(now);
    let later = now + seconds(10);
    assert_eq!(breaker.refusal(Purpose::Ask, later), None);
    assert_eq!(breaker.admit(Purpose::Act, later), Err(seconds(5)));
    call(&mut breaker, Purpose::Ask, News::Works, later).expect("a question is the trial");
    assert_eq!(breaker.state(later), BreakerState::HalfOpen);
    call(&mut breaker, Purpose::Act, News::Works, later).expect("the provider answered a question");
    assert_eq!(breaker.state(later), BreakerState::Closed);
}

#[test]
fn where_nobody_asks_a_request_is_the_trial() {
    let now = Instant::now();
    let mut breaker = opened(now);
    let later = now + seconds(15);
    let first = breaker.admit(Purpose::Act, later).expect("nobody asked a question");
    let second = breaker.admit(Purpose::Act, later).expect("there are two trials");
    assert_eq!(breaker.admit(Purpose::Act, later), Err(TRIAL_PAUSE));
    breaker.ended(first, News::Works, later);
    breaker.ended(second, News::Fails, later);
    assert_eq!(breaker.state(later), BreakerState::Open { retry_after: seconds(10) });
}

#[test]
fn what_was_tried_in_vain_lets_the_other_go_first() {
    let mut now = Instant::now();
    let mut breaker = opened(now);
    now += seconds(10);
    call(&mut breaker, Purpose::Ask, News::Fails, now).expect("questions go first");
    now += seconds(10);
    assert_eq!(breaker.admit(Purpose::Ask, now), Err(seconds(5)));
    call(&mut breaker, Purpose::Act, News::Fails, now).expect("requests go first now");
    now += seconds(10);
    assert_eq!(breaker.admit(Purpose::Act, now), Err(seconds(5)));
    call(&mut breaker, Purpose::Ask, News::Fails, now).expect("and questions again");
    // Nobody asks for anything: a question goes in place of a request.
    call(&mut breaker, Purpose::Ask, News::Works, now + seconds(15)).expect("it waited long enough");
}

#[test]
fn a_trial_that_nobody_waited_for_makes_room_for_another() {
    let now = Instant::now();
    let mut breaker = opened(now);
    let later = now + seconds(10);
    for _ in 0..10 {
        call(&mut breaker, Purpose::Ask, News::Nothing, later).expect("the last one was given up");
    }
    assert_eq!(breaker.state(later), BreakerState::HalfOpen);
}

#[test]
fn what_was_sent_before_it_opened_says_nothing_later() {
    let now = Instant::now();
    let mut breaker = Breaker::new(SETTINGS);
    let slow = breaker.admit(Purpose::Act, now).expect("it is closed");
    for _ in 0..SETTINGS.failures {
        call(&mut breaker, Purpose::Act, News::Fails, now).expect("it is closed");
    }
    breaker.ended(slow, News::Works, now + seconds(5));
    assert_eq!(breaker.state(now + seconds(5)), BreakerState::Open { retry_after: seconds(5) });
    let trial = breaker.admit(Purpose::Ask, now + seconds(10)).expect("the pause is over");
    breaker.ended(slow, News::Fails, now + seconds(10));
    assert_eq!(breaker.state(now + seconds(10)), BreakerState::HalfOpen);
    breaker.ended(trial, News::Fails, now + seconds(10));
    assert_eq!(breaker.admit(Purpose::Act, now + seconds(10)), Err(seconds(10)));
}

#[derive(Clone, Debug)]
enum Step {
    Pass { ms: u64 },
    Begin(Purpose),
    End { which: usize, news: News },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let purpose = prop_oneof![Just(Purpose::Ask), Just(Purpose::Act)];
    let news = prop_oneof![2 => Just(News::Works), 3 => Just(News::Fails), 1 => Just(News::Nothing)];
    let step = prop_oneof![
        1 => (0..20_000_u64).prop_map(|ms| Step::Pass { ms }),
        3 => purpose.prop_map(Step::Begin),
        3 => (any::<usize>(), news).prop_map(|(which, news)| Step::End { which, news }),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    /// However calls begin and end: it opens only upon enough failures, lets a trial through once its pause is over and
    /// any trial soon after, and never makes more trials at once than it may.
    #[test]
    fn it_opens_for_a_reason_tries_again_and_tries_little(steps in steps()) {
        let mut now = Instant::now();
        let mut breaker = Breaker::new(SETTINGS);
        let mut under_way: Vec<(Ticket, bool)> = Vec::new();
        let mut failed: Vec<Instant> = Vec::new();
        for step in steps {
            let before = breaker.state(now);
            match step {
                Step::Pass { ms } => now += Duration::from_millis(ms),
                Step::Begin(purpose) => {
                    let expected = breaker.refusal(purpose, now);
                    match breaker.admit(purpose, now) {
                        Ok(ticket) => {
                            prop_assert!(expected.is_none());
                            prop_assert!(!matches!(before, BreakerState::Open { .. }), "nothing is sent while it is open");
                            under_way.push((ticket, breaker.state(now) == BreakerState::HalfOpen));
                        }
                        Err(wait) => {
                            prop_assert_eq!(expected, Some(wait));
                            prop_assert_ne!(before, BreakerState::Closed);
                            prop_assert!(!wait.is_zero() && wait <= SETTINGS.open_for * 3 / 2);
                        }
                    }
                }
                Step::End { which, news } => {
                    if !under_way.is_empty() {
                        let (ticket, _) = under_way.remove(which % under_way.len());
                        if news == News::Fails {
                            failed.push(now);
                        }
                        breaker.ended(ticket, news, now);
                    }
                }
            }
            let trials = under_way.iter().filter(|(ticket, is_trial)| *is_trial && ticket.term == breaker.term).count();
            prop_assert!(trials <= SETTINGS.trials);
            match (before, breaker.state(now)) {
                (BreakerState::Closed, BreakerState::Open { .. }) => {
                    let recent = failed.iter().filter(|at| now.duration_since(**at) <= SETTINGS.window).count();
                    prop_assert!(recent >= SETTINGS.failures, "it opened upon {} failures", recent);
                }
                (BreakerState::Closed, BreakerState::HalfOpen) => prop_assert!(false, "nothing was wrong"),
                (BreakerState::Open { .. }, BreakerState::Closed) => prop_assert!(false, "nothing was tried"),
                _ => {}
            }
            if let BreakerState::Open { retry_after } = breaker.state(now) {
                let refused = |after| [Purpose::Ask, Purpose::Act].map(|purpose| breaker.refusal(purpose, now + after).is_some());
                prop_assert_ne!(refused(retry_after), [true, true]);
                prop_assert_eq!(refused(retry_after + SETTINGS.open_for / 2), [false, false]);
            }
        }
    }
}
