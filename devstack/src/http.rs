//! How do we speak HTTP, also on a machine without certificates?

use reqwest::{Client, ClientBuilder};

/// A client that takes no way through the caller's proxies, with these settings besides.
///
/// A bare machine has no root certificates, and the library then makes no client at all; without them only TLS fails.
pub(crate) fn client(settings: impl Fn(ClientBuilder) -> ClientBuilder) -> reqwest::Result<Client> {
    let builder = || settings(Client::builder().no_proxy());
    builder().build().or_else(|_| builder().tls_certs_only([]).build())
}
