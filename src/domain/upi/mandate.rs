//! `upi://mandate` links: what the payer is asked to allow. Written strictly; read leniently where
//! real links are sloppy (no `mn`, no `tid`) but never where terms contradict each other.

use super::pay::checked;
use super::terms::{date_text, read_terms, yes_or_no};
use super::{LinkKind, MandateTerms, Mcc, Mode, Payee, UpiLink, Violation, WHOLE};
use crate::domain::money::Amount;
use crate::domain::personal::Sight;

/// A mandate link with everything that a strict writer sends. What a link that was read didn't say,
/// or said in no way that we write, is `None` or empty; `text` then asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MandateLink {
    pub payee: Payee,
    /// `mn`: what the payer sees in his list of mandates.
    pub name: Option<String>,
    /// `tid`: made by a PSP, never invented.
    pub transaction_id: Option<String>,
    /// `tr`
    pub reference: Option<String>,
    pub note: Option<String>,
    pub mode: Option<Mode>,
    /// `purpose`, two digits: `14` for recurring ones.
    pub purpose: Option<String>,
    pub terms: MandateTerms,
}

impl MandateLink {
    /// Reads a link with all of its terms, or says everything that is wrong with them.
    pub fn parse(text: &str) -> Result<MandateLink, Vec<Violation>> {
        let link = UpiLink::parse(text).map_err(|error| vec![Violation::new(WHOLE, error.to_string())])?;
        Self::read(&link)
    }

    /// As `parse`, of a link that was read already.
    pub fn read(link: &UpiLink) -> Result<MandateLink, Vec<Violation>> {
        if link.kind() != LinkKind::Mandate {
            return Err(vec![Violation::new(WHOLE, "is no `upi://mandate` link")]);
        }
        let text = |name| link.value(name).map(str::to_owned);
        Ok(MandateLink {
            payee: Payee { vpa: link.pa().clone(), name: link.pn().unwrap_or_default().to_owned(), mcc: link.mc().and_then(Mcc::parse) },
            name: text("mn"),
            transaction_id: text("tid"),
            reference: text("tr"),
            note: text("tn"),
            mode: link.mode().and_then(Mode::from_code),
            purpose: text("purpose"),
            terms: read_terms(|name| link.value(name))?,
        })
    }

    /// The link's text, or everything that is wrong with it.
    pub fn text(&self) -> Result<String, Vec<Violation>> {
        let MandateLink { payee, name, transaction_id, reference, note, mode, purpose, terms } = self;
        let Payee { vpa, name: payee_name, mcc } = payee;
        let MandateTerms { amount, rule, first_amount, recurrence, validity, revocable, block } = terms;
        let pa = vpa.show(Sight::Clear);
        let am = amount.rupees_text();
        let fam = first_amount.map(Amount::rupees_text);
        let start = date_text(validity.start());
        let end = date_text(validity.end());
        let day = recurrence.day();
        let day_number = day.map(|day| day.number.to_string());
        checked(
            LinkKind::Mandate,
            &[
                ("pa", Some(&pa)),
                ("pn", Some(payee_name)),
                ("mn", name.as_deref()),
                ("tid", transaction_id.as_deref()),
                ("tr", reference.as_deref()),
                ("tn", note.as_deref()),
                ("mc", mcc.as_ref().map(Mcc::code)),
                ("am", Some(&am)),
                ("amrule", Some(rule.code())),
                ("fam", fam.as_deref()),
                ("cu", Some("INR")),
                ("validitystart", Some(&start)),
                ("validityend", Some(&end)),
                ("recur", Some(recurrence.pattern().code())),
                ("recurvalue", day_number.as_deref()),
                ("recurtype", day.map(|day| day.rule.code())),
                ("rev", Some(yes_or_no(*revocable))),
                ("block", Some(yes_or_no(*block))),
                ("txnType", Some("CREATE")),
                ("mode", mode.map(Mode::code)),
                ("purpose", purpose.as_deref()),
            ],
        )
    }
}
