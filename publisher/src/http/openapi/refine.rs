//! What does the document say that Rust types cannot?
//!
//! Which texts a field takes ([`grammar`]), that a field of a request is there or not but never null, and what holds between
//! fields. The latter stands under `if` and `then`: validators obey these keywords, and generators of clients pass over
//! them, where `anyOf` beside the properties makes many of them generate a class for each alternative.

use super::grammar;
use crate::preferences::document::PATTERNS;
use crate::types::definition::{BODY_BYTES, LOCALES, TITLE_BYTES};
use carillon_protocol::limits;
use serde_json::{Map, Value, json};

/// Shapes of events that are published: their fields have patterns. An answer's have none, so that no client refuses what is in a log.
const PUBLISHED: [&str; 4] = ["CloudEvent", "NoticeBody", "Notify", "PlainEvent"];
/// Other parts of requests whose names do not end as those of bodies do.
const PARTS: [&str; 3] = ["CloudEvent", "EscalationStep", "PlainEvent"];
/// Bodies in which null is not the same as nothing.
const WITH_NULL: [&str; 5] = ["ApiKeyChange", "LimitsBody", "NoticeBody", "SnoozeBody", "TenantSettingsBody"];
/// Answers that describe JSON which is written elsewhere: what is not there is left out.
const WITHOUT_NULL: [&str; 3] = ["FaultDocument", "ProblemDocument", "StoredEvent"];

/// Whether null is not a value of a shape's properties. An answer's property is null where Rust has nothing, unless its field says
/// `nullable = false`, because it is left out then.
fn has_no_null(shape: &str) -> bool {
    let is_request = shape.ends_with("Body") || shape.ends_with("Change") || PARTS.contains(&shape);
    (is_request && !WITH_NULL.contains(&shape)) || WITHOUT_NULL.contains(&shape)
}

