//! Mandates and their debits: what this service decides itself, and the dated rules of UPI.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::upi::rules::{RuleTable, Rules};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MandatesConfig {
    pub retry_after_s: u64,
    pub notice_delivery_s: u64,
    /// Empty: the rules that come with the service.
    pub rules_file: PathBuf,
}

impl Default for MandatesConfig {
    fn default() -> Self {
        Self { retry_after_s: 6 * 3_600, notice_delivery_s: 3_600, rules_file: PathBuf::new() }
    }
}

/// How a file of rules is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RulesFile {
    rules: Vec<Rules>,
}

/// The rules that come with the service, as a file to begin with.
pub fn default_mandate_rules() -> &'static str {
    include_str!("mandate_rules.toml")
}

impl MandatesConfig {
    pub fn retry_after(&self) -> Duration {
        Duration::from_secs(self.retry_after_s)
    }

    pub fn notice_delivery(&self) -> Duration {
        Duration::from_secs(self.notice_delivery_s)
    }

    /// The rules, or what is wrong with their file.
    pub fn rules(&self) -> Result<RuleTable, String> {
        if self.rules_file.as_os_str().is_empty() {
            return Ok(RuleTable::standard());
        }
        let text = std::fs::read_to_string(&self.rules_file).map_err(|cause| format!("can't be read: {cause}"))?;
        parse(&text)
    }
}

fn parse(text: &str) -> Result<RuleTable, String> {
    let file: RulesFile = toml::from_str(text).map_err(|cause| cause.message().to_owned())?;
    RuleTable::new(file.rules).map_err(|faults| faults.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_that_comes_with_the_service_says_what_holds_without_one() {
        assert_eq!(parse(default_mandate_rules()), Ok(RuleTable::standard()));
        assert_eq!(MandatesConfig::default().rules(), Ok(RuleTable::standard()));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told() {
        let changed = |from: &str, to: &str| parse(&default_mandate_rules().replacen(from, to, 1)).unwrap_err();
        assert!(changed("attempts_max = 4", "attempts_max = 0").contains("attempts_max"));
        assert!(changed("attempts_max = 4\n", "").contains("attempts_max"));
        assert!(changed("attempts_max", "attempts_most").contains("attempts_most"));
        assert!(changed("2025-08-01", "2019-08-01").contains("valid_from"));
        assert!(changed("\"10:00-13:00\"", "\"10-13\"").contains("HH:MM"));
        let missing = MandatesConfig { rules_file: "no/such/file.toml".into(), ..MandatesConfig::default() };
        assert!(missing.rules().unwrap_err().contains("can't be read"));
    }
}
