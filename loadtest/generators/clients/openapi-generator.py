"""Can openapi-generator's Python client publish and list?"""

import datetime

import openapi_client as carillon
from expect import KEY, TENANT, TYPE, UNIQUE, URL, check

api = carillon.EventsApi(carillon.ApiClient(carillon.Configuration(host=URL, access_token=KEY)))


def publish():
    now = datetime.datetime.now(datetime.timezone.utc)
    event = carillon.PlainEvent(type=TYPE, tenant=TENANT, users=["42"], data={"n": 1}, time=now)
    return api.publish_event(event, idempotency_key=UNIQUE).seq > 0


def batch():
    one = carillon.PlainEvent(type=TYPE, tenant=TENANT, channels=["contact:1"])
    other = carillon.PlainEvent(type=TYPE, tenant=TENANT, tenant_wide=True, priority="high")
    return len(api.publish_event_batch([one, other])) == 2


def cloudevent():
    event = carillon.CloudEvent(
        specversion="1.0", id=f"c-{UNIQUE}", source="/generated", type=TYPE, tenant=TENANT, channels=["contact:1"]
    )
    return api.publish_cloud_event(event).id == f"c-{UNIQUE}"


def binary():
    receipt = api.publish_binary_cloud_event(
        ce_specversion="1.0",
        ce_id=f"b-{UNIQUE}",
        ce_source="/generated",
        ce_type=TYPE,
        ce_tenant=TENANT,
        ce_users='["Smith, John"]',
        body=b"data",
    )
    return receipt.id == f"b-{UNIQUE}"


def listing():
    rows = api.list_events(tenant=TENANT, type=TYPE, limit=10).events
    return len(rows) == 5 and all(row.event.type == TYPE for row in rows)


check("publish", publish)
check("batch", batch)
check("CloudEvent", cloudevent)
check("binary", binary)
check("list", listing)
