"""What can no schema say of a request, so that the fuzzer must not choose it?

A cursor is what a page gave; a key or an id that comes again with something else is refused because of what is in the log; with
credentials for every tenant a request names one; and an event is for somebody, which no schema can say of several headers.
"""

import uuid

import schemathesis


@schemathesis.hook
def before_call(context, case, kwargs):
    case.query = {name: value for name, value in (case.query or {}).items() if name not in ("after", "before")}
    case.query.setdefault("tenant", "generated")
    if case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
    if case.headers and "ce-id" in case.headers:
        case.headers["ce-id"] = str(uuid.uuid4())
        case.headers["ce-tenantwide"] = "true"
    events = case.body if isinstance(case.body, list) else [case.body]
    for event in events:
        if isinstance(event, dict) and "id" in event:
            event["id"] = str(uuid.uuid4())
