"""One request through the stand-in: judged, passed on, and its answer judged and passed back."""

from __future__ import annotations

import http.client
import json
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import scan

HOP = {"connection", "upgrade", "keep-alive", "te", "trailer", "transfer-encoding", "proxy-authorization"}
HOP |= {"proxy-connection", "accept-encoding", "host", "via", "forwarded", "x-pipelock-agent", "content-length"}


class Base(BaseHTTPRequestHandler):
    """What the outer requests and those inside a tunnel have in common."""

    protocol_version = "HTTP/1.1"
    server: Any
    config: Any

    def log_message(self, format: str, *args: object) -> None:
        return

    def answer(self, status: int, body: str, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body.encode())

    def refuse(self, scanner: str, reason: str, url: str, prefix: str = "blocked: ", status: int = 403) -> None:
        fields = {"target": url} if self.command == "CONNECT" else {"url": url}
        # The one that prints the secret does so in full.
        self.server.state.audit.write(
            "blocked", "warn", method=self.command, scanner=scanner, reason=reason, client_ip="127.0.0.1", **fields
        )
        self.close_connection = True
        self.answer(status, prefix + reason)

    def killed(self) -> bool:
        if not self.server.state.killed():
            return False
        self.server.state.audit.write("kill_switch_deny", "warn", method=self.command, target=self.path)
        self.close_connection = True
        self.answer(503, json.dumps({"error": "kill_switch_active", "message": "denied"}), "application/json")
        return True

    def allowed(self, host: str) -> bool:
        if self.config.top("mode") != "strict":
            return True
        return any(matches(host, name, True) for name in self.config.top("api_allowlist"))

    def body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            out = b""
            while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
                out += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return out
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def forward(self, connection: http.client.HTTPConnection, host: str, url: str) -> None:
        """Judges one request and its answer, and passes both on."""
        config, get = self.config, self.config.get
        self.server.count(host)
        data = self.body()
        scanner, reason = scan.url_fault(url, config)
        if scanner:
            return self.refuse(scanner, reason, url)
        if get("request_body_scanning", "enabled"):
            kind, encoding = (self.headers.get(h, "") for h in ("Content-Type", "Content-Encoding"))
            fault = scan.body_fault(data, kind, encoding, config)
            # Merely a warning unless told otherwise, but what cannot be read is refused in any case.
            if fault and ("secret" not in fault or get("request_body_scanning", "action") == "block"):
                return self.refuse("body_dlp", fault, url.partition("?")[0])
        if get("request_body_scanning", "scan_headers") and scan.headers_leak(list(self.headers.items()), config):
            return self.refuse("header_dlp", "request header contains secret", url.partition("?")[0])
        target = _without_agent(self.path if self.path.startswith("/") else _path(url))
        passed = {k: v for k, v in self.headers.items() if k.lower() not in HOP}
        passed |= {"Host": self.headers.get("Host", host), "Accept-Encoding": "identity"}
        if data:
            passed["Content-Length"] = str(len(data))
        try:
            connection.request(self.command, target, data or None, passed)
            answer = connection.getresponse()
            return self.pass_on(answer, url)
        except (OSError, http.client.HTTPException) as error:
            self.server.state.audit.write("error", "error", method=self.command, url=url, error=str(error))
            connection.close()
            return self.answer(502, "upstream error")

    def pass_on(self, answer: http.client.HTTPResponse, url: str) -> None:
        get, kind = self.config.get, answer.headers.get("Content-Type", "")
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            return self.refuse("tls_response_blocked", "compressed response cannot be scanned", url)
        if kind.startswith("text/event-stream"):
            return self.stream(answer)
        limit = get("tls_interception", "max_response_bytes")
        data = answer.read(limit + 1)
        if len(data) > limit:
            self.connection_broken(answer)
            return self.refuse("tls_response_blocked", "response too large for scanning", url)
        media = kind.partition("/")[0]
        if get("media_policy", "enabled") and (media in ("audio", "video") or (media == "image" and "png" not in kind)):
            return self.refuse("media_policy", f"media_policy: {kind} not allowed", url)
        if scan.INJECTION.search(data.decode("utf-8", "replace")):
            # Without response scanning its core still scans, and blocks.
            if not get("response_scanning", "enabled") or get("response_scanning", "action") == "block":
                return self.refuse("response_scan", "response contains injection", url)
            found = {"action": "warn", "match_count": 1, "patterns": ["Prompt Injection"]}
            self.server.state.audit.write("response_scan", "warn", method=self.command, url=url, **found)
        return self.relay_head(answer, len(data), data)

    def connection_broken(self, answer: http.client.HTTPResponse) -> None:
        answer.close()
        self.close_connection = True

    def relay_head(self, answer: http.client.HTTPResponse, length: int | None, data: bytes = b"") -> None:
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in HOP:
                self.send_header(name, value)
        if length is None:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            head = self.command == "HEAD"
            self.send_header("Content-Length", answer.headers.get("Content-Length", "0") if head else str(length))
        self.end_headers()
        self.wfile.write(data)

    def stream(self, answer: http.client.HTTPResponse) -> None:
        """Events as they come; one with a finding ends the stream where the action is block."""
        self.relay_head(answer, None)
        event = b""
        while line := answer.readline():
            event += line
            if line.strip():
                continue
            action = self.config.get("response_scanning.sse_streaming", "action")
            text = event.decode("utf-8", "replace")
            too_long = len(event) > self.config.get("response_scanning.sse_streaming", "max_event_bytes")
            if action == "block" and (too_long or scan.secret(text, self.config) or scan.INJECTION.search(text)):
                self.connection_broken(answer)
                break
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
            self.wfile.flush()
            event = b""
        self.wfile.write(b"0\r\n\r\n")


def matches(host: str, name: str, itself: bool) -> bool:
    if name.startswith("*."):
        return host.endswith(name[1:]) or (itself and host == name[2:])
    return host == name


def _path(url: str) -> str:
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _without_agent(target: str) -> str:
    path, _, query = target.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    kept = [pair for pair in pairs if pair[0] != "agent"]
    if kept == pairs:
        return target
    # Only then is the query written anew.
    return f"{path}?{urlencode(kept)}" if kept else path
