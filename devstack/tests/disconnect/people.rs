//! Who is out, who is not, and who comes in again?

use super::wire::{PATIENCE, block_on, claims, client, open, token};
use super::{bounded, disconnect, disconnect_as, out, refused, set, stack};
use carillon_devstack::client::socket::{Socket, TokenPlace};
use carillon_devstack::token::{Claims, now};
use serde_json::json;
use std::time::{Duration, Instant};

#[test]
fn a_revoked_person_is_out_within_a_second_on_every_node_and_cannot_come_back_with_the_same_token() {
    block_on(async {
        let stack = stack().await;
        let mila = claims("revoked", "mila");
        let mut hers = Vec::new();
        for gateway in [0, 1, 0, 1] {
            hers.push(open(&stack, stack.gateway(gateway), &mila).await.0);
        }
        // The same name in another tenant, and another person in hers.
        let (mut elsewhere, _) = open(&stack, stack.gateway(0), &claims("revoked-2", "mila")).await;
        let (mut other, _) = open(&stack, stack.gateway(1), &claims("revoked", "jan")).await;
        let began = Instant::now();
        let request = async { (disconnect(&stack, "tenant=revoked&user=mila").await, began.elapsed()) };
        let closed = async {
            let mut longest = Duration::ZERO;
            for socket in &mut hers {
                longest = longest.max(out(socket, began).await);
            }
            longest
        };
        let work = async { tokio::join!(request, closed) };
        let ((((status, answer), answered), longest), bound) = bounded(&stack, work).await;
        assert_eq!(status, 202, "{answer}");
        // Those that were closed by the time of the answer, which does not wait for all.
        let closed = answer["connections"].as_u64().unwrap();
        let all_were_closed = answered > longest + Duration::from_millis(500);
        assert!(closed == 4 || closed < 4 && !all_were_closed, "{answer} after {answered:?}, {longest:?}");
        assert!(longest < bound, "{longest:?} of {bound:?}");
        for gateway in [0, 1] {
            let again = client(&stack, stack.gateway(gateway), &mila);
            assert_eq!(refused(Socket::connect(&again).await), (401, "token_revoked".into()));
            let (first_frame, _) = refused(
                async {
                    let mut socket = Socket::connect(&again.place(TokenPlace::FirstFrame)).await?;
                    Err(socket.ended(PATIENCE).await)
                }
                .await,
            );
            assert_eq!(first_frame, 4410);
        }
        // Now the answer has come, a new token works: of the same second or not.
        let fresh = claims("revoked", "mila");
        assert!(fresh.iat > mila.iat, "the answer comes when the second is over");
        for gateway in [0, 1] {
            open(&stack, stack.gateway(gateway), &fresh).await.0.close().await;
        }
        let still = client(&stack, stack.gateway(0), &mila);
        assert_eq!(refused(Socket::connect(&still).await).0, 401, "the old one still does not");
        for socket in [&mut elsewhere, &mut other] {
            assert!(super::wire::ask(socket, json!({"type": "ping", "id": 1})).await.is("pong"));
        }
    });
}

#[test]
fn a_token_without_iat_is_refused_and_a_fraction_is_compared() {
    block_on(async {
        let stack = stack().await;
        let (tenant, gateway) = ("fractions", stack.gateway(0));
        open(&stack, gateway, &claims(tenant, "warm")).await.0.close().await;
        assert_eq!(disconnect(&stack, "tenant=fractions&user=mila").await.0, 202);
        let at = stack
            .sql("select (extract(epoch from revoked_at) * 1000)::bigint from carillon.revocations where tenant_id = 'fractions'")
            .await
            .unwrap();
        let at_ms: u64 = at.trim().parse().unwrap();
        let enter = async |iat: Option<f64>| {
            let mut payload = json!({"sub": "mila", "tenant": tenant, "exp": now() + 600});
            if let Some(iat) = iat {
                payload["iat"] = json!(iat);
            }
            let text = super::wire::sign(&payload, stack.jwt_secret());
            let mut wanted = client(&stack, gateway, &claims(tenant, "mila"));
            wanted.token = text;
            Socket::connect(&wanted).await
        };
        assert_eq!(refused(enter(None).await), (401, "token_revoked".into()));
        let fraction = |ms: u64| Some(ms as f64 / 1_000.0 + 0.000_25);
        assert_eq!(refused(enter(fraction(at_ms - 2)).await).0, 401);
        assert_eq!(
            refused(enter(Some((at_ms / 1_000) as f64)).await).0,
            401,
            "a whole second, of before or after"
        );
        assert!(enter(fraction(at_ms + 2)).await.is_ok());
        assert!(enter(Some((at_ms / 1_000 + 1) as f64)).await.is_ok());
    });
}

