//! What things are. No I/O, no clock, no runtime: records, facts, and how a record learns.

pub mod account;
pub mod caller;
pub mod debit;
pub mod event;
pub mod fact;
pub mod header;
pub mod id;
pub mod mandate;
pub mod money;
pub mod payment;
pub mod personal;
pub mod qr;
pub mod refund;
pub mod settlement;
mod text;
#[cfg(test)]
mod transitions;
pub mod upi;
pub mod working_days;
