//! The other doors in: callbacks from providers, and the operators' port. They see the engine and the domain; what a
//! callback means is not known here.

pub mod admin;
mod client_address;
pub mod serve;
pub mod webhooks;

pub use webhooks::WebhookSettings;
