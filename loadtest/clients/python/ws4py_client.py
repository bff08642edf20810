from pipe import HEADERS, PROTOCOLS, URL, closed, failed, feed, leave, say
from ws4py.client.threadedclient import WebSocketClient


class Client(WebSocketClient):
    def opened(self):
        say("open", ",".join(self.protocols or []) if isinstance(self.protocols, list) else self.protocols or "")
        feed(lambda line: self.close(1000) if line is None else self.send(line))

    def received_message(self, message):
        say("text", message.data)

    def closed(self, code, reason=None):
        closed(code, reason or "")


try:
    ws = Client(URL, protocols=PROTOCOLS or None, headers=list(HEADERS.items()))
    ws.connect()
    ws.run_forever()
except Exception as error:
    failed(error)
leave()
