//! Which handshakes are accepted, which refused, and with which answer?

use super::*;

const GOOD: &[(&str, &str)] = &[
    ("host", "gateway.example"),
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers
            .append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

/// A good handshake in which the lines of `name` are replaced by `values`.
fn with(name: &str, values: &[&str]) -> Result<Upgrade, HandshakeFault> {
    let mut lines: Vec<_> = GOOD.iter().copied().filter(|(n, _)| *n != name).collect();
    lines.extend(values.iter().map(|value| (name, *value)));
    check(&Method::GET, Version::HTTP_11, &headers(&lines), false)
}

#[test]
fn the_answer_is_that_of_the_rfc() {
    let response =
        with("sec-websocket-protocol", &["carillon.v1, bearer.a.b.c"]).unwrap().response::<String>();
    assert_eq!(response.status(), 101);
    let value = |name: &str| response.headers()[name].to_str().unwrap();
    assert_eq!(value("sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "the example of section 1.3");
    assert_eq!(value("upgrade"), "websocket");
    assert_eq!(value("connection"), "Upgrade");
    assert_eq!(value("sec-websocket-protocol"), "carillon.v1");
    assert_eq!(response.headers().len(), 4, "no extension is negotiated");

    let plain = with("sec-websocket-extensions", &["permessage-deflate; client_max_window_bits"]).unwrap();
    let response = plain.response::<()>();
    assert!(!response.headers().contains_key("sec-websocket-protocol"));
    assert!(!response.headers().contains_key("sec-websocket-extensions"));
}

#[test]
fn upgrade_tokens_are_found_in_lists_lines_and_any_case() {
    for good in [&["upgrade"][..], &["keep-alive, UPGRADE"], &["keep-alive", "x ,\tUpGrade ,"]] {
        assert!(with("connection", good).is_ok(), "{good:?}");
    }
    for bad in [&[][..], &["keep-alive"], &["upgrades"], &["up grade"], &["\"upgrade\""]] {
        assert_eq!(with("connection", bad), Err(HandshakeFault::NotUpgrade), "{bad:?}");
    }
    assert!(with("upgrade", &["h2c, WebSocket"]).is_ok());
    for bad in [&[][..], &["h2c"], &["websocket/13"]] {
        assert_eq!(with("upgrade", bad), Err(HandshakeFault::NotUpgrade), "{bad:?}");
    }
}

#[test]
fn other_methods_and_versions_are_refused() {
    let good = headers(GOOD);
    assert_eq!(check(&Method::POST, Version::HTTP_11, &good, true), Err(HandshakeFault::Method));
    for version in [Version::HTTP_10, Version::HTTP_2] {
        assert_eq!(check(&Method::GET, version, &good, true), Err(HandshakeFault::HttpVersion));
    }
    for bad in [&[][..], &["12"], &["13", "13"], &["13, 8"], &["013"]] {
        assert_eq!(with("sec-websocket-version", bad), Err(HandshakeFault::WebSocketVersion), "{bad:?}");
    }
}

#[test]
fn the_key_is_one_base64_value_of_16_bytes() {
    assert!(with("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZR=="]).is_ok(), "unused bits do not matter");
    for bad in [
        &[][..],
        &[""],
        &["dGhlIHNhbXBsZSBub25jZQ"],
        &["dGhlIHNhbXBsZSBub25jZQ=a"],
        &["dGhlIHNhbXBsZSBub25jZQEB"],
        &["dGhlIHNhbXBsZSBub25j"],
        &["dGhlIHNhbXBsZSBub25jZ-=="],
        &["dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ=="],
        &["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="],
    ] {
        assert_eq!(with("sec-websocket-key", bad), Err(HandshakeFault::Key), "{bad:?}");
    }
}

#[test]
fn the_subprotocol_is_selected_and_the_token_taken_out() {
    type Expected<'a> = (Option<&'a str>, Option<&'a str>);
    let cases: &[(&[&str], Expected<'_>)] = &[
        (&[], (None, None)),
        (&["carillon.v1"], (Some("carillon.v1"), None)),
        (&["carillon.v1, bearer.ey.J-_.x"], (Some("carillon.v1"), Some("ey.J-_.x"))),
        (&["bearer.t", "other,,carillon.v1"], (Some("carillon.v1"), Some("t"))),
        (&["carillon.v1, bearer.t, carillon.v1.compact"], (Some("carillon.v1.compact"), Some("t"))),
        (&["carillon.v1.compact", "carillon.v1"], (Some("carillon.v1.compact"), None)),
        (&["carillon.v1.short"], (None, None)),
        (&["bearer.t"], (None, Some("t"))),
        (&["graphql-ws, chat"], (None, None)),
        (&["Carillon.v1", "Bearer.t"], (None, None)),
    ];
    for (lines, (protocol, bearer)) in cases {
        let upgrade = with("sec-websocket-protocol", lines).unwrap();
        assert_eq!((upgrade.protocol, upgrade.bearer.as_deref()), (*protocol, *bearer), "{lines:?}");
    }
    for bad in [
        &["bearer."][..],
        &["bearer.a, bearer.b"],
        &["bearer.a", "bearer.a"],
        &["a b"],
        &["bearer.a/b"],
        &["é"],
    ] {
        assert_eq!(with("sec-websocket-protocol", bad), Err(HandshakeFault::Protocols), "{bad:?}");
    }
}

#[test]
fn a_handshake_has_no_body() {
    assert!(with("content-length", &["0"]).is_ok());
    for bad in [&["5"][..], &["0", "0"], &["0, 5"]] {
        assert_eq!(with("content-length", bad), Err(HandshakeFault::Body), "{bad:?}");
    }
    assert_eq!(with("transfer-encoding", &["chunked"]), Err(HandshakeFault::Body));
}

#[test]
fn the_token_is_hidden_from_debug_output() {
    let upgrade = with("sec-websocket-protocol", &["carillon.v1, bearer.secret"]).unwrap();
    assert!(!format!("{upgrade:?}").contains("secret"));
}

#[test]
fn faults_tell_the_client_what_to_do() {
    use HandshakeFault as F;
    let cases = [
        (F::Method, 405, "method_not_allowed", &[("allow", "GET")][..]),
        (F::HttpVersion, 400, "http_version", &[]),
        (
            F::NotUpgrade,
            426,
            "upgrade_required",
            &[("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-version", "13")],
        ),
        (
            F::WebSocketVersion,
            426,
            "websocket_version",
            &[("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-version", "13")],
        ),
        (F::Key, 400, "websocket_key", &[]),
        (F::Protocols, 400, "websocket_protocol", &[]),
        (F::Body, 400, "body_not_allowed", &[]),
        (F::Origin, 403, "origin_not_allowed", &[]),
    ];
    for (fault, status, code, headers) in cases {
        assert_eq!((fault.status().as_u16(), fault.code()), (status, code));
        assert_eq!(fault.headers(), headers, "{code}");
    }
}
