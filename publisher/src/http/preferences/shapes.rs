//! How do preferences and answers look?

use crate::http::types::shapes::MeansShown;
use crate::preferences::quiet::{Quiet, Range};
use crate::preferences::{Document, Settings, document, zone};
use crate::types::TypeSet;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What somebody wants to get, and when it is quiet for them. All of it is set anew; what is left out says nothing, so that the
/// tenant's default counts, then the type's. Unknown fields are refused.
#[derive(ToSchema)]
#[schema(example = json!({
    "types": {"order.*": {"toast": false}, "order.paid": {"toast": true}},
    "quiet_hours": {"zone": "Europe/Berlin", "ranges": [{"days": ["mon", "tue", "wed", "thu", "fri"], "from": "22:00", "to": "07:00"}]},
    "locale": "de"
}))]
#[expect(dead_code, reason = "it describes a body for utoipa")]
pub(in crate::http) struct PreferencesBody {
    /// By type of event: exact, or a beginning and a `*`, at most 100. The one that says more about a type counts, for each means
    /// by itself.
    types: Option<BTreeMap<String, MeansShown>>,
    /// When it is quiet.
    quiet_hours: Option<QuietHoursShown>,
    /// It is quiet until then: an RFC 3339 time.
    #[schema(value_type = Option<String>, format = DateTime)]
    do_not_disturb_until: Option<String>,
    /// The language of what they read, such as `de-CH`.
    #[schema(max_length = 35)]
    locale: Option<String>,
}

/// What a tenant says for whoever has said nothing: all of it; what is left out is not said.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes a body for utoipa")]
pub(in crate::http) struct PreferenceDefaultsBody {
    /// By type of event: exact, or a beginning and a `*`, at most 100. The one that says more about a type counts, for each means
    /// by itself.
    types: Option<BTreeMap<String, MeansShown>>,
    /// When it is quiet.
    quiet_hours: Option<QuietHoursShown>,
    /// The language of what they read, such as `de-CH`.
    #[schema(max_length = 35)]
    locale: Option<String>,
}

/// When it is quiet.
#[derive(ToSchema, Serialize)]
pub(in crate::http) struct QuietHoursShown {
    /// The IANA time zone by whose clocks. Left out: the tenant's, else UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 64, nullable = false)]
    zone: Option<String>,
    /// Parts of a week, at most 32. Left out: the tenant's; empty: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 32, nullable = false)]
    ranges: Option<Vec<RangeShown>>,
}

/// A part of a week, by the wall clock.
#[derive(ToSchema, Serialize)]
pub(in crate::http) struct RangeShown {
    /// On which days it begins: `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun`.
    #[schema(min_items = 1, max_items = 7)]
    days: Vec<String>,
    /// When it begins: `00:00` to `23:59`.
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    from: String,
    /// When it ends: `00:00` to `24:00`; on the next day if that is earlier than `from`.
    #[schema(pattern = "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")]
    to: String,
}

/// What is said in one place.
#[derive(ToSchema, Serialize)]
pub(in crate::http) struct SaidShown {
    /// By type of event.
    types: BTreeMap<String, MeansShown>,
    /// When it is quiet; null: nothing is said.
    quiet_hours: Option<QuietHoursShown>,
    /// In which language; null: nothing is said.
    locale: Option<String>,
}

/// What a type says about who gets it.
#[derive(ToSchema, Serialize)]
pub(in crate::http) struct TypeDefaultShown {
    /// Nobody can switch it off.
    mandatory: bool,
    /// By which means people get it who have said nothing about it.
    #[serde(flatten)]
    means: MeansShown,
}

