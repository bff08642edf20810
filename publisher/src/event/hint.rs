//! Which field did somebody mean who wrote a name the contract does not know?

/// Names other systems use, and what they are called here.
const ALIASES: &[(&str, &str)] = &[
    ("event", "type"),
    ("event_type", "type"),
    ("eventType", "type"),
    ("kind", "type"),
    ("name", "type"),
    ("payload", "data"),
    ("body", "data"),
    ("message", "data"),
    ("user", "users"),
    ("user_id", "users"),
    ("userId", "users"),
    ("role", "roles"),
    ("room", "channels"),
    ("topic", "channels"),
    ("broadcast", "tenant_wide"),
    ("timestamp", "time"),
    ("created_at", "time"),
    ("event_id", "id"),
    ("eventId", "id"),
    ("tenant_id", "tenant"),
    ("tenantId", "tenant"),
    ("organization_id", "tenant"),
    ("latestkey", "key"),
    ("actor_id", "actor"),
    ("notification", "notify"),
    ("notice", "notify"),
    ("user_name", "actor"),
];

/// The names an unknown one is compared with by spelling.
const KNOWN: &[&str] = &[
    "tenant",
    "type",
    "data",
    "source",
    "subject",
    "actor",
    "priority",
    "key",
    "notify",
    "channel",
    "channels",
    "users",
    "roles",
    "tenant_wide",
    "except",
    "id",
    "time",
];

/// The detail of an `unknown_field` fault.
pub(super) fn unknown_field(name: &str) -> String {
    if matches!(name, "specversion" | "datacontenttype" | "dataschema" | "data_base64") {
        return "is a CloudEvents attribute: send the event with content-type application/cloudevents+json"
            .into();
    }
    match meant(name) {
        Some(known) => format!("is not a field of an event; did you mean {known}?"),
        None => "is not a field of an event; put application data into data".into(),
    }
}

fn meant(name: &str) -> Option<&'static str> {
    if let Some((_, known)) = ALIASES.iter().find(|(alias, _)| *alias == name) {
        return Some(known);
    }
    if name.len() > 24 {
        return None;
    }
    let lower = name.to_ascii_lowercase();
    let nearest = KNOWN.iter().map(|known| (distance(&lower, known), *known)).min()?;
    (nearest.0 <= 2 && nearest.0 < nearest.1.len() / 2 + 1).then_some(nearest.1)
}

/// The Levenshtein distance: how many letters must be added, removed or replaced.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_and_other_systems_words_get_a_hint() {
        for (wrote, means) in [
            ("typ", "type"),
            ("Type", "type"),
            ("chanels", "channels"),
            ("tenantWide", "tenant_wide"),
            ("priorty", "priority"),
            ("event_type", "type"),
            ("payload", "data"),
            ("timestamp", "time"),
        ] {
            assert_eq!(meant(wrote), Some(means), "{wrote}");
        }
        for strange in ["x", "zzzzzz", "appointment", "", "ünïcödé", &"a".repeat(500)] {
            assert_eq!(meant(strange), None, "{strange}");
        }
    }
}
