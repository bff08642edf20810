//! Where in a tenant's log does a page of `GET /v1/events` begin or end?
//!
//! Opaque to clients: base64url of a version, the seq, and a digest that binds both to the tenant and the life of its
//! log. The digest is no secret's: it finds mistakes (cut, mixed up, from before a restore). A cursor opens nothing that
//! the credentials beside it do not open.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use carillon_protocol::{Epoch, Seq, TenantId};
use sha2::{Digest, Sha256};

const VERSION: u8 = 1;
const DIGEST: usize = 12;
const LENGTH: usize = 1 + 8 + DIGEST;

/// The cursor's text.
pub fn encode(tenant: &TenantId, epoch: &Epoch, seq: Seq) -> String {
    let mut bytes = Vec::with_capacity(LENGTH);
    bytes.push(VERSION);
    bytes.extend(seq.0.to_be_bytes());
    bytes.extend(digest(tenant, epoch, seq));
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The seq, if `text` is a cursor of this log's life.
pub fn decode(text: &str, tenant: &TenantId, epoch: &Epoch) -> Option<Seq> {
    let bytes: [u8; LENGTH] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
    let seq = Seq(u64::from_be_bytes(bytes[1..9].try_into().ok()?));
    (bytes[0] == VERSION && bytes[9..] == digest(tenant, epoch, seq)).then_some(seq)
}

fn digest(tenant: &TenantId, epoch: &Epoch, seq: Seq) -> [u8; DIGEST] {
    let mut hash = Sha256::new();
    for part in ["carillon cursor", tenant.as_str(), epoch.as_str()] {
        hash.update(part);
        hash.update([0]);
    }
    hash.update(seq.0.to_be_bytes());
    let whole: [u8; 32] = hash.finalize().into();
    std::array::from_fn(|n| whole[n])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn log(tenant: &str, epoch: &str) -> (TenantId, Epoch) {
        (TenantId::new(tenant).unwrap(), Epoch::new(epoch).unwrap())
    }

    #[test]
    fn a_cursor_is_good_for_its_own_log_only() {
        let (tenant, epoch) = log("acme", "e1");
        let cursor = encode(&tenant, &epoch, Seq(42));
        assert_eq!(decode(&cursor, &tenant, &epoch), Some(Seq(42)));
        for (other, life) in [("acme2", "e1"), ("acme", "e2")] {
            let (other, life) = log(other, life);
            assert_eq!(decode(&cursor, &other, &life), None);
        }
    }

    proptest! {
        #[test]
        fn no_other_text_is_a_cursor(seq in any::<u64>(), at in 0..28usize, with in "[A-Za-z0-9_-]", text in "\\PC{0,40}") {
            let (tenant, epoch) = log("acme", "e1");
            prop_assert_eq!(decode(&text, &tenant, &epoch), None);
            let cursor = encode(&tenant, &epoch, Seq(seq));
            let mut forged = cursor.clone();
            forged.replace_range(at..=at, &with);
            prop_assert_eq!(decode(&forged, &tenant, &epoch).is_some(), forged == cursor);
            prop_assert_eq!(decode(&cursor[..27], &tenant, &epoch), None);
        }
    }
}
