//! The lenient reader: what real providers send is often not what the specification says, so it
//! asks for little. What it does refuse would make the payer pay something else than was meant.

use std::fmt;

use super::encoding::{decode, encode, fault};
use super::{LINK_BYTES_MAX, LinkKind, PARAMETERS_MAX, is_name};
use crate::domain::money::{Amount, AmountError};
use crate::domain::personal::{Vpa, VpaError};

/// A link that was read. It keeps its text byte for byte, for a signature covers the text.
#[derive(Clone, PartialEq, Eq)]
pub struct UpiLink {
    text: String,
    kind: LinkKind,
    parameters: Vec<Parameter>,
    pa: Vpa,
    am: Option<Amount>,
}

/// One `name=value` of a link, decoded, the name as it was spelled.
#[derive(Clone, PartialEq, Eq)]
pub struct Parameter {
    pub name: String,
    pub value: String,
}

/// Why a text is no link that money may follow. It quotes no value: a link holds VPAs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    #[error("is no `upi://` link")]
    NotUpi,
    #[error("is neither `upi://pay?…` nor `upi://mandate?…`")]
    UnknownPath,
    #[error("is longer than {LINK_BYTES_MAX} bytes")]
    TooLong,
    #[error("has more than {PARAMETERS_MAX} parameters")]
    TooManyParameters,
    #[error("says `{name}` twice with different values")]
    Conflict { name: String },
    #[error("has no `pa`: nobody to pay")]
    NoPayee,
    #[error("has a `pa` that {0}")]
    Payee(VpaError),
    #[error("has an `am` that {0}")]
    Amount(AmountError),
    #[error("asks for another currency than INR")]
    Currency,
}

impl UpiLink {
    /// Asks only for the scheme `upi`, the path `pay` or `mandate`, and a `pa` that can be a VPA; an
    /// `am` or `cu` that is there must be right, and no parameter may contradict itself.
    pub fn parse(text: &str) -> Result<UpiLink, LinkError> {
        if text.len() > LINK_BYTES_MAX {
            return Err(LinkError::TooLong);
        }
        let (kind, query) = split(text.trim())?;
        let parameters = parameters(query)?;
        refuse_conflicts(&parameters)?;

        let value = |name| value_of(&parameters, name);
        let pa = Vpa::parse(value("pa").ok_or(LinkError::NoPayee)?).map_err(LinkError::Payee)?;
        let am = value("am").map(Amount::from_rupees_text).transpose().map_err(LinkError::Amount)?;
        if value("cu").is_some_and(|cu| !cu.eq_ignore_ascii_case("INR")) {
            return Err(LinkError::Currency);
        }
        Ok(UpiLink { text: text.to_owned(), kind, parameters, pa, am })
    }

    /// The text it was read from, byte for byte.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The same link as a valid URI, which every reader takes alike. A text that is one stays as it is, byte for byte;
    /// otherwise names and values are encoded again, and a signature over the text would not hold any more.
    pub fn uri(&self) -> String {
        let text = self.text.trim();
        let query = text.split_once('?').map_or("", |(_, query)| query);
        if query.split('&').all(|part| fault(part).is_none() && !part.starts_with("amp;")) {
            return text.to_owned();
        }
        let parameter = |Parameter { name, value }: &Parameter| format!("{}={}", encode(name), encode(value));
        let query: Vec<String> = self.parameters.iter().map(parameter).collect();
        format!("upi://{}?{}", self.kind.path(), query.join("&"))
    }

    pub fn kind(&self) -> LinkKind {
        self.kind
    }

    /// All parameters in their order, unknown, repeated and empty ones too.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// A parameter by its name in any case; an empty value means that it is absent.
    pub fn value(&self, name: &str) -> Option<&str> {
        value_of(&self.parameters, name)
    }

    /// The payee's VPA.
    pub fn pa(&self) -> &Vpa {
        &self.pa
    }

    /// The payee's name. Some providers send none.
    pub fn pn(&self) -> Option<&str> {
        self.value("pn")
    }

    /// What is to be paid, or a mandate's limit; without it the payer types the amount.
    pub fn am(&self) -> Option<Amount> {
        self.am
    }

    /// The merchant's reference.
    pub fn tr(&self) -> Option<&str> {
        self.value("tr")
    }

    /// The PSP's transaction id.
    pub fn tid(&self) -> Option<&str> {
        self.value("tid")
    }

    /// The note to the payer.
    pub fn tn(&self) -> Option<&str> {
        self.value("tn")
    }

    /// The merchant category code.
    pub fn mc(&self) -> Option<&str> {
        self.value("mc")
    }

    /// The initiation mode's two digits. Informative: providers put a static mode on dynamic links.
    pub fn mode(&self) -> Option<&str> {
        self.value("mode")
    }

    pub fn purpose(&self) -> Option<&str> {
        self.value("purpose")
    }

