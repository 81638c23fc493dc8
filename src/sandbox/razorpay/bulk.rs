//! A settlement of many lines that nobody paid, for tests of size. A line is worked out from the seed and its place
//! whenever it is asked for, so a hundred thousand of them take no room.

use serde::{Deserialize, Serialize};

use super::recon::{Card, Line};
use crate::sandbox::dice::Dice;

/// The alphabet and length of a line's number inside its id.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const NUMBER_LENGTH: usize = 5;
const NETWORKS: [&str; 4] = ["Visa", "MasterCard", "RuPay", "American Express"];
const ISSUERS: [&str; 4] = ["EXMP", "DEMO", "TEST", "SMPL"];
/// From a payment to its settlement, about.
const AGE_S: i64 = 2 * 86_400;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bulk {
    seed: u64,
    lines: usize,
    /// The first letters of every id. They differ from settlement to settlement, also under one seed.
    tag: String,
}

/// What a settlement of made-up lines comes to, in paise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BulkSettlement {
    pub id: String,
    pub lines: usize,
    /// The amounts of the payments.
    pub gross: i64,
    /// All fees, with their tax.
    pub fee: i64,
    pub tax: i64,
    /// Credits less debits: the settlement's own amount.
    pub net: i64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Payment,
    Refund,
    Adjustment,
}

/// A line without its texts.
struct Figures {
    kind: Kind,
    amount: i64,
    credit: i64,
    debit: i64,
    fee: i64,
    tax: i64,
    /// Below a hundred: most are cards.
    method: u64,
}

impl Bulk {
    /// `before` says how many there were.
    pub fn new(seed: u64, lines: usize, before: usize) -> Self {
        let before = u64::try_from(before).unwrap_or(u64::MAX);
        let mut dice = Dice::new(seed.wrapping_add(before.wrapping_mul(0x2545_F491_4F6C_DD1D)));
        Self { seed: dice.below(u64::MAX), lines, tag: dice.letters(9) }
    }

    pub fn lines(&self) -> usize {
        self.lines
    }

    /// All but the settlement's id.
    pub fn totals(&self) -> BulkSettlement {
        let mut totals = BulkSettlement { id: String::new(), lines: self.lines, gross: 0, fee: 0, tax: 0, net: 0 };
        for index in 0..self.lines {
            let figures = self.figures(index);
            totals.gross += if figures.kind == Kind::Payment { figures.amount } else { 0 };
            totals.fee += figures.fee;
            totals.tax += figures.tax;
            totals.net += figures.credit - figures.debit;
        }
        totals
    }

    pub fn line(&self, index: usize, settled_at: i64) -> Line {
        let Figures { kind, amount, credit, debit, fee, tax, method } = self.figures(index);
        let place = i64::try_from(index).unwrap_or(0);
        let mut line = Line {
            entity_id: self.id(kind, index),
            kind: match kind {
                Kind::Payment => "payment",
                Kind::Refund => "refund",
                Kind::Adjustment => "adjustment",
            },
            debit,
            credit,
            amount,
            fee,
            tax,
            created_at: settled_at - AGE_S - place % 3_600,
            description: None,
            notes: None,
            payment_id: None,
            order_id: None,
            order_receipt: None,
            method: None,
            card: None,
        };
        match kind {
            Kind::Payment => {
                let mut pick = self.dice(index);
                (line.method, line.card) = match method {
                    ..80 => (Some("card"), Some(card(&mut pick))),
                    80..90 => (Some("netbanking"), None),
                    _ => (Some("upi"), None),
                };
                line.description = Some(format!("Line {index}"));
            }
            Kind::Refund => (line.payment_id, line.method) = (Some(self.id(Kind::Payment, index - 1)), Some("card")),
            Kind::Adjustment => line.description = Some("Adjustment".to_owned()),
        }
        line
    }

    /// Where the line with an id stands.
    pub fn find(&self, entity_id: &str) -> Option<usize> {
        let (_, number) = entity_id.split_at_checked(entity_id.len().checked_sub(NUMBER_LENGTH)?)?;
        let digit = |byte: u8| DIGITS.iter().position(|digit| *digit == byte);
        let index = number.bytes().try_fold(0_usize, |index, byte| Some(index * DIGITS.len() + digit(byte)?))?;
        (index < self.lines && self.id(kind_of(index), index) == entity_id).then_some(index)
    }

    fn figures(&self, index: usize) -> Figures {
        let mut dice = self.dice(index);
        let mut between = |from: i64, to: i64| from + i64::try_from(dice.below(to.abs_diff(from))).unwrap_or(0);
        let kind = kind_of(index);
        match kind {
            Kind::Payment => {
                let amount = between(10_000, 500_000);
                let method = between(0, 100).unsigned_abs();
                let base = if method < 90 { amount * 2 / 100 } else { 0 };
                let tax = base * 18 / 100;
                let fee = base + tax;
                Figures { kind, amount, credit: amount - fee, debit: 0, fee, tax, method }
            }
            Kind::Refund => {
                let amount = between(100, self.figures(index - 1).amount);
                Figures { kind, amount, credit: 0, debit: amount, fee: 0, tax: 0, method: 0 }
            }
            Kind::Adjustment => {
                let amount = between(1_000, 5_000);
                let (credit, debit) = if index % 200 == 99 { (0, amount) } else { (amount, 0) };
                Figures { kind, amount, credit, debit, fee: 0, tax: 0, method: 0 }
            }
        }
    }

    fn id(&self, kind: Kind, index: usize) -> String {
        let prefix = match kind {
            Kind::Payment => "pay",
            Kind::Refund => "rfnd",
            Kind::Adjustment => "adj",
        };
        let mut number = [b'0'; NUMBER_LENGTH];
        let mut rest = index;
        for place in number.iter_mut().rev() {
            *place = DIGITS[rest % DIGITS.len()];
            rest /= DIGITS.len();
        }
        format!("{prefix}_{}{}", self.tag, String::from_utf8_lossy(&number))
    }

    fn dice(&self, index: usize) -> Dice {
        let index = u64::try_from(index).unwrap_or(u64::MAX);
        Dice::new(self.seed.wrapping_add(index).wrapping_mul(0xD134_2543_DE82_EF95))
    }
}

/// Most are payments; a refund stands behind the payment it is of.
fn kind_of(index: usize) -> Kind {
    match index % 100 {
        99 => Kind::Adjustment,
        place if place % 20 == 18 => Kind::Refund,
        _ => Kind::Payment,
    }
}

fn card(dice: &mut Dice) -> Card {
    let mut pick = |from: [&'static str; 4]| from[dice.below(4) as usize];
    let (network, issuer) = (pick(NETWORKS), pick(ISSUERS));
    Card { network, issuer, kind: if dice.below(2) == 0 { "credit" } else { "debit" } }
}
