//! How do a rule and an answer look?

use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

/// What a rule says.
///
/// `subscribe`, `publish`, `signal`, `presence` and `history` list who may: `anyone` (of the tenant), `self` (whoever's id stands
/// at `{user}` in the channel), `role:` and a role, `ask` (whoever the tenant's application says, which is asked when nothing else
/// of the list lets somebody in). A list that is left out is empty, but `history`, which is then as
/// `subscribe`. Unknown fields are refused.
#[derive(ToSchema, Serialize)]
#[schema(example = json!({"subscribe": ["self", "role:reception"], "signal": ["role:reception"], "history": []}))]
pub(in crate::http) struct ChannelRuleBody {
    /// Who may get the channel's events as they happen.
    #[schema(max_items = 64)]
    subscribe: Option<Vec<String>>,
    /// Who may publish events.
    #[schema(max_items = 64)]
    publish: Option<Vec<String>>,
    /// Who may send signals.
    #[schema(max_items = 64)]
    signal: Option<Vec<String>>,
    /// Who may see who is here, and be seen.
    #[schema(max_items = 64)]
    presence: Option<Vec<String>>,
    /// Who may read the channel's past. Default: who may subscribe.
    #[schema(max_items = 64)]
    history: Option<Vec<String>>,
    /// Types of events that clients may publish: exact, or a beginning and a `*`. Default: every type.
    #[schema(max_items = 64)]
    client_types: Option<Vec<String>>,
    /// Whether what clients publish goes into the log. Default: false.
    durable: Option<bool>,
    /// Whether `typing` is passed on. Default: true.
    typing: Option<bool>,
    /// How long somebody who went is still shown as here, in milliseconds. Default: 10000.
    #[schema(minimum = 0, maximum = 300_000)]
    presence_grace_ms: Option<u32>,
    /// What a person may send into a channel, a second. Default: 10.
    #[schema(minimum = 0, maximum = 1_000)]
    rate: Option<u32>,
}

/// A rule for channels.
#[derive(ToSchema, Serialize)]
pub(in crate::http) struct ChannelRule {
    /// For which channels.
    pub(super) pattern: String,
    /// Who may get their events as they happen.
    pub(super) subscribe: Vec<String>,
    /// Who may publish events.
    pub(super) publish: Vec<String>,
    /// Who may send signals.
    pub(super) signal: Vec<String>,
    /// Who may see who is here, and be seen.
    pub(super) presence: Vec<String>,
    /// Who may read the past.
    pub(super) history: Vec<String>,
    /// Types of events that clients may publish.
    pub(super) client_types: Vec<String>,
    /// Whether what clients publish goes into the log.
    pub(super) durable: bool,
    /// Whether `typing` is passed on.
    pub(super) typing: bool,
    /// How long somebody who went is still shown as here, in milliseconds.
    pub(super) presence_grace_ms: u32,
    /// What a person may send into a channel, a second.
    pub(super) rate: u32,
    /// True when this release cannot read the stored rule, as when a newer one wrote it: then it gives nobody anything, and the
    /// other fields say that. Left out otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) unreadable: Option<bool>,
}

/// The rules of a tenant, or the installation's.
#[derive(ToSchema, Serialize)]
pub(in crate::http) struct ChannelRules {
    /// By pattern.
    pub(super) rules: Vec<ChannelRule>,
}

/// What somebody would be allowed in a channel, and by which rule.
#[derive(ToSchema, Serialize)]
pub(in crate::http) struct ChannelRuleTest {
    /// The channel.
    pub(super) channel: String,
    /// The pattern of the rule that decides; left out when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) pattern: Option<String>,
    /// Whose rule it is: `tenant` or `defaults`; left out when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) source: Option<&'static str>,
    /// Whether they may get its events.
    pub(super) subscribe: ChannelVerdict,
    /// Whether they may publish events.
    pub(super) publish: ChannelVerdict,
    /// Whether they may send signals.
    pub(super) signal: ChannelVerdict,
    /// Whether they may see who is here.
    pub(super) presence: ChannelVerdict,
    /// Whether they may read its past.
    pub(super) history: ChannelVerdict,
}

/// A verdict.
#[derive(ToSchema, Serialize)]
pub(in crate::http) struct ChannelVerdict {
    /// `allowed`, `forbidden`, or `ask`: the tenant's application would be asked. Trying a rule asks nobody.
    pub(super) verdict: &'static str,
    /// Why.
    pub(super) why: String,
}

/// Whose rules.
#[derive(IntoParams)]
#[expect(dead_code, reason = "it describes parameters for utoipa")]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct RulesQuery {
    /// The tenant; required with credentials for several. With an API key for all tenants `*` names the installation's rules, which
    /// hold where a tenant has none for a channel.
    tenant: Option<String>,
}