#[test]
fn one_device_of_a_person_is_out_and_the_others_stay() {
    block_on(async {
        let stack = stack().await;
        let mila = claims("devices", "mila");
        let from = |gateway: usize, who: &Claims, device: &str| {
            let mut wanted = client(&stack, stack.gateway(gateway), who);
            wanted.device = Some(device.into());
            wanted
        };
        let (mut phone, _) = Socket::open(&from(0, &mila, "phone")).await.unwrap();
        let (mut laptop, _) = Socket::open(&from(1, &mila, "laptop")).await.unwrap();
        let (mut jans, _) = Socket::open(&from(1, &claims("devices", "jan"), "phone")).await.unwrap();
        let began = Instant::now();
        let request = disconnect(&stack, "tenant=devices&user=mila&device=phone");
        let work = async { tokio::join!(request, out(&mut phone, began)) };
        let (((status, _), took), bound) = bounded(&stack, work).await;
        assert_eq!(status, 202);
        assert!(took < bound, "{took:?} of {bound:?}");
        for gateway in [0, 1] {
            let again = Socket::connect(&from(gateway, &mila, "phone")).await;
            assert_eq!(refused(again), (401, "token_revoked".into()));
        }
        // A refresh of the laptop with the old token is as good as it was; of the phone's it is another connection.
        let old = token(&stack, &mila);
        let refreshed = super::wire::ask(&mut laptop, json!({"type": "auth", "id": 1, "token": old})).await;
        assert!(refreshed.is("ok"), "{refreshed:?}");
        assert!(super::wire::ask(&mut jans, json!({"type": "ping", "id": 1})).await.is("pong"));
        let began = Instant::now();
        let work =
            async { tokio::join!(disconnect(&stack, "tenant=devices&device=phone"), out(&mut jans, began)) };
        let ((status, took), bound) = bounded(&stack, work).await;
        assert_eq!(status.0, 202, "whosever it is");
        assert!(took < bound, "{took:?} of {bound:?}");
        laptop.close().await;
    });
}

#[test]
fn one_connection_is_out_and_its_token_stays_good() {
    block_on(async {
        let stack = stack().await;
        let mila = claims("one", "mila");
        let (mut meant, welcome) = open(&stack, stack.gateway(1), &mila).await;
        let (mut tab, _) = open(&stack, stack.gateway(1), &mila).await;
        let name = welcome.connection.clone();
        // Not by who administers another tenant.
        assert_eq!(disconnect(&stack, &format!("tenant=devices&connection={name}")).await.0, 202);
        open(&stack, stack.gateway(1), &claims("devices", "watch")).await.0.close().await;
        assert!(super::wire::ask(&mut meant, json!({"type": "ping", "id": 1})).await.is("pong"));
        let began = Instant::now();
        let query = format!("tenant=one&connection={name}");
        let work = async { tokio::join!(disconnect(&stack, &query), out(&mut meant, began)) };
        let (((status, _), took), bound) = bounded(&stack, work).await;
        assert_eq!(status, 202);
        assert!(took < bound, "{took:?} of {bound:?}");
        open(&stack, stack.gateway(1), &mila).await.0.close().await;
        assert!(super::wire::ask(&mut tab, json!({"type": "ping", "id": 1})).await.is("pong"));
    });
}

#[test]
fn whoever_is_disconnected_is_gone_at_once_for_those_who_see_who_is_there() {
    block_on(async {
        let stack = stack().await;
        let rule = json!({"subscribe": ["anyone"], "presence": ["anyone"], "presence_grace_ms": 60_000});
        set(&stack, "seen", "branch:{branch}", rule).await;
        let join = async |gateway: usize, user: &str| {
            let wanted = client(&stack, stack.gateway(gateway), &claims("seen", user)).channels(["branch:1"]);
            Socket::open(&wanted).await.unwrap().0
        };
        let (mut watcher, mut mila) = (join(0, "watcher").await, join(1, "mila").await);
        let watch = json!({"type": "subscribe", "id": 1, "channel": "branch:1", "presence": true});
        loop {
            let told = super::wire::ask(&mut watcher, watch.clone()).await;
            if told.0["presence"]["branch:1"]["count"] == 2 {
                break;
            }
        }
        let began = Instant::now();
        let gone = async {
            loop {
                let told = watcher.next_of("presence", PATIENCE).await.unwrap();
                if told.0["left"] == json!(["mila"]) {
                    return began.elapsed();
                }
            }
        };
        let query = "tenant=seen&user=mila";
        let ((status, _), _, took) = tokio::join!(disconnect(&stack, query), out(&mut mila, began), gone);
        assert_eq!(status, 202);
        assert!(took < Duration::from_secs(5), "not after the grace of a minute: {took:?}");
        watcher.close().await;
    });
}

