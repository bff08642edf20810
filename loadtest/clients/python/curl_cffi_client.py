import asyncio

from curl_cffi import AsyncSession
from curl_cffi.const import CurlWsFlag
from pipe import HEADERS, PROTOCOLS, URL, async_lines, both, closed, failed, say
import struct


async def main():
    if PROTOCOLS:
        HEADERS["Sec-WebSocket-Protocol"] = ", ".join(PROTOCOLS)
    async with AsyncSession() as session:
        try:
            ws = await session.ws_connect(URL, headers=HEADERS)
        except Exception as error:
            return failed(error)
        say("open")
        waiting = async_lines()

        async def send():
            while (line := await waiting.get()) is not None:
                await ws.send_str(line)
            await ws.close()

        async def receive():
            try:
                while True:
                    data, flags = await ws.recv()
                    if flags & CurlWsFlag.CLOSE:
                        closed(struct.unpack("!H", data[:2])[0] if len(data) >= 2 else 1005, data[2:])
                        return
                    say("text", data)
            except Exception as error:
                failed(error)

        await both(send(), receive())


asyncio.run(main())
