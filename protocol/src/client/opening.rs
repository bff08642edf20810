//! What has every frame?

use super::{FRAME_ID_BYTES, FrameFault, FrameId, TYPES, shortened};
use crate::ident::TenantId;
use crate::signal::Typing;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What every frame has, read first so that a fault in the rest can be answered with the frame's id.
pub(super) struct Opening<'a> {
    pub(super) id: Option<FrameId>,
    /// One of [`TYPES`].
    pub(super) kind: String,
    /// What `typing_start` and `typing_stop` say of a `typing`.
    pub(super) typing: Option<Typing>,
    pub(super) data: Option<&'a RawValue>,
    tenant: Option<&'a RawValue>,
}

pub(super) fn opening(text: &str) -> Result<Opening<'_>, FrameFault> {
    // The reader below would take a list for the fields in their order.
    if text.trim_ascii_start().starts_with('[') {
        return Err(FrameFault {
            code: "invalid_frame",
            message: "a frame is one JSON object, not a list".into(),
            id: None,
        });
    }
    let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|error| FrameFault {
        code: if error.is_data() { "invalid_frame" } else { "invalid_json" },
        message: format!("a frame is one JSON object: {error}"),
        id: None,
    })?;
    let id = frame_id(envelope.id)?;
    let fault = |code, message: String| FrameFault { code, message, id: id.clone() };
    let invalid = |message: String| fault("invalid_frame", message);

    let kind = envelope.kind.ok_or_else(|| invalid("type is missing".into()))?;
    let kind: Cow<'_, str> =
        serde_json::from_str(kind.get()).map_err(|_| invalid("type must be a string".into()))?;
    let kind = kind.to_ascii_lowercase();
    let (kind, typing) = match kind.strip_prefix("typing_").and_then(Typing::read) {
        Some(state) => ("typing".to_owned(), Some(state)),
        None => (kind, None),
    };
    if !TYPES.contains(&&*kind) {
        let message = format!("unknown type {:?}; a client sends {}", shortened(&kind), TYPES.join(", "));
        return Err(fault("unknown_type", message));
    }
    Ok(Opening { id, kind, typing, data: envelope.data, tenant: envelope.tenant })
}

impl Opening<'_> {
    /// Which tenant the frame names, at the top level or else among the fields of older systems. The fault in words.
    pub(super) fn tenant(&self) -> Result<Option<TenantId>, String> {
        #[derive(Deserialize)]
        struct Inner<'a> {
            #[serde(borrow, default)]
            tenant: Option<&'a RawValue>,
        }
        let named = match self.tenant {
            None if self.kind != "ping" => {
                let inner = object(self.data).map(serde_json::from_str::<Inner<'_>>).transpose();
                inner.map_err(|error| format!("data: {error}"))?.and_then(|inner| inner.tenant)
            }
            named => named,
        };
        let Some(raw) = named.map(RawValue::get).filter(|raw| *raw != "null") else { return Ok(None) };
        let name: Cow<'_, str> =
            serde_json::from_str(raw).map_err(|_| "tenant must be a string".to_owned())?;
        TenantId::new(&*name).map(Some).map_err(|error| format!("tenant: {error}"))
    }
}

/// The fields of older systems' frames, if they are there.
pub(super) fn object(data: Option<&RawValue>) -> Option<&str> {
    data.map(RawValue::get).filter(|data| data.starts_with('{'))
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tenant: Option<&'a RawValue>,
}

fn frame_id(id: Option<&RawValue>) -> Result<Option<FrameId>, FrameFault> {
    let Some(raw) = id.map(RawValue::get).filter(|raw| *raw != "null") else { return Ok(None) };
    let fault = |message: &str| FrameFault { code: "invalid_frame", message: message.into(), id: None };
    if raw.len() > FRAME_ID_BYTES {
        return Err(fault("id must be at most 128 bytes"));
    }
    if raw.starts_with(['{', '[']) {
        return Err(fault("id must be a string or a number"));
    }
    Ok(Some(raw.into()))
}
