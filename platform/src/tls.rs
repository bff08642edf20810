//! Whom does a client of ours believe to be a server?
//!
//! Those that the system's authorities vouch for, or those of `SSL_CERT_FILE`. An HTTP library's own way to them fails where there
//! are none, also for plain HTTP.

use std::sync::Arc;

/// TLS with the system's authorities.
pub(crate) fn of_the_system() -> Result<rustls::ClientConfig, rustls::Error> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
