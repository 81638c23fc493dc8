//! Lists of resources: the filters that all of them have, and one page.

use std::collections::BTreeMap;

use prost::Message;

use super::call::Call;
use super::violations::Violations;
use super::{Api, page};
use crate::domain::event::Record;
use crate::domain::id::{Id, Kind};
use crate::engine::Error;
use crate::engine::lists::ListQuery;

/// The filters that every list of resources has, as they came.
pub(super) struct Filters<'a> {
    pub account: &'a str,
    pub create_time_from: Option<&'a prost_types::Timestamp>,
    pub create_time_to: Option<&'a prost_types::Timestamp>,
    pub reference: &'a str,
    pub labels: &'a BTreeMap<String, String>,
}

impl Filters<'_> {
    /// All resources of `kind` that these admit, whatever their state.
    pub fn query(self, kind: Kind, violations: &mut Violations) -> Option<ListQuery> {
        let Filters { account, create_time_from, create_time_to, reference, labels } = self;
        let account = violations.account(account);
        let from = violations.time("create_time_from", create_time_from);
        let to = violations.time("create_time_to", create_time_to);
        violations.reference(reference);
        violations.labels("labels", labels);
        let (reference, labels) = (reference.to_owned(), labels.clone());
        account.map(|account| ListQuery { from, to, reference, labels, ..ListQuery::all_of(account, kind) })
    }
}

impl Api {
    /// The page that `request` asks for (its type's name is `name`), and the token of the next one.
    pub(super) async fn page(
        &self,
        call: &Call,
        (name, request, page_token): (&str, &impl Message, &str),
        (query, limit): (ListQuery, usize),
    ) -> Result<(Vec<Record>, String), Error> {
        call.check_account(&self.engine, &query.account, "account", query.account.as_str())?;
        let key = self.engine.fingerprint_key();
        let before = cursor_id(page::cursor(key, name, request, page_token)?)?;
        let listed = call.in_time(self.engine.list(&query, before, limit)).await?;
        let next = listed.next.map(|id| page::token(key, name, request, id.as_str())).unwrap_or_default();
        Ok((listed.records, next))
    }
}

/// The id that a list's page begins below.
pub(super) fn cursor_id(cursor: Option<String>) -> Result<Option<Id>, Error> {
    cursor.map(|text| text.parse().map_err(|_| Error::InvalidToken("is not a page token of this service"))).transpose()
}
