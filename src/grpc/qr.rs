//! QrService: take apart, do, put together.

use tonic::{Request, Response, Status};

use super::call::Call;
use super::list::Filters;
use super::pb::qr_service_server::QrService;
use super::resource;
use super::status::status;
use super::violations::Violations;
use super::{Api, pb};
use crate::domain::event::Record;
use crate::domain::id::Kind;
use crate::domain::personal::{Email, PersonName, Phone};
use crate::domain::qr::{Customer, Qr, QrOrder, Usage};
use crate::engine::lists::ListQuery;
use crate::engine::qr::{ImageFormat, QrWish};
use crate::engine::qr_image::{ErrorCorrection, SIZE_MAX_PIXELS, SIZE_MIN_PIXELS};
use crate::engine::{Answer, Error};

const NAME_CHARS_MAX: usize = 64;
const DESCRIPTION_CHARS_MAX: usize = 255;
const IMAGE_PIXELS_DEFAULT: u32 = 512;
const CUSTOMER_REF_CHARS_MAX: usize = 64;

#[tonic::async_trait]
impl QrService for Api {
    async fn create_qr(&self, request: Request<pb::CreateQrRequest>) -> Result<Response<pb::CreateQrResponse>, Status> {
        let call = Call::of(&request, self.deadlines);
        let request = request.into_inner();
        let asked = call.asked(&self.engine, "CreateQr", "CreateQrRequest", &request.idempotency_key, &request);
        let wish = self.wish(&call, request).map_err(|error| status(&error))?;
        let created = async {
            call.check_account(&self.engine, &wish.account, "account", wish.account.as_str())?;
            self.engine.create_qr(asked, wish).await
        };
        let Answer { resource, replayed } = created.await.map_err(|error| status(&error))?;
        Ok(Response::new(pb::CreateQrResponse { qr: Some(resource::qr(&resource, call.sight)), idempotency_replayed: replayed }))
    }

    async fn get_qr(&self, request: Request<pb::GetQrRequest>) -> Result<Response<pb::GetQrResponse>, Status> {
        let call = Call::of(&request, self.deadlines);
        let pb::GetQrRequest { id } = request.into_inner();
        let qr = self.visible_qr(&call, &id, Violations::default()).await.map_err(|error| status(&error))?;
        Ok(Response::new(pb::GetQrResponse { qr: Some(resource::qr(&qr, call.sight)) }))
    }

    async fn list_qrs(&self, request: Request<pb::ListQrsRequest>) -> Result<Response<pb::ListQrsResponse>, Status> {
        let call = Call::of(&request, self.deadlines);
        let request = request.into_inner();
        let listed = async {
            let query = list_query(&request)?;
            self.page(&call, ("ListQrsRequest", &request, &request.page_token), query).await
        };
        let (records, next_page_token) = listed.await.map_err(|error| status(&error))?;
        let qrs = records.iter().filter_map(|record| match record {
            Record::Qr(qr) => Some(resource::qr(qr, call.sight)),
            _ => None,
        });
        Ok(Response::new(pb::ListQrsResponse { qrs: qrs.collect(), next_page_token }))
    }

    async fn close_qr(&self, request: Request<pb::CloseQrRequest>) -> Result<Response<pb::CloseQrResponse>, Status> {
        let call = Call::of(&request, self.deadlines);
        let request = request.into_inner();
        let asked = call.asked(&self.engine, "CloseQr", "CloseQrRequest", &request.idempotency_key, &request);
        let pb::CloseQrRequest { idempotency_key, id } = request;
        let closed = async {
            let mut violations = Violations::default();
            violations.key(&idempotency_key);
            let qr = self.visible_qr(&call, &id, violations).await?;
            self.engine.close_qr(asked, qr).await
        };
        let Answer { resource, replayed } = closed.await.map_err(|error| status(&error))?;
        Ok(Response::new(pb::CloseQrResponse { qr: Some(resource::qr(&resource, call.sight)), idempotency_replayed: replayed }))
    }

    async fn get_qr_image(&self, request: Request<pb::GetQrImageRequest>) -> Result<Response<pb::GetQrImageResponse>, Status> {
        let call = Call::of(&request, self.deadlines);
        let pb::GetQrImageRequest { id, format, size_pixels, error_correction } = request.into_inner();
        let drawn = async {
            let mut violations = Violations::default();
            let format = image_format(format, &mut violations);
            let size = image_size(size_pixels, &mut violations);
            let correction = image_correction(error_correction, &mut violations);
            let qr = self.visible_qr(&call, &id, violations).await?;
            self.engine.qr_image(&qr, format, size, correction)
        };
        let (image, media_type) = drawn.await.map_err(|error| status(&error))?;
        Ok(Response::new(pb::GetQrImageResponse { image, media_type: media_type.to_owned() }))
    }
}

impl Api {
    /// What is asked for; or all that is wrong with it, what the account's provider would refuse included.
    fn wish(&self, call: &Call, request: pb::CreateQrRequest) -> Result<QrWish, Error> {
        let (wish, mut violations) = wish(request);
        if let Some(wish) = wish.as_ref().filter(|wish| !violations.is_empty() && call.may_see(&self.engine, &wish.account)) {
            violations.add_further(self.engine.violations_of(&wish.account, &wish.order));
        }
        violations.unless_any(wish)
    }

    /// The code with this id, if the caller may see it. `violations`: what is wrong with the rest of the request.
    async fn visible_qr(&self, call: &Call, id: &str, mut violations: Violations) -> Result<Qr, Error> {
        let parsed = violations.id("id", Kind::Qr, id);
        let parsed = violations.unless_any(parsed)?;
        let qr = call.in_time(self.engine.get_qr(&parsed)).await?;
        call.check_account(&self.engine, &qr.header.account, "QR code", id)?;
        Ok(qr)
    }
}