/// Makes it say so.
pub(super) fn refine(document: &mut Value) {
    let operations = members(document, "/paths").flat_map(|(path, operations)| {
        members(operations, "").map(move |operation| (path.as_str(), operation))
    });
    for (path, operation) in operations {
        let of_rules = path.starts_with("/v1/channel-rules");
        let of_types = path.starts_with("/v1/event-types");
        // No handler sees such a request.
        operation.1["responses"]["431"] = json!({
            "description": "`head_too_large`: URL and headers have more than 32 KiB together, or there are more than 100 headers",
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
        });
        for parameter in elements(operation.1, "/parameters") {
            let name = parameter["name"].as_str().unwrap_or_default().to_owned();
            without_null(&mut parameter["schema"]);
            restrict(&name, &mut parameter["schema"]);
            match name.as_str() {
                // Rules are set for all tenants, too, and tried in one.
                "tenant"
                    if (of_rules && !path.ends_with("/test"))
                        || (of_types && !path.ends_with("/preview")) =>
                {
                    parameter["schema"]["pattern"] = grammar::tenant_or_all().into()
                }
                "name" if path == "/v1/activity" => parameter["schema"] = grammar::activity(),
                "state" if path == "/v1/events/{id}/deliveries" => {
                    parameter["schema"]["enum"] = json!(["unacked", "undelivered"]);
                }
                "state" if path.starts_with("/v1/webhooks/") => {
                    parameter["schema"]["enum"] = json!(["retrying", "parked"]);
                }
                "filter" => parameter["schema"]["enum"] = json!(["unread", "archived", "snoozed", "all"]),
                "list" => {
                    parameter["schema"]["enum"] =
                        json!(["not_acked", "acked", "seen", "delivered", "not_delivered"]);
                }
                "type" if !of_types && !path.ends_with("/test") => {
                    parameter["schema"] = grammar::types_that_begin_so();
                }
                "type" if of_types => parameter["schema"] = grammar::event_type(),
                "actor" | "action" | "target" if path == "/v1/audit" => {
                    parameter["schema"] = grammar::audited()
                }
                "by" if path == "/v1/analytics" => {
                    parameter["schema"]["enum"] =
                        json!(["type", "source", "actor", "priority", "hour", "day"]);
                    // oapi-codegen names a constant after each value, and `Priority` is a shape.
                    parameter["schema"]["x-enum-varnames"] =
                        json!(["ByType", "BySource", "ByActor", "ByPriority", "ByHour", "ByDay"]);
                }
                "priority" => {
                    parameter["schema"]["enum"] = json!(["low", "normal", "high", "urgent", "critical"]);
                }
                "compare" => parameter["schema"]["enum"] = json!(["previous"]),
                // A list in one text.
                "roles" if of_rules || path == "/v1/why" => {
                    parameter["schema"] = grammar::roles_with_commas();
                }
                "pattern" => {
                    parameter["schema"]["maxLength"] = limits::CHANNEL_BYTES.into();
                    parameter["schema"]["minLength"] = 1.into();
                    // Which characters; where braces and the star may stand, validation says.
                    parameter["schema"]["pattern"] = "^[A-Za-z0-9_.@:{}*-]+$".into();
                }
                _ => {}
            }
        }
        for (media, content) in members(operation.1, "/requestBody/content") {
            if media == "application/octet-stream" {
                content["schema"] = json!({"type": "string", "format": "binary"});
            }
            without_null(&mut content["schema"]);
            if content["schema"]["type"] == "array" {
                content["schema"]["minItems"] = 1.into();
                content["schema"]["maxItems"] = limits::EVENTS_PER_REQUEST.into();
            }
        }
    }
    for (name, shape) in members(document, "/components/schemas") {
        for (property, schema) in members(shape, "/properties") {
            if has_no_null(name) {
                without_null(schema);
            }
            if PUBLISHED.contains(&name.as_str()) {
                restrict(property, schema);
            }
        }
        match name.as_str() {
            "PlainEvent" => {
                shape["additionalProperties"] = false.into();
                between_fields(shape, plain_event());
            }
            "CloudEvent" => {
                let known: Map<String, Value> =
                    members(shape, "/properties").map(|(name, _)| (name.clone(), json!({}))).collect();
                shape["additionalProperties"] = true.into();
                between_fields(shape, cloud_event(known));
            }
            "Notify" | "NoticeBody" => {
                shape["additionalProperties"] = false.into();
                between_fields(shape, notice());
            }
            "NoticeAudience" => {
                shape["additionalProperties"] = false.into();
                ["channels", "roles", "users"]
                    .into_iter()
                    .for_each(|name| restrict(name, &mut shape["properties"][name]));
                let mut somebody = [some("channels"), some("users"), some("roles"), yes("tenant")];
                for (list, alternative) in ["channels", "users", "roles"].iter().zip(&mut somebody) {
                    // Linters want to know of what an array is.
                    let array = json!({"type": "array", "items": {}, "minItems": 1});
                    alternative["properties"][list] = array;
                }
                between_fields(shape, json!({"anyOf": somebody}));
            }
            "ApiKeyChange" => {
                shape["additionalProperties"] = false.into();
                shape["properties"]["name"]["pattern"] = grammar::a_name();
            }
            "ApiKeyBody" => {
                shape["additionalProperties"] = false.into();
                shape["properties"]["name"]["pattern"] = grammar::a_name();
                let scopes =
                    json!({"items": {"type": "string", "enum": ["publish", "read", "admin"]}, "minItems": 1});
                extend(&mut shape["properties"]["scopes"], scopes);
            }
            "EscalationStep" => {
                shape["additionalProperties"] = false.into();
                shape["properties"]["after"]["pattern"] = grammar::after().into();
            }
            "RotationBody" | "UpToBody" | "SnoozeBody" | "LimitsBody" => {
                shape["additionalProperties"] = false.into();
            }
            "ChannelRuleBody" => {
                members(shape, "/properties").for_each(|(_, schema)| without_null(schema));
                shape["additionalProperties"] = false.into();
                for who in ["subscribe", "publish", "signal", "presence", "history"] {
                    shape["properties"][who]["items"]["pattern"] = grammar::whom().into();
                }
                shape["properties"]["client_types"]["items"] = grammar::types_that_begin_so();
            }
            "EventTypeBody" => {
                shape["additionalProperties"] = false.into();
                shape["properties"]["priority"]["enum"] =
                    json!(["low", "normal", "high", "urgent", "critical"]);
                // The same grammar as a notice's; the shape of answers has no patterns.
                shape["properties"]["audience"]["$ref"] = "#/components/schemas/NoticeAudience".into();
                let by_language =
                    json!({"propertyNames": {"pattern": grammar::LOCALE}, "maxProperties": LOCALES});
                extend(&mut shape["properties"]["locales"], by_language);
                extend(&mut shape["properties"]["title"], grammar::a_template(TITLE_BYTES));
                extend(&mut shape["properties"]["body"], grammar::a_template(BODY_BYTES));
                let with_title = json!({"dependentRequired": {"body": ["title"], "locales": ["title"]}});
                between_fields(shape, with_title);
            }
            "PreviewBody" | "PreferencesBody" | "PreferenceDefaultsBody" => {
                shape["additionalProperties"] = false.into();
                shape["properties"]["locale"]["pattern"] = grammar::LOCALE.into();
                if shape["properties"]["types"].is_object() {
                    let names = grammar::types_that_begin_so();
                    let by_type = json!({"propertyNames": names, "maxProperties": PATTERNS});
                    extend(&mut shape["properties"]["types"], by_type);
                }
            }
            "MeansShown" | "QuietHoursShown" => shape["additionalProperties"] = false.into(),
            "TextsShown" => {
                shape["additionalProperties"] = false.into();
                extend(&mut shape["properties"]["title"], grammar::a_template(TITLE_BYTES));
                extend(&mut shape["properties"]["body"], grammar::a_template(BODY_BYTES));
                shape["minProperties"] = 1.into();
            }
            "RangeShown" => {
                shape["additionalProperties"] = false.into();
                let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
                shape["properties"]["days"]["items"]["enum"] = json!(days);
            }
            "WebhookBody" | "RotateBody" => {
                shape["additionalProperties"] = false.into();
                shape["properties"]["secret"]["pattern"] = grammar::signing_secret().into();
                if shape["properties"]["url"].is_object() {
                    extend(&mut shape["properties"]["url"], grammar::a_url());
                }
                for (name, item) in [
                    ("types", grammar::types_that_begin_so()),
                    ("channels", grammar::channels_that_begin_so()),
                ] {
                    if shape["properties"][name].is_object() {
                        extend(&mut shape["properties"][name], json!({"items": item, "maxItems": 16}));
                    }
                }
            }
            "ReplayBody" => shape["additionalProperties"] = false.into(),
            "TenantSettingsBody" => {
                for flag in ["rotate_authorize_secret", "suspended"] {
                    without_null(&mut shape["properties"][flag]);
                }
                extend(&mut shape["properties"]["authorize_url"], grammar::a_url());
                shape["additionalProperties"] = false.into();
                let url = json!({"properties": {"authorize_url": {"type": "string"}}});
                let rotates = json!({"anyOf": [{"not": yes("rotate_authorize_secret")}, url]});
                between_fields(shape, rotates);
            }
            "TenantSettings" => {
                for left_out in ["authorize_secret", "authorize_secret_before_until", "limits"] {
                    without_null(&mut shape["properties"][left_out]);
                }
            }
            "WebsocketHealth" => {
                for whole in ["connections", "gateways"] {
                    without_null(&mut shape["properties"][whole]);
                }
            }
            "StoredEvent" => shape["additionalProperties"] = true.into(),
            _ => {}
        }
    }
}

