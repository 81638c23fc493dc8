//! Mandates: an order to their requests, their token to our picture of it, and the search for one whose answer was lost.
//!
//! A mandate is registered by an order for a customer, approved by a payment of that order, and is then a token. Which token
//! it became is told by the payments of its order; the UPI network's own number is told nowhere.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use tokio::time::Instant;

use super::mandate_wire as body;
use super::order::{AMOUNT_MIN_PAISE, CURRENCY, KnownOrder, fetch, find, payments_of, place};
use super::violations::{REFERENCE_NOTE, Violations, notes_with_ours};
use super::wire::{self, Unreadable};
use super::{Api, id, is_a, unreadable};
use crate::domain::account::Operation;
use crate::domain::mandate::{MandateOrder, MandatePayer, MandateSnapshot, MandateStatus, Registration};
use crate::domain::money::{Amount, Money};
use crate::domain::personal::{PersonName, Sight, Vpa};
use crate::domain::upi::{AmountRule, Day, DayRule, LinkKind, Pattern, UpiLink};
use crate::domain::working_days::{begin_of_day, day_in_india, next_day};
use crate::providers::indian_mobile::ten_digits;
use crate::providers::indian_time::in_india;
use crate::providers::mandate::{KnownMandate, MandateCreated, MandateCreation, MandateEnquiry, MandateLinking, MandateRevoking};
use crate::providers::{AskError, CallError, Cause, Sending, Violation, told};

#[cfg(test)]
mod tests;

/// What is collected at approval: the approval is a payment, and none is below a rupee [8.3].
const COLLECTED_PAISE: i64 = AMOUNT_MIN_PAISE;
/// The least and the most that a mandate can permit at once [8.3].
pub const MAX_AMOUNT_MIN_PAISE: i64 = 100;
const MAX_AMOUNT_MAX_PAISE: i64 = 9_999_900;
/// The same for the merchants of some categories.
const MAX_AMOUNT_MAX_PAISE_RAISED: i64 = 20_000_000;
const MCCS_RAISED: &[&str] = &["6211", "6300", "7322", "6529", "5960"];
const YEARS_MAX: i64 = 30;
const NAME_CHARS: std::ops::RangeInclusive<usize> = 3..=50;
/// What a customer's name may have besides letters and digits. The newer page has the last two.
const NAME_SIGNS: &str = " .'/@()-_";
const EMAIL_CHARS_MAX: usize = 64;
/// The provider publishes none; it is ours.
const TEXT_CHARS_MAX: usize = 2048;
/// What a recurring mandate is for, in UPI's words. Nothing in a request says another.
const RECURRING: &str = "14";
/// The note that tells the payment of a registration from those of debits, which carry an order and a token as well.
const PURPOSE_NOTE: &str = "upistream_for";
const REGISTRATION: &str = "mandate";
/// Tokens of one registration that are asked for: more payers than one approve nothing, and each tries a few times.
const TOKENS_MAX: usize = 8;

/// Those that can be asked for. What "bimonthly" means is not explained, and a one-time mandate is another product.
const FREQUENCIES: &[(Pattern, &str)] = &[
    (Pattern::Daily, "daily"),
    (Pattern::Weekly, "weekly"),
    (Pattern::Fortnightly, "fortnightly"),
    (Pattern::Monthly, "monthly"),
    (Pattern::Quarterly, "quarterly"),
    (Pattern::HalfYearly, "half_yearly"),
    (Pattern::Yearly, "yearly"),
    (Pattern::AsPresented, "as_presented"),
];

/// Mandates of one account.
pub struct RazorpayMandates {
    pub(super) api: Api,
    pub(super) notes_value_max: usize,
    /// The merchant's category, where the configuration names it.
    pub(super) mcc: Option<String>,
}

/// How often a mandate can be debited here.
pub fn patterns() -> Vec<Pattern> {
    FREQUENCIES.iter().map(|(pattern, _)| *pattern).collect()
}

/// The most that a mandate of a merchant of this category can permit at once.
pub fn amount_max(mcc: Option<&str>) -> Money {
    let raised = mcc.is_some_and(|mcc| MCCS_RAISED.contains(&mcc));
    Money::from_paise(if raised { MAX_AMOUNT_MAX_PAISE_RAISED } else { MAX_AMOUNT_MAX_PAISE })
}

