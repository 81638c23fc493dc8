//! The way to the service, which all client commands share: address, deadline, output, and the account where only one is
//! there to be meant.

use std::time::Duration;

use clap::Args;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::advice::{Asked, quoted};
use super::arguments::duration_above_zero;
use super::console::Console;
use super::credential::{Credential, CredentialArgs};
use super::failure::Failure;
use super::tree::Tree;
use crate::clock::Randomness;
use crate::grpc::pb;
use crate::grpc::pb::account_service_client::AccountServiceClient;

pub const ADDRESS_DEFAULT: &str = "http://127.0.0.1:50051";

/// A connection is there at once or hardly ever.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A page holds at most 200 resources with up to 16 labels and 15 notes each.
const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Service")]
pub struct ClientArgs {
    /// Where the service listens for gRPC
    #[arg(long, global = true, env = "UPISTREAM_ADDRESS", default_value = ADDRESS_DEFAULT, value_name = "URL")]
    pub address: String,
    /// One JSON document a line instead of tables; errors too, on standard error. Names as in the .proto files, int64 as
    /// numbers
    #[arg(long, global = true)]
    pub json: bool,
    /// How long each request may take. The service answers with what is known shortly before
    #[arg(long, global = true, default_value = "10s", value_parser = duration_above_zero, value_name = "DURATION")]
    pub deadline: Duration,
    #[command(flatten)]
    pub credential: CredentialArgs,
}

pub struct Client<'a> {
    pub channel: Channel,
    pub args: &'a ClientArgs,
    pub console: &'a Console,
    pub credential: Credential,
}

/// One idempotency key a wish.
#[derive(Debug, Clone, Args)]
pub struct KeyArgs {
    /// Idempotency key: the same key with the same request is done once, however often it is sent. Without it a new one is
    /// made, and printed on standard error
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

impl KeyArgs {
    /// The key, which a person gets to see before anything is sent: afterwards may be too late.
    pub fn settle(self, console: &Console) -> String {
        self.key.unwrap_or_else(|| {
            let key = fresh_key("cli");
            console.note(&format!("idempotency key: {key}"));
            key
        })
    }
}

pub fn fresh_key(prefix: &str) -> String {
    format!("{prefix}-{:032x}", Randomness::of_system().bits())
}

/// `host:port` is taken for plain HTTP/2, as everywhere with gRPC.
pub fn endpoint(address: &str) -> Result<Endpoint, Failure> {
    let next = "write http://HOST:PORT, such as http://127.0.0.1:50051";
    let url = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    if url.starts_with("https://") {
        return Err(Failure::usage(
            format!("{address}: this build speaks no TLS to the service"),
            "use a port on loopback or a proxy that ends TLS",
        ));
    }
    let endpoint = Endpoint::from_shared(url).map_err(|_| Failure::usage(format!("`{address}` is no address"), next))?;
    let uri = endpoint.uri();
    if uri.scheme_str() != Some("http") || uri.host().is_none_or(str::is_empty) {
        return Err(Failure::usage(format!("`{address}` is no address"), next));
    }
    let user_agent = concat!("upistream-cli/", env!("CARGO_PKG_VERSION"));
    let endpoint = endpoint.user_agent(user_agent).map_err(|_| Failure::usage(format!("`{address}` is no address"), next))?;
    Ok(endpoint.connect_timeout(CONNECT_TIMEOUT).tcp_nodelay(true))
}

pub fn not_reached(address: &str, error: &tonic::transport::Error) -> Failure {
    let mut causes = Vec::new();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    // The innermost says it best: "Connection refused".
    let why = causes.pop().unwrap_or_else(|| error.to_string());
    let next = "start the service (`upistream serve`), or name where it listens with --address or UPISTREAM_ADDRESS";
    Failure::new(format!("{address} is not reached: {why}"), next)
}

impl<'a> Client<'a> {
    pub async fn connect(args: &'a ClientArgs, console: &'a Console) -> Result<Self, Failure> {
        let credential = args.credential.read()?;
        let endpoint = endpoint(&args.address)?;
        let channel = console.during("connecting", endpoint.connect()).await.map_err(|error| not_reached(&args.address, &error))?;
        Ok(Self { channel, args, console, credential })
    }

    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.args.deadline);
        self.credential.put_on(&mut request);
        request
    }

    /// Waits for an answer; `key` is that of a mutation.
    pub async fn answer<T>(
        &self,
        what: &str,
        key: Option<&str>,
        call: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<T, Failure> {
        let answer = self.console.during(what, call).await;
        answer.map(tonic::Response::into_inner).map_err(|status| Failure::of_status(&status, &self.asked(key)))
    }

    pub fn asked<'b>(&'b self, key: Option<&'b str>) -> Asked<'b> {
        Asked { address: &self.args.address, key, deadline: Some(self.args.deadline) }
    }

    pub async fn accounts(&self) -> Result<Vec<pb::Account>, Failure> {
        let mut client = AccountServiceClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX);
        let call = client.list_accounts(self.request(pb::ListAccountsRequest {}));
        Ok(self.answer("reading the accounts", None, call).await?.accounts)
    }

    /// The account that was named, or the only one that there is.
    pub async fn account(&self, named: Option<String>) -> Result<String, Failure> {
        if let Some(name) = named {
            return Ok(name);
        }
        let mut names: Vec<String> = self.accounts().await?.into_iter().map(|account| account.name).collect();
        match names.len() {
            0 => Err(Failure::new(
                "the service has no account that you may see",
                "add one to its configuration: `upistream config default` shows how",
            )),
            1 => Ok(names.remove(0)),
            _ => Err(Failure::usage(
                "there is more than one account, so say which",
                format!("--account {}, or UPISTREAM_ACCOUNT in the environment", names.join(" | --account ")),
            )),
        }
    }

    /// A resource, as JSON or as a block.
    pub fn show(&self, tree: &Tree) -> Result<(), Failure> {
        let text = if self.args.json { tree.json() } else { super::table::block(self.console, &tree.pairs()) };
        self.console.print(&text)
    }

    /// A resource, as JSON or as people are told of it.
    pub fn show_told(&self, tree: Tree, told: impl FnOnce(Tree) -> Tree) -> Result<(), Failure> {
        if self.args.json { self.console.print(&tree.json()) } else { self.show(&told(tree)) }
    }

    /// What else a person should know about an answer to a mutation.
    pub fn note_replay(&self, replayed: bool, key: &str) {
        if replayed {
            self.console.note(&format!("an earlier request with --key {} did this; shown as it is now", quoted(key)));
        }
    }

    /// Sizes for lists: what an answer may weigh.
    pub const fn answer_bytes_max() -> usize {
        ANSWER_BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for address in ["http://127.0.0.1:50051", "127.0.0.1:50051", "localhost:50051", "http://pay.example.com:50051", "[::1]:50051"] {
            assert!(endpoint(address).is_ok(), "{address}");
        }
        for address in ["", "https://pay.example.com", "ftp://x:1", "http://", "a b:1"] {
            assert!(matches!(endpoint(address), Err(Failure::Usage { .. })), "{address}");
        }
    }

    #[test]
    fn keys_are_new_each_time_and_printable() {
        let (one, other) = (fresh_key("cli"), fresh_key("cli"));
        assert_ne!(one, other);
        assert!(one.len() <= 255 && one.bytes().all(|b| (0x20..0x7F).contains(&b)), "{one}");
    }
}
