//! A provider's words that nobody publishes, and that stand in the configuration with what they mean.

use std::collections::BTreeSet;

use super::takes::must;

/// The most characters of a provider's word. Known ones have about thirty.
const WORD_CHARS_MAX: usize = 64;

pub(super) fn is_word(text: &str) -> bool {
    let fits = !text.is_empty() && text.chars().count() <= WORD_CHARS_MAX;
    fits && text == text.trim() && !text.chars().any(char::is_control)
}

pub(super) fn words_for(names: &[&str]) -> String {
    format!("words in quotes for some of {}, such as {{ {} = \"…\" }}", names.join(", "), names.first().unwrap_or(&"name"))
}

/// A word for two things would be a mistake for one of them.
pub(super) fn judge_words(names: &[&str], words: &toml::Table) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for (name, word) in words {
        let known = names.contains(&name.as_str());
        let Some(word) = word.as_str().filter(|word| known && is_word(word)) else { return Err(words_for(names)) };
        if !seen.insert(word) {
            return Err(format!("a word for each, and `{word}` is there twice"));
        }
    }
    Ok(())
}

pub(super) fn meanings_of(names: &[&str]) -> String {
    format!("words, each with one of {} in quotes, such as {{ \"…\" = \"{}\" }}", names.join(", "), names.first().unwrap_or(&"name"))
}

pub(super) fn judge_meanings(names: &[&str], meanings: &toml::Table) -> Result<(), String> {
    let fits = |(word, name): (&String, &toml::Value)| is_word(word) && name.as_str().is_some_and(|name| names.contains(&name));
    must(!meanings.is_empty() && meanings.iter().all(fits), &meanings_of(names))
}

#[cfg(test)]
mod tests {
    use crate::config::takes::tests::judged;

    #[test]
    fn words_for_mandates_are_judged() {
        let judged = |key: &str, value: &str, fits: bool| judged(&format!("accounts.*.enkash.mandates.{key}"), value, fits);
        for (key, fit, others) in [
            ("paths", ["g2", "g3"], ["G3", "", "/api/v0/upi-mandate"]),
            ("naming", ["snake_case", "camel_case"], ["camelCase", "", "kebab-case"]),
            ("amount_unit", ["paise", "rupees"], ["paisa", "", "INR"]),
        ] {
            for text in fit {
                judged(key, &format!("'{text}'"), true);
            }
            for text in others {
                judged(key, &format!("'{text}'"), false);
            }
        }
        judged("no_rule", "''", true);
        judged("no_rule", "'NA'", true);
        judged("no_rule", "' NA'", false);
        judged("periods", "{ monthly = 'MONTHLY', half_yearly = 'HALF YEARLY' }", true);
        judged("periods", "{}", true);
        for periods in
            ["{ month = 'MONTHLY' }", "{ monthly = '' }", "{ monthly = 1 }", "{ monthly = 'X', weekly = 'X' }", "'MONTHLY'", "[]"]
        {
            judged("periods", periods, false);
        }
        judged("periods", &format!("{{ monthly = '{}' }}", "x".repeat(65)), false);
        judged("rules", "{ on = 'ON', before = 'BEFORE' }", true);
        judged("rules", "{ none = 'NA' }", false);
        judged("statuses", "{ ACTIVE = 'active', LIVE = 'active', 'UNDER REVIEW' = 'awaiting_approval' }", true);
        for statuses in ["{}", "{ ACTIVE = 'live' }", "{ ACTIVE = ['active'] }", "{ '' = 'active' }", "'active'"] {
            judged("statuses", statuses, false);
        }
        judged("notice_statuses", "{ SUCCESS = 'delivered' }", true);
        judged("notice_statuses", "{ SUCCESS = 'active' }", false);
    }
}
