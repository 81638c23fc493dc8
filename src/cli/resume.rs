//! Where `events tail --resume` remembers how far it came: a small file that holds one token.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::failure::Failure;

pub struct Bookmark {
    file: PathBuf,
}

impl Bookmark {
    /// The file that was named, or one in the user's state folder that belongs to this address and filter.
    pub fn new(named: Option<PathBuf>, address: &str, filter: &str) -> Result<Self, Failure> {
        if let Some(file) = named {
            return Ok(Self { file });
        }
        let folder = std::env::var_os("XDG_STATE_HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = || Some(PathBuf::from(std::env::var_os("HOME").filter(|value| !value.is_empty())?).join(".local/state"));
        match folder.or_else(home) {
            Some(folder) => Ok(Self { file: folder.join("upistream").join(file_name(address, filter)) }),
            None => Err(Failure::usage("there is no home folder to remember the position in", "name a file with --state")),
        }
    }

    /// The token that was kept, if any was.
    pub fn read(&self) -> Result<Option<String>, Failure> {
        match std::fs::read_to_string(&self.file) {
            Ok(text) => Ok(Some(text.trim().to_owned()).filter(|token| !token.is_empty())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.trouble("read", &error)),
        }
    }

    /// The old token stays until the new one is whole.
    pub fn write(&self, token: &str) -> Result<(), Failure> {
        let whole = || {
            let folder = self.file.parent().unwrap_or(Path::new("."));
            std::fs::create_dir_all(folder)?;
            let beside = self.file.with_extension("new");
            let mut file = std::fs::File::create(&beside)?;
            writeln!(file, "{token}")?;
            std::fs::rename(&beside, &self.file)
        };
        whole().map_err(|error| self.trouble("written", &error))
    }

    pub fn place(&self) -> String {
        self.file.display().to_string()
    }

    fn trouble(&self, what: &str, error: &std::io::Error) -> Failure {
        Failure::new(format!("the position in `{}` can't be {what}: {error}", self.file.display()), "name another file with --state")
    }
}

fn file_name(address: &str, filter: &str) -> String {
    let digest = Sha256::digest(format!("{address}\n{filter}"));
    let short: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("tail-{short}.token")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_kept_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let bookmark = Bookmark::new(Some(folder.path().join("deep/tail.token")), "a", "f").unwrap();
        assert_eq!(bookmark.read().unwrap(), None);
        bookmark.write("t1").unwrap();
        bookmark.write("t2").unwrap();
        assert_eq!(bookmark.read().unwrap().as_deref(), Some("t2"));
    }

    #[test]
    fn another_filter_has_another_file() {
        assert_ne!(file_name("a", "payment.*"), file_name("a", "qr.*"));
        assert_ne!(file_name("a", "qr.*"), file_name("b", "qr.*"));
    }
}
