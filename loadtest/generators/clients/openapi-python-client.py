"""Can a client of openapi-python-client publish and list?"""

import datetime
import io

from carillon_publisher_client import AuthenticatedClient
from carillon_publisher_client.api.events import (
    list_events,
    publish_binary_cloud_event,
    publish_cloud_event,
    publish_event,
    publish_event_batch,
)
from carillon_publisher_client.models import CloudEvent, PlainEvent, Priority, PublishBinaryCloudEventCeSpecversion
from carillon_publisher_client.types import File
from expect import KEY, TENANT, TYPE, UNIQUE, URL, check

client = AuthenticatedClient(base_url=URL, token=KEY)


def publish():
    now = datetime.datetime.now(datetime.timezone.utc)
    event = PlainEvent(type_=TYPE, tenant=TENANT, users=["42"], data={"n": 1}, time=now)
    return publish_event.sync(client=client, body=event, idempotency_key=UNIQUE).seq > 0


def batch():
    one = PlainEvent(type_=TYPE, tenant=TENANT, channels=["contact:1"])
    other = PlainEvent(type_=TYPE, tenant=TENANT, tenant_wide=True, priority=Priority.HIGH)
    return len(publish_event_batch.sync(client=client, body=[one, other])) == 2


def cloudevent():
    event = CloudEvent.from_dict(
        {
            "specversion": "1.0",
            "id": f"c-{UNIQUE}",
            "source": "/generated",
            "type": TYPE,
            "tenant": TENANT,
            "channels": ["contact:1"],
        }
    )
    return publish_cloud_event.sync(client=client, body=event).id == f"c-{UNIQUE}"


def binary():
    receipt = publish_binary_cloud_event.sync(
        client=client,
        body=File(payload=io.BytesIO(b"data")),
        ce_specversion=PublishBinaryCloudEventCeSpecversion.VALUE_0,
        ce_id=f"b-{UNIQUE}",
        ce_source="/generated",
        ce_type=TYPE,
        ce_tenant=TENANT,
        ce_users='["Smith, John"]',
    )
    return receipt.id == f"b-{UNIQUE}"


def listing():
    rows = list_events.sync(client=client, tenant=TENANT, type_=TYPE, limit=10).events
    return len(rows) == 5 and all(row.event.type_ == TYPE for row in rows)


check("publish", publish)
check("batch", batch)
check("CloudEvent", cloudevent)
check("binary", binary)
check("list", listing)
