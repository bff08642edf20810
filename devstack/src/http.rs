//! How do we speak HTTP, also on a machine without certificates?

use std::error::Error;

use reqwest::{Client, ClientBuilder};

/// A client that takes no way through the caller's proxies, with these settings besides.
///
/// A bare machine has no root certificates, and the library then makes no client at all; without them only TLS fails.
pub(crate) fn client(settings: impl Fn(ClientBuilder) -> ClientBuilder) -> reqwest::Result<Client> {
    let builder = || settings(Client::builder().no_proxy());
    builder().build().or_else(|_| builder().tls_certs_only([]).build())
}

/// The error with its causes: its own text leaves out what one needs, such as a certificate that is not trusted.
pub(crate) fn with_causes(error: &reqwest::Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
