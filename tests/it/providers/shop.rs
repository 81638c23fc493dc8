//! A service with an account at one of the four providers, and what the stories ask of it.

use std::net::Ipv4Addr;
use std::time::Duration;

use secrecy::SecretString;
use tokio::net::TcpListener;
use upistream::config::{AccountConfig, Cidr, Config, EkoConfig, EnkashConfig, OqpayConfig, ProviderConfig, Secrets};
use upistream::domain::account::AccountName;
use upistream::grpc::pb;
use upistream::sandbox::{
    self, DeliveryStatus, EkoMerchant, EnkashMerchant, Fault, FaultKind, Merchant, OqpayMerchant, PayOptions, Sandbox, SandboxAccount,
    SandboxConfig, Simulated, WebhookFault, WebhookFaultKind,
};

use crate::support::app::{ACCOUNT, App, URL_SECRET, razorpay_merchant, until};

const SECRET_KEY: &str = "the-secret-key-of-enkash";
const ACCESS_KEY: &str = "EK-STORY";
const REGISTRATION: &str = "OQP-STORY";
const EKO_KEY: &str = "11111111-2222-4333-8444-555555555555";
const INITIATOR: &str = "9000000001";
const USER_CODE: &str = "20810200";
/// The sum of stories: whole rupees, above every least amount.
pub const PAISE: i64 = 50_000;
/// Longer than the leases of stories.
pub const LEASE: Duration = Duration::from_secs(4);

/// One of the providers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    Razorpay,
    Enkash,
    Oqpay,
    Eko,
}

impl At {
    pub const ALL: [At; 4] = [At::Razorpay, At::Enkash, At::Oqpay, At::Eko];

    pub fn name(self) -> &'static str {
        match self {
            At::Razorpay => "razorpay",
            At::Enkash => "enkash",
            At::Oqpay => "oqpay",
            At::Eko => "eko",
        }
    }

    /// The account of stories there.
    pub fn account(self) -> &'static str {
        match self {
            At::Razorpay => ACCOUNT,
            At::Enkash | At::Oqpay | At::Eko => self.name(),
        }
    }

    /// How the sandbox calls the request that makes a code.
    pub fn creation(self) -> &'static str {
        match self {
            At::Enkash => "order.create",
            At::Razorpay | At::Oqpay | At::Eko => "qr.create",
        }
    }
}

/// A service with an account at `at`.
pub struct Shop {
    pub app: App,
    pub at: At,
    /// As callers see it.
    pub account: pb::Account,
}

