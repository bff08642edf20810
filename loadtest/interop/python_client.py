"""Can Python's `websockets` use Carillon?"""

import asyncio
import json
import os
import platform
import sys
import traceback
import urllib.request
from urllib.parse import quote, urlencode

import websockets
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

GATEWAYS = os.environ["CARILLON_GATEWAYS"].split(",")
FIRST = GATEWAYS[0]
PUBLISHER = os.environ["CARILLON_PUBLISHER"]
API_KEY = os.environ["CARILLON_API_KEY"]
TENANT = os.environ["CARILLON_TENANT"]
TOKEN = os.environ["CARILLON_TOKEN"]
TOKEN_OF_TWO = os.environ["CARILLON_TOKEN_OF_TWO"]
PATIENCE = 5


def publish(**event):
    """Publishes one event and returns its acknowledgement."""
    body = json.dumps({"tenant": TENANT, "data": {}, **event}).encode()
    headers = {"authorization": f"Bearer {API_KEY}", "content-type": "application/json"}
    request = urllib.request.Request(f"{PUBLISHER}/v1/events", body, headers)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        assert answer.status == 201, answer.status
        return json.load(answer)


def set_rule(pattern, rule):
    """Sets a channel rule."""
    url = f"{PUBLISHER}/v1/channel-rules/{quote(pattern, safe='')}?tenant={TENANT}"
    headers = {"authorization": f"Bearer {API_KEY}", "content-type": "application/json"}
    request = urllib.request.Request(url, json.dumps(rule).encode(), headers, method="PUT")
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        assert answer.status == 200, answer.status


def session(gateway, *, query=None, header=True, **options):
    """A connection with the token in the header, unless another place is asked for."""
    url = f"{gateway}?{urlencode(query)}" if query else gateway
    if header:
        options["additional_headers"] = {"authorization": f"Bearer {TOKEN}"}
    return connect(url, proxy=None, open_timeout=PATIENCE, **options)