/// What is said about what somebody gets, and how quiet it is for them.
#[derive(ToSchema, Serialize)]
pub(in crate::http) struct PreferencesShown {
    /// Whose.
    user: String,
    /// What they say themselves.
    #[serde(flatten)]
    own: SaidShown,
    /// Until when they do not want to be disturbed; null: nothing is said.
    do_not_disturb_until: Option<String>,
    /// What their tenant says for whoever has said nothing.
    defaults: SaidShown,
    /// What types say that are mandatory or have defaults, by type.
    #[schema(value_type = Object)]
    type_defaults: BTreeMap<String, TypeDefaultShown>,
    /// By which zone's clocks their quiet hours are.
    zone: String,
    /// Which release of the IANA zone data is used for it.
    zone_data: &'static str,
    /// Whether it is quiet for them now.
    quiet: bool,
    /// If it is, until then; null: it is not, or no end is in sight.
    quiet_until: Option<String>,
    /// When it is quiet, or not any more; null: never. Whoever holds this answer asks again then.
    next_change: Option<String>,
}

/// A tenant's defaults.
#[derive(ToSchema, Serialize)]
pub(in crate::http) struct PreferenceDefaultsShown {
    /// What the tenant says for whoever has said nothing.
    #[serde(flatten)]
    said: SaidShown,
}

/// Whether somebody would get something.
#[derive(ToSchema, Serialize)]
pub(in crate::http) struct PreferenceTest {
    /// Who.
    pub(super) user: String,
    /// What.
    pub(super) r#type: String,
    /// How urgent.
    pub(super) priority: &'static str,
    /// When.
    pub(super) at: String,
    /// In which of the type's languages; null: in none of them.
    pub(super) locale: Option<String>,
    /// By which zone's clocks their quiet hours are.
    pub(super) zone: String,
    /// What they say then.
    pub(super) wall_clock: String,
    /// Whether it is quiet for them then.
    pub(super) quiet: bool,
    /// If it is, until then; null: it is not, or no end is in sight.
    pub(super) quiet_until: Option<String>,
    /// It stands in the inbox and is counted.
    pub(super) inbox: MeansTest,
    /// A page shows it as it happens.
    pub(super) toast: MeansTest,
    /// The browser shows it on the desktop.
    pub(super) desktop: MeansTest,
    /// It goes on to the tenant's webhooks for people.
    pub(super) webhooks: MeansTest,
}

/// Whether it comes by one means.
#[derive(ToSchema, Serialize)]
pub(in crate::http) struct MeansTest {
    /// Whether they get it.
    pub(super) gets: bool,
    /// It is switched on and held because it is quiet.
    pub(super) held: bool,
    /// Why.
    pub(super) why: String,
}

impl SaidShown {
    fn of(said: &Document) -> Self {
        let types = said.types.iter().map(|(pattern, means)| (pattern.clone(), (*means).into()));
        Self {
            types: types.collect(),
            quiet_hours: said.quiet_hours.as_ref().map(QuietHoursShown::of),
            locale: said.locale.clone(),
        }
    }
}

impl QuietHoursShown {
    fn of(hours: &document::QuietHours) -> Self {
        let range = |range: &Range| RangeShown {
            days: range.days.clone(),
            from: range.from.clone(),
            to: range.to.clone(),
        };
        let ranges = hours.ranges.as_ref().map(|ranges| ranges.iter().map(range).collect());
        Self { zone: hours.zone.clone(), ranges }
    }
}

impl PreferencesShown {
    pub(super) fn of(user: String, settings: &Settings, types: &TypeSet, quiet: Quiet) -> Self {
        let said = types.all().filter_map(|(kind, says)| {
            let means = says.defaults;
            let shown = TypeDefaultShown { mandatory: says.mandatory, means: means.into() };
            (says.mandatory || !means.is_empty()).then(|| (kind.to_owned(), shown))
        });
        Self {
            user,
            own: SaidShown::of(&settings.person),
            do_not_disturb_until: settings.person.do_not_disturb_until.map(|until| until.to_string()),
            defaults: SaidShown::of(&settings.tenant),
            type_defaults: said.collect(),
            zone: settings.hours().zone().to_owned(),
            zone_data: zone::VERSION,
            quiet: quiet.now,
            quiet_until: quiet.until.map(|until| until.to_string()),
            next_change: quiet.next_change.map(|change| change.to_string()),
        }
    }
}

impl PreferenceDefaultsShown {
    pub(super) fn of(settings: &Settings) -> Self {
        Self { said: SaidShown::of(&settings.tenant) }
    }
}
