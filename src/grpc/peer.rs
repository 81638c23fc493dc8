//! Who is at the other end of a connection, as far as the connection itself proves it.

/// The names that the client's certificate proves: its URIs and DNS names (lower case). Every request's extensions have one;
/// empty: the client showed no certificate, or there is no TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerIdentity(pub Vec<String>);
