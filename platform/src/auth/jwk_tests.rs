//! Is every form in which providers publish their keys read, and every member that cannot be used named with its reason?
//!
//! The shapes are those of the named products; the keys are made anew in each run.

use super::super::jwks::read as read_set;
use super::super::testkit::{Signer, claims_json};
use super::super::token::Token;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

/// The public half of a key, by the members of its JWK.
struct Parts(Value);

impl Parts {
    fn of(signer: &Signer) -> Self {
        Self(serde_json::from_str(&signer.jwk("k")).unwrap())
    }

    fn get(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap()
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(self.get(name)).unwrap()
    }

    /// A member behind zeros, as Java's `BigInteger` writes it.
    fn with_zeros(&self, name: &str, zeros: usize) -> String {
        URL_SAFE_NO_PAD.encode([vec![0; zeros], self.bytes(name)].concat())
    }

    /// A member without its leading zeros.
    fn minimal(&self, name: &str) -> String {
        let bytes = self.bytes(name);
        URL_SAFE_NO_PAD.encode(&bytes[bytes.iter().take_while(|byte| **byte == 0).count()..])
    }
}

/// Keys of every kind, and one whose point has a coordinate with a leading zero.
struct Signers {
    rsa: Signer,
    p256: Signer,
    p384: Signer,
    ed25519: Signer,
    short: Signer,
}

impl Signers {
    fn new() -> Self {
        let is_short = |signer: &Signer| Parts::of(signer).bytes("x")[0] == 0;
        Self {
            rsa: Signer::rsa(),
            p256: Signer::p256(),
            p384: Signer::p384(),
            ed25519: Signer::ed25519(),
            short: std::iter::repeat_with(Signer::p256).find(is_short).unwrap(),
        }
    }
}

/// A form: who publishes it, the key set, the key that signs, and the token's `kid` as JSON.
type Form<'a> = (&'static str, Value, &'a Signer, Value);

fn accepted(set: &[u8], signer: &Signer, kid: &Value) -> bool {
    let header = match kid {
        Value::Null => json!({"alg": format!("{:?}", signer.algorithm)}),
        kid => json!({"alg": format!("{:?}", signer.algorithm), "kid": kid}),
    };
    let text = signer.sign_with_header(&header.to_string(), &claims_json(1_800_000_000));
    let token = Token::parse(&text).unwrap();
    read_set(set).is_ok_and(|(keys, _)| keys.iter().any(|key| key.verifies(&token)))
}

#[test]
fn key_sets_are_read_in_the_forms_that_providers_publish() {
    let signers = Signers::new();
    let Signers { rsa, p256, p384, ed25519, short } = &signers;
    let forms = forms_of_rsa(rsa).into_iter().chain(forms_of_curves(p256, p384, ed25519, short));
    let mut seen = 0;
    for (who, set, signer, kid) in forms {
        assert!(accepted(set.to_string().as_bytes(), signer, &kid), "{who}: {set}");
        // The twin: the same set does not take another key's signature.
        assert!(!accepted(set.to_string().as_bytes(), &Signer::like(signer), &kid), "{who}");
        seen += 1;
    }
    assert!(seen >= 30, "{seen} forms");
    for (algorithm, name) in [(Algorithm::PS256, "PS256"), (Algorithm::RS512, "RS512")] {
        let signer = Signer::rsa().with(algorithm);
        let parts = Parts::of(&signer);
        let set = json!({"keys": [{"kty": "RSA", "use": "sig", "alg": name, "kid": "f", "n": parts.get("n"), "e": "AQAB"}]});
        assert!(accepted(set.to_string().as_bytes(), &signer, &json!("f")), "{name}");
    }
}

