//! Callers who ask again and again while things go wrong, and what must be true of every answer that they got.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use upistream::engine::reference;
use upistream::grpc::pb;
use upistream::grpc::pb::qr_service_client::QrServiceClient;

use crate::support::agreement::{all_qrs, check_no_reference_acted_twice};
use crate::support::app::{ACCOUNT, App, order, told, until, within};

/// What a request was answered, last.
#[derive(Clone, Debug)]
pub enum Answer {
    Ok(Box<pb::Qr>),
    NotSent,
    /// ABORTED: nobody knows.
    Unknown,
    /// None came: the connection broke, or the client's own library gave up.
    CutOff,
}

#[derive(Clone, Default)]
pub struct Calls {
    answers: Arc<Mutex<BTreeMap<String, Answer>>>,
    slowest: Arc<Mutex<Duration>>,
}

impl Calls {
    fn answers(&self) -> MutexGuard<'_, BTreeMap<String, Answer>> {
        self.answers.lock().expect("nobody panics while holding it")
    }

    pub fn count(&self, wanted: impl Fn(&Answer) -> bool) -> usize {
        self.answers().values().filter(|answer| wanted(answer)).count()
    }

    pub fn acknowledged(&self) -> Vec<pb::Qr> {
        let answers = self.answers();
        answers.values().filter_map(|answer| if let Answer::Ok(qr) = answer { Some((**qr).clone()) } else { None }).collect()
    }

    /// The longest that an answer took.
    pub fn slowest(&self) -> Duration {
        *self.slowest.lock().expect("nobody panics while holding it")
    }

    /// Asks once for the code of `key`.
    pub async fn ask(&self, channel: &Channel, key: &str, deadline: Duration) -> Answer {
        let began = Instant::now();
        let answered = QrServiceClient::new(channel.clone()).create_qr(within(deadline, order(key, 10_000))).await;
        let took = began.elapsed();
        let answer = match answered {
            Ok(answer) => Answer::Ok(Box::new(answer.into_inner().qr.expect("the answer has the code"))),
            Err(status) if status.details().is_empty() => Answer::CutOff,
            Err(status) => {
                let refused = told(&status);
                match (refused.outcome(), refused.code) {
                    ("NOT_SENT", tonic::Code::Unavailable) => Answer::NotSent,
                    ("UNKNOWN", tonic::Code::Aborted) => Answer::Unknown,
                    _ => panic!("{key}: {status:?}"),
                }
            }
        };
        let mut slowest = self.slowest.lock().expect("nobody panics while holding it");
        *slowest = took.max(*slowest);
        self.answers().insert(key.to_owned(), answer.clone());
        answer
    }

    /// `callers` who ask for one code after the other, over these channels in turn, until `over`.
    pub fn begin(&self, channels: &[Channel], callers: usize, name: &str, deadline: Duration, over: &CancellationToken) -> JoinSet<()> {
        let mut people = JoinSet::new();
        for caller in 0..callers {
            let (calls, channel, over) = (self.clone(), channels[caller % channels.len()].clone(), over.clone());
            let name = format!("{name}-{caller}");
            people.spawn(async move {
                let mut number = 0;
                while !over.is_cancelled() {
                    if !matches!(calls.ask(&channel, &format!("{name}-{number}"), deadline).await, Answer::Ok(_)) {
                        // As a caller would: not at once.
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    number += 1;
                }
            });
        }
        people
    }

    /// What is true once all works again: each acknowledged code is there; what was said not to be sent was not; and who was
    /// told that nobody knows finds one code by the same key.
    pub async fn check(&self, app: &App) {
        let lost = self.check_but_for_the_lost(app).await;
        assert!(lost.is_empty(), "{lost:?} are lost");
    }

    /// The same, but for acknowledged codes that are gone: those are the answer.
    pub async fn check_but_for_the_lost(&self, app: &App) -> Vec<pb::Qr> {
        let mut lost = Vec::new();
        check_no_reference_acted_twice(&app.provider);
        let answers = self.answers().clone();
        let kept: Vec<pb::Qr> = all_qrs(app).await;
        let at_provider: Vec<String> = app.references_at_provider();
        for (key, answer) in &answers {
            let ours = reference::derive("local", ACCOUNT, "CreateQr", key);
            let of_key: Vec<&pb::Qr> = kept.iter().filter(|qr| qr.reference == format!("ref-{key}")).collect();
            match answer {
                Answer::Ok(qr) => match of_key.iter().find(|now| now.id == qr.id) {
                    Some(now) => assert!(now.revision >= qr.revision, "{now:?} was {qr:?}"),
                    None => lost.push((**qr).clone()),
                },
                Answer::NotSent => {
                    assert!(!at_provider.contains(&ours), "{key} was said not to be sent, and the provider has it");
                    let is_not_sent = |qr: &&pb::Qr| {
                        let reason = qr.failure.as_ref().map(pb::Failure::reason);
                        qr.state() == pb::QrState::Failed && reason == Some(pb::FailureReason::NotSent)
                    };
                    assert!(of_key.iter().all(is_not_sent), "{key} was said not to be sent: {of_key:?}");
                }
                Answer::Unknown | Answer::CutOff => {
                    until("a repeat to be answered", async || {
                        let again = self.ask(&app.channel, key, Duration::from_secs(10)).await;
                        matches!(again, Answer::Ok(_)).then_some(())
                    })
                    .await;
                }
            }
        }
        check_no_reference_acted_twice(&app.provider);
        lost
    }
}
