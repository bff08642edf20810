//! Is each claim of the contract read, and each bad one refused by name?

use super::*;
use serde_json::json;

const NOW: u64 = 1_800_000_000;

fn read_with(changes: Value, rules: &Rules) -> Result<Claims, AuthError> {
    let mut claims = json!({"sub": "mila", "tenant": "acme", "exp": NOW + 60});
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    Claims::read(claims.to_string().as_bytes(), Duration::from_secs(NOW), rules, Arc::new)
}

fn rules() -> Rules {
    Rules { clock_skew: Duration::from_secs(5), ..Rules::default() }
}

fn read(changes: Value) -> Result<Claims, AuthError> {
    read_with(changes, &rules())
}

fn code(changes: Value) -> &'static str {
    read(changes).map_or_else(|error| error.code(), |_| "accepted")
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

#[test]
fn every_claim_of_the_contract_is_read() {
    let claims = read(json!({
        "roles": ["reception", "reception", "head"], "channels": ["contact:*", "order:7"],
        "caps": ["publish", "teleport"], "iat": NOW, "nbf": NOW, "jti": "1", "custom": {"a": 1},
    }))
    .unwrap();
    let identity = claims.enter(None).unwrap();
    assert_eq!(identity.tenant, tenant("acme"));
    assert_eq!(identity.user.as_str(), "mila");
    assert_eq!(*identity.roles, ["reception", "head"]);
    assert_eq!(identity.patterns.len(), 2);
    assert_eq!(identity.caps, Caps { publish: true, admin: false });
    assert_eq!((identity.expires_at, claims.expires_at()), (NOW + 60, NOW + 60));
}

#[test]
fn expiry_is_exact_and_a_start_may_be_five_seconds_ahead() {
    assert_eq!(code(json!({"exp": NOW})), "token_expired");
    assert_eq!(code(json!({"exp": 0})), "token_expired");
    assert_eq!(code(json!({"exp": NOW + 1})), "accepted");
    for claim in ["nbf", "iat"] {
        assert_eq!(code(json!({claim: NOW + 5})), "accepted");
        assert_eq!(code(json!({claim: NOW + 6})), "token_not_yet_valid");
        assert_eq!(code(json!({claim: null})), "accepted");
    }
}

