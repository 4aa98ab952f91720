"""A client of the SDK, run by the supervise environment's Python: JSON lines in (what to call), JSON lines out.

`{"do": "list"}`, `{"do": "call", "n": 1, "tool": ..., "arguments": {...}}`, `{"do": "cancel", "n": 1}`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from mcp.client.client import Client


def out(**message: Any) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


async def call(client: Client, n: int, tool: str, arguments: dict[str, Any]) -> None:
    async def progress(seconds: float, total: float | None, text: str | None) -> None:
        out(n=n, progress=text)

    try:
        result = await client.call_tool(tool, arguments, progress_callback=progress)
        text = "".join(part.text for part in result.content if part.type == "text")
        out(n=n, text=text, error=bool(result.is_error), value=result.structured_content)
    except asyncio.CancelledError:
        out(n=n, cancelled=True)
        raise
    except Exception as error:
        out(n=n, failed=str(error))


async def main(url: str, mode: str) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    tasks: dict[int, asyncio.Task[None]] = {}
    async with Client(url, mode=mode) as client:
        out(connected=client.protocol_version)
        while line := await reader.readline():
            message = json.loads(line)
            match message["do"]:
                case "list":
                    tools = (await client.list_tools()).tools
                    out(tools={t.name: [t.description, t.input_schema] for t in tools})
                case "call":
                    n = message["n"]
                    tasks[n] = asyncio.create_task(call(client, n, message["tool"], message["arguments"]))
                case "cancel":
                    tasks[message["n"]].cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
