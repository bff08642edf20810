import queue

import trio
import trio_websocket
from pipe import HEADERS, LARGE, LARGEST, PROTOCOLS, URL, closed, failed, lines, say


async def main():
    options = {"max_message_size": LARGEST} if LARGE else {}
    try:
        async with trio_websocket.open_websocket_url(
            URL, subprotocols=PROTOCOLS or None, extra_headers=list(HEADERS.items()), **options
        ) as ws:
            say("open", ws.subprotocol or "")
            waiting = lines()

            async def send():
                while True:
                    try:
                        line = waiting.get_nowait()
                    except queue.Empty:
                        await trio.sleep(0.01)
                        continue
                    if line is None:
                        return await ws.aclose()
                    await ws.send_message(line)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(send)
                try:
                    while True:
                        say("text", await ws.get_message())
                except trio_websocket.ConnectionClosed as end:
                    closed(end.reason.code if end.reason else 1006, (end.reason.reason if end.reason else "") or "")
                nursery.cancel_scope.cancel()
    except BaseException as error:
        failed(error)


trio.run(main)
