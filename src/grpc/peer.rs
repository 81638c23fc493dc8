//! Who is at the other end of a connection, as far as its certificate says.

/// The URI and DNS names of the client certificate, which was verified. Only the TLS listener makes one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerIdentity(pub Vec<String>);
