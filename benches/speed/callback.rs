//! A payment of a code: the callback by which the provider tells of it, the script with which the service writes it down, and
//! the floor of both: a bare server that looks whether a callback is signed and runs that script.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use axum::serve::ListenerExt as _;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use redis::Cmd;
use redis::aio::MultiplexedConnection;
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::Failed;
use super::creation::{Creation, Owner, done, is_commit, name_of, names_of, number_and_place, text, write};
use super::own_redis::Told;
use super::recorded::{Recorded, find, names};
use super::service::{ACCOUNT, PAISE, URL_SECRET, WEBHOOK_SECRET};

const SIGNATURE: &str = "x-razorpay-signature";
/// What the provider calls the payment that is watched; others have other ends.
const PAYMENT_REF: &str = "pay_Be000000000000";
/// Letters of an id of ours: the provider's begin alike and are shorter.
const ID_LETTERS: usize = 30;

/// What a callback tells of: a code, and its payment as the provider calls it.
pub struct Paid {
    provider_ref: String,
    our_ref: String,
    pub payment: String,
}

impl Paid {
    /// A payment of the code that was watched.
    pub fn watched(creation: &Creation) -> Self {
        let (provider_ref, our_ref) = (creation.asked.provider_ref.clone(), creation.asked.our_ref.clone());
        Self { provider_ref, our_ref, payment: PAYMENT_REF.to_owned() }
    }

    /// The payment of the code with this number.
    pub fn of(creation: &Creation, number: u64) -> Self {
        let [provider_ref, our_ref] = creation.refs(number);
        let payment = text(&name_of(PAYMENT_REF.as_bytes(), number, creation.kept_names().len()));
        Self { provider_ref, our_ref, payment }
    }

    /// The body of the callback, as the provider writes it: compact, with slashes escaped.
    fn body(&self) -> String {
        let Self { provider_ref, our_ref, payment } = self;
        format!(
            r#"{{"entity":"event","account_id":"acc_Pz1aV7mH5pZ3Qw","event":"qr_code.credited","contains":["payment","qr_code"],"payload":{{"payment":{{"entity":{{"id":"{payment}","entity":"payment","amount":{PAISE},"currency":"INR","status":"captured","order_id":null,"invoice_id":null,"international":false,"method":"upi","amount_refunded":0,"refund_status":null,"captured":true,"description":"QRv2 Payment","card_id":null,"bank":null,"wallet":null,"vpa":"asha.rao@examplebank","email":"asha.rao@example.com","contact":"+919000000001","notes":{{"upistream_ref":"{our_ref}"}},"fee":0,"tax":0,"error_code":null,"error_description":null,"error_source":null,"error_step":null,"error_reason":null,"acquirer_data":{{"rrn":"600187654321"}},"created_at":1790000300}}}},"qr_code":{{"entity":{{"id":"{provider_ref}","entity":"qr_code","created_at":1790000000,"name":"Order at the counter","usage":"single_use","type":"upi_qr","image_url":"https:\/\/rzp.io\/i\/{provider_ref}","payment_amount":{PAISE},"status":"active","description":null,"fixed_amount":true,"payments_amount_received":0,"payments_count_received":0,"notes":{{"upistream_ref":"{our_ref}"}},"customer_id":null,"close_by":null,"closed_at":null,"close_reason":null}}}}}},"created_at":1790000300}}"#
        )
    }
}

/// What signs, with `body` in it.
fn signing(body: &[u8]) -> Result<Hmac<Sha256>, Failed> {
    let mut mac = Hmac::<Sha256>::new_from_slice(WEBHOOK_SECRET.as_bytes())?;
    mac.update(body);
    Ok(mac)
}

/// Where callbacks are taken at this address.
pub fn url(address: SocketAddr) -> String {
    format!("http://{address}{}", path())
}

fn path() -> String {
    format!("/webhooks/{ACCOUNT}/{URL_SECRET}")
}

