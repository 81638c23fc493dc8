//! Customers: create, fetch, list. Needed where a QR code is tied to one.

use serde::{Deserialize, Serialize};

use super::desk::{Desk, room_on};
use super::error::{ApiError, CONTACT};
use super::input::{Fields, Notes, Page, check_id};
use super::{Call, Collection, notes_as_printed, to_json};
use crate::sandbox::shelf::Labelled;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Customer {
    pub id: String,
    pub created_ms: i64,
    pub name: Option<String>,
    pub email: Option<String>,
    pub contact: Option<String>,
    pub gstin: Option<String>,
    pub notes: Notes,
}

impl Labelled for Customer {
    fn id(&self) -> &str {
        &self.id
    }
}

#[derive(Serialize)]
struct CustomerView<'a> {
    id: &'a str,
    entity: &'static str,
    name: Option<&'a str>,
    email: Option<&'a str>,
    contact: Option<&'a str>,
    gstin: Option<&'a str>,
    #[serde(serialize_with = "notes_as_printed")]
    notes: &'a Notes,
    created_at: i64,
}

fn view(customer: &Customer) -> CustomerView<'_> {
    CustomerView {
        id: &customer.id,
        entity: "customer",
        name: customer.name.as_deref(),
        email: customer.email.as_deref(),
        contact: customer.contact.as_deref(),
        gstin: customer.gstin.as_deref(),
        notes: &customer.notes,
        created_at: customer.created_ms / 1_000,
    }
}

impl Desk<'_> {
    pub fn create_customer(&mut self, call: &Call) -> Result<String, ApiError> {
        call.expect_no_query()?;
        room_on(&self.books.customers)?;
        let fields = Fields::of(&call.body, &["name", "contact", "email", "fail_existing", "gstin", "notes"])?;
        let name = fields.text("name", 50)?;
        name.as_deref().map_or(Ok(()), check_name)?;
        let contact = fields.text("contact", 15)?;
        contact.as_deref().map_or(Ok(()), check_contact)?;
        let email = fields.text("email", 64)?;
        if email.as_deref().is_some_and(|email| !is_email(email)) {
            return Err(ApiError::on("email", "The email must be a valid email address."));
        }
        let gstin = fields.text("gstin", 15)?;
        if gstin.as_deref().is_some_and(|gstin| gstin.len() != 15) {
            return Err(ApiError::on("gstin", "The gstin field is invalid."));
        }
        let notes = fields.notes()?;
        // A string; sent as a number it is ignored, as seen at the real service.
        let fail_existing = fields.get("fail_existing").is_none_or(|value| value != "0");
        let same = |who: &&Customer| who.email == email && who.contact == contact;
        let known = self.books.customers.newest_first().find(same);
        if let Some(known) = known {
            return match fail_existing {
                true => Err(ApiError::not_applicable(400, "Customer already exists for the merchant")),
                false => Ok(to_json(&view(known))),
            };
        }
        let customer = Customer { id: self.new_id("cust"), created_ms: self.now_ms, name, email, contact, gstin, notes };
        let answer = to_json(&view(&customer));
        self.books.customers.put(customer);
        Ok(answer)
    }

    pub fn fetch_customer(&mut self, id: &str, call: &Call) -> Result<String, ApiError> {
        call.expect_bare(&[])?;
        check_id("cust", id)?;
        let customer = self.books.customers.get(id).ok_or_else(ApiError::no_such_id)?;
        Ok(to_json(&view(customer)))
    }

    pub fn list_customers(&mut self, call: &Call) -> Result<String, ApiError> {
        let page = Page::of(&call.query, &[], self.switches.clamp_count)?;
        call.expect_no_body()?;
        let customers = self.books.customers.newest_first().filter(|customer| self.is_listed(customer.created_ms));
        let found = page.collect(customers, |customer| customer.created_ms / 1_000);
        Ok(to_json(&Collection::of(found.into_iter().map(view).collect())))
    }
}

fn check_name(name: &str) -> Result<(), ApiError> {
    let fine = |c: char| c.is_alphanumeric() || " .'/@()-_".contains(c);
    match name.chars().count() >= 3 && name.chars().all(fine) {
        true => Ok(()),
        false => Err(ApiError::on("name", "The name format is invalid.")),
    }
}

fn check_contact(contact: &str) -> Result<(), ApiError> {
    let text = match contact {
        _ if !contact.bytes().all(|byte| byte.is_ascii_digit() || byte == b'+') => {
            "Contact number contains invalid characters, only digits and + symbol are allowed."
        }
        _ if contact.bytes().filter(u8::is_ascii_digit).count() < 8 => "Contact number should be at least 8 digits, including country code",
        _ => return Ok(()),
    };
    Err(ApiError::with_triple("contact", text, &CONTACT))
}

fn is_email(email: &str) -> bool {
    email.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && domain.contains('.'))
}
