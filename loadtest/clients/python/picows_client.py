import asyncio

import picows
from pipe import HEADERS, PROTOCOLS, URL, async_lines, both, closed, failed, say


class Listener(picows.WSListener):
    def __init__(self):
        self.parts = []
        self.end = None

    def on_ws_connected(self, transport):
        say("open")

    def on_ws_frame(self, transport, frame):
        if frame.msg_type == picows.WSMsgType.CLOSE:
            message = frame.get_close_message()
            self.end = (int(frame.get_close_code()), message.decode() if isinstance(message, bytes) else message or "")
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif frame.msg_type in (picows.WSMsgType.TEXT, picows.WSMsgType.CONTINUATION):
            self.parts.append(frame.get_payload_as_bytes())
            if frame.fin:
                say("text", b"".join(self.parts))
                self.parts = []


async def main():
    if PROTOCOLS:
        HEADERS["Sec-WebSocket-Protocol"] = ", ".join(PROTOCOLS)
    try:
        transport, listener = await picows.ws_connect(Listener, URL, extra_headers=HEADERS or None)
    except Exception as error:
        return failed(error)
    waiting = async_lines()

    async def send():
        while (line := await waiting.get()) is not None:
            transport.send(picows.WSMsgType.TEXT, line.encode())
        transport.send_close(picows.WSCloseCode.OK)

    await both(send(), transport.wait_disconnected())
    closed(*(listener.end or (1006, "")))


asyncio.run(main())
