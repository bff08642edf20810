#!/usr/bin/env bash
# simple-websocket 1.1.0 (Python) loses a message that arrives together with the answer to the handshake.
#
# A server may speak first, and TCP may deliver its answer and its first frame in one piece. The client reads that piece, takes
# the answer out of it, and never looks at what follows: `receive` waits for ever. Sent a moment later, the same frame arrives.
# Exit code 0: as described. 1: it behaves otherwise now.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check simple-websocket==1.1.0 wsproto==1.3.2
cat >"$work/try.py" <<'PYTHON'
import base64
import hashlib
import importlib.metadata
import socket
import threading
import time

import simple_websocket

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
FRAME = b"\x81\x05hello"


def serve(listener, together):
    connection, _ = listener.accept()
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(4096)
    key = next(line.split(b":")[1].strip() for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:"))
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
    answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    if together:
        connection.sendall(answer + FRAME)
    else:
        connection.sendall(answer)
        time.sleep(0.5)
        connection.sendall(FRAME)
    time.sleep(4)


def received(together):
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=serve, args=(listener, together), daemon=True).start()
    ws = simple_websocket.Client.connect(f"ws://127.0.0.1:{listener.getsockname()[1]}/")
    return ws.receive(timeout=3)


print("simple-websocket", importlib.metadata.version("simple-websocket"))
together, apart = received(True), received(False)
print(f"frame in one piece with the answer: received {together!r}")
print(f"frame half a second later:          received {apart!r}")
raise SystemExit(0 if together is None and apart == "hello" else 1)
PYTHON
timeout 60 "$work/venv/bin/python" "$work/try.py"
