"""The MCP server of one bottle over streamable HTTP: the SDK's server behind bounds on what a client may take."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from uvicorn.protocols.http.h11_impl import H11Protocol

from sidecar_bundle.shared.proposal import ProposalError, Response
from sidecar_bundle.shared.queue import QueueFull
from sidecar_bundle.supervise.desk import Busy, Call, Desk, Gone
from sidecar_bundle.supervise.tools import INSTRUCTIONS, LIST_ROUTES, NAMES, TOOLS, routes

PATH = "/mcp"
MAX_BODY = 1024 * 1024  # bytes
MAX_SESSIONS = 64
MAX_REQUESTS = 256
MAX_CONNECTIONS = 512
SILENCE = 15.0  # seconds until a connection must have sent a request's head
BODY_SECONDS = 15.0
_CALL = "bot-bottle.call"

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class _Slow(Exception):
    """A body that does not come."""


class _Patient(H11Protocol):  # type: ignore[misc]
    """Ends connections that send no request, and those beyond the limit."""

    _silence: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """A new connection."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
            return
        self._silence = self.loop.call_later(SILENCE, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Its end."""
        self._hush()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of it."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._hush()
        elif self._silence is None and not self.transport.is_closing():
            self._silence = self.loop.call_later(SILENCE, self.transport.abort)

    def _hush(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None


class _Uvicorn(uvicorn.Server):  # type: ignore[misc]
    """Leaves signals to the daemon."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        """Nothing is captured."""
        yield


class Service:
    """Serves `desk` to agents. `hosts` are further names (`host:port`) by which clients may call it."""

    def __init__(self, desk: Desk, hosts: tuple[str, ...]) -> None:
        self._desk, self._hosts = desk, hosts
        self._security = TransportSecuritySettings(allowed_hosts=list(hosts), allowed_origins=[])
        server = Server(
            "supervise", version="1", instructions=INSTRUCTIONS, on_list_tools=_list_tools, on_call_tool=self._called
        )
        self._manager = StreamableHTTPSessionManager(
            server, security_settings=self._security, max_request_body_size=MAX_BODY, max_sessions=MAX_SESSIONS
        )
        self._running: dict[asyncio.Task[None], _Uvicorn] = {}

    @property
    def listening(self) -> bool:
        """Whether it has a socket."""
        return bool(self._running)

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Sessions live inside this."""
        async with self._manager.run():
            try:
                yield
            finally:
                self._desk.closing = True
                await self._end(list(self._running))

    def serve(self, sock: socket.socket) -> None:
        """Accepts from `sock`; earlier ones are given up."""
        port = sock.getsockname()[1]
        self._security.allowed_hosts[:] = [f"127.0.0.1:{port}", f"localhost:{port}", *self._hosts]
        old = list(self._running)
        config = uvicorn.Config(
            self._app,
            http=_Patient,
            ws="none",
            interface="asgi3",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=MAX_REQUESTS,
            timeout_keep_alive=int(SILENCE),
            timeout_graceful_shutdown=1,
        )
        server = _Uvicorn(config)
        task = asyncio.get_running_loop().create_task(server.serve([sock]))
        self._running[task] = server
        if old:
            closing = asyncio.get_running_loop().create_task(self._end(old))
            task.add_done_callback(lambda _: closing.cancel())

    async def _end(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            if server := self._running.pop(task, None):
                server.should_exit = server.force_exit = True
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _app(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["path"].rstrip("/") != PATH:
            await _plain(send, 404, f"supervise: nothing here; MCP is at {PATH}")
            return
        call = scope[_CALL] = Call()
        state = {"body": False, "started": False, "ended": False}
        deadline = asyncio.get_running_loop().time() + BODY_SECONDS

        async def hear() -> Message:
            if state["body"]:
                message = await receive()
            else:
                try:
                    async with asyncio.timeout_at(deadline):
                        message = await receive()
                except TimeoutError:
                    raise _Slow from None
            if message["type"] == "http.disconnect":
                call.gone = not state["ended"]
            elif not message.get("more_body", False):
                state["body"] = True
            return message

        async def say(message: Message) -> None:
            state["started"] = True
            await send(message)
            state["ended"] = message["type"] == "http.response.body" and not message.get("more_body", False)

        try:
            await self._manager.handle_request(scope, hear, say)
        except _Slow:
            if not state["started"]:
                await _plain(send, 408, f"supervise: the request's body did not come within {BODY_SECONDS:.0f} s")
            return
        if state["ended"] and not call.gone and call.took:
            try:
                call.took()
            except OSError as error:
                sys.stderr.write(f"cannot note that an answer was taken: {error.strerror}\n")

    async def _called(self, ctx: Any, params: Any) -> Any:
        name, arguments = params.name, params.arguments or {}
        if name not in NAMES:
            raise MCPError(types.INVALID_PARAMS, f"no tool {name[:60]!r} (there are: {', '.join(NAMES)})")
        if name == LIST_ROUTES:
            return _result(routes(self._desk.config)) if not arguments else _refusal("it takes no arguments")
        request_scope: Mapping[str, Any] = ctx.request.scope if ctx.request is not None else {}
        call = request_scope.get(_CALL) or Call()

        async def tell(seconds: float, text: str) -> None:
            await ctx.session.report_progress(seconds, None, text)

        try:
            return _answer(await self._desk.ask(name, arguments, call, tell))
        except (ProposalError, Busy, QueueFull) as error:
            return _refusal(str(error))
        except Gone:
            return _refusal("withdrawn: whoever asked is gone")
        except OSError as error:
            return _refusal(f"the request cannot be queued: {error.strerror or type(error).__name__}")


async def _list_tools(ctx: Any, params: Any) -> Any:
    return types.ListToolsResult(
        tools=[
            types.Tool(name=t.name, description=t.text, input_schema=dict(t.schema), output_schema=dict(t.answer))
            for t in TOOLS
        ]
    )


def _answer(response: Response) -> Any:
    return _result({"status": response.status, "notes": response.notes, "answer": response.answer})


def _result(value: Mapping[str, Any]) -> Any:
    text = json.dumps(value, ensure_ascii=False)
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], structured_content=dict(value))


def _refusal(text: str) -> Any:
    return types.CallToolResult(content=[types.TextContent(type="text", text=f"supervise: {text}")], is_error=True)


async def _plain(send: Send, status: int, text: str) -> None:
    headers = [(b"content-type", b"text/plain"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode() + b"\n"})