/// Sends the callback of a payment. Anything but a 200 is an error.
pub async fn send(client: &reqwest::Client, url: &str, paid: &Paid) -> Result<(), Failed> {
    let body = paid.body();
    let mut signature = String::with_capacity(64);
    for byte in signing(body.as_bytes())?.finalize().into_bytes() {
        write!(signature, "{byte:02x}")?;
    }
    let request = client.post(url).header(SIGNATURE, signature).header(header::CONTENT_TYPE, "application/json");
    let answer = request.body(body).send().await?;
    let status = answer.status();
    answer.bytes().await?;
    if status == StatusCode::OK { Ok(()) } else { Err(format!("a callback was answered {status}").into()) }
}

/// The commit by which the service writes a payment down, to be made again for other codes.
pub struct Commit {
    script: Recorded,
    /// As they were seen: those of the code, then those of the payment.
    names: Vec<Vec<u8>>,
    /// Where the payment's id stands in a callback's body, which has the number of its code.
    payment_at: usize,
}

impl Commit {
    /// The one among what redis was told while [`Paid::watched`] was taken. Of all that the service asks and writes for a
    /// callback the floor does this alone: the rest is logic.
    pub fn of(told: Vec<Told>, creation: &Creation) -> Result<Self, Failed> {
        let commits: Vec<Told> = told.into_iter().filter(|told| is_commit(told) && names(told, PAYMENT_REF)).collect();
        let [commit] = &commits[..] else {
            return Err(format!("a callback takes one commit of its payment, and {} were seen", commits.len()).into());
        };
        let mut names = creation.kept_names().to_vec();
        names.push(PAYMENT_REF.as_bytes().to_vec());
        let is_payment = |word: &&Vec<u8>| word.starts_with(b"pay_") && word.len() == ID_LETTERS;
        names.push(commit.iter().find(is_payment).cloned().ok_or("a commit without a payment")?);
        names.extend(commit.iter().filter(|word| word.starts_with(b"evt_")).cloned());
        names.push(write(commit)?);
        let body = Paid::watched(creation).body();
        let payment_at = find(body.as_bytes(), PAYMENT_REF.as_bytes()).ok_or("a callback without a payment")?;
        Ok(Self { script: Recorded::of(commit, &names), names, payment_at })
    }

    /// The place of a name that was seen among the code's.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|seen| seen == name.as_bytes())
    }

    /// The commit in the floor's keys for the payment that a callback tells of.
    fn told_by(&self, body: &[u8]) -> Result<Cmd, Failed> {
        let payment = body.get(self.payment_at..self.payment_at + PAYMENT_REF.len());
        let (number, _) = payment.and_then(number_and_place).ok_or("a callback without a payment")?;
        Ok(self.script.with(&names_of(&self.names, number, Owner::Floor)))
    }
}

/// The floor. It ends when dropped.
pub struct Door {
    pub address: SocketAddr,
    server: AbortHandle,
}

#[derive(Clone)]
struct Desk {
    commit: Arc<Commit>,
    connection: MultiplexedConnection,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Door {
    pub async fn open(commit: Arc<Commit>, connection: MultiplexedConnection) -> Result<Self, Failed> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let router = Router::new().route(&path(), post(receive)).with_state(Desk { commit, connection });
        let listener = listener.tap_io(|stream| {
            // Where it can't be set, answers are only slower.
            let _ = stream.set_nodelay(true);
        });
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { address, server: server.abort_handle() })
    }
}

async fn receive(State(desk): State<Desk>, headers: HeaderMap, body: Bytes) -> StatusCode {
    match desk.take(&headers, &body).await {
        Ok(()) => StatusCode::OK,
        Err(cause) => {
            eprintln!("the floor did not take a callback: {cause}");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

impl Desk {
    async fn take(mut self, headers: &HeaderMap, body: &[u8]) -> Result<(), Failed> {
        let signature = headers.get(SIGNATURE).and_then(|text| bytes_of(text.as_bytes())).ok_or("a callback without a signature")?;
        signing(body)?.verify_slice(&signature)?;
        let (kind, _): (String, String) = self.commit.told_by(body)?.query_async(&mut self.connection).await?;
        done(&kind)
    }
}

/// The bytes behind hexadecimal digits.
fn bytes_of(digits: &[u8]) -> Option<Vec<u8>> {
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks(2).map(pair).collect()
}
