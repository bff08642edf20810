//! Which session of the console did the request bring?
//!
//! In a cookie that no script reads and that browsers send from pages of this site alone. It counts only beside a header that neither a form
//! nor a link can send: what somebody else's page makes a browser do is without it.

use http::{HeaderMap, HeaderName, header};

/// Its name.
pub const COOKIE: &str = "carillon_console";
/// What the console sends with every request.
const PROOF: HeaderName = HeaderName::from_static("carillon-console");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The text of the cookie, if the request is the console's own.
pub fn of(headers: &HeaderMap) -> Option<&str> {
    let is_ours = headers.get(FETCH_SITE).is_none_or(|site| site == "same-origin");
    if !headers.contains_key(PROOF) || !is_ours {
        return None;
    }
    let mut cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies
        .find_map(|text| text.split(';').find_map(|one| one.trim().strip_prefix(COOKIE)?.strip_prefix('=')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn read(pairs: &[(&'static str, &'static str)]) -> Option<String> {
        let named = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        of(&HeaderMap::from_iter(pairs.iter().map(named))).map(str::to_owned)
    }

    #[test]
    fn a_cookie_counts_with_the_header_that_other_pages_cannot_send() {
        let cookie = ("cookie", "carillon_console_old=x; carillon_console=crln_1_2");
        assert_eq!(read(&[cookie, ("carillon-console", "1")]).as_deref(), Some("crln_1_2"));
        assert_eq!(read(&[cookie]), None);
        assert_eq!(read(&[("carillon-console", "1")]), None);
        let from = |site| read(&[cookie, ("carillon-console", "1"), ("sec-fetch-site", site)]);
        assert_eq!((from("cross-site"), from("same-site")), (None, None));
        assert!(from("same-origin").is_some());
    }
}
