"""A mail server for this example, so that it needs none: `python3 inbox.py FOLDER PORT` keeps each message as a file.

It refuses as real ones do. `nobody@…` gets 550, there is no such mailbox; `slow@…` gets 451 at the first try (greylisting) and
is taken at the second. A message with an id that it has already replaces the file, so it is there once.
"""

import asyncio
import re
import sys
from pathlib import Path

MAX_BYTES = 1_000_000
folder, port = Path(sys.argv[1]), int(sys.argv[2])
seen: set[str] = set()


def recipient(line: str) -> str:
    """The answer to RCPT."""
    found = re.search(r"<(.+?)>", line)
    if found is None or found[1].startswith("nobody@"):
        return "550 no such mailbox"
    if found[1].startswith("slow@") and found[1] not in seen:
        seen.add(found[1])
        return "451 greylisted, try again later"
    return "250 ok"


async def message(reader: asyncio.StreamReader) -> str:
    """Read a message up to the line with a single dot, keep it, and answer."""
    lines: list[bytes] = []
    size = 0
    while (line := await reader.readline()) not in (b".\r\n", b""):
        size += len(line)
        if size <= MAX_BYTES:
            lines.append(line.removeprefix(b"."))  # a dot at the beginning was doubled by the sender
    if size > MAX_BYTES:
        return "552 too large"
    text = b"".join(lines).replace(b"\r\n", b"\n").decode(errors="replace")
    name = re.search(r"^Message-ID: <([\w.@-]+)>$", text, re.MULTILINE)
    if name is None:
        return "554 no Message-ID"
    (folder / f"{name[1]}.eml").write_text(text)
    return "250 kept"


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection."""
    writer.write(b"220 inbox\r\n")
    while line := (await reader.readline()).decode(errors="replace").strip():
        verb = line[:4].upper()
        answer = "250 ok"
        if verb == "RCPT":
            answer = recipient(line)
        elif verb == "DATA":
            writer.write(b"354 go on\r\n")
            answer = await message(reader)
        elif verb == "QUIT":
            break
        writer.write(f"{answer}\r\n".encode())
    writer.write(b"221 bye\r\n")
    writer.close()


async def main() -> None:
    """Listen until SIGTERM."""
    server = await asyncio.start_server(serve, "127.0.0.1", port)
    print(f"mail server on 127.0.0.1:{port}", flush=True)
    async with server:
        await server.serve_forever()


folder.mkdir(parents=True, exist_ok=True)
asyncio.run(main())
