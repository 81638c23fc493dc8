//! What each call needs: the one table that decides who may do what. A call that is not in it is refused, and a test holds it
//! against the services that are there.

use crate::domain::caller::Permission::{self, *};

/// What a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Nothing: a probe has no credential.
    Public,
    /// To be a known caller.
    Known,
    /// One of these.
    OneOf(&'static [Permission]),
}

const fn needs(permission: &'static [Permission]) -> Rule {
    Rule::OneOf(permission)
}

#[rustfmt::skip]
const RULES: &[(&str, &[(&str, Rule)])] = &[
    ("upistream.v1.QrService", &[
        ("CreateQr", needs(&[QrWrite])),
        ("GetQr", needs(&[QrRead])),
        ("ListQrs", needs(&[QrRead])),
        ("CloseQr", needs(&[QrWrite])),
        ("GetQrImage", needs(&[QrRead])),
    ]),
    ("upistream.v1.PaymentService", &[
        ("GetPayment", needs(&[PaymentRead])),
        ("ListPayments", needs(&[PaymentRead])),
        ("RefreshPayment", needs(&[PaymentRead])),
    ]),
    ("upistream.v1.RefundService", &[
        ("CreateRefund", needs(&[RefundWrite])),
        ("GetRefund", needs(&[RefundRead])),
        ("ListRefunds", needs(&[RefundRead])),
    ]),
    ("upistream.v1.MandateService", &[
        ("CreateMandate", needs(&[MandateWrite])),
        ("GetMandate", needs(&[MandateRead])),
        ("ListMandates", needs(&[MandateRead])),
        ("UpdateMandate", needs(&[MandateWrite])),
        ("PauseMandate", needs(&[MandateWrite])),
        ("ResumeMandate", needs(&[MandateWrite])),
        ("RevokeMandate", needs(&[MandateWrite])),
        ("CreateDebit", needs(&[DebitWrite])),
        ("ExecuteDebit", needs(&[DebitWrite])),
        ("CancelDebit", needs(&[DebitWrite])),
        ("GetDebit", needs(&[DebitRead])),
        ("ListDebits", needs(&[DebitRead])),
    ]),
    ("upistream.v1.SettlementService", &[
        ("GetSettlement", needs(&[SettlementRead])),
        ("ListSettlements", needs(&[SettlementRead])),
        ("ListSettlementEntries", needs(&[SettlementRead])),
        ("ListSettlementBreaks", needs(&[SettlementRead])),
    ]),
    ("upistream.v1.EventService", &[
        ("Subscribe", needs(&[EventsRead])),
        ("ListEvents", needs(&[EventsRead])),
        ("GetEvent", needs(&[EventsRead])),
    ]),
    ("upistream.v1.AccountService", &[
        ("ListAccounts", Rule::Known),
    ]),
    ("upistream.v1.AdminService", &[
        ("ListQuarantine", needs(&[Admin])),
        ("ReplayQuarantined", needs(&[Admin])),
        ("ListDoubts", needs(&[Admin, DoubtResolve])),
        ("ResolveDoubt", needs(&[DoubtResolve])),
    ]),
    ("grpc.health.v1.Health", &[
        ("Check", Rule::Public),
        ("Watch", Rule::Public),
    ]),
    ("grpc.reflection.v1.ServerReflection", &[
        ("ServerReflectionInfo", Rule::Known),
    ]),
    ("grpc.reflection.v1alpha.ServerReflection", &[
        ("ServerReflectionInfo", Rule::Known),
    ]),
];

/// What the call at `path` (`/package.Service/Method`) needs, with its name; `None`: there is no such call.
pub(super) fn rule_of(path: &str) -> Option<(&'static str, Rule)> {
    let (service, method) = super::parts_of(path)?;
    let (_, methods) = RULES.iter().find(|(name, _)| *name == service)?;
    methods.iter().find(|(name, _)| *name == method).copied()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message;

    use super::*;
    use crate::grpc::{SERVICES, pb};

    fn methods_in(descriptors: &[u8]) -> BTreeSet<String> {
        let set = prost_types::FileDescriptorSet::decode(descriptors).unwrap();
        let mut paths = BTreeSet::new();
        for file in set.file {
            for service in &file.service {
                for method in &service.method {
                    paths.insert(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
                }
            }
        }
        paths
    }

    #[test]
    fn every_call_that_is_served_has_a_rule_and_every_rule_a_call() {
        let mut served = methods_in(pb::DESCRIPTORS);
        assert!(SERVICES.iter().all(|service| served.iter().any(|path| path.starts_with(&format!("/{service}/")))));
        served.extend(methods_in(tonic_health::pb::FILE_DESCRIPTOR_SET));
        served.extend(methods_in(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET));
        served.extend(methods_in(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET));
        let ruled: Vec<String> =
            RULES.iter().flat_map(|(service, methods)| methods.iter().map(move |(method, _)| format!("/{service}/{method}"))).collect();
        assert_eq!(ruled.iter().cloned().collect::<BTreeSet<_>>(), served);
        assert_eq!(ruled.len(), served.len(), "each once");
    }

    #[test]
    fn what_changes_something_needs_a_permission_to_write() {
        for (service, methods) in RULES.iter().filter(|(service, _)| SERVICES.contains(service)) {
            for (method, rule) in *methods {
                let is_read = ["Get", "List", "Subscribe", "Refresh"].iter().any(|begin| method.starts_with(begin));
                let writes = match rule {
                    Rule::Public => panic!("{service}/{method} is public"),
                    Rule::Known => false,
                    Rule::OneOf(any) => {
                        any.iter().all(|permission| permission.as_str().ends_with(":write") || matches!(permission, Admin | DoubtResolve))
                    }
                };
                assert!(is_read || writes, "{service}/{method} needs {rule:?}");
            }
        }
    }

    #[test]
    fn a_path_is_compared_whole() {
        assert_eq!(rule_of("/upistream.v1.QrService/GetQr"), Some(("GetQr", needs(&[QrRead]))));
        for path in [
            "",
            "/",
            "upistream.v1.QrService/GetQr",
            "/upistream.v1.QrService/getqr",
            "/upistream.v1.QrService/GetQr/",
            "/upistream.v1.QrService",
            "/upistream.v2.QrService/GetQr",
        ] {
            assert_eq!(rule_of(path), None, "{path}");
        }
    }
}
