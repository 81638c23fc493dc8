//! Whatever is written is read back as it was meant, and no text makes anything panic.

use jiff::civil::date;
use proptest::prelude::*;

use super::worked::{EKO, OQPAY, RAZORPAY, V1, V2, V3, V4, V5};
use super::*;
use crate::domain::money::Amount;
use crate::domain::personal::Vpa;

fn some_recurrence() -> impl Strategy<Value = Recurrence> {
    let rule = prop::sample::select(DayRule::ALL.to_vec());
    (prop::sample::select(Pattern::ALL.to_vec()), 1..=31u8, rule).prop_map(|(pattern, number, rule)| {
        let day = match pattern.days() {
            None => None,
            Some(_) if pattern == Pattern::Fortnightly => Some(Day { number: number % 16 + 1, rule }),
            Some(days) => Some(Day { number: (number - 1) % days.end() + 1, rule }),
        };
        Recurrence::new(pattern, day).unwrap()
    })
}

prop_compose! {
    fn some_payee()(
        vpa in "[A-Za-z0-9.-]{2,20}@[A-Za-z][A-Za-z0-9]{1,20}",
        name in "\\PC{0,59}[a-z]",
        mcc in prop::option::of("[0-9]{4}"),
    ) -> Payee {
        Payee { vpa: Vpa::parse(&vpa).unwrap(), name, mcc: mcc.as_deref().and_then(Mcc::parse) }
    }
}

proptest! {
    #[test]
    fn a_payment_that_is_written_is_read_back(
        payee in some_payee(),
        paise in 1..=Amount::MAX_PAISE,
        reference in "[A-Za-z0-9]{4,35}",
        note in "[A-Za-z0-9 ]{1,50}",
    ) {
        let amount = Amount::new(paise).unwrap();
        let written = PayLink::dynamic_qr(payee.clone(), amount, &*reference).note(&*note).text();
        let text = written.map_err(|violations| TestCaseError::fail(format!("{violations:?}")))?;
        let read = UpiLink::parse(&text).unwrap();
        prop_assert_eq!(read.pa(), &payee.vpa);
        prop_assert_eq!(read.pn(), Some(&*payee.name));
        prop_assert_eq!(read.mc(), payee.mcc.as_ref().map(Mcc::code));
        prop_assert_eq!(read.am(), Some(amount));
        prop_assert_eq!(read.tr(), Some(&*reference));
        prop_assert_eq!(read.tn(), Some(&*note));
    }

    #[test]
    fn a_mandate_that_is_written_is_read_back(
        payee in some_payee(),
        mcc in "[0-9]{4}",
        paise in 2..=Amount::MAX_PAISE,
        first in any::<bool>(),
        recurrence in some_recurrence(),
        (start, days) in (0..5_000i64, 0..10_000i64),
    ) {
        let one_time = recurrence.pattern() == Pattern::OneTime;
        let start = date(2020, 1, 1) + jiff::Span::new().days(start);
        let link = MandateLink {
            payee: Payee { mcc: Mcc::parse(&mcc), ..payee },
            name: Some("Gold Plan".to_owned()),
            transaction_id: Some("EXB1".to_owned()),
            reference: Some("MND1".to_owned()),
            note: None,
            mode: Some(Mode::Mandate),
            purpose: Some(if one_time { "01" } else { "14" }.to_owned()),
            terms: MandateTerms {
                amount: Amount::new(paise).unwrap(),
                rule: AmountRule::Exact,
                first_amount: first.then(|| Amount::new(paise / 2).unwrap()),
                recurrence,
                validity: Validity::new(start, start + jiff::Span::new().days(days)).unwrap(),
                revocable: true,
                block: one_time,
            },
        };
        let text = link.text().map_err(|violations| TestCaseError::fail(format!("{violations:?}")))?;
        prop_assert_eq!(MandateLink::parse(&text), Ok(link));
    }

    #[test]
    fn what_the_strict_check_passes_the_reader_takes(
        link in prop::sample::select(vec![V1, V2, V3, V4, V5, EKO, OQPAY, RAZORPAY]),
        cut in any::<prop::sample::Index>(),
        length in 0..12usize,
        put in "[A-Za-z0-9&=%+@. ]{0,6}",
    ) {
        let start = cut.index(link.len());
        let end = (start + length).min(link.len());
        let text = format!("{}{put}{}", &link[..start], &link[end..]);
        if strict_violations(&text).is_empty() {
            let read = UpiLink::parse(&text);
            prop_assert!(read.is_ok(), "{text} {read:?}");
            if read.unwrap().kind() == LinkKind::Mandate {
                prop_assert!(MandateLink::parse(&text).is_ok(), "{text}");
            }
        }
    }

    #[test]
    fn no_text_makes_the_check_panic(text in ".*|upi://(pay|mandate)\\?(&?[a-z]{2,6}=.{0,12}){0,8}") {
        strict_violations(&text);
        let _ = MandateLink::parse(&text);
    }
}
