import asyncio

import aiohttp
from pipe import COMPRESS, HEADERS, LARGE, LARGEST, PROTOCOLS, URL, async_lines, both, closed, failed, say


async def main():
    options = {"max_msg_size": LARGEST} if LARGE else {}
    async with aiohttp.ClientSession() as session:
        try:
            ws = await session.ws_connect(
                URL, headers=HEADERS, protocols=PROTOCOLS, compress=15 if COMPRESS else 0, **options
            )
        except Exception as error:
            return failed(error)
        say("open", ws.protocol or "")
        waiting = async_lines()

        async def send():
            while (line := await waiting.get()) is not None:
                await ws.send_str(line)
            await ws.close()

        async def receive():
            reason = ""
            while True:
                message = await ws.receive()
                if message.type == aiohttp.WSMsgType.TEXT:
                    say("text", message.data)
                elif message.type == aiohttp.WSMsgType.CLOSE:
                    reason = message.extra or ""
                    break
                else:
                    break
            closed(ws.close_code, reason)

        await both(send(), receive())


asyncio.run(main())
