"""The layers of a bundle, and the code that takes one out of a copy of it. The product has no switch for this."""

from __future__ import annotations

from collections.abc import Iterable

# By layer: modules below `sidecar_bundle`, and what is written at their end, in place of functions further up.
LAYERS: dict[str, dict[str, str]] = {
    "routes": {
        "shared/routes.py": """
_strict = find_route
def find_route(routes, host):
    return _strict(routes, host) or Route(host)
"""
    },
    "dialer": {
        "dialer/policy.py": """
WEB_PORTS = range(65536)
_strict = _web
def _web(host, port, nets, config):
    try:
        return _strict(host, port, nets, config)
    except Refused:
        return Place(host, port, "", refusal)
"""
    },
    "addresses": {"shared/addresses.py": "def refusal(text, allowlist=()):\n    return ''\n"},
    "literals": {"egress/decide.py": "is_ip = lambda host: False\n"},
    "spoofed": {"egress/decide.py": "_spoofed = lambda request, host: ''\n"},
    "ports": {
        "egress/decide.py": """
class _Any(int):
    __hash__ = int.__hash__
    def __eq__(self, other):
        return True
    def __ne__(self, other):
        return False
PORTS = {"https": _Any(443), "http": _Any(80)}
"""
    },
    "push": {"egress/decide.py": "is_git_push = lambda *said: False\n"},
    "credentials": {
        "egress/decide.py": """
_allow = lambda route, request: Allow(route, frozenset(), None)
decide_body = lambda *said: None
""",
        "egress/scan.py": "decide_body = lambda *said: None\n",
    },
    "dlp": {"dlp/engine.py": "Engine.request = lambda self, **said: []\n"},
    "labels": {"dlp/engine.py": "Engine.host_label = lambda self, *said: None\n"},
    "messages": {"dlp/engine.py": "Engine.message = lambda self, *said, **more: []\n"},
    "answers": {"dlp/engine.py": "Engine.answer = lambda self, *said: []\n"},
}


def without(names: Iterable[str]) -> dict[str, str]:
    """Code by module that takes those layers out together."""
    out: dict[str, str] = {}
    for name in names:
        for module, code in LAYERS[name].items():
            out[module] = out.get(module, "") + code + "\n"
    return out
