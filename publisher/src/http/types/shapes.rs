//! How do a type and an answer look?

use crate::types::{Definition, Means, Texts, TypeAudience};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// What is said about a type of events. All of it is set anew. Unknown fields are refused.
#[derive(ToSchema)]
#[schema(example = json!({
    "title": "Order {{ id }} was paid", "body": "{{ total }} from {{ customer.name }}",
    "locales": {"de": {"title": "Bestellung {{ id }} ist bezahlt"}}, "priority": "high", "defaults": {"desktop": true},
    "schema": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}}
}))]
#[expect(dead_code, reason = "it describes a body for utoipa")]
pub(in crate::http) struct EventTypeBody {
    /// The title of notices of this type: a template. At most 2,048 bytes, and 256 characters when it is filled. Required beside
    /// `body` and `locales`.
    #[schema(max_length = 2048)]
    title: Option<String>,
    /// Their body: a template. At most 16,384 bytes, and 4,096 characters when it is filled.
    #[schema(max_length = 16384)]
    body: Option<String>,
    /// Title and body by language (`de`, `de-CH`), at most 32. What a language has not is as without one.
    locales: Option<BTreeMap<String, TextsShown>>,
    /// The priority of events of this type that name none: `low`, `normal`, `high`, `urgent` or `critical`.
    #[schema(value_type = Option<String>)]
    priority: Option<String>,
    /// Nobody can switch off what is of this type. Default: false.
    mandatory: Option<bool>,
    /// By which means people get it who have said nothing about it.
    #[schema(value_type = Option<MeansShown>)]
    defaults: Option<MeansShown>,
    /// Whom notices of this type go to that name nobody; at least one is named.
    #[schema(value_type = Option<TypeAudienceShown>)]
    audience: Option<TypeAudienceShown>,
    /// What `data` of events of this type must be like: JSON Schema 2020-12, at most 32 KiB, without references to elsewhere.
    #[schema(value_type = Option<Object>)]
    schema: Option<Value>,
}

/// The templates of a language.
#[derive(ToSchema, Serialize)]
pub(in crate::http) struct TextsShown {
    /// One line.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    title: Option<String>,
    /// More of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    body: Option<String>,
}

/// By which means somebody gets something.
#[derive(ToSchema, Serialize)]
pub(in crate::http) struct MeansShown {
    /// It is in the inbox and counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    inbox: Option<bool>,
    /// A page shows it as it happens.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    toast: Option<bool>,
    /// The browser shows it on the desktop.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    desktop: Option<bool>,
    /// It goes on to the tenant's webhooks for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    webhooks: Option<bool>,
}

/// Whom notices go to: together at most 100 channels.
#[derive(ToSchema, Serialize)]
pub(in crate::http) struct TypeAudienceShown {
    /// Everyone in the tenant.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(default = false, required = false)]
    tenant: bool,
    /// People with these roles.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    roles: Vec<String>,
    /// Whoever is in these channels or follows them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    channels: Vec<String>,
    /// These people.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    users: Vec<String>,
}

/// A type of events.
#[derive(ToSchema, Serialize)]
pub(in crate::http) struct EventTypeShown {
    /// Its name.
    pub(super) r#type: String,
    /// The template of a notice's title.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    title: Option<String>,
    /// The template of its body.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    body: Option<String>,
    /// Title and body by language.
    locales: BTreeMap<String, TextsShown>,
    /// The priority of events that name none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    priority: Option<&'static str>,
    /// Nobody can switch it off.
    mandatory: bool,
    /// By which means people get it who have said nothing about it.
    defaults: MeansShown,
    /// Whom notices go to that name nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    audience: Option<TypeAudienceShown>,
    /// JSON Schema 2020-12.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    schema: Option<Value>,
    /// True when this release cannot read what is stored, as when a newer one wrote it: then no event of this type is taken.
    /// Left out otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    unreadable: Option<bool>,
}

/// The types of a tenant, or the installation's.
#[derive(ToSchema, Serialize)]
pub(in crate::http) struct EventTypes {
    /// By name.
    pub(super) types: Vec<EventTypeShown>,
}

/// What templates would be filled with.
#[derive(ToSchema)]
#[schema(example = json!({"locale": "de-CH", "vars": {"id": "o-17", "total": 45}}))]
#[expect(dead_code, reason = "it describes a body for utoipa")]
pub(in crate::http) struct PreviewBody {
    /// The language of whoever reads it. Left out: none.
    #[schema(max_length = 35)]
    locale: Option<String>,
    /// The variables. What they do not name is taken of `data`.
    #[schema(value_type = Option<Object>)]
    vars: Option<Value>,
    /// The event's data; if it is given, the type's schema checks it.
    #[schema(value_type = Option<Object>)]
    data: Option<Value>,
}

/// What a notice would say.
#[derive(ToSchema, Serialize)]
pub(in crate::http) struct Preview {
    /// The type.
    pub(super) r#type: String,
    /// In which of the type's languages; null: in none of them.
    pub(super) locale: Option<String>,
    /// Its title.
    pub(super) title: String,
    /// Its body; left out when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) body: Option<String>,
}

/// Whose types.
#[derive(IntoParams)]
#[expect(dead_code, reason = "it describes parameters for utoipa")]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct TypesQuery {
    /// The tenant; required with credentials for several. With an API key for all tenants `*` names the installation's types, which
    /// hold where a tenant has said nothing about one.
    tenant: Option<String>,
}

impl From<Texts> for TextsShown {
    fn from(Texts { title, body }: Texts) -> Self {
        Self { title, body }
    }
}

impl From<Means> for MeansShown {
    fn from(Means { inbox, toast, desktop, webhooks }: Means) -> Self {
        Self { inbox, toast, desktop, webhooks }
    }
}

impl From<TypeAudience> for TypeAudienceShown {
    fn from(TypeAudience { tenant, roles, channels, users }: TypeAudience) -> Self {
        Self { tenant, roles, channels, users }
    }
}

impl EventTypeShown {
    /// A type as it is said.
    pub(super) fn of(kind: String, definition: Definition) -> Self {
        let Definition { texts, locales, priority, mandatory, defaults, audience, schema } = definition;
        Self {
            r#type: kind,
            title: texts.title,
            body: texts.body,
            locales: locales.into_iter().map(|(tag, texts)| (tag, texts.into())).collect(),
            priority: priority.map(|priority| priority.as_str()),
            mandatory,
            defaults: defaults.into(),
            audience: audience.map(Into::into),
            schema,
            unreadable: None,
        }
    }

    /// One that this release cannot read.
    pub(super) fn unreadable(kind: String) -> Self {
        Self { unreadable: Some(true), ..Self::of(kind, Definition::default()) }
    }
}