/// What is asked for, as far as it can be read, and what is wrong with it whoever the provider is.
fn wish(request: pb::CreateQrRequest) -> (Option<QrWish>, Violations) {
    let pb::CreateQrRequest { idempotency_key, account, reference, labels, usage, amount, name, description, expire_time, notes, customer } =
        request;
    let mut violations = Violations::default();
    violations.key(&idempotency_key);
    let account = violations.account(&account);
    violations.reference(&reference);
    violations.labels("labels", &labels);
    let usage = violations.known::<pb::QrUsage>("usage", usage).and_then(|usage| match usage {
        pb::QrUsage::Unspecified => None,
        pb::QrUsage::SingleUse => Some(Usage::SingleUse),
        pb::QrUsage::MultipleUse => Some(Usage::MultipleUse),
    });
    let amount = amount.as_ref().and_then(|amount| violations.amount("amount", amount));
    violations.text("name", &name, NAME_CHARS_MAX);
    violations.text("description", &description, DESCRIPTION_CHARS_MAX);
    let expire_time = violations.time("expire_time", expire_time.as_ref());
    violations.notes("notes", &notes);
    let customer = customer.and_then(|customer| self::customer(customer, &mut violations));
    let order = usage.map(|usage| QrOrder { usage, amount, name, description, expire_time, notes, customer });
    let wish = account.zip(order).map(|(account, order)| QrWish { account, reference, labels, order });
    (wish, violations)
}

/// Whom the code is made for; `None`: nobody is named.
fn customer(customer: pb::QrCustomer, violations: &mut Violations) -> Option<Customer> {
    let pb::QrCustomer { provider_ref, name, phone, email } = customer;
    customer_ref("customer.provider_ref", &provider_ref, violations);
    let read = Customer {
        provider_ref: Some(provider_ref).filter(|text| !text.is_empty()),
        name: parsed("customer.name", &name, PersonName::parse, violations),
        phone: parsed("customer.phone", &phone, Phone::parse, violations),
        email: parsed("customer.email", &email, Email::parse, violations),
    };
    Some(read).filter(|read| *read != Customer::default())
}

/// What `parse` makes of a text that may be left out.
fn parsed<T, E: std::fmt::Display>(field: &str, text: &str, parse: fn(&str) -> Result<T, E>, violations: &mut Violations) -> Option<T> {
    if text.is_empty() {
        return None;
    }
    match parse(text) {
        Ok(read) => Some(read),
        Err(why) => {
            violations.add(field, why.to_string());
            None
        }
    }
}

fn customer_ref(field: &str, text: &str, violations: &mut Violations) {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if text.len() > CUSTOMER_REF_CHARS_MAX || !text.chars().all(fits) {
        violations.add(field, format!("must be the provider's id: at most {CUSTOMER_REF_CHARS_MAX} letters, digits, `_` and `-`"));
    }
}

fn list_query(request: &pb::ListQrsRequest) -> Result<(ListQuery, usize), Error> {
    let pb::ListQrsRequest {
        account,
        page_size,
        page_token: _,
        states,
        create_time_from,
        create_time_to,
        reference,
        labels,
        customer_ref: customer,
    } = request;
    let mut violations = Violations::default();
    let filters =
        Filters { account, create_time_from: create_time_from.as_ref(), create_time_to: create_time_to.as_ref(), reference, labels };
    let query = filters.query(Kind::Qr, &mut violations);
    let limit = violations.page_size(*page_size);
    customer_ref("customer_ref", customer, &mut violations);
    let customer = customer.clone();
    let states = states.iter().filter_map(|state| violations.known::<pb::QrState>("states", *state)).filter_map(|state| match state {
        pb::QrState::Unspecified => None,
        pb::QrState::Requested => Some("requested"),
        pb::QrState::Active => Some("active"),
        pb::QrState::Closed => Some("closed"),
        pb::QrState::Failed => Some("failed"),
    });
    let states = states.collect();
    violations.unless_any(query.map(|query| (ListQuery { states, customer, ..query }, limit)))
}

fn image_format(format: i32, violations: &mut Violations) -> ImageFormat {
    match pb::QrImageFormat::try_from(format) {
        Ok(pb::QrImageFormat::Unspecified | pb::QrImageFormat::Png) => ImageFormat::Png,
        Ok(pb::QrImageFormat::Svg) => ImageFormat::Svg,
        Err(_) => {
            violations.add("format", "is not a value of this field");
            ImageFormat::Png
        }
    }
}

fn image_size(size_pixels: i32, violations: &mut Violations) -> u32 {
    match u32::try_from(size_pixels) {
        Ok(0) => IMAGE_PIXELS_DEFAULT,
        Ok(size) if (SIZE_MIN_PIXELS..=SIZE_MAX_PIXELS).contains(&size) => size,
        _ => {
            violations.add("size_pixels", format!("must be {SIZE_MIN_PIXELS} to {SIZE_MAX_PIXELS}"));
            IMAGE_PIXELS_DEFAULT
        }
    }
}

fn image_correction(correction: i32, violations: &mut Violations) -> ErrorCorrection {
    match pb::QrErrorCorrection::try_from(correction) {
        Ok(pb::QrErrorCorrection::Unspecified | pb::QrErrorCorrection::Medium) => ErrorCorrection::Medium,
        Ok(pb::QrErrorCorrection::Low) => ErrorCorrection::Low,
        Ok(pb::QrErrorCorrection::Quartile) => ErrorCorrection::Quartile,
        Ok(pb::QrErrorCorrection::High) => ErrorCorrection::High,
        Err(_) => {
            violations.add("error_correction", "is not a value of this field");
            ErrorCorrection::Medium
        }
    }
}
