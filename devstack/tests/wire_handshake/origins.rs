//! Whose web pages may connect?

use carillon_devstack::token::now;
use serde_json::json;

use crate::wire::raw::{Raw, refused};
use crate::wire::{block_on, claims, open, sign, token};
use crate::{AUDIENCE, ISSUER, PLAIN, STRICT, stack};

#[test]
fn only_pages_of_listed_origins_connect_and_only_exactly() {
    block_on(async {
        let stack = stack().await;
        open(&stack, stack.gateway(PLAIN), &claims("acme", "anna")).await.0.close().await;
        let addr = stack.gateway(STRICT).addr();
        let good = sign(
            &json!({"sub": "anna", "tenant": "acme", "exp": now() + 600, "aud": AUDIENCE, "iss": ISSUER}),
            stack.jwt_secret(),
        );
        let bearer = format!("Bearer {good}");
        let allowed: [&[&str]; 6] = [
            &[],
            &["https://app.example.com"],
            &["HTTPS://App.Example.COM"],
            &["https://app.example.com:443"],
            &["http://localhost:3000"],
            &["  http://localhost:3000  "],
        ];
        let forbidden: [&[&str]; 20] = [
            &["https://evil.example"],
            &["https://app.example.com.evil.example"],
            &["https://app.example.comevil"],
            &["https://evil-app.example.com"],
            &["https://sub.app.example.com"],
            &["https://example.com"],
            &["http://app.example.com"],
            &["https://app.example.com:8443"],
            &["https://app.example.com:80"],
            &["https://app.example.com/"],
            &["https://app.example.com@evil.example"],
            &["https://evil.example#https://app.example.com"],
            &["http://localhost"],
            &["http://localhost:30000"],
            &["null"],
            &[""],
            &["*"],
            &["app.example.com"],
            &["https://app.example.com, https://evil.example"],
            &["https://app.example.com", "https://app.example.com"],
        ];
        let headers = |origins: &[&'static str]| -> Vec<(&str, String)> {
            let own = origins.iter().map(|origin| ("Origin", (*origin).to_owned()));
            [("Authorization", bearer.clone())].into_iter().chain(own).collect()
        };
        for origins in allowed {
            let headers = headers(origins);
            let headers: Vec<(&str, &str)> =
                headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            assert!(Raw::upgrade(addr, "/v1/ws", &headers).await.is_ok(), "{origins:?}");
        }
        for origins in forbidden {
            let headers = headers(origins);
            let headers: Vec<(&str, &str)> =
                headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            refused(addr, "/v1/ws", &headers).await.assert_problem(403, "origin_not_allowed");
        }

        // Without a token, too: a foreign page must not even be asked for one.
        refused(addr, "/v1/ws", &[("Origin", "null")]).await.assert_problem(403, "origin_not_allowed");
    });
}

#[test]
fn every_page_may_connect_where_every_origin_is_allowed_but_not_two_at_once() {
    block_on(async {
        let stack = stack().await;
        let addr = stack.gateway(PLAIN).addr();
        let bearer = format!("Bearer {}", token(&stack, &claims("acme", "anna")));
        for origin in ["https://any.example", "null"] {
            let headers = [("Authorization", bearer.as_str()), ("Origin", origin)];
            assert!(Raw::upgrade(addr, "/v1/ws", &headers).await.is_ok(), "{origin}");
        }
        let two = [
            ("Authorization", bearer.as_str()),
            ("Origin", "https://a.example"),
            ("Origin", "https://b.example"),
        ];
        refused(addr, "/v1/ws", &two).await.assert_problem(403, "origin_not_allowed");
    });
}
