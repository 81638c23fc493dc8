//! What a client command shows of itself to the service: an API key, which comes from a file or the environment.

use std::path::{Path, PathBuf};

use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};

use super::failure::Failure;

const NEXT: &str = "`upistream caller new` makes a key; put it there alone, as it was printed";

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Service")]
pub struct CredentialArgs {
    /// The file with the API key to show to the service. None: UPISTREAM_API_KEY of the environment, if it is set
    #[arg(long, global = true, env = "UPISTREAM_API_KEY_FILE", value_name = "FILE")]
    api_key_file: Option<PathBuf>,
    // Hidden: what is typed is seen by every process of the machine.
    #[arg(long, global = true, env = "UPISTREAM_API_KEY", hide = true, hide_env_values = true, value_name = "KEY")]
    api_key: Option<SecretString>,
}

/// An API key as it is sent.
#[derive(Clone, Default)]
pub struct Credential(Option<MetadataValue<Ascii>>);

impl CredentialArgs {
    pub fn read(&self) -> Result<Credential, Failure> {
        let (from, key) = match (&self.api_key_file, &self.api_key) {
            (Some(file), _) => (format!("`{}`", file.display()), read_file(file)?),
            (None, Some(key)) => ("UPISTREAM_API_KEY".to_owned(), key.clone()),
            (None, None) => return Ok(Credential(None)),
        };
        let key = key.expose_secret().trim();
        let is_whole = !key.is_empty() && key.bytes().all(|b| b.is_ascii_graphic());
        let value = if is_whole { MetadataValue::try_from(format!("Bearer {key}")).ok() } else { None };
        let Some(mut value) = value else { return Err(Failure::new(format!("{from} holds no API key"), NEXT)) };
        value.set_sensitive(true);
        Ok(Credential(Some(value)))
    }
}

fn read_file(file: &Path) -> Result<SecretString, Failure> {
    let read = std::fs::read_to_string(file);
    read.map(SecretString::from).map_err(|cause| Failure::new(format!("`{}` can't be read: {cause}", file.display()), NEXT))
}

impl Credential {
    pub fn put_on<T>(&self, request: &mut Request<T>) {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(args: &CredentialArgs) -> Option<String> {
        let mut request = Request::new(());
        args.read().unwrap_or_else(|failure| panic!("{failure:?}")).put_on(&mut request);
        request.metadata().get("authorization").map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_file_goes_before_the_environment_and_a_key_is_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "upk_of-the-file\n").unwrap();
        let mut args = CredentialArgs::default();
        assert_eq!(sent(&args), None);
        args.api_key = Some("upk_of-the-environment".to_owned().into());
        assert_eq!(sent(&args).as_deref(), Some("Bearer upk_of-the-environment"));
        args.api_key_file = Some(file.clone());
        assert_eq!(sent(&args).as_deref(), Some("Bearer upk_of-the-file"));
        let mut request = Request::new(());
        args.read().unwrap().put_on(&mut request);
        assert!(!format!("{args:?} {request:?}").contains("upk_"), "{args:?} {request:?}");
        for empty in ["", "\n", "two\nlines", "spa ce", "schlüssel"] {
            std::fs::write(&file, empty).unwrap();
            assert!(args.read().is_err(), "{empty}");
        }
        args.api_key_file = Some(folder.path().join("none"));
        assert!(args.read().is_err());
    }
}