    /// Whether it asks for one amount under one reference, whatever its `mode` claims.
    pub fn is_dynamic(&self) -> bool {
        self.am.is_some() && self.tr().is_some()
    }
}

/// Names without values: the text and most values may tell who pays whom.
impl fmt::Debug for UpiLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.parameters.iter().map(|p| quotable(&p.name)).collect();
        f.debug_struct("UpiLink").field("kind", &self.kind).field("parameters", &names).finish()
    }
}

impl fmt::Debug for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parameter({})", quotable(&self.name))
    }
}

/// The scheme and path in any case, with or without a slash before the `?`; and the query.
pub(super) fn split(text: &str) -> Result<(LinkKind, &str), LinkError> {
    const SCHEME: &str = "upi://";
    let rest = match text.get(..SCHEME.len()) {
        Some(scheme) if scheme.eq_ignore_ascii_case(SCHEME) => &text[SCHEME.len()..],
        Some(_) | None => return Err(LinkError::NotUpi),
    };
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = path.strip_suffix('/').unwrap_or(path);
    let kind =
        [LinkKind::Pay, LinkKind::Mandate].into_iter().find(|kind| path.eq_ignore_ascii_case(kind.path())).ok_or(LinkError::UnknownPath)?;
    Ok((kind, query))
}

fn parameters(query: &str) -> Result<Vec<Parameter>, LinkError> {
    let mut parameters: Vec<Parameter> = Vec::new();
    for segment in query.split('&') {
        // A link that was copied out of a web page separates with `&amp;`.
        let segment = segment.strip_prefix("amp;").unwrap_or(segment);
        match (segment.split_once('='), parameters.last_mut()) {
            (Some((name, value)), _) => {
                let name = decode(name).trim().to_owned();
                parameters.push(Parameter { name, value: decode(value) });
            }
            // "Tom & Jerry" whose `&` was not encoded. Only names and notes are put together
            // again: a `pa` or `am` that goes on after an `&` is nothing to be generous about.
            (None, Some(last)) if is_free_text(&last.name) && !segment.is_empty() => {
                last.value.push('&');
                last.value.push_str(&decode(segment));
            }
            (None, _) if segment.is_empty() => (),
            (None, _) => {
                let name = decode(segment).trim().to_owned();
                parameters.push(Parameter { name, value: String::new() });
            }
        }
        if parameters.len() > PARAMETERS_MAX {
            return Err(LinkError::TooManyParameters);
        }
    }
    Ok(parameters)
}

/// Apps differ in which of two they take, so two values are none.
fn refuse_conflicts(parameters: &[Parameter]) -> Result<(), LinkError> {
    for (i, one) in parameters.iter().enumerate() {
        let conflicts = |other: &&Parameter| {
            one.name.eq_ignore_ascii_case(&other.name) && !one.value.is_empty() && !other.value.is_empty() && one.value != other.value
        };
        if parameters[i + 1..].iter().any(|other| conflicts(&other)) {
            return Err(LinkError::Conflict { name: quotable(&one.name).to_owned() });
        }
    }
    Ok(())
}

fn value_of<'a>(parameters: &'a [Parameter], name: &str) -> Option<&'a str> {
    parameters.iter().find(|p| p.name.eq_ignore_ascii_case(name) && !p.value.is_empty()).map(|p| p.value.as_str())
}

fn quotable(name: &str) -> &str {
    if is_name(name) { name } else { "…" }
}

