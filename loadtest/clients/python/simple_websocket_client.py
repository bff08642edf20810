import threading

import simple_websocket
from pipe import HEADERS, LARGE, LARGEST, PROTOCOLS, URL, closed, failed, leave, lines, say

try:
    options = {"max_message_size": LARGEST} if LARGE else {}
    ws = simple_websocket.Client.connect(URL, headers=HEADERS or None, subprotocols=PROTOCOLS or None, **options)
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
        say("text", ws.receive())
except simple_websocket.ConnectionClosed as end:
    closed(int(end.reason), end.message or "")
leave()