/// The four simulated providers.
pub async fn providers() -> Sandbox {
    let account = |name: &str, merchant| SandboxAccount { name: name.to_owned(), webhook_url: None, merchant };
    let enkash = EnkashMerchant { access_key: ACCESS_KEY.to_owned(), secret_key: SecretString::from(SECRET_KEY) };
    let eko = EkoMerchant {
        developer_key: "a-developer-key".to_owned(),
        access_key: SecretString::from(EKO_KEY),
        initiator_id: INITIATOR.to_owned(),
        user_code: USER_CODE.to_owned(),
    };
    let accounts = vec![
        account(ACCOUNT, Merchant::Razorpay(razorpay_merchant())),
        account("enkash", Merchant::Enkash(enkash)),
        account("oqpay", Merchant::Oqpay(OqpayMerchant { registration_id: SecretString::from(REGISTRATION) })),
        account("eko", Merchant::Eko(eko)),
    ];
    let config = SandboxConfig { accounts, event_spread_ms: 20, webhook_time_scale: 20, ..SandboxConfig::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    sandbox::start(listener, config).await.expect("the sandbox starts on loopback")
}

/// The account at `at`, with what has to be asked for switched on.
fn configured(at: At, provider: &Sandbox) -> Option<ProviderConfig> {
    let secret = |text: &str| Secrets::one(SecretString::from(text));
    Some(match at {
        At::Razorpay => return None,
        At::Enkash => ProviderConfig::Enkash(EnkashConfig {
            base_url: provider.url_of(Simulated::Enkash),
            order_lookup_path: Some("/api/v0/orders/merchant/{merchantOrderId}".to_owned()),
            timeout_ms: 2_500,
            deadline_floor_ms: 300,
            ..EnkashConfig::new(ACCESS_KEY, secret(SECRET_KEY))
        }),
        At::Oqpay => ProviderConfig::Oqpay(OqpayConfig {
            base_url: provider.url_of(Simulated::Oqpay),
            callbacks_prove: true,
            callback_networks: vec![Cidr::new(Ipv4Addr::new(127, 0, 0, 0).into(), 8).expect("a network")],
            timeout_ms: 2_500,
            deadline_floor_ms: 300,
            ..OqpayConfig::new(secret(REGISTRATION))
        }),
        At::Eko => ProviderConfig::Eko(EkoConfig {
            base_url: provider.url_of(Simulated::Eko),
            activate_service: true,
            timeout_ms: 2_500,
            deadline_floor_ms: 300,
            ..EkoConfig::new("a-developer-key", secret(EKO_KEY), INITIATOR, USER_CODE)
        }),
    })
}

/// The account at `at` as it stands in a configuration; Razorpay's is there already.
pub fn account(at: At, provider: &Sandbox) -> Option<(AccountName, AccountConfig)> {
    let provider = configured(at, provider)?;
    let webhook_url_secrets = Secrets::one(SecretString::from(URL_SECRET));
    Some((at.account().parse().expect("a name"), AccountConfig { webhook_url_secrets, provider }))
}

impl Shop {
    pub async fn open(at: At) -> Self {
        Self::open_with(at, |_| ()).await
    }

    /// With the configuration changed by `change`.
    pub async fn open_with(at: At, change: impl FnOnce(&mut Config)) -> Self {
        let provider = providers().await;
        let account = account(at, &provider);
        let app = App::start_with(provider, |config| {
            config.accounts.extend(account);
            change(config);
        })
        .await;
        let hook = format!("http://{}/webhooks/{}/{URL_SECRET}", app.running.webhooks, at.account());
        app.provider.set_webhook_url(at.account(), &hook).expect("the sandbox knows the account");
        let accounts = app.accounts().list_accounts(pb::ListAccountsRequest {}).await.expect("accounts are listed").into_inner();
        let account = accounts.accounts.into_iter().find(|account| account.name == at.account()).expect("it is configured");
        Self { app, at, account }
    }

    fn capabilities(&self) -> &pb::Capabilities {
        self.account.capabilities.as_ref().expect("each account says what it can do")
    }

    /// What codes of the usage that stories use here can do: those to be paid once where there are such.
    pub fn codes(&self) -> &pb::QrCapability {
        let qrs = &self.capabilities().qrs;
        qrs.iter().find(|usage| usage.supported).expect("each provider has codes of one sort")
    }

    /// Why codes of `usage` can't be made here; `None`: they can.
    pub fn lacks_usage(&self, usage: pb::QrUsage) -> Option<&str> {
        let capability = self.capabilities().qrs.iter().find(|capability| capability.usage() == usage).expect("each usage is told of");
        (!capability.supported).then_some(capability.missing_reason.as_str())
    }

    /// What the account says of one operation.
    pub fn can(&self, operation: pb::ProviderOperation) -> &pb::OperationCapability {
        let operations = &self.capabilities().operations;
        operations.iter().find(|can| can.operation() == operation).expect("each operation is told of")
    }

    /// Why payments can't be refunded here; `None`: they can.
    pub fn lacks_refunds(&self) -> Option<&str> {
        let can = self.can(pb::ProviderOperation::CreateRefund);
        assert_eq!(can.supported, self.capabilities().refunds.is_some(), "the capabilities agree with each other");
        (!can.supported).then_some(can.missing_reason.as_str())
    }

    /// What becomes of a refund whose answer is lost.
    pub fn refund_doubt(&self) -> pb::DoubtRemedy {
        self.can(pb::ProviderOperation::CreateRefund).doubt()
    }

    /// All that the capabilities say is missing.
    pub fn what_it_lacks(&self) -> Vec<String> {
        let mut lacks = Vec::new();
        for qr in &self.capabilities().qrs {
            let usage = qr.usage().as_str_name().trim_start_matches("QR_USAGE_").to_ascii_lowercase();
            if !qr.supported {
                lacks.push(format!("{usage}: {}", qr.missing_reason));
                continue;
            }
            let mut lack = |is_missing: bool, what: &str| {
                if is_missing {
                    lacks.push(format!("{usage}: {what}"));
                }
            };
            lack(!qr.close_supported, &format!("close: {}", qr.close_missing_reason));
            lack(!qr.amount_supported, "an amount of its own");
            lack(qr.amount_required, "an amount that the payer chooses");
            lack(!qr.expire_time_supported, "an end that the caller chooses");
            lack(!qr.upi_link_available, "a text to draw");
            lack(qr.doubt() == pb::DoubtRemedy::None, "finding out what became of a lost answer");
            lack(!qr.payments_observable, "payments that are told of");
        }
        if let Some(refunds) = &self.capabilities().refunds {
            let mut lack = |is_missing: bool, what: &str| {
                if is_missing {
                    lacks.push(format!("refunds: {what}"));
                }
            };
            lack(!refunds.partial_supported, "a part of a payment");
            lack(!refunds.speeds.contains(&pb::RefundSpeed::Instant.into()), "a refund at once");
            lack(self.refund_doubt() == pb::DoubtRemedy::None, "finding out for certain what became of a lost answer");
        }
        for operation in &self.capabilities().operations {
            if !operation.supported {
                lacks.push(format!("{}: {}", operation.operation().as_str_name(), operation.missing_reason));
            }
        }
        lacks
    }

    /// A request that this provider takes, by its capabilities alone.
    pub fn order(&self, key: &str) -> pb::CreateQrRequest {
        let codes = self.codes();
        let needs_customer = codes.required_fields.iter().any(|field| field.starts_with("customer."));
        pb::CreateQrRequest {
            idempotency_key: key.to_owned(),
            account: self.at.account().to_owned(),
            usage: codes.usage,
            amount: codes.amount_supported.then(|| rupees(PAISE)),
            reference: format!("ref-{key}"),
            customer: needs_customer.then(|| pb::QrCustomer {
                phone: phone(key),
                name: "Asha Rao".to_owned(),
                ..pb::QrCustomer::default()
            }),
            ..pb::CreateQrRequest::default()
        }
    }

    pub async fn ask_for(&self, order: pb::CreateQrRequest) -> Result<pb::CreateQrResponse, tonic::Status> {
        self.app.qrs().create_qr(order).await.map(tonic::Response::into_inner)
    }

    /// A code that is ready to be paid.
    pub async fn code(&self, key: &str) -> pb::Qr {
        let answer = self.ask_for(self.order(key)).await.expect("the code is made");
        let qr = answer.qr.expect("the answer has the code");
        assert_eq!(qr.state(), pb::QrState::Active, "{qr:?}");
        qr
    }

    /// A payer pays the code as it is; the payment's id at the provider.
    pub async fn pay(&self, qr: &pb::Qr) -> String {
        self.pay_with(qr, PayOptions::default()).await
    }

    pub async fn pay_with(&self, qr: &pb::Qr, pay: PayOptions) -> String {
        let pay = PayOptions { amount: pay.amount.or(Some(PAISE)), ..pay };
        self.app.provider.pay_qr(self.at.account(), &qr.provider_ref, pay).await.expect("the code can be paid")
    }

    pub async fn payments_of(&self, qr: &pb::Qr) -> Vec<pb::Payment> {
        let request =
            pb::ListPaymentsRequest { account: self.at.account().to_owned(), qr_id: qr.id.clone(), ..pb::ListPaymentsRequest::default() };
        self.app.payments().list_payments(request).await.expect("payments are listed").into_inner().payments
    }

    /// Waits until the code has one payment, and that is in `state`.
    pub async fn payment_until(&self, qr: &pb::Qr, state: pb::PaymentState) -> pb::Payment {
        until(&format!("a payment of {} that is {state:?}", self.at.name()), async || {
            let payments = self.payments_of(qr).await;
            assert!(payments.len() <= 1, "the code has several payments: {payments:?}");
            payments.into_iter().next().filter(|payment| payment.state() == state)
        })
        .await
    }

    /// A payment of [`PAISE`] that succeeded.
    pub async fn paid(&self, key: &str) -> pb::Payment {
        let qr = self.code(key).await;
        self.pay(&qr).await;
        self.payment_until(&qr, pb::PaymentState::Succeeded).await
    }

    /// Time passes until the refund is made.
    pub async fn refund_made(&self, id: &str) -> pb::Refund {
        until(&format!("the refund to be made at {}", self.at.name()), async || {
            self.app.advance(Duration::from_secs(120));
            Some(self.app.get_refund(id).await).filter(|refund| refund.state() == pb::RefundState::Succeeded)
        })
        .await
    }

    pub async fn refunds_of(&self, payment: &pb::Payment) -> Vec<pb::Refund> {
        let (account, payment_id) = (self.at.account().to_owned(), payment.id.clone());
        let request = pb::ListRefundsRequest { account, payment_id, ..pb::ListRefundsRequest::default() };
        self.app.refunds().list_refunds(request).await.expect("refunds are listed").into_inner().refunds
    }

    /// The refunds that the provider has, newest first.
    pub fn refunds_there(&self) -> Vec<serde_json::Value> {
        self.app.provider.refunds(self.at.account()).expect("the provider has refunds")
    }

    /// What comes of the next request of this kind.
    pub fn fault(&self, operation: &str, kind: FaultKind) {
        self.app.provider.fault(Fault::on(operation, kind)).expect("there is room for a fault");
    }

    /// What becomes of every callback from now on.
    pub fn callbacks(&self, kind: WebhookFaultKind) {
        let fault = WebhookFault { times: u32::MAX, ..WebhookFault::on("*", kind) };
        self.app.provider.webhook_fault(fault).expect("there is room for a fault");
    }

    pub async fn quarantine(&self) -> Vec<pb::QuarantineEntry> {
        let request = pb::ListQuarantineRequest { account: self.at.account().to_owned(), ..pb::ListQuarantineRequest::default() };
        self.app.admin().list_quarantine(request).await.expect("the quarantine is listed").into_inner().entries
    }

    pub async fn doubts(&self) -> Vec<pb::Doubt> {
        let request = pb::ListDoubtsRequest { account: self.at.account().to_owned(), ..pb::ListDoubtsRequest::default() };
        self.app.admin().list_doubts(request).await.expect("doubts are listed").into_inner().doubts
    }

    /// An operator's word.
    pub async fn decide(&self, key: &str, id: &str, happened: Option<&str>) -> Result<pb::ResolveDoubtResponse, tonic::Status> {
        use pb::resolve_doubt_request::Decision;
        let decision = match happened {
            Some(provider_ref) => Decision::Happened(pb::Happened { provider_ref: provider_ref.to_owned() }),
            None => Decision::DidNotHappen(pb::DidNotHappen {}),
        };
        let request = pb::ResolveDoubtRequest {
            idempotency_key: key.to_owned(),
            id: id.to_owned(),
            note: "looked at the dashboard".to_owned(),
            decision: Some(decision),
            ..pb::ResolveDoubtRequest::default()
        };
        self.app.admin().resolve_doubt(request).await.map(tonic::Response::into_inner)
    }

    /// Posts a callback as anybody could who knows the URL; the status and the body of the answer.
    pub async fn post(&self, body: impl Into<reqwest::Body>) -> (u16, String) {
        self.post_to(self.at.account(), body).await
    }

    pub async fn post_to(&self, account: &str, body: impl Into<reqwest::Body>) -> (u16, String) {
        let url = format!("http://{}/webhooks/{account}/{URL_SECRET}", self.app.running.webhooks);
        let client = reqwest::Client::builder().tls_certs_only([]).no_proxy().build().expect("a client for loopback");
        let answer = client.post(url).header("content-type", "application/json").body(body).send().await.expect("the service answers");
        (answer.status().as_u16(), answer.text().await.expect("the answer is text"))
    }

    /// What the simulated provider calls a payment of ours: OQPay has no id of a single payment but the bank's.
    pub fn named<'a>(&self, payment: &'a pb::Payment) -> &'a str {
        if self.at == At::Oqpay { &payment.rrn } else { &payment.provider_ref }
    }

    /// How many callbacks were answered, whatever with.
    pub fn answered(&self) -> usize {
        let deliveries = self.app.provider.deliveries();
        deliveries.iter().filter(|delivery| matches!(delivery.status, DeliveryStatus::Answered(_))).count()
    }

    /// Waits until so many callbacks are answered, and nothing is due that one of them made due.
    pub async fn answered_is(&self, count: usize) {
        use upistream::clock::Clock;
        until("the callbacks to be answered", async || (self.answered() >= count).then_some(())).await;
        until("the reconciler to have nothing at hand", async || {
            let due = self.app.running.store().next_due().await.expect("the store answers");
            due.is_none_or(|due| due > self.app.clock.now()).then_some(())
        })
        .await;
    }

    /// How often the provider was asked for `operation`.
    pub fn asked(&self, operation: &str) -> usize {
        self.app.asked(operation)
    }
}

pub fn rupees(paise: i64) -> pb::Money {
    pb::Money { currency_code: "INR".to_owned(), minor_units: paise }
}

/// A number of its own for each key.
fn phone(key: &str) -> String {
    let number: u64 = key.bytes().fold(7, |number, byte| (number * 31 + u64::from(byte)) % 100_000_000);
    format!("98{number:08}")
}