/// Says which texts it takes.
fn restrict(name: &str, schema: &mut Value) {
    if let Some(mut keywords) = grammar::of(name) {
        if schema["type"].is_array() {
            // Null stays what it was.
            keywords.as_object_mut().map(|keywords| keywords.remove("type"));
        }
        extend(schema, keywords);
    }
}

fn extend(schema: &mut Value, keywords: Value) {
    if let (Some(schema), Value::Object(keywords)) = (schema.as_object_mut(), keywords) {
        schema.extend(keywords);
    }
}

/// utoipa makes of an `Option` what may be null.
fn without_null(schema: &mut Value) {
    if let Some(kinds) = schema["type"].as_array_mut() {
        kinds.retain(|kind| kind != "null");
        if let [kind] = &kinds[..] {
            schema["type"] = kind.clone();
        }
    }
    let Some(schema) = schema.as_object_mut() else { return };
    schema.retain(|_, value| !value.is_null());
    if let Some(Value::Array(alternatives)) = schema.remove("oneOf") {
        let rest = alternatives.into_iter().filter(|alternative| alternative["type"] != "null");
        schema.extend(rest.filter_map(|alternative| alternative.as_object().cloned()).flatten());
    }
}

fn between_fields(shape: &mut Value, rules: Value) {
    shape["if"] = json!({"type": "object"});
    shape["then"] = rules;
}

