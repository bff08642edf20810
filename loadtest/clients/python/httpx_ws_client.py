import asyncio

import httpx
import httpx_ws
from pipe import HEADERS, LARGE, LARGEST, PROTOCOLS, URL, async_lines, both, closed, failed, say


async def main():
    options = {"max_message_size_bytes": LARGEST} if LARGE else {}
    async with httpx.AsyncClient(trust_env=False) as client:
        try:
            async with httpx_ws.aconnect_ws(
                URL, client, headers=HEADERS, subprotocols=PROTOCOLS or None, **options
            ) as ws:
                say("open", ws.subprotocol or "")
                waiting = async_lines()

                async def send():
                    while (line := await waiting.get()) is not None:
                        await ws.send_text(line)
                    await ws.close()

                async def receive():
                    try:
                        while True:
                            say("text", await ws.receive_text())
                    except httpx_ws.WebSocketDisconnect as end:
                        closed(end.code, end.reason or "")

                await both(send(), receive())
        except Exception as error:
            failed(error)


asyncio.run(main())