#[test]
fn times_may_have_fractions_as_php_go_and_python_write_them() {
    let at = |text: &str| {
        let payload = format!(r#"{{"sub":"mila","tenant":"acme","exp":{text}}}"#);
        Claims::read(payload.as_bytes(), Duration::from_secs(NOW), &rules(), Arc::new)
            .map(|claims| claims.expires_at())
    };
    // microtime(true), jwt.NewNumericDate with jwt.TimePrecision, time.time(), and exponents.
    for (text, expires) in [
        ("1800000060.5", NOW + 60),
        ("1800000060.123457", NOW + 60),
        ("1800000060.999999", NOW + 60),
        ("1800000060.0", NOW + 60),
        ("1.80000006e9", NOW + 60),
        ("1.80000006E+9", NOW + 60),
        ("253402300799.5", LATEST),
    ] {
        assert_eq!(at(text), Ok(expires), "{text}");
    }
    assert_eq!(at("1800000000.9"), Err(AuthError::Expired { ago: 0 }), "a fraction prolongs nothing");
    for claim in ["nbf", "iat"] {
        assert_eq!(code(json!({claim: NOW as f64 + 5.0})), "accepted");
        assert_eq!(code(json!({claim: NOW as f64 + 4.75})), "accepted");
        assert_eq!(code(json!({claim: NOW as f64 + 5.25})), "token_not_yet_valid");
    }
}

#[test]
fn a_clock_that_is_the_reason_is_said_with_how_far_it_is_off() {
    let text = |changes| read(changes).err().unwrap().to_string();
    assert_eq!(text(json!({"exp": NOW - 7})), "the token has expired (7 s ago by this service's clock)");
    assert_eq!(
        text(json!({"iat": NOW + 42})),
        "the token's iat is 42 s ahead of this service's clock; 5s is allowed"
    );
    let patient = Rules { clock_skew: Duration::from_secs(60), ..rules() };
    assert!(read_with(json!({"iat": NOW + 42, "nbf": NOW + 60}), &patient).is_ok());
    assert!(read_with(json!({"iat": NOW + 61}), &patient).is_err());
    assert!(read_with(json!({"exp": NOW}), &patient).is_err(), "skew prolongs nothing");
}

#[test]
fn a_time_that_is_no_number_of_seconds_is_refused_without_a_panic() {
    let far = "9".repeat(400);
    for bad in
        ["\"1800000060\"", "1e30", "1e400", "-1", "-0.5", "-1e9", "18446744073709551615", "[]", "true", &far]
    {
        for claim in ["exp", "nbf", "iat"] {
            let exp = if claim == "exp" { String::new() } else { format!(r#","exp":{}"#, NOW + 60) };
            let payload = format!(r#"{{"sub":"mila","tenant":"acme","{claim}":{bad}{exp}}}"#);
            let error =
                Claims::read(payload.as_bytes(), Duration::from_secs(NOW), &rules(), Arc::new).err().unwrap();
            assert!(["token_claims", "token_malformed"].contains(&error.code()), "{claim}={bad}: {error}");
        }
    }
    assert_eq!(code(json!({"exp": LATEST})), "accepted");
    assert_eq!(code(json!({"exp": LATEST + 1})), "token_claims");
}

#[test]
fn bad_claims_are_named() {
    let many: Vec<String> = (0..257).map(|n| format!("r{n}")).collect();
    for (claim, bad) in [
        ("sub", json!(null)),
        ("sub", json!(7)),
        ("sub", json!("")),
        ("sub", json!("a\nb")),
        ("tenant", json!("ACME")),
        ("tenant", json!(["acme"])),
        ("roles", json!("admin")),
        ("roles", json!([1])),
        ("roles", json!([""])),
        ("roles", json!(["a\u{0}"])),
        ("roles", json!(many)),
        ("tenants", json!(["school-2"])),
        ("tenants", json!({"School": []})),
        ("tenants", json!({"school-2": "director"})),
        ("tenants", json!({"school-2": ["\n"]})),
        ("channels", json!("contact:*")),
        ("channels", json!(["a*b"])),
        ("caps", json!({"publish": true})),
        ("exp", json!(null)),
    ] {
        let error = read(json!({claim: bad})).err().unwrap_or_else(|| panic!("{claim}={bad} was accepted"));
        assert_eq!(error.code(), "token_claims");
        assert!(error.to_string().contains(&format!("claim {claim} ")), "{claim}: {error}");
    }
}

#[test]
fn a_claim_that_is_there_twice_is_refused() {
    let payload = format!(r#"{{"sub":"mila","sub":"root","tenant":"acme","exp":{}}}"#, NOW + 60);
    let error = Claims::read(payload.as_bytes(), Duration::from_secs(NOW), &rules(), Arc::new).err().unwrap();
    assert_eq!(error.code(), "token_malformed");
    for not_an_object in ["", "[]", "null", "\"x\"", "{", "\u{0}"] {
        assert!(
            Claims::read(not_an_object.as_bytes(), Duration::from_secs(NOW), &rules(), Arc::new).is_err(),
            "{not_an_object}"
        );
    }
}

#[test]
fn audience_and_issuer_are_checked_when_configured() {
    let rules = Rules {
        audiences: vec!["carillon".into(), "web".into()],
        issuers: vec!["https://id".into()],
        ..rules()
    };
    let check = |aud: Value, iss: Value| {
        read_with(json!({"aud": aud, "iss": iss}), &rules).map_or_else(|error| error.code(), |_| "accepted")
    };
    assert_eq!(check(json!("carillon"), json!("https://id")), "accepted");
    assert_eq!(check(json!(["x", "web"]), json!("https://id")), "accepted");
    for aud in
        [json!("x"), json!(["x"]), json!([]), json!(null), json!(7), json!([["web"]]), json!("CARILLON")]
    {
        assert_eq!(check(aud.clone(), json!("https://id")), "token_audience", "{aud}");
    }
    for iss in [json!("https://id/"), json!(["https://id"]), json!(null)] {
        assert_eq!(check(json!("web"), iss.clone()), "token_issuer", "{iss}");
    }
    assert_eq!(code(json!({"aud": 7, "iss": 7})), "accepted", "not configured: not looked at");
}

#[test]
fn a_tenant_is_entered_with_the_roles_it_gives() {
    let claims =
        read(json!({"roles": ["owner"], "tenants": {"school-2": ["director"], "acme": ["audit"]}})).unwrap();
    assert_eq!(*claims.enter(None).unwrap().roles, ["owner", "audit"]);
    assert_eq!(*claims.enter(Some(&tenant("school-2"))).unwrap().roles, ["director"]);
    assert_eq!(claims.enter(Some(&tenant("school-3"))), Err(AuthError::TenantForbidden));
}

#[test]
fn without_a_default_the_only_listed_tenant_is_it_and_several_need_a_choice() {
    let one = read(json!({"tenant": null, "roles": ["x"], "tenants": {"a": ["director"]}})).unwrap();
    assert_eq!(*one.enter(None).unwrap().roles, ["director"], "roles without a tenant belong to none");
    let two = read(json!({"tenant": null, "tenants": {"a": [], "b": []}})).unwrap();
    assert_eq!(two.enter(None), Err(AuthError::TenantRequired));
    assert_eq!(two.enter(Some(&tenant("b"))).unwrap().tenant, tenant("b"));
    let none = read(json!({"tenant": null})).unwrap();
    assert_eq!(none.enter(None), Err(AuthError::TenantRequired));
    assert_eq!(none.enter(Some(&tenant("a"))), Err(AuthError::TenantForbidden));
}
