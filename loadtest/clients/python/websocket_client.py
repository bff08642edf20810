import struct
import threading

import websocket
from pipe import HEADERS, PROTOCOLS, URL, closed, failed, leave, lines, say

ws = websocket.WebSocket(enable_multithread=True)
try:
    ws.connect(URL, header=HEADERS, subprotocols=PROTOCOLS or None, suppress_origin=True)
except Exception as error:
    failed(error)
    leave()
say("open", ws.subprotocol or "")


def send():
    waiting = lines()
    while (line := waiting.get()) is not None:
        ws.send(line)
    ws.send_close(1000)


threading.Thread(target=send, daemon=True).start()
try:
    while True:
        opcode, data = ws.recv_data()
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            closed(struct.unpack("!H", data[:2])[0] if len(data) >= 2 else 1005, data[2:])
            break
        say("text", data)
except Exception as error:
    failed(error)
leave()