#[async_trait]
impl MandateCreation for RazorpayMandates {
    fn violations(&self, order: &MandateOrder, now: Timestamp) -> Vec<Violation> {
        violations(order, amount_max(self.mcc.as_deref()), self.notes_value_max, now)
    }

    async fn create(&self, order: &MandateOrder, our_ref: &str, sending: Sending, timeout: Duration) -> Result<MandateCreated, CallError> {
        let started = Instant::now();
        let (Some(payer), Some(terms)) = (Named::of(&order.payer), to_terms(order)) else {
            return Err(not_sent("the mandate lacks something that Razorpay needs"));
        };
        // The order, which is what may be in doubt, keeps half of the time at least.
        let customer_ref = self.customer(&payer, sending, timeout / 2).await.map_err(|error| before_the_order(sending, error))?;
        let request = body::CreateOrder {
            amount: COLLECTED_PAISE,
            currency: CURRENCY,
            customer_id: Some(&customer_ref),
            method: Some("upi"),
            token: Some(terms),
            payment_capture: true,
            receipt: our_ref,
            notification: None,
            notes: notes_with_ours(&order.notes, our_ref),
        };
        let time_left = timeout.saturating_sub(started.elapsed());
        let made = place(&self.api, Operation::CreateMandate, sending, &request, time_left).await?;
        Ok(MandateCreated::Registered(Registration {
            provider_ref: made.id,
            customer_ref: Some(customer_ref),
            amount: Some(Money::from_paise(COLLECTED_PAISE)),
        }))
    }
}

#[async_trait]
impl MandateLinking for RazorpayMandates {
    async fn link(&self, mandate: &KnownMandate, timeout: Duration) -> Result<MandateSnapshot, CallError> {
        let started = Instant::now();
        let KnownMandate { registration, our_ref, order, .. } = mandate;
        let (Some(registration), Some(payer)) = (registration, Named::of(&order.payer)) else {
            return Err(not_sent("the mandate has no order, or its payer is not known"));
        };
        let Registration { provider_ref: order_ref, customer_ref: Some(customer_ref), amount } = registration else {
            return Err(not_sent("the customer of the mandate's order is not known"));
        };
        let asking = Api { timeout: timeout / 2, ..self.api.clone() };
        let registered =
            fetch(&asking, order_ref).await.map_err(|error| not_sent(&format!("the mandate's order can't be read: {error}")))?;
        let waiting = MandateSnapshot {
            registration_ref: Some(order_ref.clone()),
            customer_ref: Some(customer_ref.clone()),
            approval_expire_time: approval_end(registered.created),
            ..MandateSnapshot::of(MandateStatus::AwaitingApproval)
        };
        // Somebody has approved already: there is nothing to be linked to any more, only to be asked about.
        if registered.is_paid {
            return Ok(waiting);
        }
        let collected = amount.unwrap_or(Money::from_paise(COLLECTED_PAISE));
        let description = if order.description.is_empty() { &order.name } else { &order.description };
        let request = body::CreateUpiPayment {
            amount: collected.paise(),
            currency: CURRENCY,
            order_id: order_ref,
            customer_id: customer_ref,
            recurring: "1",
            email: &payer.email,
            contact: &payer.contact,
            method: "upi",
            upi: body::UpiFlow { flow: "intent" },
            description,
            notes: BTreeMap::from([(REFERENCE_NOTE, our_ref.as_str()), (PURPOSE_NOTE, REGISTRATION)]),
        };
        let path = ["v1", "payments", "create", "upi"];
        let time_left = timeout.saturating_sub(started.elapsed());
        let answer = self.api.act(Operation::CreateMandate, Sending::First, &path, Some(&request), time_left).await?;
        let body::PaymentTaken { link, .. } = wire::read("payment", &answer.body)?;
        let link = link.ok_or_else(|| unreadable("the answer has no link"))?;
        check_link(&link, order, collected)?;
        // It is to be used unchanged.
        Ok(MandateSnapshot { approval_link: link, ..waiting })
    }
}

