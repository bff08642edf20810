//! How does a frame name its tenant, where a connection is in several?

use crate::ident::TenantId;

/// The JSON of a frame, which names no tenant, with its tenant named.
pub fn naming(json: &[u8], tenant: &TenantId) -> Vec<u8> {
    const NAME: &[u8] = b",\"tenant\":\"";
    let open = json.strip_suffix(b"}").unwrap_or(json);
    // A tenant's name needs no escapes.
    [open, NAME, tenant.as_str().as_bytes(), b"\"}"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ident::{Epoch, Seq};
    use crate::server::{DetachReason, ServerFrame};

    /// What names a tenant in any case does so once.
    #[test]
    fn where_there_are_several_tenants_a_frame_names_its_own() {
        let (tenant, epoch) = (TenantId::new("school-2").unwrap(), Epoch::new("e1").unwrap());
        let named = |frame: &ServerFrame<'_>| String::from_utf8(frame.to_json_naming(&tenant)).unwrap();
        let heartbeat = ServerFrame::Heartbeat { seq: Seq(41), epoch: Some(&epoch) };
        assert_eq!(named(&heartbeat), r#"{"type":"heartbeat","seq":41,"epoch":"e1","tenant":"school-2"}"#);
        let detached = ServerFrame::Detached { tenant: &tenant, reason: DetachReason::Token };
        assert_eq!(named(&detached).into_bytes(), detached.to_json());
    }
}