async def frame(ws, wanted):
    """The next frame that is wanted; others are skipped."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = json.loads(await ws.recv())
            if wanted(found):
                return found


async def welcome(ws):
    found = await frame(ws, lambda _: True)
    assert found["type"] == "welcome", found
    return found


async def ask(ws, **request):
    await ws.send(json.dumps(request))
    answers = ("ok", "error", "pong", "welcome")
    return await frame(ws, lambda f: f.get("id") == request["id"] and f["type"] in answers)


async def close_code(ws):
    """The code the gateway closes with; frames before are skipped."""
    async with asyncio.timeout(PATIENCE):
        try:
            while True:
                await ws.recv()
        except ConnectionClosed as closed:
            assert closed.rcvd is not None, f"no close frame: {closed}"
            return closed.rcvd.code


async def token_in_the_header():
    async with session(FIRST) as ws:
        seen = await welcome(ws)
        assert seen["tenant"] == TENANT and "tenant" in seen["channels"], seen
        assert (await ask(ws, type="ping", id=1, data=[1]))["data"] == [1]
    assert ws.close_code == 1000, ws.close_code


async def token_in_the_subprotocol():
    async with session(FIRST, header=False, subprotocols=["carillon.v1", f"bearer.{TOKEN}"]) as ws:
        await welcome(ws)
        assert ws.subprotocol == "carillon.v1", ws.subprotocol


async def token_in_the_query():
    async with session(FIRST, header=False, query={"token": TOKEN}) as ws:
        await welcome(ws)


async def token_in_the_first_frame():
    async with session(FIRST, header=False) as ws:
        await ws.send(json.dumps({"type": "auth", "token": TOKEN}))
        await welcome(ws)


async def a_bad_token_is_refused_with_401():
    try:
        async with session(FIRST, header=False, query={"token": "bad"}):
            raise AssertionError("was let in")
    except InvalidStatus as refused:
        assert refused.response.status_code == 401, refused


async def a_forbidden_channel_is_named():
    async with session(FIRST) as ws:
        await welcome(ws)
        assert (await ask(ws, type="subscribe", id="s", channels=["contact:1"]))["type"] == "ok"
        refused = await ask(ws, type="subscribe", id="f", channels=["contact:2", "secret:1"])
        assert (refused["code"], refused["channels"]) == ("forbidden", ["secret:1"]), refused


async def what_one_says_and_types_the_others_in_the_channel_hear():
    set_rule("page:{page}", {"subscribe": ["anyone"], "publish": ["anyone"], "signal": ["anyone"]})
    async with session(FIRST) as speaker, session(GATEWAYS[-1]) as listener:
        for ws in (speaker, listener):
            await welcome(ws)
            async with asyncio.timeout(PATIENCE):
                while (await ask(ws, type="subscribe", id="s", channel="page:2"))["type"] != "ok":
                    await asyncio.sleep(0.05)
        event = {"type": "moved", "data": {"x": 1}}
        assert await ask(speaker, type="publish", id="p", channel="page:2", event=event) == {"type": "ok", "id": "p"}
        await ask(speaker, type="typing", id="t", channel="page:2", state="start")
        said = await frame(listener, lambda f: f["type"] == "signal")
        assert said == {"type": "signal", "channel": "page:2", "from": "tester", "event": event}, said
        for state in ("start", "stop"):
            typing = await frame(listener, lambda f: f["type"] == "signal")
            assert typing["event"] == {"type": "typing", "data": {"state": state}}, typing
            await speaker.close()


async def subscribed(ws, channel, **more):
    """Subscribes, once the rule has come to this gateway."""
    async with asyncio.timeout(PATIENCE):
        while True:
            answer = await ask(ws, type="subscribe", id="s", channel=channel, **more)
            if answer["type"] == "ok":
                return answer
            await asyncio.sleep(0.05)


async def who_is_here_is_told_with_their_coming_and_going():
    set_rule("branch:{branch}", {"subscribe": ["anyone"], "presence": ["anyone"]})
    async with session(FIRST) as ws:
        await welcome(ws)
        seen = (await subscribed(ws, "branch:2", presence=True))["presence"]["branch:2"]
        assert [member["user"] for member in seen["members"]] == ["tester"], seen
        assert (await ask(ws, type="presence", id="m", channel="branch:2", meta={"desk": 4}))["type"] == "ok"
        updated = await frame(ws, lambda f: f["type"] == "presence" and f["updated"])
        assert updated["updated"][0]["meta"] == {"desk": 4}, updated
        asked = await ask(ws, type="presence", id="a", channel="branch:2")
        assert asked["presence"]["branch:2"]["count"] == 1, asked


async def some_types_alone_and_the_latest_event_of_every_key_first():
    for sent in (10, 40):
        publish(type="campaign.progress", channels=["contact:21"], key="campaign-4", data={"sent": sent})
    last = publish(type="note", channels=["contact:21"])["seq"]
    async with session(FIRST) as ws:
        await welcome(ws)
        async with asyncio.timeout(PATIENCE):
            while (await ask(ws, type="ping", id="p"))["seq"] < last:
                await asyncio.sleep(0.05)
        await ask(ws, type="subscribe", id="l", channel="contact:21", types=["campaign.*"], latest=True)
        latest = await frame(ws, lambda f: f["type"] == "event")
        assert (latest["replay"], latest["event"]["data"]) == ("l", {"sent": 40}), latest
        assert (await frame(ws, lambda f: f["type"] == "replayed"))["count"] == 1
        publish(type="note", channels=["contact:21"])
        publish(type="campaign.completed", channels=["contact:21"])
        live = await frame(ws, lambda f: f["type"] == "event")
        assert live["event"]["type"] == "campaign.completed", live


async def published_into_the_log_acknowledged_by_a_device_and_what_was_done():
    set_rule("approvals", {"subscribe": ["anyone"], "publish": ["anyone"], "durable": True})
    async with session(FIRST, query={"device": "laptop"}) as ws:
        await welcome(ws)
        await subscribed(ws, "approvals")
        event = {"type": "approval.asked", "id": "trip-13", "data": {"trip": "Museum"}}
        # The event may come before the answer.
        await ws.send(json.dumps({"type": "publish", "id": 1, "channel": "approvals", "event": event}))
        first, second = [await frame(ws, lambda f: f["type"] in ("ok", "event", "error")) for _ in range(2)]
        stored = first if first["type"] == "ok" else second
        assert (stored["type"], stored["event"]) == ("ok", "trip-13"), (first, second)
        again = await ask(ws, type="publish", id=2, channel="approvals", event=event)
        assert again["seq"] == stored["seq"], "a repeat is the same event"
        assert (await ask(ws, type="ack", id=3, seq=stored["seq"]))["type"] == "ok"
        assert (await ask(ws, type="ack", id=4, seq=stored["seq"] + 1000))["code"] == "ack_ahead"
        assert (await ask(ws, type="activity", id=5, name="page.opened", data={"path": "/"}))["type"] == "ok"
        assert (await ask(ws, type="activity", id=6, name="no spaces"))["code"] == "invalid_frame"


async def two_tenants_on_one_connection():
    second = f"{TENANT}-2"
    async with session(FIRST, header=False, query={"token": TOKEN_OF_TWO}) as ws:
        assert (await welcome(ws))["tenant"] == TENANT
        attached = await ask(ws, type="attach", id="a", tenant=second)
        assert (attached["type"], attached["tenant"], attached["roles"]) == ("welcome", second, ["head"]), attached
        for tenant in (second, TENANT):
            sent = publish(tenant=tenant, type="fee.paid", roles=["head"])
            await frame(ws, lambda f: f["type"] == "event" and (f["tenant"], f["seq"]) == (tenant, sent["seq"]))
        left = await ask(ws, type="detach", id="d", tenant=second)
        assert (left["type"], left["tenant"]) == ("ok", second), left
        switched = await ask(ws, type="switch", id="s", tenant=second)
        assert (switched["type"], switched["tenant"]) == ("welcome", second), switched
        publish(type="fee.paid", roles=["head"])
        sent = publish(tenant=second, type="fee.paid", roles=["head"])
        alone = await frame(ws, lambda f: f["type"] == "event")
        assert (alone["seq"], "tenant" in alone) == (sent["seq"], False), f"of the tenant that was left: {alone}"


async def unknown_types_and_bad_json_are_answered_and_the_connection_stays():
    async with session(FIRST) as ws:
        await welcome(ws)
        assert (await ask(ws, type="dance", id=7))["code"] == "unknown_type"
        await ws.send('{"type":')
        await frame(ws, lambda f: f["type"] == "error" and f["code"] == "invalid_json")
        assert (await ask(ws, type="ping", id=9))["type"] == "pong"


async def an_unmasked_frame_is_closed_with_4400():
    async with session(FIRST) as ws:
        await welcome(ws)
        ws.transport.write(b"\x81\x02{}")
        assert await close_code(ws) == 4400


async def text_that_is_not_utf8_is_closed_with_4400():
    async with session(FIRST) as ws:
        await welcome(ws)
        await ws.send(b"\xff\xfe", text=True)
        assert await close_code(ws) == 4400


async def a_fragmented_message_is_one_message():
    async with session(FIRST) as ws:
        await welcome(ws)
        await ws.send(['{"type":"pi', 'ng","id"', ":3}"])
        assert (await frame(ws, lambda f: f["type"] == "pong"))["id"] == 3


async def a_message_above_the_limit_is_closed_with_1009():
    async with session(FIRST) as ws:
        limit = (await welcome(ws))["limits"]["message_bytes"]
        await ws.send("x" * (limit + 1))
        assert await close_code(ws) == 1009


class Flow:
    """Publishes to `contact:1`, to everyone and to a channel we are not in, in turn."""

    def __init__(self):
        self.ours = []
        self.going = True
        self.task = asyncio.create_task(self.run())

    async def run(self):
        targets = [{"channels": ["contact:1"]}, {"tenant_wide": True}, {"channels": ["contact:2"]}]
        n = 0
        while self.going:
            ack = await asyncio.to_thread(publish, type="message.received", **targets[n % 3])
            if n % 3 != 2:
                self.ours.append(ack["seq"])
            n += 1

    async def stop(self):
        self.going = False
        await self.task
        return self.ours


async def cut_off_again_and_again_nothing_is_missed_or_seen_twice():
    seen, nodes, behind = [], set(), False

    async def collect(ws, enough):
        while not enough():
            found = await frame(ws, lambda f: f["type"] == "event")
            assert "replay" not in found
            seen.append(found["seq"])

    ws = await session(FIRST)
    await welcome(ws)
    epoch = (await ask(ws, type="subscribe", id="s", channel="contact:1"))["epoch"]
    flow = Flow()
    for turn in range(1, 7):
        goal = len(seen) + 10
        await collect(ws, lambda: len(seen) >= goal)
        ws.transport.abort()
        missed = len(flow.ours) + 10
        async with asyncio.timeout(PATIENCE * 2):
            while len(flow.ours) < missed:
                assert not flow.task.done(), flow.task.exception()
                await asyncio.sleep(0.005)
        query = {"since": seen[-1], "epoch": epoch, "channels": "contact:1"}
        ws = await session(GATEWAYS[turn % len(GATEWAYS)], query=query)
        back = await welcome(ws)
        # A node that has not heard of what was missed yet says `live`, and tells it then.
        assert back["resumed"] in ("replay", "live") and back["epoch"] == epoch, back
        behind = behind or back["resumed"] == "replay"
        nodes.add(back["node"])
    expected = await flow.stop()
    await collect(ws, lambda: seen[-1] >= expected[-1])
    ours = [seq for seq in seen if seq >= expected[0]]
    assert ours == expected, f"saw {seen}\nexpected {expected}"
    assert behind, "one of six at least was behind"
    assert len(nodes) >= 2, "at least two gateways took part"
    await ws.close()


CHECKS = [
    token_in_the_header,
    token_in_the_subprotocol,
    token_in_the_query,
    token_in_the_first_frame,
    a_bad_token_is_refused_with_401,
    a_forbidden_channel_is_named,
    what_one_says_and_types_the_others_in_the_channel_hear,
    who_is_here_is_told_with_their_coming_and_going,
    some_types_alone_and_the_latest_event_of_every_key_first,
    published_into_the_log_acknowledged_by_a_device_and_what_was_done,
    two_tenants_on_one_connection,
    unknown_types_and_bad_json_are_answered_and_the_connection_stays,
    an_unmasked_frame_is_closed_with_4400,
    text_that_is_not_utf8_is_closed_with_4400,
    a_fragmented_message_is_one_message,
    a_message_above_the_limit_is_closed_with_1009,
    cut_off_again_and_again_nothing_is_missed_or_seen_twice,
]


async def main():
    failed = 0
    for check in CHECKS:
        name = check.__name__.replace("_", " ")
        try:
            async with asyncio.timeout(60):
                await check()
            print(f"  ok    {name}")
        except Exception:
            failed += 1
            print(f"  FAIL  {name}: {traceback.format_exc()}")
    client = f"Python {platform.python_version()}, websockets {websockets.__version__}"
    if failed:
        print(f"{client}: {failed} of {len(CHECKS)} checks FAILED")
    else:
        print(f"{client}: all {len(CHECKS)} checks hold")
    if "CARILLON_RESULT" in os.environ:
        with open(os.environ["CARILLON_RESULT"], "w") as result:
            result.write(f"{len(CHECKS) - failed} {failed}\n")
    return 1 if failed else 0


sys.exit(asyncio.run(main()))
