//! Which session of the console did the request bring?
//!
//! In a cookie that no script reads and that browsers send from pages of this site alone. It counts only beside a header that neither a form
//! nor a link can send: what somebody else's page makes a browser do is without it. Over HTTPS the cookie's name begins with `__Host-`: no
//! other name of the site's domain can set it.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// What the console sends with every request.
const PROOF: HeaderName = HeaderName::from_static("carillon-console");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The cookie is there twice: nobody can say which one the console set.
#[derive(Debug, PartialEq, Eq)]
pub struct Twice;

/// The text of the cookie, if the request is the console's own.
pub fn of(headers: &HeaderMap) -> Result<Option<&str>, Twice> {
    let is_ours = headers.get(FETCH_SITE).is_none_or(|site| site == "same-origin");
    if !headers.contains_key(PROOF) || !is_ours {
        return Ok(None);
    }
    let name = name(headers);
    let texts = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut cookies = texts
        .flat_map(|text| text.split(';'))
        .filter_map(|one| one.split_once('=').filter(|(named, _)| named.trim() == name))
        .map(|(_, value)| value.trim());
    match (cookies.next(), cookies.next()) {
        (_, Some(_)) => Err(Twice),
        (first, None) => Ok(first),
    }
}

/// Whether a cookie is all that the request could prove itself with.
pub fn brings_no_other_credentials(headers: &HeaderMap) -> bool {
    !headers.contains_key(header::AUTHORIZATION) && !headers.contains_key("x-api-key")
}

/// The cookie that keeps a session so long: for this site's own requests alone, and for no script.
pub fn cookie(headers: &HeaderMap, text: &str, seconds: u64) -> HeaderValue {
    let (name, secure) = (name(headers), if is_secure(headers) { "; Secure" } else { "" });
    let line = format!("{name}={text}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::from_str(&line).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The cookie's name.
fn name(headers: &HeaderMap) -> &'static str {
    if is_secure(headers) { "__Host-carillon_console" } else { "carillon_console" }
}

/// Whether the browser speaks HTTPS: a balancer says so, in `X-Forwarded-Proto` or else in `Forwarded` (RFC 7239). Of several the first one
/// was told the browser's.
fn is_secure(headers: &HeaderMap) -> bool {
    let first = |name| {
        let text = headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok())?;
        text.split(',').next().map(str::trim)
    };
    let proto = first(FORWARDED_PROTO).or_else(|| {
        let mut pairs = first(header::FORWARDED)?.split(';').filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.find(|(key, _)| key.trim().eq_ignore_ascii_case("proto"))?;
        Some(value.trim().trim_matches('"'))
    });
    proto.is_some_and(|proto| proto.eq_ignore_ascii_case("https"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let named = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let mut headers = HeaderMap::new();
        pairs.iter().map(named).for_each(|(name, value)| {
            headers.append(name, value);
        });
        headers
    }

    fn read(pairs: &[(&'static str, &'static str)]) -> Result<Option<String>, Twice> {
        of(&headers(pairs)).map(|found| found.map(str::to_owned))
    }

    fn found(text: &str) -> Result<Option<String>, Twice> {
        Ok(Some(text.to_owned()))
    }

    const PROVEN: (&str, &str) = ("carillon-console", "1");

    #[test]
    fn a_cookie_counts_with_the_header_that_other_pages_cannot_send() {
        let cookie = ("cookie", "carillon_console_old=x; carillon_console=crln_1_2");
        assert_eq!(read(&[cookie, PROVEN]), found("crln_1_2"));
        assert_eq!(read(&[cookie]), Ok(None));
        assert_eq!(read(&[PROVEN]), Ok(None));
        let from = |site| read(&[cookie, PROVEN, ("sec-fetch-site", site)]);
        assert_eq!((from("cross-site"), from("same-site")), (Ok(None), Ok(None)));
        assert_eq!(from("same-origin"), found("crln_1_2"));
    }

    #[test]
    fn two_cookies_of_the_name_are_none() {
        assert_eq!(read(&[("cookie", "carillon_console=a; carillon_console=b"), PROVEN]), Err(Twice));
        let apart = [("cookie", "carillon_console=a"), ("cookie", "carillon_console=b"), PROVEN];
        assert_eq!(read(&apart), Err(Twice));
    }

    #[test]
    fn over_https_the_cookie_is_one_that_only_this_host_can_set() {
        for (name, value) in [
            ("x-forwarded-proto", "https"),
            ("x-forwarded-proto", "HTTPS, http"),
            ("forwarded", "for=192.0.2.1;Proto=\"https\", for=10.0.0.1;proto=http"),
        ] {
            let set = cookie(&headers(&[(name, value)]), "t", 9);
            assert_eq!(
                set, "__Host-carillon_console=t; Path=/; Max-Age=9; HttpOnly; SameSite=Strict; Secure",
                "{name}: {value}"
            );
            let both = ("cookie", "carillon_console=planted; __Host-carillon_console=own");
            assert_eq!(read(&[both, PROVEN, (name, value)]), found("own"));
            assert_eq!(read(&[("cookie", "carillon_console=planted"), PROVEN, (name, value)]), Ok(None));
        }
        for plain in [&[][..], &[("x-forwarded-proto", "http, https")], &[("forwarded", "for=192.0.2.1")]] {
            let set = cookie(&headers(plain), "t", 9);
            assert_eq!(set, "carillon_console=t; Path=/; Max-Age=9; HttpOnly; SameSite=Strict");
        }
    }
}
