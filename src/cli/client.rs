//! The way to the service, which all client commands share: address, deadline, output, and the account where only one is
//! there to be meant.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
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
    #[command(flatten)]
    pub tls: TlsArgs,
}

impl ClientArgs {
    /// To a service of this process: neither TLS nor a credential.
    pub fn inside(address: String, deadline: Duration) -> Self {
        Self { address, json: false, deadline, credential: CredentialArgs::default(), tls: TlsArgs::default() }
    }
}

/// What counts where the address begins with https://.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Service")]
pub struct TlsArgs {
    /// The authorities that the service's certificate may come from, as PEM. None: those of this machine
    #[arg(long, global = true, env = "UPISTREAM_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// The certificate to show to the service, as PEM
    #[arg(long, global = true, env = "UPISTREAM_CERT", requires = "cert_key", value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// The private key of --cert, as PEM
    #[arg(long, global = true, env = "UPISTREAM_CERT_KEY", requires = "cert", value_name = "FILE")]
    pub cert_key: Option<PathBuf>,
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
pub fn endpoint(address: &str, tls: &TlsArgs) -> Result<Endpoint, Failure> {
    let next = "write http://HOST:PORT, such as http://127.0.0.1:50051, or https://HOST:PORT";
    let url = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let endpoint = Endpoint::from_shared(url).map_err(|_| Failure::usage(format!("`{address}` is no address"), next))?;
    let uri = endpoint.uri();
    let is_tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") if tls.is_given() => {
            return Err(Failure::usage(
                format!("{address} is not reached by TLS, and --ca, --cert and --cert-key are for nothing else"),
                "write https://HOST:PORT, or leave them out",
            ));
        }
        Some("http") => false,
        _ => return Err(Failure::usage(format!("`{address}` is no address"), next)),
    };
    if uri.host().is_none_or(str::is_empty) {
        return Err(Failure::usage(format!("`{address}` is no address"), next));
    }
    let user_agent = concat!("upistream-cli/", env!("CARGO_PKG_VERSION"));
    let endpoint = endpoint.user_agent(user_agent).map_err(|_| Failure::usage(format!("`{address}` is no address"), next))?;
    let endpoint = endpoint.connect_timeout(CONNECT_TIMEOUT).tcp_nodelay(true);
    if !is_tls {
        return Ok(endpoint);
    }
    endpoint.tls_config(tls.config()?).map_err(|cause| {
        Failure::new(
            format!("no TLS can be spoken to {address}: {}", innermost(&cause)),
            "look at the files of --ca, --cert and --cert-key",
        )
    })
}

impl TlsArgs {
    fn is_given(&self) -> bool {
        let Self { ca, cert, cert_key } = self;
        ca.is_some() || cert.is_some() || cert_key.is_some()
    }

    fn config(&self) -> Result<ClientTlsConfig, Failure> {
        let Self { ca, cert, cert_key } = self;
        let config = ClientTlsConfig::new();
        let config = match ca {
            Some(file) => config.ca_certificate(Certificate::from_pem(pem("--ca", file)?)),
            None => config.with_native_roots(),
        };
        match (cert, cert_key) {
            (Some(cert), Some(key)) => Ok(config.identity(Identity::from_pem(pem("--cert", cert)?, pem("--cert-key", key)?))),
            _ => Ok(config),
        }
    }
}

fn pem(option: &str, file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).map_err(|cause| {
        Failure::new(format!("`{}` ({option}) can't be read: {cause}", file.display()), "name a file that this user can read")
    })
}

pub fn not_reached(address: &str, error: &tonic::transport::Error) -> Failure {
    let why = innermost(error);
    let next = if why.contains("certificate") {
        "see that --ca names the authority of the service's certificate, and --cert and --cert-key one of yours that it takes"
    } else {
        "start the service (`upistream serve`), or name where it listens with --address or UPISTREAM_ADDRESS"
    };
    Failure::new(format!("{address} is not reached: {why}"), next)
}

/// The innermost cause says it best: "Connection refused".
fn innermost(error: &tonic::transport::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}

impl<'a> Client<'a> {
    pub async fn connect(args: &'a ClientArgs, console: &'a Console) -> Result<Self, Failure> {
        let credential = args.credential.read()?;
        let endpoint = endpoint(&args.address, &args.tls)?;
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
        let plain = TlsArgs::default();
        for address in ["http://127.0.0.1:50051", "127.0.0.1:50051", "localhost:50051", "http://pay.example.com:50051", "[::1]:50051"] {
            assert!(endpoint(address, &plain).is_ok(), "{address}");
        }
        for address in ["", "ftp://x:1", "http://", "a b:1"] {
            assert!(matches!(endpoint(address, &plain), Err(Failure::Usage { .. })), "{address}");
        }
        let with_ca = TlsArgs { ca: Some("no-such-file.pem".into()), ..TlsArgs::default() };
        assert!(matches!(endpoint("http://127.0.0.1:50051", &with_ca), Err(Failure::Usage { .. })), "it would not be looked at");
        assert!(endpoint("https://pay.example.com", &with_ca).is_err(), "the file is not there");
    }

    #[test]
    fn keys_are_new_each_time_and_printable() {
        let (one, other) = (fresh_key("cli"), fresh_key("cli"));
        assert_ne!(one, other);
        assert!(one.len() <= 255 && one.bytes().all(|b| (0x20..0x7F).contains(&b)), "{one}");
    }
}
