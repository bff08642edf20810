"""What does every Python client here do? It is a pipe: lines of the standard input are sent, messages are printed.

`open`, `text <message>`, `close <code> <reason>` and `error <why>` are the lines of the standard output.
"""

import asyncio
import os
import queue
import sys
import threading

URL = os.environ.get("WS_URL", "")
BEARER = os.environ.get("WS_BEARER", "")
HEADERS = {"Authorization": f"Bearer {BEARER}"} if BEARER else {}
PROTOCOLS = [p for p in os.environ.get("WS_PROTOCOLS", "").split(",") if p]
COMPRESS = os.environ.get("WS_COMPRESS") == "1"
# Whether the library's setting for large messages is to be used.
LARGE = os.environ.get("WS_LARGE") == "1"
LARGEST = 131072


def say(kind, text=""):
    if isinstance(text, bytes):
        text = text.decode()
    sys.stdout.write(f"{kind} {text}\n")
    sys.stdout.flush()


def closed(code, reason=""):
    if isinstance(reason, bytes):
        reason = reason.decode()
    say("close", f"{code} {reason}")


def failed(error):
    say("error", f"{type(error).__name__}: {error}".replace("\n", " "))


def lines():
    """A queue of what is to be sent; None is the end."""
    waiting = queue.Queue()
    feed(waiting.put)
    return waiting


def feed(put):
    """Calls `put` with each line, in a thread of its own, and with None at the end."""

    def read():
        for line in sys.stdin:
            put(line.rstrip("\n"))
        put(None)

    threading.Thread(target=read, daemon=True).start()


def async_lines():
    """The same for asyncio."""
    loop, waiting = asyncio.get_running_loop(), asyncio.Queue()
    feed(lambda line: loop.call_soon_threadsafe(waiting.put_nowait, line))
    return waiting


async def both(sending, receiving):
    """Runs a sender beside a receiver and ends with the latter."""
    task = asyncio.create_task(sending)
    try:
        await receiving
    finally:
        task.cancel()


def leave():
    """Ends at once, whatever threads a library keeps."""
    sys.stdout.flush()
    os._exit(0)