#[async_trait]
impl MandateEnquiry for RazorpayMandates {
    async fn fetch(&self, mandate: &KnownMandate) -> Result<MandateSnapshot, AskError> {
        let nothing_known = || unreadable("nothing is known that the mandate could be asked for by");
        let registration = mandate.registration.as_ref().ok_or_else(nothing_known)?;
        match (&mandate.provider_ref, &registration.customer_ref) {
            (Some(token), Some(customer)) => {
                let shown = self.token(customer, token).await?;
                Ok(MandateSnapshot { registration_ref: Some(registration.provider_ref.clone()), ..shown })
            }
            (known, _) => self.approved(registration, known.as_deref()).await,
        }
    }

    async fn look_up(&self, order: &MandateOrder, our_ref: &str, _asked: Timestamp) -> Result<Option<MandateCreated>, AskError> {
        let Some(KnownOrder { id, amount, customer_ref, .. }) = find(&self.api, our_ref).await? else { return Ok(None) };
        let customer_ref = match (customer_ref, Named::of(&order.payer)) {
            (Some(told), _) => told,
            // Orders don't tell whose they are. To ask for the customer once more changes nothing: there is one.
            (None, Some(payer)) => {
                let asked = self.customer(&payer, Sending::Again, self.api.timeout).await;
                asked.map_err(|error| unreadable(&format!("the order's customer is not known: {error}")))?
            }
            (None, None) => return Err(unreadable("the order's customer is not known, nor who he could be").into()),
        };
        let registration = Registration { provider_ref: id, customer_ref: Some(customer_ref), amount: Some(amount) };
        Ok(Some(MandateCreated::Registered(registration)))
    }
}

#[async_trait]
impl MandateRevoking for RazorpayMandates {
    async fn revoke(&self, mandate: &KnownMandate, timeout: Duration) -> Result<MandateSnapshot, CallError> {
        let customer = mandate.registration.as_ref().and_then(|registration| registration.customer_ref.as_deref());
        let (Some(token), Some(customer)) = (mandate.provider_ref.as_deref(), customer) else {
            return Err(not_sent("the mandate's token, or its customer, is not known"));
        };
        let path = ["v1", "customers", customer, "tokens", token, "cancel"];
        let answer = self.api.put(Operation::RevokeMandate, &path, timeout).await?;
        let body::Cancelled { status } = wire::read("cancellation", &answer.body)?;
        match to_status(status.as_deref(), None) {
            // The UPI network is asked now, and may say no.
            status @ (MandateStatus::Revoking | MandateStatus::Revoked) => {
                Ok(MandateSnapshot { provider_ref: Some(token.to_owned()), ..MandateSnapshot::of(status) })
            }
            _ => Err(CallError::InDoubt(Cause("the answer to the cancellation does not say that it is under way".to_owned()))),
        }
    }
}

impl RazorpayMandates {
    /// The customer that a payer is, made if there is none. However often it is asked, there is one, and nothing moves.
    async fn customer(&self, payer: &Named, sending: Sending, timeout: Duration) -> Result<String, CallError> {
        let Named { name, contact, email } = payer;
        let request = body::CreateCustomer { name, contact, email, fail_existing: "0" };
        let answer = self.api.act(Operation::CreateMandate, sending, &["v1", "customers"], Some(&request), timeout).await?;
        let body::Customer { id: customer_id, entity } = wire::read("customer", &answer.body)?;
        is_a("customer", entity.as_deref())?;
        Ok(id("customer", customer_id)?)
    }

    /// A token of a customer.
    async fn token(&self, customer: &str, token: &str) -> Result<MandateSnapshot, AskError> {
        let answer = self.api.ask("FetchToken", &["v1", "customers", customer, "tokens", token], &[]).await?;
        let shown = to_snapshot(wire::read("token", &answer.body)?)?;
        if shown.provider_ref.as_deref() != Some(token) {
            return Err(unreadable("the answer is about another token than was asked for").into());
        }
        Ok(MandateSnapshot { customer_ref: Some(customer.to_owned()), ..shown })
    }

