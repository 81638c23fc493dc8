//! What is wrong with a configuration, said so that whoever started the service can put it right:
//! where it stands, what is wrong, and what to do next. A problem never shows a secret.

use std::fmt;
use std::path::PathBuf;

/// Where a setting's value came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    File {
        path: PathBuf,
        line: Option<usize>,
    },
    Environment {
        variable: String,
    },
    /// Nobody said anything.
    Default,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub origin: Origin,
    /// The setting, dotted; none where the file as a whole is meant.
    pub key: Option<String>,
    /// What is wrong: a clause without a full stop.
    pub what: String,
    /// What to do about it: a clause without a full stop.
    pub next: String,
}

/// Why a configuration can't be used: everything that is wrong with it, not only the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    pub problems: Vec<Problem>,
}

impl ConfigError {
    /// In the order in which a reader goes through the file, then the environment.
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| a.origin.cmp(&b.origin));
        Self { problems }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => write!(f, "default"),
            Self::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::Environment { variable } => write!(f, "{variable}"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, key: _, what, next } = self;
        // A question ends itself: "did you mean …?"
        let end = if next.ends_with('?') { "" } else { "." };
        match origin {
            Origin::Default => write!(f, "{what}; {next}{end}"),
            Origin::File { .. } | Origin::Environment { .. } => {
                write!(f, "{origin}: {what}; {next}{end}")
            }
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [one] => write!(f, "the configuration has a problem: {one}"),
            problems => {
                write!(f, "the configuration has {} problems:", problems.len())?;
                for problem in problems {
                    write!(f, "\n  {problem}")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for ConfigError {}