fn forms_of_rsa(rsa: &Signer) -> Vec<Form<'_>> {
    let parts = Parts::of(rsa);
    let (n, e) = (parts.get("n"), parts.get("e"));
    let other = Parts::of(&Signer::rsa());
    let padded = URL_SAFE.encode(parts.bytes("n"));
    let standard = STANDARD.encode(parts.bytes("n"));
    let commas = padded.replace('=', ",");
    vec![
        (
            "Auth0",
            json!({"keys": [{"alg": "RS256", "kty": "RSA", "use": "sig", "x5c": ["MIIC"], "n": n, "e": e, "kid": "NjVBRjY5", "x5t": "NjVBRjY5"},
                {"kty": "RSA", "use": "sig", "n": other.get("n"), "e": e, "kid": "next", "x5t": "x", "x5c": ["MIID"], "alg": "RS256"}]}),
            rsa,
            json!("NjVBRjY5"),
        ),
        (
            "Okta",
            json!({"keys": [{"kty": "RSA", "alg": "RS256", "kid": "zR5-dY", "use": "sig", "e": e, "n": n}]}),
            rsa,
            json!("zR5-dY"),
        ),
        (
            "Entra ID: no alg, members of its own",
            json!({"keys": [{"kty": "RSA", "use": "sig", "kid": "JDNa_4i4", "x5t": "JDNa_4i4", "n": n, "e": e, "x5c": ["MIIC"],
                "cloud_instance_name": "microsoftonline.com", "issuer": "https://login.microsoftonline.com/{tenantid}/v2.0"}]}),
            rsa,
            json!("JDNa_4i4"),
        ),
        (
            "Google",
            json!({"keys": [{"kid": "ee1b9f8a", "use": "sig", "alg": "RS256", "kty": "RSA", "n": n, "e": e}]}),
            rsa,
            json!("ee1b9f8a"),
        ),
        (
            "Firebase, as it was in 2024: padded",
            json!({"keys": [{"kid": "f1", "e": e, "alg": "RS256", "kty": "RSA", "use": "sig", "n": padded}]}),
            rsa,
            json!("f1"),
        ),
        (
            "Cognito: kids are base64 with their padding",
            json!({"keys": [{"alg": "RS256", "e": e, "kid": "1234+example/=", "kty": "RSA", "n": n, "use": "sig"}]}),
            rsa,
            json!("1234+example/="),
        ),
        (
            "Keycloak: a key for encryption beside it",
            json!({"keys": [{"kid": "enc", "kty": "RSA", "alg": "RSA-OAEP", "use": "enc", "n": other.get("n"), "e": e, "x5c": ["MIIC"], "x5t": "t", "x5t#S256": "s"},
                {"kid": "sig", "kty": "RSA", "alg": "RS256", "use": "sig", "n": n, "e": e, "x5c": ["MIIC"], "x5t": "t", "x5t#S256": "s"}]}),
            rsa,
            json!("sig"),
        ),
        (
            "Clerk",
            json!({"keys": [{"use": "sig", "kty": "RSA", "kid": "ins_2x", "alg": "RS256", "n": n, "e": e}]}),
            rsa,
            json!("ins_2x"),
        ),
        (
            "Zitadel: kids of digits",
            json!({"keys": [{"use": "sig", "kty": "RSA", "kid": "262034589473824771", "alg": "RS256", "n": n, "e": e}]}),
            rsa,
            json!("262034589473824771"),
        ),
        (
            "Ory Hydra",
            json!({"keys": [{"use": "sig", "kty": "RSA", "kid": "public:hydra.openid.id-token", "alg": "RS256", "n": n, "e": e}]}),
            rsa,
            json!("public:hydra.openid.id-token"),
        ),
        (
            "Dex, GitLab, GitHub Actions, Kubernetes",
            json!({"keys": [{"use": "sig", "kty": "RSA", "kid": "a3c5", "alg": "RS256", "n": n, "e": e}, {"kty": "RSA", "kid": "b", "e": e, "n": other.get("n"), "use": "sig", "alg": "RS256"}]}),
            rsa,
            json!("a3c5"),
        ),
        (
            "Apple",
            json!({"keys": [{"kty": "RSA", "kid": "86D88Kf", "use": "sig", "alg": "RS256", "n": n, "e": e}]}),
            rsa,
            json!("86D88Kf"),
        ),
        (
            "AD FS",
            json!({"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "Z9", "x5t": "Z9", "n": n, "e": e, "x5c": ["MIIC"]}]}),
            rsa,
            json!("Z9"),
        ),
        (
            "Spring Authorization Server: no use, no alg",
            json!({"keys": [{"kty": "RSA", "e": e, "kid": "0c5e-uuid", "n": n}]}),
            rsa,
            json!("0c5e-uuid"),
        ),
        (
            "PyJWT: no kid, key_ops",
            json!({"keys": [{"kty": "RSA", "key_ops": ["verify"], "n": n, "e": e}]}),
            rsa,
            Value::Null,
        ),
        (
            ".NET JsonWebKey: empty lists",
            json!({"keys": [{"e": e, "key_ops": [], "kid": "7F4", "kty": "RSA", "n": n, "oth": [], "use": "sig", "x5c": []}]}),
            rsa,
            json!("7F4"),
        ),
        (
            "System.Text.Json: null for what is not there",
            json!({"keys": [{"alg": null, "crv": null, "d": null, "dp": null, "e": e, "k": null, "key_ops": null, "kid": "n1", "kty": "RSA", "n": n, "use": null, "x": null, "y": null}]}),
            rsa,
            json!("n1"),
        ),
        (
            "empty texts for what is not there",
            json!({"keys": [{"alg": "", "crv": "", "d": "", "e": e, "kid": "n2", "kty": "RSA", "n": n, "use": "", "x": ""}]}),
            rsa,
            json!("n2"),
        ),
        (
            "Java's BigInteger (Jenkins oidc-provider, WSO2, OpenAM): a sign octet",
            json!({"keys": [{"kid": "j", "kty": "RSA", "alg": "RS256", "use": "sig", "n": parts.with_zeros("n", 1), "e": e}]}),
            rsa,
            json!("j"),
        ),
        (
            "an exponent of a fixed length",
            json!({"keys": [{"kid": "j", "kty": "RSA", "use": "sig", "n": n, "e": parts.with_zeros("e", 1)}]}),
            rsa,
            json!("j"),
        ),
        (
            "Laravel Passport servers: the kid is a number in the set, and none in the token",
            json!({"keys": [{"alg": "RS256", "kty": "RSA", "use": "sig", "kid": 1, "n": n, "e": e}]}),
            rsa,
            Value::Null,
        ),
        (
            "a number in the set, a text in the token",
            json!({"keys": [{"alg": "RS256", "kty": "RSA", "use": "sig", "kid": 1399593380, "n": n, "e": e}]}),
            rsa,
            json!("1399593380"),
        ),
        (
            "a number in both",
            json!({"keys": [{"alg": "RS256", "kty": "RSA", "use": "sig", "kid": 7, "n": n, "e": e}]}),
            rsa,
            json!(7),
        ),
        (
            "banks' sandboxes: standard base64",
            json!({"keys": [{"kid": "r", "kty": "RSA", "use": "sig", "n": standard, "e": e}]}),
            rsa,
            json!("r"),
        ),
        (
            "commas for padding",
            json!({"keys": [{"kty": "RSA", "alg": "RS256", "use": "sig", "n": commas, "e": e}]}),
            rsa,
            Value::Null,
        ),
        (
            "Cloudflare Access: certificates beside the set",
            json!({"keys": [{"kid": "c", "kty": "RSA", "alg": "RS256", "use": "sig", "e": e, "n": n}],
                "public_cert": {"kid": "c", "cert": "-----BEGIN CERTIFICATE-----"}, "public_certs": [{"kid": "c", "cert": "x"}]}),
            rsa,
            json!("c"),
        ),
        (
            "Gluu, Janssen: members of their own, key_ops as one text",
            json!({"keys": [{"descr": "d", "kty": "RSA", "e": e, "use": "sig", "key_ops_type": ["connect"], "key_ops": "verify", "kid": "connect_1_sig_rs256",
                "x5c": ["MIIC"], "name": "n", "exp": 1_900_000_000_000_u64, "alg": "RS256", "n": n}]}),
            rsa,
            json!("connect_1_sig_rs256"),
        ),
        (
            "beside keys that nobody reads (Ed448, X448)",
            json!({"keys": [{"kty": "OKP", "use": "sig", "crv": "Ed448", "kid": "a", "x": "AA"}, {"kty": "OKP", "use": "enc", "crv": "X448", "kid": "b", "x": "AA"},
                {"kty": "AKP", "alg": "ML-DSA-44", "kid": "c", "pub": "AA"}, {"kid": "r", "kty": "RSA", "use": "sig", "n": n, "e": e}]}),
            rsa,
            json!("r"),
        ),
        ("a list alone", json!([{"kty": "RSA", "kid": "r", "n": n, "e": e}]), rsa, json!("r")),
        ("one key alone", json!({"kty": "RSA", "kid": "r", "n": n, "e": e}), rsa, json!("r")),
    ]
}

fn forms_of_curves<'a>(
    p256: &'a Signer,
    p384: &'a Signer,
    ed25519: &'a Signer,
    short: &'a Signer,
) -> Vec<Form<'a>> {
    let (p, q, o, s) = (Parts::of(p256), Parts::of(p384), Parts::of(ed25519), Parts::of(short));
    let (x, y) = (p.get("x"), p.get("y"));
    let standard = |name: &str| STANDARD.encode(p.bytes(name));
    vec![
        (
            "Supabase",
            json!({"keys": [{"alg": "ES256", "crv": "P-256", "ext": true, "key_ops": ["verify"], "kid": "u-1", "kty": "EC", "use": "sig", "x": x, "y": y}]}),
            p256,
            json!("u-1"),
        ),
        (
            "Authentik",
            json!({"keys": [{"kid": "a", "kty": "EC", "alg": "ES256", "use": "sig", "crv": "P-256", "x": x, "y": y, "x5c": ["MIIB"], "x5t": "t", "x5t#S256": "s"}]}),
            p256,
            json!("a"),
        ),
        (
            "Nimbus",
            json!({"keys": [{"kty": "EC", "use": "sig", "crv": "P-256", "kid": "n", "x": x, "y": y, "alg": "ES256"}]}),
            p256,
            json!("n"),
        ),
        (
            "PingFederate: every curve, no alg",
            json!({"keys": [{"kty": "EC", "kid": "a", "use": "sig", "x": q.get("x"), "y": q.get("y"), "crv": "P-384"},
                {"kty": "EC", "kid": "b", "use": "sig", "x": "AG3w", "y": "AG3w", "crv": "P-521"}, {"kty": "EC", "kid": "c", "use": "sig", "x": x, "y": y, "crv": "P-256"}]}),
            p256,
            json!("c"),
        ),
        (
            "Matrix Authentication Service: secp256k1 beside it",
            json!({"keys": [{"kty": "EC", "crv": "secp256k1", "kid": "a", "alg": "ES256K", "use": "sig", "x": x, "y": y},
                {"kty": "EC", "crv": "P-256", "kid": "b", "alg": "ES256", "use": "sig", "x": x, "y": y}]}),
            p256,
            json!("b"),
        ),
        (
            "Web Crypto: exported from the private half",
            json!({"keys": [{"crv": "P-256", "ext": true, "key_ops": ["sign"], "kty": "EC", "x": x, "y": y}]}),
            p256,
            Value::Null,
        ),
        (
            "Revolut: standard base64",
            json!({"keys": [{"kid": "ec", "kty": "EC", "crv": "P-256", "use": "sig", "x": standard("x"), "y": standard("y"), "x5c": ["MIID"]}]}),
            p256,
            json!("ec"),
        ),
        (
            "Gluu oxAuth: a sign octet before a coordinate",
            json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "g", "x": p.with_zeros("x", 1), "y": y}]}),
            p256,
            json!("g"),
        ),
        (
            "Keycloak before 20, jwcrypto, Janssen: a coordinate without its zeros",
            json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "g", "x": s.minimal("x"), "y": s.get("y")}]}),
            short,
            json!("g"),
        ),
        (
            "Logto",
            json!({"keys": [{"kty": "EC", "use": "sig", "kid": "l", "alg": "ES384", "crv": "P-384", "x": q.get("x"), "y": q.get("y")}]}),
            p384,
            json!("l"),
        ),
        (
            "Rauthy, Better Auth",
            json!({"keys": [{"kty": "OKP", "alg": "EdDSA", "crv": "Ed25519", "kid": "r", "x": o.get("x")}]}),
            ed25519,
            json!("r"),
        ),
        (
            "jose: the name of RFC 9864, no kid",
            json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "alg": "Ed25519", "x": o.get("x")}]}),
            ed25519,
            Value::Null,
        ),
    ]
}