fn is_free_text(name: &str) -> bool {
    ["pn", "tn", "mn"].iter().any(|free| name.eq_ignore_ascii_case(free))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> UpiLink {
        UpiLink::parse(text).unwrap_or_else(|error| panic!("{text} {error}"))
    }

    fn refused(query: &str) -> LinkError {
        UpiLink::parse(&format!("upi://pay?{query}")).expect_err(query)
    }

    #[test]
    fn little_is_asked_for() {
        let link = parse("UPI://PAY/?PA=shop_1@okaxis");
        assert_eq!(link.kind(), LinkKind::Pay);
        assert_eq!(link.pa(), &Vpa::parse("shop_1@okaxis").unwrap());
        assert_eq!((link.pn(), link.am(), link.tr()), (None, None, None));
        assert!(!link.is_dynamic());
    }

    #[test]
    fn sloppy_links_are_read_as_they_were_meant() {
        let pn = |query: &str| parse(&format!("upi://pay?pa=shop@okaxis&{query}")).pn().map(str::to_owned);
        let check = |query, expected: &str| assert_eq!(pn(query).as_deref(), Some(expected), "{query}");
        check("pn=Demo Stores&am=10", "Demo Stores");
        check("pn=Tom & Jerry&am=10.00", "Tom & Jerry");
        check("pn=Tom%20&%20Jerry", "Tom & Jerry");
        check("pn=Tom &amp; Jerry&amp;am=10.00", "Tom & Jerry");
        check("am=&pn=Demo&pn=Demo", "Demo");
        check("pn=&pn=Demo", "Demo");
        check("%70n=Demo", "Demo");
        check("pn=100% Cotton", "100% Cotton");
        check("pn=A=B", "A=B");
    }

    #[test]
    fn an_amount_needs_no_decimals_and_an_empty_one_is_absent() {
        let am = |am: &str| parse(&format!("upi://pay?pa=shop@okaxis&am={am}&cu=inr")).am().map(Amount::paise);
        assert_eq!(am("10"), Some(1_000));
        assert_eq!(am("10.5"), Some(1_050));
        assert_eq!(am(""), None);
    }

    #[test]
    fn what_would_make_somebody_pay_something_else_is_refused() {
        let conflict = |name: &str| LinkError::Conflict { name: name.to_owned() };
        assert_eq!(refused(""), LinkError::NoPayee);
        assert_eq!(refused("pa=&pn=Demo"), LinkError::NoPayee);
        assert_eq!(refused("pa=shop"), LinkError::Payee(VpaError::NoHandle));
        assert_eq!(refused("pa=shop@okaxis&am=0"), LinkError::Amount(AmountError::NotPositive));
        assert_eq!(refused("pa=shop@okaxis&am=-5"), LinkError::Amount(AmountError::NotPositive));
        assert_eq!(refused("pa=shop@okaxis&cu=USD"), LinkError::Currency);
        assert_eq!(refused("pa=shop@okaxis&am=1&am=10"), conflict("am"));
        assert_eq!(refused("pa=shop@okaxis&%61m=1&AM=10"), conflict("am"));
        assert_eq!(refused("pa=shop@okaxis&pa=thief@okaxis"), conflict("pa"));
        assert_eq!(refused("pa=shop@okaxis&xyz=1&xyz=2"), conflict("xyz"));
    }

    #[test]
    fn other_texts_are_no_links() {
        let check = |text: &str, error| assert_eq!(UpiLink::parse(text), Err(error), "{text}");
        check("", LinkError::NotUpi);
        check("https://example.com/qr.png", LinkError::NotUpi);
        check("upi:pay?pa=shop@okaxis", LinkError::NotUpi);
        check("upi://collect?pa=shop@okaxis", LinkError::UnknownPath);
        check("upi://pay", LinkError::NoPayee);
        check(&format!("upi://pay?pa=shop@okaxis&pn={}", "a".repeat(5000)), LinkError::TooLong);
        check(&format!("upi://pay?pa=shop@okaxis{}", "&a=1".repeat(64)), LinkError::TooManyParameters);
    }

    #[test]
    fn unknown_parameters_and_the_text_are_kept_as_they_are() {
        let text = "upi://pay?zz=1&pa=shop@okaxis&Aa=%7c&sign=MEUC+/==\n";
        let link = parse(text);
        assert_eq!(link.text(), text);
        let kept: Vec<_> = link.parameters().iter().map(|p| (p.name.as_str(), p.value.as_str())).collect();
        assert_eq!(kept, [("zz", "1"), ("pa", "shop@okaxis"), ("Aa", "|"), ("sign", "MEUC+/==")]);
    }

    #[test]
    fn a_link_becomes_a_valid_uri_or_stays_one() {
        let check = |text: &str, expected: &str| {
            assert_eq!(parse(text).uri(), expected);
            assert_eq!(parse(expected).uri(), expected);
        };
        check("upi://pay?pa=shop@okaxis&pn=DEMO STORES&am=5.00", "upi://pay?pa=shop@okaxis&pn=DEMO%20STORES&am=5.00");
        check("UPI://Pay/?pa=shop@okaxis&pn=A%20B\n", "UPI://Pay/?pa=shop@okaxis&pn=A%20B");
        check("upi://pay?pa=shop@okaxis&pn=Tom & Jerry&tr=", "upi://pay?pa=shop@okaxis&pn=Tom%20%26%20Jerry&tr=");
        check("upi://pay?pa=shop@okaxis&amp;pn=é|+100%", "upi://pay?pa=shop@okaxis&pn=%C3%A9%7C%2B100%25");
    }

    #[test]
    fn debug_tells_names_and_no_values() {
        let link = parse("upi://pay?pa=asha@okaxis&am=10&asha@okaxis");
        assert_eq!(format!("{link:?}"), r#"UpiLink { kind: Pay, parameters: ["pa", "am", "…"] }"#);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".*|upi://(pay|mandate)\\?pa=ab@cd(&(.{0,6}=)?.{0,12}){0,8}") {
            if let Ok(link) = UpiLink::parse(&text) {
                prop_assert_eq!(link.text(), text);
                let again = UpiLink::parse(&link.uri()).map(|again| (again.pa().clone(), again.am(), again.uri()));
                if link.uri().len() <= LINK_BYTES_MAX {
                    prop_assert_eq!(again, Ok((link.pa().clone(), link.am(), link.uri())));
                }
            }
        }
    }
}
