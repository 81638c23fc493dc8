//! Calls of a redis as the service made them, to be made again by the floor: the same scripts with arguments of the same sizes,
//! and other names in them. So the floor follows the service without knowing what it writes.

use redis::Cmd;

use super::own_redis::Told;

/// How many digits at the end of a name make it another one.
const DIGITS: usize = 12;

/// A command with places in it.
#[derive(Clone)]
pub struct Recorded {
    words: Vec<Vec<Part>>,
}

#[derive(Clone)]
enum Part {
    Same(Vec<u8>),
    /// The name with this number stands here.
    Name(usize),
}

impl Recorded {
    /// `names`: what is another one in each call.
    pub fn of(told: &Told, names: &[Vec<u8>]) -> Self {
        Self { words: told.iter().map(|word| parts(word, names)).collect() }
    }

    /// The command with `names` in place of those that were seen.
    pub fn with(&self, names: &[Vec<u8>]) -> Cmd {
        let mut command = Cmd::new();
        let mut text = Vec::new();
        for word in &self.words {
            text.clear();
            for part in word {
                match part {
                    Part::Same(same) => text.extend_from_slice(same),
                    Part::Name(number) => text.extend_from_slice(&names[*number]),
                }
            }
            command.arg(&text[..]);
        }
        command
    }
}

fn parts(word: &[u8], names: &[Vec<u8>]) -> Vec<Part> {
    let (mut parts, mut same, mut at) = (Vec::new(), Vec::new(), 0);
    while at < word.len() {
        match names.iter().position(|name| word[at..].starts_with(name)) {
            Some(number) => {
                if !same.is_empty() {
                    parts.push(Part::Same(std::mem::take(&mut same)));
                }
                parts.push(Part::Name(number));
                at += names[number].len();
            }
            None => {
                same.push(word[at]);
                at += 1;
            }
        }
    }
    if !same.is_empty() {
        parts.push(Part::Same(same));
    }
    parts
}

/// `name` with another end, of the same length. Ends of the same number are the same.
pub fn renamed(name: &[u8], number: u64) -> Vec<u8> {
    let kept = name.len().saturating_sub(DIGITS);
    let mut renamed = name[..kept].to_vec();
    let end = format!("{number:0DIGITS$}");
    renamed.extend_from_slice(&end.as_bytes()[end.len() - (name.len() - kept)..]);
    renamed
}

/// The number at the end of a name that was made by [`renamed`].
pub fn number_at_end(name: &[u8]) -> Option<u64> {
    std::str::from_utf8(name.get(name.len().checked_sub(DIGITS)?..)?).ok()?.parse().ok()
}

/// Whether `text` stands somewhere in the command.
pub fn names(told: &Told, text: &str) -> bool {
    told.iter().any(|word| find(word, text.as_bytes()).is_some())
}

/// Where `text` begins in `word`.
pub fn find(word: &[u8], text: &[u8]) -> Option<usize> {
    word.windows(text.len()).position(|window| window == text)
}
