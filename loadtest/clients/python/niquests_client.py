import threading

import niquests
from pipe import HEADERS, PROTOCOLS, URL, closed, failed, leave, lines, say

if PROTOCOLS:
    HEADERS["Sec-WebSocket-Protocol"] = ", ".join(PROTOCOLS)
try:
    session = niquests.Session()
    session.trust_env = False
    answer = session.get(URL, headers=HEADERS)
    if answer.status_code != 101:
        raise RuntimeError(f"status {answer.status_code}")
except Exception as error:
    failed(error)
    leave()
say("open")
ws = answer.extension


def send():
    waiting = lines()
    while (line := waiting.get()) is not None:
        ws.send_payload(line)
    ws.close()


threading.Thread(target=send, daemon=True).start()
try:
    while (payload := ws.next_payload()) is not None:
        say("text", payload)
    closed(1005)
except Exception as error:
    failed(error)
leave()
