import asyncio

from autobahn.asyncio.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.websocket.compress import (
    PerMessageDeflateOffer,
    PerMessageDeflateResponse,
    PerMessageDeflateResponseAccept,
)
from pipe import COMPRESS, HEADERS, LARGE, LARGEST, PROTOCOLS, URL, async_lines, closed, failed, say
from urllib.parse import urlsplit


class Client(WebSocketClientProtocol):
    def onOpen(self):
        say("open", self.websocket_protocol_in_use or "")
        self.task = asyncio.ensure_future(self.send_lines())

    async def send_lines(self):
        waiting = async_lines()
        while (line := await waiting.get()) is not None:
            self.sendMessage(line.encode())
        self.sendClose(1000)

    def onMessage(self, payload, isBinary):
        say("text", payload)

    def onClose(self, wasClean, code, reason):
        closed(self.remoteCloseCode or code or 1006, self.remoteCloseReason or reason or "")
        asyncio.get_event_loop().stop()


def main():
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    factory = WebSocketClientFactory(URL, headers=HEADERS, protocols=PROTOCOLS)
    factory.protocol = Client
    if LARGE:
        factory.setProtocolOptions(maxMessagePayloadSize=LARGEST)
    if COMPRESS:
        accept = lambda answer: (
            PerMessageDeflateResponseAccept(answer) if isinstance(answer, PerMessageDeflateResponse) else None
        )
        factory.setProtocolOptions(
            perMessageCompressionOffers=[PerMessageDeflateOffer()], perMessageCompressionAccept=accept
        )
    place = urlsplit(URL)
    try:
        loop.run_until_complete(loop.create_connection(factory, place.hostname, place.port))
        loop.run_forever()
    except Exception as error:
        failed(error)


main()
