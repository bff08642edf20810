#!/usr/bin/env bash
# Does Python's sseclient get an event whole that comes in two chunks of HTTP?
#
# It reads from below the library that takes chunks apart (0.0.27: `resp.raw._fp.fp.read1`), so the size of each chunk stands as a
# line in what it reads. Before an event that line is passed over; within one it cuts the data there, and the rest is lost without a word.
# A gateway sends each event as one chunk, and most proxies send a small one on as one. Who sends large ones uses another client.
# Needs Python 3 with venv and PyPI. Exit 0 when it still does that, 1 when not.
set -euo pipefail

work=$(mktemp -d)
server=
trap '[[ -n $server ]] && kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check sseclient==0.0.27

cat >"$work/server.py" <<'SERVER'
import socket
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    client, _ = listener.accept()
    while b"\r\n\r\n" not in (request := client.recv(4096)):
        pass
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n")
    for part in (b"data: before ", b"and after\n\n"):
        client.sendall(b"%x\r\n%s\r\n" % (len(part), part))
SERVER
python3 "$work/server.py" >"$work/port" &
server=$!
until [[ -s $work/port ]]; do sleep 0.1; done

got=$("$work/venv/bin/python" -c '
import sys
from sseclient import SSEClient
print(next(iter(SSEClient(sys.argv[1]))).data)' "http://127.0.0.1:$(cat "$work/port")/" | tail -n 1)
echo "sent: before and after"
echo "got:  $got"
[[ $got == "before " ]]
