//! What things are. No I/O, no clock, no runtime: records, facts, and how a record learns.

pub mod money;
pub mod personal;
pub mod upi;
