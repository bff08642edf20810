//! How do browsers get the console's files?
//!
//! They are in this program. Those of `assets/` have a hash of their content in their names and are kept for a year; every other path
//! is the page itself, which is asked for by its tag each time, and finds out from its address what it shows.

use super::App;
use crate::http::problem::{Code, Problem};
use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};
use std::sync::{Arc, LazyLock};

/// One file.
struct File {
    /// Its path below `/console/`.
    name: &'static str,
    plain: &'static [u8],
    gzip: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/console.rs"));

const PAGE: &str = "index.html";
/// What is in names with a hash never changes.
const HASHED: &str = "assets/";
/// Scripts, styles, pictures, the font and requests are of this origin, sockets included; nothing is inline, and nobody frames it.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

static TAG: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash: [u8; 32] = Sha256::digest(find(PAGE).map_or(&b""[..], |file| file.plain)).into();
    let tag: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::from_str(&format!("\"{tag}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"page\""))
});

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/console", get(async |headers: HeaderMap| answer(PAGE, &headers)))
        .route("/console/", get(async |headers: HeaderMap| answer(PAGE, &headers)))
        .route(
            "/console/{*path}",
            get(async |Path(path): Path<String>, headers: HeaderMap| answer(&path, &headers)),
        )
}

fn find(name: &str) -> Option<&'static File> {
    FILES.binary_search_by(|file| file.name.cmp(name)).ok().and_then(|at| FILES.get(at))
}

fn answer(path: &str, asked: &HeaderMap) -> Result<Response, Problem> {
    let is_hashed = path.starts_with(HASHED);
    let file = find(path).or_else(|| if is_hashed { None } else { find(PAGE) });
    let Some(file) = file else {
        return Err(Problem::new(Code::NotFound, "the console has no such file: load its page again"));
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, kind(file.name));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    );
    if is_hashed {
        headers
            .insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    } else {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(header::ETAG, TAG.clone());
        if file.name == PAGE && asked.get(header::IF_NONE_MATCH) == Some(&*TAG) {
            return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
        }
    }
    if file.gzip.len() < file.plain.len() && takes_gzip(asked) {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        return Ok((headers, file.gzip).into_response());
    }
    Ok((headers, file.plain).into_response())
}

/// Whether the browser says so. `gzip;q=0` is as good as never sent, and is taken for a no.
fn takes_gzip(asked: &HeaderMap) -> bool {
    let mut listed = asked.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    listed.any(|text| {
        text.split(',').any(|one| {
            let (name, quality) = one.split_once(';').unwrap_or((one, ""));
            name.trim().eq_ignore_ascii_case("gzip") && !quality.trim().starts_with("q=0")
        })
    })
}

fn kind(name: &str) -> HeaderValue {
    HeaderValue::from_static(match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(encodings: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(encodings))])
    }

    #[test]
    fn every_path_is_the_page_but_those_of_files_that_are_not_there() {
        for path in [PAGE, "tail", "why", "no/such/page"] {
            let page = answer(path, &HeaderMap::new()).unwrap();
            assert_eq!(page.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8", "{path}");
            assert_eq!(page.headers()[header::CACHE_CONTROL], "no-cache");
            assert!(!page.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().contains("unsafe"));
        }
        assert_eq!(answer("assets/index-gone.js", &HeaderMap::new()).unwrap_err().code, Code::NotFound);
    }

    #[test]
    fn a_page_that_the_browser_has_is_not_sent_again() {
        let tag = answer(PAGE, &HeaderMap::new()).unwrap().headers()[header::ETAG].clone();
        let asked = HeaderMap::from_iter([(header::IF_NONE_MATCH, tag)]);
        assert_eq!(answer("tail", &asked).unwrap().status(), StatusCode::NOT_MODIFIED);
    }

    #[test]
    fn what_has_a_hash_in_its_name_is_kept_and_comes_compressed_to_who_takes_it() {
        let script =
            FILES.iter().find(|file| file.name.starts_with(HASHED) && file.name.ends_with(".js")).unwrap();
        let encoding = |asked: &HeaderMap| {
            let answer = answer(script.name, asked).unwrap();
            assert!(answer.headers()[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
            answer.headers().get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(encoding(&headers("br, gzip")).as_deref(), Some("gzip"));
        assert_eq!(encoding(&headers("gzip;q=0")), None);
        assert_eq!(encoding(&HeaderMap::new()), None);
    }
}
