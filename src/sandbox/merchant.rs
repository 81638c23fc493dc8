//! The merchants that the simulated providers know, and what each calls itself with.

use secrecy::SecretString;

use super::Simulated;

/// One merchant account at one of the simulated providers. Its name is the account's in the control interface.
#[derive(Clone, Debug)]
pub struct SandboxAccount {
    pub name: String,
    /// Where callbacks go. None sends none until `set_webhook_url`, except to a URL that a request brought along.
    pub webhook_url: Option<String>,
    pub merchant: Merchant,
}

/// What a merchant is known by; which provider he is at follows from it.
#[derive(Clone, Debug)]
pub enum Merchant {
    Razorpay(RazorpayMerchant),
    Enkash(EnkashMerchant),
    Oqpay(OqpayMerchant),
    Eko(EkoMerchant),
}

#[derive(Clone, Debug)]
pub struct RazorpayMerchant {
    pub key_id: String,
    pub key_secret: SecretString,
    /// `acc_…`, as webhooks name it.
    pub account_id: String,
    /// What webhooks are signed with; an empty one signs nothing.
    pub webhook_secret: SecretString,
}

/// What a merchant at Razorpay has made new there.
#[derive(Clone, Debug)]
pub struct RazorpaySecrets {
    /// All that are taken: the old one and the new one for a while.
    pub key_secrets: Vec<SecretString>,
    /// What webhooks are signed with from now on. Those that wait to be sent again keep their signature.
    pub webhook_secret: SecretString,
}

#[derive(Clone, Debug)]
pub struct EnkashMerchant {
    pub access_key: String,
    pub secret_key: SecretString,
}

#[derive(Clone, Debug)]
pub struct OqpayMerchant {
    /// `OQP-…`: it names the caller and is all that proves him.
    pub registration_id: SecretString,
}

#[derive(Clone, Debug)]
pub struct EkoMerchant {
    pub developer_key: String,
    /// Never sent: what the key of each request is made with.
    pub access_key: SecretString,
    /// The partner's mobile number.
    pub initiator_id: String,
    pub user_code: String,
}

impl Merchant {
    /// Whose merchant it is.
    pub fn provider(&self) -> Simulated {
        match self {
            Self::Razorpay(_) => Simulated::Razorpay,
            Self::Enkash(_) => Simulated::Enkash,
            Self::Oqpay(_) => Simulated::Oqpay,
            Self::Eko(_) => Simulated::Eko,
        }
    }
}
