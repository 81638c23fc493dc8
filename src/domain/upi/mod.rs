//! `upi://` links, the text inside every UPI QR code: a strict writer, a lenient reader, and the
//! check that tells them apart. The scheme and its parameters are NPCI's; what a provider makes of
//! them is the provider's folder's business. Signatures are kept byte for byte and never checked:
//! their algorithm isn't public.

pub mod cycle;
mod encoding;
mod link;
mod mandate;
mod pay;
pub mod permitted;
mod recurrence;
#[cfg(test)]
mod round_trips;
pub mod rules;
mod strict;
mod terms;
#[cfg(test)]
mod worked;

use std::borrow::Cow;
use std::fmt;

pub use link::{LinkError, Parameter, UpiLink};
pub use mandate::MandateLink;
pub use pay::{Mcc, Mode, PayLink, Payee, QrMedium};
pub use recurrence::{Day, DayRule, Pattern, Recurrence};
pub use strict::strict_violations;
pub use terms::{AmountRule, MandateTerms, Validity};

/// What a link asks its payer for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LinkKind {
    Pay,
    Mandate,
}

/// One thing wrong with a link. The reason reads on from the field ("`am` must be above zero") and
/// quotes no value that could be personal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The parameter's name, or `link` where it is no single parameter's fault.
    pub field: Cow<'static, str>,
    pub reason: Cow<'static, str>,
}

/// The highest limit on a link's text: a QR symbol holds less than 3,000 bytes, and a link that only
/// travels as a link may add a signature.
pub const LINK_BYTES_MAX: usize = 4096;

/// Some forty names are known; the rest is room for new ones.
const PARAMETERS_MAX: usize = 64;

/// The field of a violation that is no single parameter's fault.
const WHOLE: &str = "link";

impl Violation {
    pub(crate) fn new(field: impl Into<Cow<'static, str>>, reason: impl Into<Cow<'static, str>>) -> Violation {
        Violation { field: field.into(), reason: reason.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.field, self.reason)
    }
}

impl LinkKind {
    /// What stands between the scheme and the `?`.
    pub const fn path(self) -> &'static str {
        match self {
            LinkKind::Pay => "pay",
            LinkKind::Mandate => "mandate",
        }
    }
}

/// Whether this can be a parameter's name at all. What stands in a name's place may be the end of a
/// torn value, so only a name is ever quoted.
fn is_name(text: &str) -> bool {
    const BYTES_MAX: usize = 32;
    (1..=BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
