//! What a link must be like for every app to read it alike: the rules for links that we write. Real
//! providers break some of them; their links are read by `UpiLink` all the same.

use super::encoding::{decode, fault};
use super::link::split;
use super::pay::is_mcc;
use super::terms::read_terms;
use super::{LINK_BYTES_MAX, LinkKind, MandateTerms, PARAMETERS_MAX, Pattern, Violation, WHOLE, is_name};
use crate::domain::money::Amount;
use crate::domain::personal::Vpa;

/// The names that have a spelling. Another name is none of our business, so long as it is a name.
const KNOWN: &[&str] = &[
    "pa",
    "pn",
    "mc",
    "tid",
    "tr",
    "tn",
    "am",
    "mam",
    "cu",
    "url",
    "ver",
    "mode",
    "purpose",
    "orgid",
    "sign",
    "qrMedium",
    "QRexpire",
    "mn",
    "amrule",
    "fam",
    "recur",
    "recurvalue",
    "recurtype",
    "validitystart",
    "validityend",
    "txnType",
    "rev",
    "block",
    "category",
    "split",
    "mid",
    "msid",
    "mtid",
    "invoiceNo",
    "invoiceDate",
    "invoiceName",
    "gstIn",
    "gstBrkUp",
];

/// A mandate's terms (`am`, `amrule`, `recur`, the dates) are asked for where they are read.
const NEEDED_TO_PAY: &[&str] = &["pa", "pn", "cu"];
const NEEDED_FOR_A_MANDATE: &[&str] = &["pa", "pn", "mn", "mc", "tid", "tr", "cu", "mode", "purpose", "txnType"];

/// Modes of a QR code that was made for one order.
const DYNAMIC_MODES: &[&str] = &["15", "16", "22", "23"];

/// Other apps cut longer addresses.
const PA_WRITTEN_MAX: usize = 50;

/// FORTNIGHTLY is counted to 15, 16 or 31, depending on whom one asks; no half of a month is
/// longer than 16 days.
const FORTNIGHT_DAY_MAX: u8 = 16;

/// Everything in `text` that a strict writer would have done otherwise; nothing, if it is fine.
pub fn strict_violations(text: &str) -> Vec<Violation> {
    if text.len() > LINK_BYTES_MAX {
        let reason = format!("is longer than {LINK_BYTES_MAX} bytes");
        return vec![Violation::new(WHOLE, reason)];
    }
    let (kind, query) = match split(text) {
        Ok(parts) => parts,
        Err(error) => return vec![Violation::new(WHOLE, error.to_string())],
    };
    let mut check = Check::default();
    let start = format!("upi://{}?", kind.path());
    if !text.starts_with(&start) {
        check.add(WHOLE, format!("must start with `{start}`, in lower case"));
    }
    check.parameters(query);
    match kind {
        LinkKind::Pay => check.pay(),
        LinkKind::Mandate => check.mandate(),
    }
    check.violations
}

#[derive(Default)]
struct Check {
    /// Names and decoded values, in order, without those that are no `name=value` at all.
    seen: Vec<(String, String)>,
    violations: Vec<Violation>,
}

impl Check {
    fn add(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        self.violations.push(Violation::new(field.into(), reason.into()));
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.seen.iter().find(|(seen, _)| seen == name).map(|(_, value)| value.as_str())
    }

    fn need(&mut self, names: &[&str]) {
        for name in names {
            if self.value(name).is_none() {
                self.add(*name, "is needed");
            }
        }
    }

    /// What can be said of each parameter by itself.
    fn parameters(&mut self, query: &str) {
        let segments: Vec<&str> = query.split('&').collect();
        if segments.len() > PARAMETERS_MAX {
            self.add(WHOLE, format!("has more than {PARAMETERS_MAX} parameters"));
            return;
        }
        for segment in segments {
            match segment.split_once('=') {
                Some((name, raw)) if is_name(name) => self.parameter(name, raw),
                Some(_) | None => {
                    self.add(WHOLE, "has something between two `&` that is no `name=value`");
                }
            }
        }
        if self.value("sign").is_some() && self.seen.last().is_some_and(|(name, _)| name != "sign") {
            self.add("sign", "must be the last parameter");
        }
    }

    fn parameter(&mut self, name: &str, raw: &str) {
        let value = decode(raw);
        let twice = self.seen.iter().any(|(seen, _)| seen.eq_ignore_ascii_case(name));
        let spelling = KNOWN.iter().find(|known| known.eq_ignore_ascii_case(name));
        let reasons = [
            spelling.filter(|known| **known != name).map(|known| format!("is spelled `{known}`")),
            twice.then(|| "is there twice".to_owned()),
            fault(raw).map(str::to_owned),
            value_fault(name, &value),
        ];
        for reason in reasons.into_iter().flatten() {
            self.add(name, reason);
        }
        self.seen.push((name.to_owned(), value));
    }

