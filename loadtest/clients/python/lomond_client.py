import lomond
from pipe import BEARER, COMPRESS, PROTOCOLS, URL, closed, failed, feed, leave, say

ws = lomond.WebSocket(URL, protocols=PROTOCOLS or None, compress=COMPRESS, proxies={})
if BEARER:
    ws.add_header(b"Authorization", f"Bearer {BEARER}".encode())
end = None
for event in ws.connect(ping_rate=0):
    if event.name == "ready":
        say("open", event.protocol or "")
        feed(lambda line: ws.close() if line is None else ws.send_text(line))
    elif event.name == "text":
        say("text", event.text)
    elif event.name in ("closing", "closed") and end is None:
        end = (event.code, event.reason or "")
    elif event.name in ("rejected", "connect_fail", "protocol_error"):
        say("error", str(event))
        leave()
closed(*(end or (1006, "")))
leave()
