//! Does the key set follow its provider, outlive its outages, and never flood it?

use super::super::testkit::{Signer, at, claims_json};
use super::*;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

const NOW: u64 = 1_800_000_000;

/// An identity provider of one page.
#[derive(Clone)]
struct Provider {
    url: Url,
    page: Arc<Mutex<Page>>,
}

struct Page {
    status: StatusCode,
    location: Option<String>,
    body: String,
    fetches: usize,
}

impl Provider {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/keys", listener.local_addr().unwrap())).unwrap();
        let page = Page { status: StatusCode::OK, location: None, body: String::new(), fetches: 0 };
        let page = Arc::new(Mutex::new(page));
        let served = page.clone();
        let answer = move || {
            let mut page = served.lock().unwrap();
            page.fetches += 1;
            let location = page.location.clone().map(|to| [(header::LOCATION, to)]);
            let answer =
                (page.status, location.unwrap_or([(header::LOCATION, String::new())]), page.body.clone());
            async move { answer.into_response() }
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/keys", get(answer))).await });
        Self { url, page }
    }

    fn publish(&self, keys: &[(&Signer, &str)]) {
        let keys: Vec<String> = keys.iter().map(|(signer, kid)| signer.jwk(kid)).collect();
        self.set(StatusCode::OK, &format!(r#"{{"keys":[{}]}}"#, keys.join(",")));
    }

    fn set(&self, status: StatusCode, body: &str) {
        let mut page = self.page.lock().unwrap();
        (page.status, page.body) = (status, body.to_owned());
    }

    fn fetches(&self) -> usize {
        self.page.lock().unwrap().fetches
    }

    fn jwks(&self) -> Jwks {
        Jwks::new(self.url.clone()).unwrap()
    }
}

async fn code(jwks: &Jwks, token: &str, seconds: u64) -> &'static str {
    let token = Token::parse(token).unwrap();
    jwks.verify(&token, at(seconds)).await.map_or_else(|error| error.code(), |()| "accepted")
}

fn token(signer: &Signer, kid: Option<&str>) -> String {
    signer.sign(&claims_json(NOW), kid)
}

#[tokio::test]
async fn keys_of_every_kind_are_taken_each_with_its_algorithm() {
    let provider = Provider::start().await;
    let signers = [(Signer::rsa(), "r"), (Signer::p256(), "p"), (Signer::ed25519(), "e")];
    let published: Vec<(&Signer, &str)> = signers.iter().map(|(signer, kid)| (signer, *kid)).collect();
    provider.publish(&published);
    let jwks = provider.jwks();
    for (signer, kid) in &signers {
        assert_eq!(code(&jwks, &token(signer, Some(kid)), NOW).await, "accepted", "{kid}");
        assert_eq!(code(&jwks, &token(signer, None), NOW).await, "accepted", "{kid} without its name");
    }
    assert_eq!(code(&jwks, &token(&signers[0].0, Some("p")), NOW).await, "token_signature");
    assert_eq!(provider.fetches(), 1);
}

#[tokio::test]
async fn a_rotated_key_is_found_at_once_if_the_last_fetch_is_a_minute_old() {
    let (old, new) = (Signer::ed25519(), Signer::ed25519());
    let provider = Provider::start().await;
    provider.publish(&[(&old, "old")]);
    let jwks = provider.jwks();
    assert_eq!(code(&jwks, &token(&old, Some("old")), NOW).await, "accepted");
    provider.publish(&[(&new, "new")]);
    assert_eq!(code(&jwks, &token(&new, Some("new")), NOW + 60).await, "accepted");
    assert_eq!(code(&jwks, &token(&old, Some("old")), NOW + 60).await, "token_signature", "it was withdrawn");
}

#[tokio::test]
async fn unknown_keys_cause_at_most_one_fetch_a_minute() {
    let (known, stranger) = (Signer::ed25519(), Signer::ed25519());
    let provider = Provider::start().await;
    provider.publish(&[(&known, "known")]);
    let jwks = provider.jwks();
    for second in 0..120 {
        let kid = format!("guess-{second}");
        assert_eq!(code(&jwks, &token(&stranger, Some(&kid)), NOW + second).await, "token_signature");
        assert_eq!(code(&jwks, &token(&stranger, None), NOW + second).await, "token_signature");
    }
    assert_eq!(provider.fetches(), 2, "one at the start, one after a minute");
    assert_eq!(code(&jwks, &token(&known, Some("known")), NOW + 120).await, "accepted");
}

#[tokio::test]
async fn many_tokens_at_once_share_one_fetch() {
    let signer = Signer::ed25519();
    let provider = Provider::start().await;
    provider.publish(&[(&signer, "k")]);
    let jwks = Arc::new(provider.jwks());
    let mut waiting = tokio::task::JoinSet::new();
    for second in [0, 1, 0, 2, 0, 1] {
        let (jwks, token) = (jwks.clone(), token(&signer, Some("k")));
        waiting.spawn(async move { code(&jwks, &token, NOW + second).await });
    }
    assert!(waiting.join_all().await.iter().all(|code| *code == "accepted"));
    assert_eq!(provider.fetches(), 1);
}

#[tokio::test]
async fn a_key_renewed_under_the_same_name_is_found_at_once_if_the_last_fetch_is_a_minute_old() {
    let (old, new) = (Signer::rsa(), Signer::rsa());
    let provider = Provider::start().await;
    provider.publish(&[(&old, "sig-1")]);
    let jwks = provider.jwks();
    assert_eq!(code(&jwks, &token(&old, Some("sig-1")), NOW).await, "accepted");
    provider.publish(&[(&new, "sig-1")]);
    assert_eq!(code(&jwks, &token(&new, Some("sig-1")), NOW + 59).await, "token_signature");
    assert_eq!(code(&jwks, &token(&new, Some("sig-1")), NOW + 60).await, "accepted");
    assert_eq!(code(&jwks, &token(&old, Some("sig-1")), NOW + 61).await, "token_signature", "it is gone");
    assert_eq!(provider.fetches(), 2);
}

#[tokio::test]
async fn a_renewed_key_is_fetched_once_for_all_who_wait_for_it() {
    let (old, new) = (Signer::ed25519(), Signer::ed25519());
    let provider = Provider::start().await;
    provider.publish(&[(&old, "k")]);
    let jwks = Arc::new(provider.jwks());
    jwks.load(at(NOW)).await.unwrap();
    provider.publish(&[(&new, "k")]);
    let mut waiting = tokio::task::JoinSet::new();
    for second in [60, 61, 60, 62, 60, 61] {
        let (jwks, token) = (jwks.clone(), token(&new, Some("k")));
        waiting.spawn(async move { code(&jwks, &token, NOW + second).await });
    }
    assert!(waiting.join_all().await.iter().all(|code| *code == "accepted"));
    assert_eq!(provider.fetches(), 2);
}

#[tokio::test]
async fn forged_signatures_under_a_known_name_cause_at_most_one_fetch_a_minute() {
    let (known, thief) = (Signer::ed25519(), Signer::ed25519());
    let provider = Provider::start().await;
    provider.publish(&[(&known, "known")]);
    let jwks = provider.jwks();
    jwks.load(at(NOW)).await.unwrap();
    for second in 0..120 {
        assert_eq!(code(&jwks, &token(&thief, Some("known")), NOW + second).await, "token_signature");
    }
    assert_eq!(provider.fetches(), 2, "one at the start, one after a minute");
    let shared = super::super::testkit::mint_for("0123456789abcdef", NOW);
    assert_eq!(code(&jwks, &shared, NOW + 180).await, "token_signature", "no key set holds shared secrets");
    assert_eq!(provider.fetches(), 2);
}

/// What is logged on this thread while `act` runs.
async fn logged(act: impl Future<Output = ()>) -> String {
    let lines = Arc::new(Mutex::new(Vec::new()));
    struct Writer(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Writer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::INFO)
        .with_writer(move || Writer(writer.clone()))
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    act.await;
    drop(guard);
    String::from_utf8(lines.lock().unwrap().clone()).unwrap()
}

#[tokio::test]
async fn each_key_that_cannot_be_used_is_warned_of_once_with_the_reason() {
    let signer = Signer::ed25519();
    let provider = Provider::start().await;
    let strange = r#"{"kty":"EC","crv":"P-521","kid":"p521"},{"kty":"oct","kid":"secret","k":"c2VjcmV0"}"#;
    let encrypts = r#"{"kty":"RSA","use":"enc","kid":"enc"}"#;
    provider.set(StatusCode::OK, &format!(r#"{{"keys":[{strange},{encrypts},{}]}}"#, signer.jwk("k")));
    let jwks = provider.jwks();
    let fetch = async |minute: u64| {
        code(&jwks, &token(&Signer::ed25519(), Some("x")), NOW + minute * 60).await;
    };
    let text = logged(async {
        fetch(0).await;
        fetch(1).await;
        fetch(2).await;
    })
    .await;
    assert_eq!(provider.fetches(), 3);
    let warnings: Vec<&str> = text.lines().filter(|line| line.contains("WARN")).collect();
    assert_eq!(warnings.len(), 2, "{text}");
    assert!(warnings[0].contains("p521") && warnings[0].contains("curve"), "{text}");
    assert!(warnings[1].contains("secret") && warnings[1].contains("what everyone may fetch"), "{text}");
    assert!(!text.contains("c2VjcmV0"), "{text}");
    let info: Vec<&str> = text.lines().filter(|line| line.contains("INFO")).collect();
    assert!(info.len() == 1 && info[0].contains("is for encryption"), "{text}");
    provider.set(StatusCode::OK, &format!(r#"{{"keys":[{{"kty":"AKP","kid":"pq"}},{}]}}"#, signer.jwk("k")));
    let text = logged(async {
        fetch(3).await;
        fetch(4).await;
    })
    .await;
    assert_eq!(text.matches("WARN").count(), 1, "what is new is told: {text}");
}

#[tokio::test]
async fn a_url_that_leads_to_something_else_is_told_what_it_is() {
    let provider = Provider::start().await;
    let jwks = provider.jwks();
    let pages = [
        (r#"{"issuer":"https://id","jwks_uri":"https://id/keys"}"#, "an OpenID configuration"),
        (r#"{"f1":"-----BEGIN CERTIFICATE-----\n"}"#, "certificates by name"),
        ("-----BEGIN PUBLIC KEY-----", "not a JSON Web Key Set"),
        (r#"{"keys":{}}"#, "not a JSON Web Key Set"),
        ("[]", "no key in it can check signatures"),
    ];
    for (minute, (page, reason)) in (0..).zip(pages) {
        provider.set(StatusCode::OK, page);
        let text = logged(async {
            let _ = jwks.load(at(NOW + minute * 60)).await;
        })
        .await;
        assert!(text.contains("WARN") && text.contains(reason), "{page}: {text}");
    }
}

#[tokio::test]
async fn a_failing_refresh_keeps_the_keys() {
    let (known, stranger) = (Signer::p256(), Signer::p256());
    let provider = Provider::start().await;
    provider.publish(&[(&known, "known")]);
    let jwks = provider.jwks();
    jwks.load(at(NOW)).await.unwrap();
    let large = format!(r#"{{"keys":[{}],"x":"{}"}}"#, stranger.jwk("new"), "x".repeat(SET_BYTES));
    let secret = r#"{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"known","alg":"HS256"}]}"#;
    let failures =
        [(500, ""), (200, "<html>"), (200, r#"{"keys":[]}"#), (200, secret), (200, large.as_str())];
    for (minute, (status, body)) in (1..).zip(failures) {
        provider.set(StatusCode::from_u16(status).unwrap(), body);
        let later = NOW + minute * 60;
        assert_eq!(code(&jwks, &token(&stranger, Some("new")), later).await, "token_signature");
        assert_eq!(provider.fetches() as u64, minute + 1, "the fetch really happened");
        assert_eq!(code(&jwks, &token(&known, Some("known")), later).await, "accepted", "{status}");
    }
}

#[tokio::test]
async fn without_any_key_set_tokens_are_refused_as_unavailable_and_it_is_tried_again_soon() {
    let signer = Signer::ed25519();
    let provider = Provider::start().await;
    provider.set(StatusCode::BAD_GATEWAY, "");
    let jwks = provider.jwks();
    assert_eq!(jwks.load(at(NOW)).await, Err(AuthError::KeysUnavailable));
    assert_eq!(code(&jwks, &token(&signer, Some("k")), NOW + 4).await, "keys_unavailable");
    assert_eq!(provider.fetches(), 1);
    provider.publish(&[(&signer, "k")]);
    assert_eq!(code(&jwks, &token(&signer, Some("k")), NOW + 5).await, "accepted");
    assert_eq!(provider.fetches(), 2);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (provider, elsewhere) = (Provider::start().await, Provider::start().await);
    let thief = Signer::ed25519();
    elsewhere.publish(&[(&thief, "k")]);
    provider.set(StatusCode::FOUND, "");
    provider.page.lock().unwrap().location = Some(elsewhere.url.to_string());
    assert_eq!(code(&provider.jwks(), &token(&thief, Some("k")), NOW).await, "keys_unavailable");
    assert_eq!((provider.fetches(), elsewhere.fetches()), (1, 0));
}

#[tokio::test]
async fn an_old_set_is_fetched_anew_in_the_background() {
    let (known, next) = (Signer::ed25519(), Signer::ed25519());
    let provider = Provider::start().await;
    provider.publish(&[(&known, "known")]);
    let jwks = provider.jwks();
    jwks.load(at(NOW)).await.unwrap();
    assert_eq!(code(&jwks, &token(&known, Some("known")), NOW + 299).await, "accepted");
    assert_eq!(provider.fetches(), 1);
    provider.publish(&[(&next, "next")]);
    assert_eq!(
        code(&jwks, &token(&known, Some("known")), NOW + 300).await,
        "accepted",
        "nobody waits for it"
    );
    // The flight is taken before verify returns; when it is free again the new set is in place.
    drop(jwks.0.flight.lock().await);
    assert_eq!(provider.fetches(), 2);
    assert_eq!(code(&jwks, &token(&known, Some("known")), NOW + 301).await, "token_signature", "withdrawn");
    assert_eq!(code(&jwks, &token(&next, Some("next")), NOW + 301).await, "accepted");
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_take_the_fetch_with_it() {
    let signer = Signer::ed25519();
    let provider = Provider::start().await;
    provider.publish(&[(&signer, "k")]);
    let jwks = provider.jwks();
    let text = token(&signer, Some("k"));
    {
        let abandoned = code(&jwks, &text, NOW);
        tokio::pin!(abandoned);
        // Polled once: the fetch has begun, the answer is not there.
        assert!(
            std::future::poll_fn(|cx| std::task::Poll::Ready(abandoned.as_mut().poll(cx).is_pending())).await
        );
    }
    assert_eq!(code(&jwks, &text, NOW + 1).await, "accepted");
    assert_eq!(provider.fetches(), 1);
}

#[tokio::test]
async fn a_clock_set_back_starts_the_minute_anew() {
    let (known, stranger) = (Signer::ed25519(), Signer::ed25519());
    let provider = Provider::start().await;
    provider.publish(&[(&known, "known")]);
    let jwks = provider.jwks();
    jwks.load(at(NOW)).await.unwrap();
    for (second, fetches) in [(NOW - 1, 1), (NOW - 3600, 2), (NOW - 3599, 2), (NOW - 3540, 3)] {
        assert_eq!(code(&jwks, &token(&stranger, Some("x")), second).await, "token_signature");
        assert_eq!(provider.fetches(), fetches, "{second}");
    }
}

#[test]
fn a_set_is_bounded_and_unknown_members_do_no_harm() {
    let signer = Signer::ed25519();
    let count = |body: &str| read(body.as_bytes()).map_or((0, 0), |(keys, over)| (keys.len(), over.len()));
    let strange = r#"{"kty":7},{"kty":"AKP","alg":"ML-DSA-44"},null,[],"x""#;
    assert_eq!(count(&format!(r#"{{"keys":[{strange},{}]}}"#, signer.jwk("k"))), (1, 5));
    assert_eq!(count(&format!("\u{feff}{{\"keys\":[{}]}}", signer.jwk("k"))), (1, 0), "a byte order mark");
    let many = vec![signer.jwk("k"); SET_KEYS + 50].join(",");
    assert_eq!(count(&format!(r#"{{"keys":[{many}]}}"#)), (SET_KEYS, 1), "the rest is told");
    assert_eq!(count("[]"), (0, 0));
    assert!(read(&b"[".repeat(9000)).is_err());
}
