//! The log as a subscription: positions and their tokens, filters, the ring that live subscribers share, and the
//! subscription that moves between log and ring. It reads the log; it changes nothing.

pub mod feed;
pub mod filter;
pub mod subscription;
pub mod token;

pub use feed::{Encode, Feed, Frame, Live, Shown};
pub use filter::Filter;
pub use subscription::{Message, Start, Subscription, SubscriptionEnd};
pub use token::{Positions, Token};
