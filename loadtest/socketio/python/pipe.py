"""What does every Python client here do? The same as node/pipe.mjs.

python pipe.py asyncio|threads
"""

import asyncio
import json
import os
import sys
import threading

import socketio

URL = os.environ["SIO_URL"]
NAMESPACE = os.environ["SIO_NAMESPACE"] or "/"
AUTH = json.loads(os.environ["SIO_AUTH"])
TRANSPORTS = os.environ["SIO_TRANSPORTS"].split(",")
RESUME = os.environ.get("SIO_RESUME") == "1"
cursor = None
telling = threading.RLock()


def say(**line):
    with telling:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def auth():
    """The library calls this whenever it connects."""
    return {**AUTH, "cursor": cursor} if RESUME and cursor else AUTH


def position(text):
    return int(text.rpartition(":")[2]) if text else -1


def came(event, args):
    """Handlers run in any order (each in a thread of its own), so the cursor that counts is the furthest."""
    global cursor
    with telling:
        for argument in args:
            if isinstance(argument, dict) and position(argument.get("cursor")) > position(cursor):
                cursor = argument["cursor"]
        say(event=event, args=args)


def refused(data):
    data = data if isinstance(data, dict) else {"message": data}
    say(refused={"message": data.get("message"), "data": data.get("data")})


OPTIONS = {"reconnection_delay": 0.1, "reconnection_delay_max": 0.5}
CONNECT = {"auth": auth, "transports": TRANSPORTS, "namespaces": [NAMESPACE], "wait_timeout": 10}


async def run_asyncio():
    client = socketio.AsyncClient(**OPTIONS)
    loop = asyncio.get_running_loop()

    async def connected():
        say(connect={"recovered": False, "transport": client.eio.transport()})

    async def disconnected(reason=None):
        say(disconnect=reason)

    async def catch_all(event, *args):
        came(event, args)

    async def not_let_in(data=None):
        refused(data)

    client.on("connect", connected, namespace=NAMESPACE)
    client.on("disconnect", disconnected, namespace=NAMESPACE)
    client.on("connect_error", not_let_in, namespace=NAMESPACE)
    client.on("*", catch_all, namespace=NAMESPACE)
    try:
        await client.connect(URL, **CONNECT)
    except socketio.exceptions.ConnectionError as error:
        say(gave_up=str(error))

    async def emit(line):
        call = line.get("call")
        answer = None if call is None else (lambda *args: say(answer=call, args=args))
        await client.emit(line["emit"], tuple(line["args"]), namespace=NAMESPACE, callback=answer)

    def read():
        for line in sys.stdin:
            asyncio.run_coroutine_threadsafe(emit(json.loads(line)), loop)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    await asyncio.Event().wait()


def run_threads():
    client = socketio.Client(**OPTIONS)
    client.on("connect", lambda: say(connect={"recovered": False, "transport": client.eio.transport()}), namespace=NAMESPACE)
    client.on("disconnect", lambda reason=None: say(disconnect=reason), namespace=NAMESPACE)
    client.on("connect_error", lambda data=None: refused(data), namespace=NAMESPACE)
    client.on("*", lambda event, *args: came(event, args), namespace=NAMESPACE)
    try:
        client.connect(URL, **CONNECT)
    except socketio.exceptions.ConnectionError as error:
        say(gave_up=str(error))
    for text in sys.stdin:
        line = json.loads(text)
        call = line.get("call")
        answer = None if call is None else (lambda *args, call=call: say(answer=call, args=args))
        client.emit(line["emit"], tuple(line["args"]), namespace=NAMESPACE, callback=answer)
    os._exit(0)


if sys.argv[1] == "asyncio":
    asyncio.run(run_asyncio())
else:
    run_threads()
