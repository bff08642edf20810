//! Whom do we trust when Postgres or Redis speak TLS?
//!
//! For Redis the scheme decides: `rediss` is always verified. A Postgres URL is read as every Postgres client reads it
//! ([libpq], "SSL support"), of which the driver knows only a part: `sslmode` verify-ca and verify-full, `sslrootcert`.
//!
//! [libpq]: https://www.postgresql.org/docs/current/libpq-ssl.html

mod lenient;

use self::lenient::Lenient;
use percent_encoding::percent_decode_str;
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;

/// How much of a server's certificate must be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verify {
    /// Nothing: nobody can read along, but somebody could be in the middle.
    Nothing,
    /// Somebody we trust has signed it.
    Authority,
    /// That, and it is for the host we meant.
    AuthorityAndName,
}

/// What a URL asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// How much is verified.
    pub(crate) verify: Verify,
    /// A PEM file with the authorities to trust instead of the system's.
    pub(crate) roots: Option<String>,
}

impl Wanted {
    /// What a Postgres URL asks for, and the URL as the driver takes it, which refuses what nobody knows.
    pub(crate) fn of_postgres(url: &str) -> (Self, String) {
        let (place, query) = url.split_once('?').unwrap_or((url, ""));
        let mut wanted = Self { verify: Verify::Nothing, roots: None };
        let mut kept = Vec::new();
        let mut least = Verify::Nothing;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", "allow")) => kept.push("sslmode=prefer"),
                Some(("sslmode", "verify-ca")) => {
                    wanted.verify = Verify::Authority;
                    kept.push("sslmode=require");
                }
                Some(("sslmode", "verify-full")) => {
                    wanted.verify = Verify::AuthorityAndName;
                    kept.push("sslmode=require");
                }
                Some(("sslrootcert", "system")) => least = Verify::AuthorityAndName,
                Some(("sslrootcert", file)) => {
                    least = Verify::Authority;
                    wanted.roots = Some(percent_decode_str(file).decode_utf8_lossy().into_owned());
                }
                _ => kept.push(pair),
            }
        }
        wanted.verify = wanted.verify.max(least);
        let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
        (wanted, format!("{place}{query}"))
    }

    /// The system's authorities, and the name.
    pub(crate) const fn strict() -> Self {
        Self { verify: Verify::AuthorityAndName, roots: None }
    }

    /// TLS of this kind.
    ///
    /// # Errors
    /// Why it cannot be had, in a sentence that goes on after "TLS:".
    pub(crate) fn client(&self) -> Result<ClientConfig, String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        if self.verify == Verify::AuthorityAndName {
            return Ok(builder.with_root_certificates(self.trusted()?).with_no_client_auth());
        }
        let authority = match self.verify {
            Verify::Nothing => None,
            _ => Some(
                WebPkiServerVerifier::builder_with_provider(Arc::new(self.trusted()?), Arc::clone(&provider))
                    .build()
                    .map_err(|error| error.to_string())?,
            ),
        };
        let lenient = Arc::new(Lenient::new(provider, authority));
        Ok(builder.dangerous().with_custom_certificate_verifier(lenient).with_no_client_auth())
    }

    fn trusted(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        let Some(file) = &self.roots else {
            // One that cannot be read is left out: it is the system's business.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            return Ok(roots);
        };
        let unusable =
            |error: &dyn std::fmt::Display| format!("cannot use the certificates in {file}: {error}");
        for certificate in CertificateDer::pem_file_iter(file).map_err(|error| unusable(&error))? {
            let certificate = certificate.map_err(|error| unusable(&error))?;
            roots.add(certificate).map_err(|error| unusable(&error))?;
        }
        if roots.is_empty() {
            return Err(unusable(&"there are none"));
        }
        Ok(roots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_postgres_url_asks_as_every_client_reads_it() {
        let of = |query: &str| {
            let (wanted, url) = Wanted::of_postgres(&format!("postgres://u:p@h:5432/db{query}"));
            let query = url.strip_prefix("postgres://u:p@h:5432/db").unwrap().to_owned();
            (wanted.verify, wanted.roots, query)
        };
        use Verify::{Authority, AuthorityAndName, Nothing};
        let ca = || Some("/etc/my ca.pem".to_owned());
        for (query, verify, roots, driver) in [
            ("", Nothing, None, ""),
            ("?", Nothing, None, ""),
            ("?sslmode=disable", Nothing, None, "?sslmode=disable"),
            ("?sslmode=allow", Nothing, None, "?sslmode=prefer"),
            ("?sslmode=prefer", Nothing, None, "?sslmode=prefer"),
            ("?application_name=x&sslmode=require", Nothing, None, "?application_name=x&sslmode=require"),
            ("?sslmode=verify-ca", Authority, None, "?sslmode=require"),
            (
                "?sslmode=verify-full&options=-c%20a",
                AuthorityAndName,
                None,
                "?sslmode=require&options=-c%20a",
            ),
            ("?sslmode=require&sslrootcert=/etc/my%20ca.pem", Authority, ca(), "?sslmode=require"),
            ("?sslrootcert=/etc/my%20ca.pem&sslmode=verify-full", AuthorityAndName, ca(), "?sslmode=require"),
            ("?sslmode=require&sslrootcert=system", AuthorityAndName, None, "?sslmode=require"),
            ("?sslmode=sometimes", Nothing, None, "?sslmode=sometimes"),
        ] {
            assert_eq!(of(query), (verify, roots, driver.to_owned()), "{query}");
        }
    }

    #[test]
    fn a_file_without_authorities_is_a_named_error() {
        let wanted = |file: &str| Wanted { verify: Verify::Authority, roots: Some(file.to_owned()) };
        let missing = wanted("/nowhere/ca.pem").client().unwrap_err();
        assert!(missing.starts_with("cannot use the certificates in /nowhere/ca.pem: "), "{missing}");
        let empty = wanted("/dev/null").client().unwrap_err();
        assert_eq!(empty, "cannot use the certificates in /dev/null: there are none");
    }
}