    /// What came of a registration, by the payments of its order. `known`: its token, where that is known.
    async fn approved(&self, registration: &Registration, known: Option<&str>) -> Result<MandateSnapshot, AskError> {
        let Registration { provider_ref: order_ref, customer_ref, .. } = registration;
        let mut approvals: Vec<body::Approval> = Vec::new();
        for item in payments_of(&self.api, order_ref).await? {
            approvals.push(wire::read("payment", item.get().as_bytes())?);
        }
        // One that the payer may still decide on, or one that came to something.
        let is_open = approvals.iter().any(|approval| approval.status.as_deref() != Some("failed"));
        // Those that came to something first. One can also have failed and its mandate stand: a technical payment does.
        approvals.sort_by_key(|approval| !matches!(approval.status.as_deref(), Some("authorized" | "captured" | "refunded")));

        let of_order = |shown: MandateSnapshot| MandateSnapshot { registration_ref: Some(order_ref.clone()), ..shown };
        let mut asked = Vec::new();
        let mut rejected = None;
        for body::Approval { customer_id, token_id, .. } in approvals {
            let Some(token) = token_id.filter(|token| known.is_none_or(|known| known == token) && !asked.contains(token)) else { continue };
            if asked.len() >= TOKENS_MAX {
                return Err(unreadable("the mandate's order has more tokens than are asked for").into());
            }
            let token = id("payment's token", Some(token))?;
            let customer = customer_id.map(|customer| id("payment's customer", Some(customer))).transpose()?;
            let customer = customer.or_else(|| customer_ref.clone()).ok_or_else(|| unreadable("the token's customer is not known"))?;
            let shown = of_order(self.token(&customer, &token).await?);
            asked.push(token);
            match shown.status {
                // Another may stand.
                MandateStatus::Rejected { .. } => rejected = rejected.or(Some(shown)),
                MandateStatus::AwaitingApproval => {}
                // Which token it will be is not certain yet.
                MandateStatus::Undecided => return Ok(MandateSnapshot { provider_ref: None, ..shown }),
                MandateStatus::Active
                | MandateStatus::Paused
                | MandateStatus::Revoking
                | MandateStatus::Revoked
                | MandateStatus::Expired
                | MandateStatus::Completed => return Ok(shown),
            }
        }
        if known.is_some() && asked.is_empty() {
            return Err(unreadable("the mandate's token is among none of its order's payments").into());
        }
        // Where all have failed and none was rejected, another may come as long as its day lasts.
        Ok(rejected.filter(|_| !is_open).unwrap_or_else(|| of_order(MandateSnapshot::of(MandateStatus::AwaitingApproval))))
    }
}

/// What names a payer, as requests have it. In the clear: it goes into their bodies and nowhere else.
struct Named {
    name: String,
    contact: String,
    email: String,
}

impl Named {
    /// `None`: something is missing.
    fn of(payer: &MandatePayer) -> Option<Self> {
        let MandatePayer { vpa: _, name, phone: _, email: _ } = payer;
        let (contact, email) = reached(payer)?;
        Some(Self { name: name.as_ref()?.show(Sight::Clear), contact, email })
    }
}

/// A payer's phone number and e-mail address as requests have them, in the clear. `None`: one of them is missing.
pub fn reached(payer: &MandatePayer) -> Option<(String, String)> {
    let digits = ten_digits(payer.phone.as_ref()?)?;
    Some((format!("+91{digits}"), payer.email.as_ref()?.show(Sight::Clear)))
}

/// What the call for the customer came to, for the mandate: whatever became of it, the order was not sent yet.
fn before_the_order(sending: Sending, error: CallError) -> CallError {
    match (sending, error) {
        (Sending::First, CallError::InDoubt(cause)) => not_sent(&format!("the mandate has no customer yet: {cause}")),
        (_, error) => error,
    }
}

fn not_sent(cause: &str) -> CallError {
    CallError::NotDelivered(Cause(cause.to_owned()))
}