fn plain_event() -> Value {
    json!({
        "$comment": "Somebody it is for, and channels in one way.",
        "anyOf": [some("channels"), one("channel"), some("users"), some("roles"), yes("tenant_wide")],
        "not": {"properties": {"channel": {}, "channels": {}}, "required": ["channel", "channels"]},
    })
}

fn cloud_event(known: Map<String, Value>) -> Value {
    let names: Vec<&str> = known.keys().map(String::as_str).filter(|name| name.contains('_')).collect();
    json!({
        "$comment": "Somebody it is for, data in one way, and names and values of extension attributes.",
        "anyOf": [some("channels"), some("users"), some("roles"), yes("tenantwide")],
        "not": {"properties": {"data": {}, "data_base64": {}}, "required": ["data", "data_base64"]},
        "propertyNames": {"pattern": format!("^(?:[a-z0-9]{{1,20}}|{})$", names.join("|"))},
        "properties": known,
        "additionalProperties": {"type": ["string", "number", "boolean"]},
    })
}

fn notice() -> Value {
    let nothing = json!({"type": "null"});
    let undelivered = json!({"properties": {"who": {"const": "not_delivered"}}, "required": ["who"]});
    json!({
        "$comment": "Text, or what templates fill it with; who is told that nobody took note has asked for that.",
        "allOf": [
            {"anyOf": [
                {"properties": {"title": {"type": "string"}, "template": nothing, "vars": nothing}, "required": ["title"]},
                {"properties": {"title": nothing, "body": nothing}},
            ]},
            {"anyOf": [
                {"properties": {"requires_ack": {"enum": [true, null]}}},
                {"properties": {"escalate": {"items": undelivered}}},
            ]},
        ],
    })
}

fn some(list: &str) -> Value {
    json!({"properties": {list: {"minItems": 1}}, "required": [list]})
}

fn one(name: &str) -> Value {
    json!({"properties": {name: {}}, "required": [name]})
}

fn yes(flag: &str) -> Value {
    json!({"properties": {flag: {"const": true}}, "required": [flag]})
}

fn members<'a>(value: &'a mut Value, pointer: &str) -> impl Iterator<Item = (&'a String, &'a mut Value)> {
    value.pointer_mut(pointer).and_then(Value::as_object_mut).into_iter().flatten()
}

fn elements<'a>(value: &'a mut Value, pointer: &str) -> impl Iterator<Item = &'a mut Value> {
    value.pointer_mut(pointer).and_then(Value::as_array_mut).into_iter().flatten()
}