#[test]
fn who_may_disconnect_and_what_is_no_request_is_told() {
    block_on(async {
        let stack = stack().await;
        let code = async |bearer: &str, query: &str| {
            let (status, answer) = disconnect_as(&stack, bearer, query).await;
            (status, answer["code"].as_str().unwrap_or_default().to_owned())
        };
        let plain = token(&stack, &claims("asked", "mila"));
        assert_eq!(code(&plain, "user=jan").await, (403, "missing_scope".into()));
        let mut boss = claims("asked", "boss");
        boss.caps = vec!["admin".into()];
        let boss = token(&stack, &boss);
        assert_eq!(code(&boss, "tenant=other&user=jan").await, (403, "tenant_forbidden".into()));
        assert_eq!(code(&boss, "user=jan").await, (202, String::new()));
        for query in [
            "",
            "user=",
            "device=a%20b",
            "connection=nonsense",
            "user=jan&connection=gateway-1-0000000a-0-4-7",
            "device=phone&connection=gateway-1-0000000a-0-4-7",
            "person=jan",
            "user=jan&user=jan",
        ] {
            assert_eq!(code(&boss, query).await, (400, "invalid_parameter".into()), "{query}");
        }
        assert_eq!(
            code(stack.api_key(), "user=jan").await,
            (400, "invalid_parameter".into()),
            "of which tenant"
        );
        // Who disconnects themselves is out, too.
        assert_eq!(code(&boss, "user=boss").await.0, 202);
        assert_eq!(code(&boss, "user=jan").await, (401, "token_revoked".into()));
    });
}

#[test]
fn who_was_disconnected_is_listed_page_by_page_and_a_lifted_revocation_lets_the_same_token_in_on_every_node()
{
    block_on(async {
        let stack = stack().await;
        let (tenant, mila) = ("lifted", claims("lifted", "mila"));
        open(&stack, stack.gateway(0), &mila).await.0.close().await;
        for whom in ["user=mila", "user=jan", "user=jan&device=phone", "device=tablet"] {
            assert_eq!(disconnect(&stack, &format!("tenant={tenant}&{whom}")).await.0, 202);
        }
        let ask = async |method: reqwest::Method, path: &str, bearer: &str| {
            let url = format!("{}/v1/revocations{path}", stack.publisher(0).url());
            let answer =
                reqwest::Client::new().request(method, url).bearer_auth(bearer).send().await.unwrap();
            let status = answer.status().as_u16();
            (status, answer.json::<serde_json::Value>().await.unwrap_or_default())
        };
        let key = stack.api_key();
        let list =
            async |more: &str| ask(reqwest::Method::GET, &format!("?tenant={tenant}{more}"), key).await;
        let names = |page: &serde_json::Value| -> Vec<String> {
            let name =
                |one: &serde_json::Value| format!("{} {}", one["user"], one["device"]).replace('"', "");
            page["revocations"].as_array().unwrap().iter().map(name).collect()
        };
        let (status, first) = list("&limit=3").await;
        assert_eq!(
            (status, names(&first)),
            (200, vec!["null tablet".into(), "jan null".into(), "jan phone".into()])
        );
        let next = format!("&limit=3&after={}", first["next"].as_str().unwrap());
        let (_, last) = list(&next).await;
        assert_eq!((names(&last), &last["next"]), (vec!["mila null".into()], &json!(null)));
        let one = &last["revocations"][0];
        assert!(one["revoked_at"].as_str().unwrap() < one["until"].as_str().unwrap(), "{one}");
        assert_eq!(list("&after=nonsense").await.1["code"], "invalid_cursor");

        // Only who administers the tenant, and only what holds.
        let hers = format!("/{}?tenant={tenant}", one["id"].as_str().unwrap());
        let person = token(&stack, &claims(tenant, "boris"));
        for (method, path) in [(reqwest::Method::GET, "?tenant=lifted"), (reqwest::Method::DELETE, &*hers)] {
            let (status, problem) = ask(method, path, &person).await;
            assert_eq!((status, &problem["code"]), (403, &json!("missing_scope")));
        }
        let lift = async |path: &str| ask(reqwest::Method::DELETE, path, key).await;
        let elsewhere = hers.replace("tenant=lifted", "tenant=lifted-elsewhere");
        for wrong in ["/nonsense?tenant=lifted", &*elsewhere] {
            let (status, problem) = lift(wrong).await;
            assert_eq!((status, &problem["code"]), (404, &json!("not_found")), "{wrong}");
        }
        let wanted = [0, 1].map(|gateway| client(&stack, stack.gateway(gateway), &mila));
        for again in &wanted {
            assert_eq!(refused(Socket::connect(again).await), (401, "token_revoked".into()));
        }
        assert_eq!(lift(&hers).await.0, 204);
        let began = Instant::now();
        for again in &wanted {
            while let Err(fault) = Socket::open(again).await {
                assert!(began.elapsed() < PATIENCE, "{fault:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        assert_eq!(lift(&hers).await.0, 404, "it holds no longer");
        assert_eq!(names(&list("").await.1).len(), 3);
        // The others are kept out as before, and she is once more when she is disconnected again.
        let jan = client(&stack, stack.gateway(1), &claims_before(tenant, "jan"));
        assert_eq!(refused(Socket::connect(&jan).await).0, 401);
        assert_eq!(disconnect(&stack, "tenant=lifted&user=mila").await.0, 202);
        for again in &wanted {
            assert_eq!(refused(Socket::connect(again).await).0, 401);
        }
    });
}

/// A token of a minute ago.
fn claims_before(tenant: &str, user: &str) -> Claims {
    let now = claims(tenant, user);
    Claims { iat: now.iat - 60, ..now }
}