#[test]
fn a_token_may_name_its_algorithm_as_rfc_9864_does() {
    let signer = Signer::ed25519();
    let set = json!({"keys": [Parts::of(&signer).0]}).to_string();
    let text = signer.sign_with_header(r#"{"alg":"Ed25519","kid":"k"}"#, &claims_json(1_800_000_000));
    let (keys, _) = read_set(set.as_bytes()).unwrap();
    assert!(keys[0].verifies(&Token::parse(&text).unwrap()));
}

#[test]
fn what_cannot_be_used_is_passed_over_with_the_reason() {
    let (rsa, p256, ed) = (Signer::rsa(), Signer::p256(), Signer::ed25519());
    let of = |signer: &Signer, name: &str, value: Value| {
        let mut member = Parts::of(signer).0;
        member[name] = value;
        member
    };
    let bits = |bytes: usize| json!(URL_SAFE_NO_PAD.encode(vec![0xc3; bytes]));
    for (member, reason) in [
        (of(&rsa, "alg", json!("HS256")), "is for the algorithm \"HS256\", which is not accepted"),
        (of(&rsa, "alg", json!("none")), "is for the algorithm \"none\""),
        (of(&rsa, "alg", json!("ES256")), "is for the algorithm \"ES256\""),
        (of(&p256, "alg", json!("RS256")), "is for the algorithm \"RS256\""),
        (of(&rsa, "alg", json!("RSA-OAEP")), "is for the algorithm \"RSA-OAEP\""),
        (of(&rsa, "d", json!("AQAB")), "is a private key"),
        (of(&ed, "d", json!("AQAB")), "is a private key"),
        (of(&rsa, "n", bits(128)), "has 1024 bits; 2048 to 8192 are accepted"),
        (of(&rsa, "n", bits(2048)), "has 16384 bits"),
        (of(&rsa, "n", json!("!")), "has a member n that is not base64url"),
        (of(&rsa, "n", json!(null)), "has no n"),
        (of(&rsa, "e", json!("AQ")), "has an exponent (e) that is not accepted"),
        (of(&rsa, "e", json!("AA")), "has an exponent"),
        (of(&rsa, "e", json!("AQABAQABAQAB")), "has an exponent"),
        (of(&p256, "crv", json!("P-521")), "is on the curve \"P-521\""),
        (of(&p256, "crv", json!(null)), "does not say its curve"),
        (of(&p256, "y", bits(33)), "has an y of more than 32 bytes"),
        (of(&ed, "crv", json!("X25519")), "is on the curve \"X25519\""),
        (of(&ed, "x", json!("AA")), "has an x that is not 32 bytes"),
        (of(&ed, "kty", json!("AKP")), "is of the type \"AKP\""),
        (of(&ed, "kty", json!(7)), "does not say its type"),
        (of(&ed, "kty", json!("\u{1b}[31m".repeat(40))), "\\u{1b}"),
        (json!({"kty": "oct", "alg": "HS256", "k": "c2VjcmV0"}), "is a shared secret"),
        (json!("x"), "is no JSON object"),
        (json!(null), "is no JSON object"),
    ] {
        let passed_over = super::read(&member, 3).err().unwrap_or_else(|| panic!("{member} was taken"));
        assert!(passed_over.reason.contains(reason), "{member}: {passed_over:?}");
        assert!(!passed_over.for_something_else && passed_over.reason.len() < 200);
        let has_name = member.get("kid").is_some();
        assert_eq!(passed_over.key, if has_name { "\"k\"" } else { "number 3" });
    }
    for (name, value) in
        [("use", json!("enc")), ("key_ops", json!(["encrypt"])), ("key_ops", json!(["wrapKey"]))]
    {
        let passed_over = super::read(&of(&rsa, name, value), 1).err().unwrap();
        assert!(passed_over.for_something_else && passed_over.reason.ends_with("not for signatures"));
    }
}
