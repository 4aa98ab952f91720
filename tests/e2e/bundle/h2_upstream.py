"""A TLS upstream that speaks HTTP/2: echo, `/big?N` MiB, `/slow` reading; run with the bundle's Python, for its h2."""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import sys
import threading
import time
from typing import Any

import h2.config
import h2.connection
import h2.events


def serve(sock: ssl.SSLSocket) -> None:
    """One connection to its end."""
    if sock.selected_alpn_protocol() == "h2":
        _http2(sock)
    else:
        _http1(sock)


def _echo(seen: dict[str, Any]) -> bytes:
    # A credential that came back would be cut off by egress.
    if credential := seen["headers"].get("authorization"):
        seen["headers"]["authorization"] = hashlib.sha256(credential.encode()).hexdigest()
    return json.dumps(seen).encode()


def _http1(sock: ssl.SSLSocket) -> None:
    reader = sock.makefile("rb")
    reader.readline()
    headers = {}
    while line := reader.readline().strip():
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    received = len(reader.read(int(headers.get("content-length", 0))))
    body = _echo({"headers": headers, "received": received, "http2": False})
    sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def _http2(sock: ssl.SSLSocket) -> None:
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
    connection.initiate_connection()
    seen: dict[int, dict[str, Any]] = {}
    unsent: dict[int, int] = {}
    while True:
        _send_big(connection, unsent)
        sock.sendall(connection.data_to_send())
        data = sock.recv(65536)
        if not data:
            return
        for event in connection.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                seen[event.stream_id] = {"headers": dict(event.headers), "received": 0, "http2": True}
            elif isinstance(event, h2.events.DataReceived):
                seen[event.stream_id]["received"] += len(event.data)
                if seen[event.stream_id]["headers"][":path"] == "/slow":
                    time.sleep(0.004)
                connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                path, _, size = seen[event.stream_id]["headers"][":path"].partition("?")
                if path == "/big":
                    connection.send_headers(event.stream_id, [(":status", "200")])
                    unsent[event.stream_id] = int(size) * 1024 * 1024
                    continue
                body = _echo(seen[event.stream_id])
                connection.send_headers(event.stream_id, [(":status", "200"), ("content-type", "application/json")])
                connection.send_data(event.stream_id, body, end_stream=True)


def _send_big(connection: h2.connection.H2Connection, unsent: dict[int, int]) -> None:
    for stream in list(unsent):
        while unsent[stream]:
            room = connection.local_flow_control_window(stream)
            size = min(unsent[stream], room, connection.max_outbound_frame_size)
            if not size:
                break
            unsent[stream] -= size
            connection.send_data(stream, b"x" * size, end_stream=not unsent[stream])
        else:
            del unsent[stream]


def main() -> None:
    """Serves on port 443 of the address given, with the certificate and key given."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    context.set_alpn_protocols(["h2", "http/1.1"])
    listener = socket.create_server((sys.argv[1], 443))
    while True:
        sock, _ = listener.accept()
        try:
            threading.Thread(target=serve, args=(context.wrap_socket(sock, server_side=True),), daemon=True).start()
        except OSError:
            sock.close()


if __name__ == "__main__":
    main()