fn violations(order: &MandateOrder, amount_max: Money, notes_value_max: usize, now: Timestamp) -> Vec<Violation> {
    let MandateOrder {
        max_amount,
        amount_rule,
        pattern,
        day,
        valid_from,
        valid_until,
        block_funds,
        revocable,
        payer,
        purpose,
        name,
        description,
        approval_expire_time,
        notes,
    } = order;
    let mut violations = Violations::default();
    let today = day_in_india(now);
    if max_amount.paise() < MAX_AMOUNT_MIN_PAISE || *max_amount > amount_max {
        let min = Money::from_paise(MAX_AMOUNT_MIN_PAISE);
        violations.add("max_amount", format!("must be {} to {} for this account", min.display(), amount_max.display()));
    }
    if *amount_rule != AmountRule::Max {
        violations.add("amount_rule", "must be the one with a greatest amount: Razorpay has no other");
    }
    if frequency(*pattern).is_none() {
        violations.add("frequency", "is none that Razorpay has, or explains");
    }
    check_day(&mut violations, *pattern, *day, today);
    if day_in_india(*valid_from) > today {
        violations.add("valid_from", "must be today: Razorpay's mandates are valid from their approval on");
    }
    let last = today.checked_add(YEARS_MAX.years()).unwrap_or(Date::MAX);
    if !(today..last).contains(&day_in_india(*valid_until)) {
        violations.add("valid_until", format!("must be within {YEARS_MAX} years from today"));
    }
    if *block_funds {
        violations.add("block_funds", "must be false: Razorpay's recurring mandates block nothing");
    }
    if !revocable {
        violations.add("revocable", "must be true: no request of Razorpay's says otherwise");
    }
    if purpose != RECURRING {
        violations.add("purpose", format!("must be {RECURRING:?}: no request of Razorpay's says otherwise"));
    }
    if approval_expire_time.is_some() {
        violations.add("approval_expire_time", "must be absent: at Razorpay a mandate is approved on the day on which it is asked for");
    }
    check_payer(&mut violations, payer);
    let whose = "a limit of ours: Razorpay publishes none";
    violations.check_text("name", name, TEXT_CHARS_MAX, whose);
    violations.check_text("description", description, TEXT_CHARS_MAX, whose);
    violations.check_notes_beside_ours(notes, notes_value_max);
    violations.0
}

fn check_day(violations: &mut Violations, pattern: Pattern, day: Option<Day>, today: Date) {
    match (pattern.days(), day) {
        (None, None) => {}
        (None, Some(_)) => violations.add("debit_day", "must be absent: a mandate of this frequency has no day"),
        (Some(_), None) => violations.add("debit_day", "is needed: at Razorpay a mandate of this frequency names a day"),
        (Some(days), Some(day)) if !days.contains(&day.number) => {
            violations.add("debit_day", format!("must be {} to {} for this frequency", days.start(), days.end()));
        }
        (Some(_), Some(Day { number, rule: DayRule::On })) => {
            let todays = if pattern == Pattern::Weekly { today.weekday().to_monday_one_offset() } else { today.day() };
            if i8::try_from(number) != Ok(todays) {
                let text = "with the rule \"on\" Razorpay takes a mandate on that very day alone: it must be today's, or the rule another";
                violations.add("debit_day", format!("{text} (today's is {todays}, in India)"));
            }
        }
        (Some(_), Some(_)) => {}
    }
}

fn check_payer(violations: &mut Violations, payer: &MandatePayer) {
    let MandatePayer { vpa, name, phone, email } = payer;
    if vpa.is_some() {
        violations.add("payer_vpa", "must be absent: at Razorpay the payer approves by a link");
    }
    match name.as_ref().map(|name: &PersonName| name.show(Sight::Clear)) {
        None => violations.add("payer_name", "is needed: Razorpay keeps the payers of mandates as customers"),
        Some(text) => {
            if !NAME_CHARS.contains(&text.chars().count()) {
                violations.add("payer_name", format!("must have {} to {} characters", NAME_CHARS.start(), NAME_CHARS.end()));
            }
            if !text.chars().all(|c| c.is_alphanumeric() || NAME_SIGNS.contains(c)) {
                violations.add("payer_name", format!("may have only letters, digits, spaces and {}", NAME_SIGNS.trim()));
            }
            violations.check_text("payer_name", &text, PersonName::CHARS_MAX, "a limit of ours");
        }
    }
    match phone {
        None => violations.add("payer_phone", "is needed: Razorpay keeps the payers of mandates as customers"),
        Some(phone) if ten_digits(phone).is_none() => violations.add("payer_phone", "must be an Indian mobile number"),
        Some(_) => {}
    }
    match email {
        None => violations.add("payer_email", "is needed: Razorpay keeps the payers of mandates as customers"),
        Some(email) => violations.check_text("payer_email", &email.show(Sight::Clear), EMAIL_CHARS_MAX, "a limit of Razorpay's"),
    }
}

fn frequency(pattern: Pattern) -> Option<&'static str> {
    FREQUENCIES.iter().find(|(known, _)| *known == pattern).map(|(_, word)| *word)
}

