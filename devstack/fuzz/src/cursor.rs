//! Is a page cursor good for one place in one log, and is nothing else a cursor?
//!
//! Input: tenant, epoch, a seq, where to spoil the cursor and with which character; the rest is a text that claims to be
//! one.

use crate::script::Script;
use carillon_protocol::{Epoch, Seq, TenantId};
use carillon_publisher::http::cursor::{decode, encode};

/// Panics when a cursor is lost, or a text passes that no log gave out.
pub fn check(input: &[u8]) {
    let mut script = Script::new(input);
    let (tenant, epoch) = (TenantId::new(script.text()), Epoch::new(script.text()));
    let (seq, at, with) = (Seq(script.number()), usize::from(script.byte()), char::from(script.byte()));
    let claim = String::from_utf8_lossy(script.rest());
    let tenant = tenant.or_else(|_| TenantId::new("acme")).expect("a good name");
    let epoch = epoch.or_else(|_| Epoch::new("e1")).expect("a good epoch");

    if let Some(seq) = decode(&claim, &tenant, &epoch) {
        assert_eq!(encode(&tenant, &epoch, seq), claim, "one place has one cursor");
    }
    let cursor = encode(&tenant, &epoch, seq);
    assert!(cursor.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{cursor}");
    assert_eq!(decode(&cursor, &tenant, &epoch), Some(seq));

    let at = at % cursor.len();
    let spoilt = format!("{}{with}{}", &cursor[..at], &cursor[at + 1..]);
    assert_eq!(decode(&spoilt, &tenant, &epoch).is_some(), spoilt == cursor, "{spoilt}");
    assert_eq!(decode(&cursor[..at], &tenant, &epoch), None, "cut");
    assert_eq!(decode(&format!("{cursor}{with}"), &tenant, &epoch), None, "lengthened");

    let (other_tenant, other_epoch) = (TenantId::new("other"), Epoch::new("other"));
    let (other_tenant, other_epoch) =
        (other_tenant.expect("a good name"), other_epoch.expect("a good epoch"));
    assert_eq!(decode(&cursor, &other_tenant, &epoch).is_some(), tenant == other_tenant);
    assert_eq!(decode(&cursor, &tenant, &other_epoch).is_some(), epoch == other_epoch);
}
