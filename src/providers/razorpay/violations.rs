//! What Razorpay would refuse about texts and notes, found before anything is sent; and the note that carries our reference.

use std::collections::BTreeMap;

use crate::providers::Violation;

/// The most notes that an entity has.
pub const NOTES_MAX: usize = 15;
/// The note that carries our reference.
pub const REFERENCE_NOTE: &str = "upistream_ref";
/// The most characters of a note's key.
const NOTE_KEY_CHARS_MAX: usize = 256;

/// All that is wrong with a request.
#[derive(Default)]
pub struct Violations(pub Vec<Violation>);

impl Violations {
    pub fn add(&mut self, field: &str, description: impl Into<String>) {
        self.0.push(Violation { field: field.to_owned(), description: description.into() });
    }

    pub fn check_text(&mut self, field: &str, text: &str, chars_max: usize, whose: &str) {
        if text.chars().count() > chars_max {
            self.add(field, format!("is longer than {chars_max} characters ({whose})"));
        }
        // Razorpay answers a body that has such a character with a server fault, which would leave us in doubt.
        if text.chars().any(|c| c > '\u{FFFF}') {
            self.add(field, "has a character beyond the Basic Multilingual Plane, such as an emoji: Razorpay can't keep those");
        }
    }

    /// Each pair by itself; how many there may be depends on what is sent beside them.
    pub fn check_notes(&mut self, notes: &BTreeMap<String, String>, key_chars_max: usize, value_chars_max: usize) {
        for (key, value) in notes {
            let field = format!("notes[{key:?}]");
            if key.is_empty() {
                self.add(&field, "has an empty key");
            }
            self.check_text(&field, key, key_chars_max, "a limit of Razorpay's for keys");
            self.check_text(&field, value, value_chars_max, "a limit of Razorpay's for values");
        }
    }
    /// A caller's notes where our own reference is sent beside them.
    pub fn check_notes_beside_ours(&mut self, notes: &BTreeMap<String, String>, value_chars_max: usize) {
        if notes.len() + 1 > NOTES_MAX {
            self.add("notes", format!("has more than {} pairs; Razorpay keeps {NOTES_MAX}, and one is ours", NOTES_MAX - 1));
        }
        if notes.contains_key(REFERENCE_NOTE) {
            self.add(&format!("notes[{REFERENCE_NOTE:?}]"), "is the note in which our own reference is sent");
        }
        self.check_notes(notes, NOTE_KEY_CHARS_MAX, value_chars_max);
    }
}

/// A caller's notes with our reference beside them.
pub fn notes_with_ours<'a>(notes: &'a BTreeMap<String, String>, our_ref: &'a str) -> BTreeMap<&'a str, &'a str> {
    let mut notes: BTreeMap<_, _> = notes.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    notes.insert(REFERENCE_NOTE, our_ref);
    notes
}
