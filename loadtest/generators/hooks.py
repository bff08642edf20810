"""What can no schema say of a request, so that the fuzzer must not choose it?

A cursor is what a page gave; a key or an id that comes again with something else is refused because of what is in the log; with credentials
for every tenant a request names one; an event is for somebody, which no schema can say of several headers; and who is disconnected is one
user, device or connection. Where braces and a star stand in the pattern of a channel rule, and that `self` needs `{user}` in it: so it has
none. Where a log ends, from where a webhook is replayed at most; whether there is a secret to be rotated. Which of two times is the
earlier, and whether one is still to come; that a notice without text has a type with templates and one without an audience a type that has
one, and data the shape that its type's schema wants, which the fuzzer itself has set: so it sets none. Which time zones there are, to which
URLs an installation lets tenants lead, and what is a template. That quiet hours end at another time than they begin.

And one thing that the document keeps to itself: null counts as not given, where it means nothing else. Described, generators of
clients would make a type of its own of every field that may be left out.
"""

import re
import uuid
from datetime import UTC, datetime, timedelta

import schemathesis

# What the fuzzer fills a header with whose pattern is too much for it.
FILLED = re.compile("0*")
TENANT = re.compile("[a-z0-9][a-z0-9_-]{0,62}")
TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d")


def as_objects(by_name):
    """The objects that an object holds."""
    return [value for value in by_name.values() if isinstance(value, dict)] if isinstance(by_name, dict) else []


def resolved(schema, document):
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def may_be_null(schema, document):
    schema = resolved(schema, document)
    kinds = schema.get("type", "null" if not {"oneOf", "anyOf", "enum", "const"} & set(schema) else "")
    alternatives = schema.get("oneOf", []) + schema.get("anyOf", [])
    return "null" in kinds or any(may_be_null(one, document) for one in alternatives)


def leaves_out(value, schema, document):
    """Whether null stands for a field that is not given."""
    schema = resolved(schema, document)
    if isinstance(value, list):
        return any(leaves_out(item, schema.get("items", {}), document) for item in value)
    if not isinstance(value, dict):
        return any(leaves_out(value, one, document) for one in schema.get("oneOf", []))
    for name, inner in schema.get("properties", {}).items():
        if name not in value:
            continue
        if value[name] is None and name not in schema.get("required", []) and not may_be_null(inner, document):
            return True
        if leaves_out(value[name], inner, document):
            return True
    return any(leaves_out(value, one, document) for one in schema.get("oneOf", []))


@schemathesis.hook
def filter_body(context, body):
    document = context.operation.schema.raw_schema
    content = document["paths"][context.operation.path][context.operation.method.lower()]["requestBody"]["content"]
    return not any(leaves_out(body, one["schema"], document) for one in content.values() if "schema" in one)


@schemathesis.hook
def before_call(context, case, kwargs):
    case.query = {name: value for name, value in (case.query or {}).items() if name not in ("after", "before")}
    if any(parameter.name == "tenant" for parameter in case.operation.query):
        case.query.setdefault("tenant", "fuzzed")
        # The token's; of any other it is refused as a whole.
        if case.operation.path.startswith("/v1/inbox") and TENANT.fullmatch(str(case.query["tenant"])):
            case.query["tenant"] = "fuzzed"
    # Whose settings it has seen in a list; suspended, everything else would be refused.
    if case.operation.label == "PUT /v1/tenants/{tenant}" and case.path_parameters["tenant"] == "fuzzed":
        case.path_parameters["tenant"] = "another"
    if case.operation.label == "DELETE /v1/connections":
        if "connection" in case.query:
            case.query = {name: value for name, value in case.query.items() if name not in ("user", "device")}
        elif "device" not in case.query:
            case.query.setdefault("user", "nobody")
    if case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
    if case.headers and FILLED.fullmatch(str(case.headers.get("X-Carillon-Connection", "x"))):
        case.headers["X-Carillon-Connection"] = "gateway-1-0000000a-0-4-7"
    if case.headers and "ce-id" in case.headers:
        case.headers["ce-id"] = str(uuid.uuid4())
        case.headers["ce-tenantwide"] = "true"
    if case.operation.path == "/v1/channel-rules/{pattern}":
        pattern = str(case.path_parameters["pattern"])
        case.path_parameters["pattern"] = re.sub(r"[{}*]", "_", pattern)
        if isinstance(case.body, dict):
            for who in ("subscribe", "publish", "signal", "presence", "history"):
                if isinstance(case.body.get(who), list):
                    case.body[who] = ["anyone" if name == "self" else name for name in case.body[who]]
    if case.operation.path in ("/v1/analytics", "/v1/audit"):
        case.query.pop("from", None)
    if case.operation.path in ("/v1/preferences", "/v1/preferences/test", "/v1/why"):
        case.query.setdefault("user", "nobody")
    if isinstance(case.body, dict):
        if case.operation.path.startswith("/v1/api-keys") and isinstance(case.body.get("expires_at"), str):
            case.body["expires_at"] = "2100-01-01T00:00:00Z"
        if case.operation.path.startswith("/v1/event-types"):
            case.body.pop("schema", None)
            for texts in [case.body, *as_objects(case.body.get("locales"))]:
                for member in ("title", "body"):
                    if isinstance(texts.get(member), str):
                        texts[member] = texts[member].replace("{", "(")
        if isinstance(case.body.get("from_seq"), (int, float)):
            case.body["from_seq"] = min(case.body["from_seq"], 1)
        if case.body.get("rotate_authorize_secret") is True and case.body.get("authorize_url") is None:
            case.body["authorize_url"] = "https://app.example/carillon"
        if TIME.match(str(case.body.get("until"))):
            case.body["until"] = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        for member in ("authorize_url", "url"):
            if str(case.body.get(member)).startswith(("https://", "http://")):
                case.body[member] = "https://app.example/carillon"
        if isinstance(case.body.get("quiet_hours"), dict):
            if isinstance(case.body["quiet_hours"].get("zone"), str):
                case.body["quiet_hours"]["zone"] = "Europe/Berlin"
            ranges = case.body["quiet_hours"].get("ranges")
            for hours in ranges if isinstance(ranges, list) else []:
                if isinstance(hours, dict) and "from" in hours and hours["from"] == hours.get("to"):
                    hours["from"], hours["to"] = "00:00", "24:00"
    events = case.body if isinstance(case.body, list) else [case.body]
    for event in events:
        if not isinstance(event, dict):
            continue
        if "id" in event:
            event["id"] = str(uuid.uuid4())
        notice = event if case.operation.path in ("/v1/notices", "/v1/dry-runs/notices") else event.get("notify")
        if notice is event and event.get("audience") is None:
            event["audience"] = {"tenant": True}
        if isinstance(notice, dict) and notice.get("title") is None:
            notice["title"] = "A title"
            for member in ("template", "vars"):
                notice.pop(member, None)
