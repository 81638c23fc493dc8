//! Where the tour's service lives: a folder of its own that goes away with it, and ports that are free.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use super::super::failure::Failure;
use crate::clock::Randomness;
use crate::config::{Backend, Config, EmbeddedConfig, SandboxSettings};

/// The tour's last step takes a year of its clock, and seconds: what is looked at then is looked at as fast.
const LOOKUPS_PER_SECOND: u32 = 1_000;
/// Longer than the tour's year, in which the provider pays nothing out: a callback has its settlement read at once.
const SYNC_EVERY_S: u64 = 500 * 24 * 3_600;

pub struct Place {
    folder: PathBuf,
}

impl Place {
    pub fn new() -> Result<Self, Failure> {
        let folder = std::env::temp_dir().join(format!("upistream-demo-{:016x}", Randomness::of_system().bits() >> 64));
        match std::fs::DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => Ok(Self { folder }),
            Err(error) => {
                let what = format!("the temporary folder `{}` can't be made: {error}", folder.display());
                Err(Failure::new(what, "set TMPDIR to a folder that you may write to"))
            }
        }
    }

    /// The trial set-up, moved here.
    pub fn config(&self) -> Config {
        let free: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
        let mut config = Config::default();
        config.grpc.listen = free;
        config.webhooks.listen = free;
        config.admin.listen = free;
        config.store.backend = Backend::Embedded(EmbeddedConfig { path: self.folder.join("upistream.db") });
        config.reconciler.lookups_per_second = LOOKUPS_PER_SECOND;
        config.settlements.sync_every_s = SYNC_EVERY_S;
        config.sandbox = Some(SandboxSettings { listen: free, state_file: None });
        config
    }

    pub fn shown(&self) -> String {
        self.folder.display().to_string()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What can't be removed is a temporary file like others.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_behind() {
        let place = Place::new().unwrap();
        let folder = place.folder.clone();
        std::fs::write(folder.join("upistream.db"), "x").unwrap();
        drop(place);
        assert!(!folder.exists());
    }

    #[test]
    fn the_tour_disturbs_no_service_that_runs() {
        let place = Place::new().unwrap();
        let config = place.config();
        for address in [config.grpc.listen, config.webhooks.listen, config.admin.listen] {
            assert_eq!(address.port(), 0);
            assert!(address.ip().is_loopback());
        }
    }
}
