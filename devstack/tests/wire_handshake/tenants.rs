//! Into which tenant does a token lead?

use carillon_devstack::client::socket::{Socket, SocketError};
use carillon_devstack::token::{Claims, now};
use serde_json::json;

use crate::wire::raw::{Raw, refused};
use crate::wire::{block_on, claims, client, open, sign, token};
use crate::{AUDIENCE, ISSUER, PLAIN, STRICT, stack};

fn of_several() -> Claims {
    let mut several = claims("school-1", "anna").roles(["teacher"]);
    several.tenants.insert("school-2".into(), vec!["director".into()]);
    several.tenants.insert("school-3".into(), Vec::new());
    several
}

#[test]
fn a_person_of_several_tenants_chooses_one() {
    block_on(async {
        let stack = stack().await;
        let gateway = stack.gateway(PLAIN);
        for (chosen, tenant, roles) in [
            (None, "school-1", vec!["teacher"]),
            (Some("school-1"), "school-1", vec!["teacher"]),
            (Some("school-2"), "school-2", vec!["director"]),
            (Some("school-3"), "school-3", vec![]),
        ] {
            let mut wanted = client(&stack, gateway, &of_several());
            wanted.tenant = chosen.map(str::to_owned);
            let (socket, welcome) = Socket::open(&wanted).await.unwrap();
            assert_eq!(
                (welcome.tenant.as_str(), &welcome.roles),
                (tenant, &roles.iter().map(|r| (*r).to_owned()).collect())
            );
            let own: Vec<String> = ["tenant".into(), "user:anna".into()]
                .into_iter()
                .chain(roles.iter().map(|role| format!("role:{role}")))
                .collect();
            assert_eq!(welcome.channels, own);
            socket.close().await;
        }
    });
}

#[test]
fn a_foreign_tenant_is_403() {
    block_on(async {
        let stack = stack().await;
        let gateway = stack.gateway(PLAIN);
        for (who, foreign) in [
            (of_several(), "school-4"),
            (of_several(), "school"),
            (of_several(), "school-11"),
            (claims("acme", "anna"), "acme-"),
            (claims("acme", "anna"), "acm"),
        ] {
            let mut wanted = client(&stack, gateway, &who);
            wanted.tenant = Some(foreign.into());
            let error = Socket::open(&wanted).await.unwrap_err();
            let SocketError::Refused { status, code, .. } = &error else { panic!("{error}") };
            assert_eq!((*status, code.as_str()), (403, "tenant_forbidden"), "{foreign}");
        }
        for claims in [
            json!({"sub": "anna", "exp": now() + 600}),
            json!({"sub": "anna", "exp": now() + 600, "tenants": {"a": [], "b": []}}),
        ] {
            let bearer = format!("Bearer {}", sign(&claims, stack.jwt_secret()));
            let answer = refused(gateway.addr(), "/v1/ws", &[("Authorization", &bearer)]).await;
            answer.assert_problem(403, "tenant_required");
        }
        let bearer = format!("Bearer {}", token(&stack, &claims("acme", "anna")));
        let answer = refused(gateway.addr(), "/v1/ws?tenant=Acme", &[("Authorization", &bearer)]).await;
        answer.assert_problem(400, "invalid_query");
    });
}

#[test]
fn where_tenants_are_registered_an_unknown_one_is_403_until_it_exists() {
    block_on(async {
        let stack = stack().await;
        let addr = stack.gateway(STRICT).addr();
        let of = |tenant: &str| {
            let all =
                json!({"sub": "anna", "tenant": tenant, "exp": now() + 600, "aud": AUDIENCE, "iss": ISSUER});
            sign(&all, stack.jwt_secret())
        };
        let stranger = format!("Bearer {}", of("not-registered-yet"));
        let answer = refused(addr, "/v1/ws", &[("Authorization", &stranger)]).await;
        answer.assert_problem(403, "unknown_tenant");
        let mut raw = Raw::upgrade(addr, "/v1/ws", &[]).await.unwrap();
        raw.text(&json!({"type": "auth", "token": of("not-registered-yet")}).to_string()).await;
        assert_eq!(raw.closed().await.0, 4403);

        // The gateway that takes every tenant makes it exist.
        open(&stack, stack.gateway(PLAIN), &claims("not-registered-yet", "anna")).await.0.close().await;
        Raw::member(addr, &of("not-registered-yet")).await;
    });
}
