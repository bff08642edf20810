import threading

from pipe import COMPRESS, HEADERS, LARGE, LARGEST, PROTOCOLS, URL, closed, failed, leave, lines, say
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

try:
    options = {"max_size": LARGEST} if LARGE else {}
    ws = connect(
        URL,
        additional_headers=HEADERS,
        subprotocols=PROTOCOLS or None,
        compression="deflate" if COMPRESS else None,
        proxy=None,
        **options,
    )
except Exception as error:
    failed(error)
    leave()
say("open", ws.subprotocol or "")


def send():
    waiting = lines()
    while (line := waiting.get()) is not None:
        ws.send(line)
    ws.close()


threading.Thread(target=send, daemon=True).start()
try:
    while True:
        say("text", ws.recv())
except ConnectionClosed:
    closed(ws.close_code, ws.close_reason)
leave()
