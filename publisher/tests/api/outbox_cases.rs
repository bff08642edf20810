//! Which events are tried both over HTTP and in a transaction?

use serde_json::{Value, json};

fn nested(levels: usize) -> Value {
    (0..levels)
        .fold(json!(1), |inner, level| if level % 2 == 0 { json!([inner]) } else { json!({"a": inner}) })
}

/// The same events for both ways in.
pub(crate) fn cases() -> Vec<(&'static str, Value)> {
    let with = |more: Value| {
        let mut event =
            json!({"type": "order.paid", "channels": ["order:1"], "time": "2026-03-01T09:30:00.25Z"});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    let names = |n: usize| (0..n).map(|n| format!("c{n}")).collect::<Vec<_>>();
    // With `id` and so on this event has exactly as many bytes as are allowed.
    let fit = |more: usize| {
        let frame = json!({"specversion": "1.0", "id": "e-fit", "source": "api", "type": "order.paid",
            "time": "2026-03-01T09:30:00.25Z", "data": {"a": [1, 2], "b": ""}});
        let room = 65_536 - frame.to_string().len() + more;
        with(json!({"id": "e-fit", "data": {"a": [1, 2], "b": ", \"\\: "
            .chars().cycle().take(room / 2).collect::<String>() }}))
    };
    let quotes =
        |bytes: usize| with(json!({"id": "q", "data": "x".repeat(bytes), "subject": "\"\\".repeat(128)}));
    vec![
        ("least", with(json!({"id": "e-least"}))),
        (
            "everything",
            with(
                json!({"id": "e 1/ü", "source": "shop", "subject": "o-17", "actor": "mila", "priority": "high",
            "key": "k", "users": ["42", "42", "Mila, 2"], "roles": ["cashier"], "tenant_wide": true,
            "data": {"n": 12.50, "t": "a\"\\\n, b: c ü\u{1F600}", "z": null, "list": [1, [], {}]}}),
            ),
        ),
        ("null is no data", with(json!({"id": "e-null", "data": null}))),
        ("a key that ends", with(json!({"id": "e-gone", "key": "k", "data": null}))),
        ("text as data", with(json!({"id": "e-text", "data": "x"}))),
        ("no type", json!({"channels": ["a"]})),
        ("empty type", with(json!({"type": ""}))),
        ("two words", with(json!({"type": "order paid"}))),
        ("a wide space", with(json!({"type": "order\u{2003}paid"}))),
        ("no-break space", with(json!({"type": "order\u{a0}paid"}))),
        ("next line", with(json!({"type": "order\u{85}"}))),
        ("zero-width space is no white space", with(json!({"type": "order\u{200b}paid", "id": "e-zw"}))),
        ("long type", with(json!({"type": "x".repeat(256), "id": "e-long"}))),
        ("too long type", with(json!({"type": "x".repeat(257)}))),
        ("too long in bytes", with(json!({"type": "ü".repeat(129)}))),
        ("empty source", with(json!({"source": ""}))),
        ("control in subject", with(json!({"subject": "a\tb"}))),
        ("delete in subject", with(json!({"subject": "a\u{7f}b"}))),
        ("c1 control in actor", with(json!({"actor": "a\u{9f}b"}))),
        ("long actor", with(json!({"actor": "ü".repeat(64), "id": "e-actor"}))),
        ("too long actor", with(json!({"actor": "ü".repeat(65)}))),
        ("empty id", with(json!({"id": ""}))),
        ("too long id", with(json!({"id": "x".repeat(129)}))),
        ("priority", with(json!({"priority": "HIGH"}))),
        ("empty key", with(json!({"key": ""}))),
        ("too long key", with(json!({"key": "x".repeat(129)}))),
        ("no target", json!({"type": "t"})),
        ("empty target", json!({"type": "t", "channels": [], "users": [], "tenant_wide": false})),
        (
            "tenant wide",
            json!({"type": "t", "id": "e-wide", "time": "1970-01-01T00:00:00Z", "tenant_wide": true}),
        ),
        (
            "bad channels",
            with(json!({"channels": ["ok", "not ok", "", "ü", "a*", "user:", "role:\n", "user:ok ü"]})),
        ),
        ("null channel", with(json!({"channels": ["ok", null]}))),
        (
            "long channel",
            with(json!({"channels": ["c".repeat(128), format!("user:{}", "u".repeat(128))], "id": "e-chan"})),
        ),
        (
            "too long channel",
            with(json!({"channels": ["c".repeat(129), format!("role:{}", "u".repeat(129))]})),
        ),
        ("a newline at the end", with(json!({"channels": ["ok\n"]}))),
        ("bad users", with(json!({"users": ["", "a\u{1}", "u".repeat(129)]}))),
        ("bad roles", with(json!({"roles": ["", "ok"]}))),
        ("100 channels", with(json!({"channels": names(100), "id": "e-100"}))),
        ("101 channels", with(json!({"channels": names(101)}))),
        ("too many together", with(json!({"channels": names(100), "users": ["a"], "tenant_wide": true}))),
        ("100 with repeats", with(json!({"channels": names(99), "users": ["a", "a"], "id": "e-rep"}))),
        ("early", with(json!({"time": "1969-12-31T23:59:59Z"}))),
        ("late", with(json!({"time": "9999-12-31T23:59:59.999999Z", "id": "e-late"}))),
        ("63 levels", with(json!({"data": nested(63), "id": "e-63"}))),
        ("64 levels", with(json!({"data": nested(64)}))),
        ("100 levels", with(json!({"data": nested(100)}))),
        ("brackets in texts", with(json!({"data": {"t": "[{".repeat(200)}, "id": "e-br"}))),
        ("many flat brackets", with(json!({"data": vec![json!([]); 200], "id": "e-flat"}))),
        ("64 levels among many", with(json!({"data": [vec![json!({"s": "]}\""}); 100], nested(63)]}))),
        ("almost as large as allowed", fit(0)),
        ("as large as allowed", quotes(64_903)),
        ("a byte larger", quotes(64_904)),
        ("much larger", with(json!({"data": "x".repeat(200_000)}))),
        ("large and wide", with(json!({"data": vec![json!({"a": 1}); 9_000]}))),
        ("small and wide", with(json!({"data": vec![json!({"a": 1}); 7_000], "id": "e-sw"}))),
        (
            "a notice",
            with(
                json!({"id": "n-1", "notify": {"title": "T", "body": "a\nb\tc", "action": "/x", "group": "g", "priority": "low",
            "requires_ack": true, "escalate": [{"after": "5m", "to": "webhook:push"}], "expires_at": "2999-01-01T01:00:00.5+01:00", "data": {"n": [1, "a, b: c"]}}}),
            ),
        ),
        (
            "a notice of its event's data",
            with(json!({"id": "n-2", "data": {"a": 1}, "notify": {"title": "T", "body": null}})),
        ),
        ("no notice", with(json!({"id": "n-3", "notify": null}))),
        ("no object", with(json!({"notify": [1]}))),
        (
            "a notice with everything wrong",
            with(
                json!({"notify": {"title": "a\nb", "body": " \u{2003}", "action": " JavaScript:x", "group": "",
            "priority": "hot", "requires_ack": "yes", "expires_at": "tomorrow", "escalate": [{"after": "0s", "to": "sms:1", "who": "all", "if": 1}, 5, {}], "tit/le~": 1}}),
            ),
        ),
        (
            "wrong types",
            with(
                json!({"notify": {"title": 1, "body": [], "action": {}, "group": 1, "priority": 1, "requires_ack": 1, "expires_at": 1}}),
            ),
        ),
        (
            "too long",
            with(
                json!({"notify": {"title": "x".repeat(257), "body": "x".repeat(4097), "action": "x".repeat(2049), "group": "x".repeat(129), "data": "x".repeat(8192)}}),
            ),
        ),
        (
            "just as long",
            with(
                json!({"id": "n-4", "notify": {"title": "ü".repeat(256), "body": "ü".repeat(4096), "action": "x".repeat(2048), "group": "x".repeat(128), "data": {"a": [1, "x".repeat(8_180)]}}}),
            ),
        ),
        ("a day that is none", with(json!({"notify": {"title": "T", "expires_at": "2999-02-30T00:00:00Z"}}))),
        (
            "an hour that is none",
            with(json!({"notify": {"title": "T", "expires_at": "2999-02-20T24:00:00Z"}})),
        ),
        ("no offset", with(json!({"notify": {"title": "T", "expires_at": "2999-02-20T10:00:00"}}))),
        ("a body alone", with(json!({"notify": {"body": "B"}}))),
        ("a text and a template", with(json!({"notify": {"title": "T", "template": "x", "vars": 1}}))),
        ("variables that are none", with(json!({"notify": {"vars": [1], "template": 7}}))),
        ("no type fills it", with(json!({"notify": {}}))),
        ("no such template", with(json!({"notify": {"template": "nothing"}}))),
        ("filled", with(json!({"id": "n-5", "notify": {"template": "filled", "vars": {"n": 7}}}))),
        (
            "filled by its own type",
            with(json!({"id": "n-6", "type": "filled", "data": {"n": 8}, "notify": {"priority": "high"}})),
        ),
        (
            "several at once",
            json!({"type": "a b", "source": "", "priority": "x", "channels": ["a b"], "key": ""}),
        ),
    ]
}
