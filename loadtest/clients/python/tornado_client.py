import asyncio

from pipe import COMPRESS, HEADERS, LARGE, LARGEST, PROTOCOLS, URL, async_lines, both, closed, failed, say
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect


async def main():
    options = {"max_message_size": LARGEST} if LARGE else {}
    try:
        ws = await websocket_connect(
            HTTPRequest(URL, headers=HEADERS),
            subprotocols=PROTOCOLS or None,
            compression_options={} if COMPRESS else None,
            **options,
        )
    except Exception as error:
        return failed(error)
    say("open", ws.selected_subprotocol or "")
    waiting = async_lines()

    async def send():
        while (line := await waiting.get()) is not None:
            await ws.write_message(line)
        ws.close(1000)

    async def receive():
        while (message := await ws.read_message()) is not None:
            say("text", message)
        closed(ws.close_code or 1006, ws.close_reason or "")

    await both(send(), receive())


asyncio.run(main())
