//! How do requests and answers about API keys look?

use carillon_backplane::log::{KeyEntry, Owner};
use carillon_protocol::TenantId;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// What a key is to be.
#[derive(ToSchema)]
#[schema(example = json!({"scopes": ["publish"], "name": "shop", "expires_at": "2027-12-31T00:00:00Z"}))]
#[expect(dead_code, reason = "it describes a body for utoipa")]
pub(in crate::http) struct ApiKeyBody {
    /// What it is good for: `publish`, `read`, `admin`; at least one.
    #[schema(min_items = 1, max_items = 3)]
    scopes: Vec<String>,
    /// What you call it.
    #[schema(min_length = 1, max_length = 128)]
    name: Option<String>,
    /// When it ends; left out: never.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// What is to be otherwise; what is left out is null.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes a body for utoipa")]
pub(in crate::http) struct ApiKeyChange {
    /// What you call it.
    #[schema(min_length = 1, max_length = 128, nullable = false)]
    name: Option<String>,
    /// When it ends; null: never.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// How a key is replaced.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes a body for utoipa")]
pub(in crate::http) struct RotationBody {
    /// For how long the key before goes on. Default: a day.
    #[schema(minimum = 0, maximum = 2_592_000)]
    overlap_seconds: Option<u64>,
}

/// An API key, without what proves it.
#[derive(Serialize, ToSchema)]
pub(crate) struct ApiKeyShown {
    /// The part between `crln_` and the next underscore.
    id: String,
    /// What it is called.
    name: Option<String>,
    /// Whose; null: it is for all tenants.
    tenant: Option<String>,
    /// What it is good for.
    scopes: Vec<String>,
    /// When it was made.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it ends; null: never.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// When it was ended.
    #[schema(format = DateTime)]
    revoked_at: Option<String>,
    /// When it was used last, to a minute or two; null: never, or before a release that knows it.
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
    /// Which one it replaces.
    replaces: Option<String>,
    /// Which one replaces it.
    replaced_by: Option<String>,
}

/// A key that was made.
#[derive(Serialize, ToSchema)]
pub(crate) struct ApiKeyMade {
    #[serde(flatten)]
    pub(crate) shown: ApiKeyShown,
    /// The key. It is in no other answer, and cannot be read back.
    pub(crate) key: String,
}

/// A page of keys.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ApiKeyPage {
    /// By id.
    pub(super) keys: Vec<ApiKeyShown>,
    /// Cursor for `after`: the next page. Null on the last one.
    pub(super) next: Option<String>,
}

/// As it is shown, here and by the command.
pub(crate) fn shown(owner: &Owner, key: KeyEntry) -> ApiKeyShown {
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
    ApiKeyShown {
        id: key.id,
        name: key.name,
        tenant: owner.tenant().map(TenantId::to_string),
        scopes: key.scopes,
        created_at: key.created_at.to_string(),
        expires_at: time(key.expires_at),
        revoked_at: time(key.revoked_at),
        last_used_at: time(key.last_used_at),
        replaces: key.replaces,
        replaced_by: key.replaced_by,
    }
}
