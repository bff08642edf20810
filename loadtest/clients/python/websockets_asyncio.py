import asyncio

from pipe import COMPRESS, HEADERS, LARGE, LARGEST, PROTOCOLS, URL, async_lines, both, closed, failed, say
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


async def main():
    options = {"max_size": LARGEST} if LARGE else {}
    try:
        ws = await connect(
            URL,
            additional_headers=HEADERS,
            subprotocols=PROTOCOLS or None,
            compression="deflate" if COMPRESS else None,
            proxy=None,
            **options,
        )
    except Exception as error:
        return failed(error)
    say("open", ws.subprotocol or "")
    waiting = async_lines()

    async def send():
        while (line := await waiting.get()) is not None:
            await ws.send(line)
        await ws.close()

    async def receive():
        try:
            while True:
                say("text", await ws.recv())
        except ConnectionClosed:
            closed(ws.close_code, ws.close_reason)

    await both(send(), receive())


asyncio.run(main())