/// `None`: it has a frequency that can't be asked for.
fn to_terms(order: &MandateOrder) -> Option<body::Terms> {
    let day = order.day.filter(|_| order.pattern.days().is_some());
    // Its last day holds as a whole.
    let end = begin_of_day(next_day(day_in_india(order.valid_until)));
    Some(body::Terms {
        max_amount: order.max_amount.paise(),
        expire_at: end.as_second() - 1,
        frequency: frequency(order.pattern)?,
        recurring_value: day.map(|day| day.number),
        recurring_type: day.map(|day| match day.rule {
            DayRule::On => "on",
            DayRule::Before => "before",
            DayRule::After => "after",
        }),
    })
}

/// Until when a mandate can be approved whose order was made at `created`: on that day in India, before 23:59 [8.1].
fn approval_end(created: Timestamp) -> Option<Timestamp> {
    in_india(day_in_india(created).at(23, 59, 0, 0))
}

/// That a link asks the payer for nothing else than was ordered. What it leaves out, or has in words of its own, is not held
/// against it.
fn check_link(text: &str, order: &MandateOrder, collected: Money) -> Result<(), Unreadable> {
    let link = UpiLink::parse(text).map_err(|error| unreadable(&format!("the link {error}")))?;
    if link.kind() != LinkKind::Mandate {
        return Err(unreadable("the link is none by which a mandate is approved"));
    }
    if link.am().is_some_and(|told| told.money() != order.max_amount) {
        return Err(unreadable("the link has another greatest amount than was ordered"));
    }
    if let Some(told) = link.value("fam")
        && Amount::from_rupees_text(told).map(Amount::money) != Ok(collected)
    {
        return Err(unreadable("the link collects another amount at once than was ordered"));
    }
    if link.value("amrule").and_then(AmountRule::from_code).is_some_and(|told| told != order.amount_rule) {
        return Err(unreadable("the link has another rule for the amount than was ordered"));
    }
    if link.value("recur").and_then(Pattern::from_code).is_some_and(|told| told != order.pattern) {
        return Err(unreadable("the link has another frequency than was ordered"));
    }
    Ok(())
}

/// Their token as our picture of it.
pub fn to_snapshot(token: body::Token) -> Result<MandateSnapshot, Unreadable> {
    let body::Token { id: token_id, entity, method: _, vpa, recurring_details, max_amount } = token;
    is_a("token", entity.as_deref())?;
    let body::RecurringDetails { status, failure_reason } = recurring_details;
    // A payer that can't be read is no reason to lose sight of his mandate.
    let payer_vpa = vpa.username.zip(vpa.handle).and_then(|(username, handle)| Vpa::parse(&format!("{username}@{handle}")).ok());
    Ok(MandateSnapshot {
        provider_ref: Some(id("token", token_id)?),
        max_amount: max_amount.map(Money::from_paise),
        payer_vpa,
        ..MandateSnapshot::of(to_status(status.as_deref(), failure_reason.as_deref()))
    })
}

fn to_status(word: Option<&str>, failure_reason: Option<&str>) -> MandateStatus {
    match word {
        Some("initiated") => MandateStatus::AwaitingApproval,
        // The second is how a resumption is told of in a callback.
        Some("confirmed" | "resumed") => MandateStatus::Active,
        Some("paused") => MandateStatus::Paused,
        Some("cancellation_initiated") => MandateStatus::Revoking,
        Some("cancelled") => MandateStatus::Revoked,
        Some("rejected") => MandateStatus::Rejected { code: String::new(), message: told::message(failure_reason) },
        Some(_) | None => MandateStatus::Undecided,
    }
}

/// What a payment tells of the mandate that it registered: which token it is. `None`: it registered none.
pub fn of_payment(purpose: &wire::PaymentPurpose) -> Result<Option<MandateSnapshot>, Unreadable> {
    let wire::PaymentPurpose { order_id: Some(order), token_id: Some(token), customer_id, notes, .. } = purpose else { return Ok(None) };
    // A debit has an order of its own, which registered nothing.
    if notes.get(PURPOSE_NOTE).is_none_or(|purpose| purpose != REGISTRATION) {
        return Ok(None);
    }
    Ok(Some(MandateSnapshot {
        provider_ref: Some(id("payment's token", Some(token.clone()))?),
        registration_ref: Some(id("payment's order", Some(order.clone()))?),
        customer_ref: customer_id.clone().map(|customer| id("payment's customer", Some(customer))).transpose()?,
        ..MandateSnapshot::of(MandateStatus::Undecided)
    }))
}