    fn pay(&mut self) {
        self.need(NEEDED_TO_PAY);
        // Only for merchants and dynamic links: a person may ask for an amount without a reference.
        let dynamic = self.value("mode").is_some_and(|mode| DYNAMIC_MODES.contains(&mode));
        let merchant = self.value("mc").is_some_and(|mc| mc != "0000");
        if dynamic {
            self.need(&["am", "tr"]);
        } else if merchant && self.value("am").is_some() {
            self.need(&["tr"]);
        }
        if let (Some(Ok(mam)), Some(Ok(am))) =
            (self.value("mam").map(Amount::from_rupees_text), self.value("am").map(Amount::from_rupees_text))
            && mam > am
        {
            self.add("mam", "is above `am`");
        }
    }

    fn mandate(&mut self) {
        self.need(NEEDED_FOR_A_MANDATE);
        match read_terms(|name| self.value(name)) {
            Ok(terms) => self.terms(&terms),
            Err(faults) => {
                for fault in faults {
                    // A value that can't be read was found by itself already.
                    if !self.violations.contains(&fault) {
                        self.violations.push(fault);
                    }
                }
            }
        }
    }

    /// Rules that real links break, so that a reader doesn't insist on them.
    fn terms(&mut self, terms: &MandateTerms) {
        let pattern = terms.recurrence.pattern();
        if terms.first_amount == Some(terms.amount) {
            self.add("fam", "must be below `am`");
        }
        if pattern == Pattern::Fortnightly && terms.recurrence.day().is_some_and(|day| day.number > FORTNIGHT_DAY_MAX) {
            self.add("recurvalue", format!("must be 1 to {FORTNIGHT_DAY_MAX} for FORTNIGHTLY"));
        }
        if pattern.days().is_none() {
            for name in ["recurvalue", "recurtype"] {
                if self.value(name).is_some() {
                    self.add(name, format!("has no meaning for {}", pattern.code()));
                }
            }
        }
        // Top-ups of UPI Lite and single blocks recur under purposes of their own.
        let recurring = matches!(self.value("purpose"), Some("14" | "71" | "76" | "77") | None);
        if pattern != Pattern::OneTime && !recurring {
            self.add("purpose", "must be 14 for a recurring mandate");
        }
    }
}

/// What is wrong with a value, judged by its own name alone.
fn value_fault(name: &str, value: &str) -> Option<String> {
    if value.is_empty() {
        return Some("is empty: leave it out".to_owned());
    }
    let right = |right: bool, reason: &str| if right { None } else { Some(reason.to_owned()) };
    match name {
        "pa" => payee_fault(value),
        "pn" | "mn" => right(length_within(value, 100) && is_printable(value), "must have 1 to 100 printable characters, not only spaces"),
        "tn" => right(
            value.len() <= 50 && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b' '),
            "must have 1 to 50 letters, digits and spaces",
        ),
        "tr" => right(value.len() >= 4 && value.len() <= 35 && is_alphanumeric(value), "must have 4 to 35 letters and digits"),
        "tid" => right(value.len() <= 35 && is_alphanumeric(value), "must have at most 35 letters and digits"),
        "am" | "mam" | "fam" => amount_fault(value),
        "cu" => right(value == "INR", "must be INR"),
        "mc" => right(is_mcc(value), "must have four digits"),
        "ver" => right(value == "01", "must be 01"),
        "mode" => right(is_code(value, 24), "must be a mode of two digits, 00 to 24"),
        "qrMedium" => right(is_code(value, 6) && value != "00", "must be a medium of two digits, 01 to 06"),
        "purpose" => right(is_code(value, 99), "must be a purpose of two digits"),
        "url" => right(value.starts_with("https://") || value.starts_with("http://"), "must start with `https://` or `http://`"),
        "amrule" => right(value == "MAX" || value == "EXACT", "must be MAX or EXACT"),
        "rev" | "block" => right(value == "Y" || value == "N", "must be Y or N"),
        "txnType" => right(value == "CREATE", "must be CREATE"),
        "recur" | "recurtype" => right(value.bytes().all(|b| b.is_ascii_uppercase()), "must be in upper case"),
        "recurvalue" => right(is_digits(value) && !value.starts_with('0') && value.len() <= 2, "must be the number of a day"),
        _ => None,
    }
}

fn payee_fault(value: &str) -> Option<String> {
    match Vpa::parse(value) {
        Err(error) => Some(error.to_string()),
        Ok(_) if value.len() > PA_WRITTEN_MAX => Some(format!("is longer than the {PA_WRITTEN_MAX} characters that every app takes")),
        Ok(_) if value.contains('_') => Some("has a `_`, which some apps refuse".to_owned()),
        Ok(_) => None,
    }
}

fn amount_fault(value: &str) -> Option<String> {
    match Amount::from_rupees_text(value) {
        Err(error) => Some(error.to_string()),
        Ok(amount) if amount.rupees_text() != value => Some("must be written with exactly two decimals and no leading zeros".to_owned()),
        Ok(_) => None,
    }
}

fn length_within(value: &str, max: usize) -> bool {
    value.chars().nth(max).is_none()
}

fn is_printable(value: &str) -> bool {
    !value.trim().is_empty() && !value.chars().any(char::is_control)
}

fn is_alphanumeric(value: &str) -> bool {
    value.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn is_digits(value: &str) -> bool {
    value.bytes().all(|b| b.is_ascii_digit())
}

fn is_code(value: &str, last: u8) -> bool {
    value.len() == 2 && is_digits(value) && value.parse::<u8>().is_ok_and(|code| code <= last)
}
