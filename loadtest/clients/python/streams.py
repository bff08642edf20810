"""What does every Python client of event streams here do? `streams.py NAME` prints what it gets, until its input ends.

`open`, `event <id> <data>`, `error <why>` and `end <why>` (it will not come back) are the lines of the standard output.
"""

import os
import sys
import threading

from pipe import leave, say

URL = os.environ["SSE_URL"]
BEARER = os.environ.get("SSE_BEARER", "")
HEADERS = {"Authorization": f"Bearer {BEARER}"} if BEARER else {}
# Whether the setting that the table names is to be used.
SETTING = os.environ.get("SSE_SETTING") == "1"


def line(text):
    return str(text or "").replace("\n", " ")


def event(id, data):
    say("event", f"{id or ''} {line(data)}")


def httpx_sse():
    import httpx
    from httpx_sse import connect_sse

    with httpx.Client(**({"timeout": None} if SETTING else {})) as client:
        with connect_sse(client, "GET", URL, headers=HEADERS) as source:
            for message in source.iter_sse():
                event(message.id, message.data)


def sseclient_py():
    import requests
    from sseclient import SSEClient

    answer = requests.get(URL, headers={"Accept": "text/event-stream", **HEADERS}, stream=True)
    answer.raise_for_status()
    for message in SSEClient(answer).events():
        event(message.id, message.data)


def sseclient():
    from sseclient import SSEClient

    for message in SSEClient(URL, headers=HEADERS):
        event(message.id, message.data)


def requests_sse():
    from requests_sse import EventSource

    with EventSource(URL, headers=HEADERS) as source:
        for message in source:
            event(message.last_event_id, message.data)


def launchdarkly():
    from ld_eventsource import SSEClient
    from ld_eventsource.config import ConnectStrategy, ErrorStrategy

    strategy = ErrorStrategy.always_continue() if "SSE_CONTINUE" in os.environ else ErrorStrategy.always_fail()
    client = SSEClient(ConnectStrategy.http(URL, headers=HEADERS), error_strategy=strategy)
    for message in client.events:
        event(message.last_event_id, message.data)


def run(client):
    try:
        client()
        say("end", "no more")
    except Exception as error:
        say("end", f"{type(error).__name__}: {line(error)}")


threading.Thread(target=run, args=[globals()[sys.argv[1]]], daemon=True).start()
sys.stdin.read()
leave()
