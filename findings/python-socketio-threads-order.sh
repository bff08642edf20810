#!/usr/bin/env bash
# python-socketio 5.18.1, the client with threads: handlers get events in any order.
#
# Each message is handled in a thread of its own, so of a burst that came in order some handlers run before others; the asyncio client keeps
# the order. (tf-rust-socketio 0.9.3 does the same with tasks.) A program that keeps a position must keep the furthest.
# Exit code 0: as described. 1: it behaves otherwise now.
set -euo pipefail
work=$(mktemp -d)
server=
trap '[[ -z $server ]] || kill "$server"; rm -rf "$work"' EXIT
cd "$work"
npm install --no-audit --no-fund --loglevel=error socket.io@4.8.4 >&2
cat >server.mjs <<'JS'
import { createServer } from 'node:http'
import { Server } from 'socket.io'
const http = createServer()
new Server(http).on('connection', (socket) => socket.on('go', () => { for (let n = 0; n < 2000; n += 1) socket.emit('n', n) }))
http.listen(0, '127.0.0.1', () => console.log(http.address().port))
JS
node server.mjs >port &
server=$!
until [[ -s port ]]; do sleep 0.1; done
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check python-socketio==5.18.1 requests websocket-client aiohttp
cat >try.py <<'PY'
import asyncio
import sys
import time

import socketio

url = sys.argv[1]
WANTED = list(range(2000))


def threads():
    got, client = [], socketio.Client()

    @client.on("n")
    def on_n(n):
        # What a handler does before it looks at the event.
        time.sleep(0.001 * (n % 3))
        got.append(n)

    client.connect(url, transports=["websocket"])
    client.emit("go")
    deadline = time.monotonic() + 20
    while len(got) < len(WANTED) and time.monotonic() < deadline:
        time.sleep(0.05)
    client.disconnect()
    return got


async def tasks():
    got, client = [], socketio.AsyncClient()

    @client.on("n")
    async def on_n(n):
        got.append(n)

    await client.connect(url, transports=["websocket"])
    await client.emit("go")
    deadline = time.monotonic() + 20
    while len(got) < len(WANTED) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    await client.disconnect()
    return got


ours, theirs = threads(), asyncio.run(tasks())
print("threads: all", sorted(ours) == WANTED, "in order", ours == WANTED)
print("asyncio: all", sorted(theirs) == WANTED, "in order", theirs == WANTED)
sys.exit(0 if sorted(ours) == WANTED and ours != WANTED and theirs == WANTED else 1)
PY
venv/bin/python try.py "http://127.0.0.1:$(cat port)"
