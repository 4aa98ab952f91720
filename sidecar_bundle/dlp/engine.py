"""What must not leave: the bottle's own secrets and the shapes of known tokens, in requests, messages and answers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from sidecar_bundle.dlp import cut, joined, labels, parts, shapes
from sidecar_bundle.dlp.coding import MAX_BODY, Unscannable, decoded
from sidecar_bundle.dlp.forms import gently, norm
from sidecar_bundle.dlp.own import Own
from sidecar_bundle.dlp.parts import Piece
from sidecar_bundle.dlp.views import views

__all__ = ["MAX_BODY", "Engine", "Finding", "Unscannable"]

OWN = "own-secret"
DEPTH = 4  # encodings inside encodings that are undone
WINDOW = 2**21  # a longer text is scanned in windows
OVERLAP = 2**15
MAX_WORK = 8 * 2**20  # bytes of other readings for each request, beside six times its own size
LOCATED = 2000  # pieces that are looked at one by one to tell the place of a finding
_BEARER = ("authorization", "proxy-authorization")
_SIGNED = re.compile(r"[?&](?:X-Amz-Signature|Signature|X-Goog-Signature|sig)=", re.IGNORECASE)
_SIGNED_RULES = {"jwt", "aws-access-key", "azure-storage-key"}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not leave; it names the secret's variable or slot, never a value."""

    rule: str
    where: str
    name: str = ""
    start: int = -1  # span in the raw body, when it stands there literally
    end: int = -1


@dataclass(slots=True)
class _Look:
    """One search: what was found so far, and how much work is left."""

    patterns: bool
    left: int
    found: set[tuple[str, str]] = field(default_factory=set)
    fragments: set[tuple[str, int, int]] = field(default_factory=set)
    pieces: set[bytes] = field(default_factory=set)  # short strings, of which a secret may be made
    scanned: dict[int, int] = field(default_factory=dict)  # hashes of texts, and the least depth at which they stood


class Engine:
    """Scans for the values of `own` (name to value; those that `shared.weak` names are left out) and for token shapes.

    It holds no state between calls and may be used by several threads.
    """

    def __init__(self, own: Mapping[str, str], *, patterns: bool = True) -> None:
        self._own = Own(own)
        self._patterns = patterns
        if patterns:
            shapes.patterns()

    def request(
        self, *, method: str, host: str, path: str, headers: Sequence[tuple[str, str]], body: bytes
    ) -> list[Finding]:
        """What of a request must not leave; raises Unscannable when that cannot be told."""
        if len(body) > MAX_BODY:
            raise Unscannable(f"a body of more than {MAX_BODY >> 20} MB")
        kind = ",".join(value for name, value in headers if name.lower() == "content-type")
        plain = decoded(body, ",".join(value for name, value in headers if name.lower() == "content-encoding"))
        surface = [*parts.url(path), *parts.headers(headers)]
        look = self._look(len(plain) + len(path))
        self._surface(look, method, host, path, headers, surface)
        findings = self._placed(look, surface, "the URL and the headers", b"")
        if plain:
            strings, keys = parts.body(plain, kind)
            inside = _Look(look.patterns, look.left, fragments=look.fragments, pieces=look.pieces)
            self._body(inside, plain, strings, keys)
            literal = plain if plain is body else b""
            findings += self._placed(inside, strings or [Piece("body", "", plain)], "body", literal)
            look.fragments |= inside.fragments
        told = {finding.name for finding in findings}
        across = (self._own.pieced(look.fragments) | self._own.covered(look.pieces)) - told
        return findings + [Finding(OWN, "pieces all over the request", name) for name in sorted(across)]

    def message(self, data: bytes, *, where: str) -> list[Finding]:
        """What of a WebSocket message, a file or a text must not leave."""
        if len(data) > MAX_BODY:
            raise Unscannable(f"a message of more than {MAX_BODY >> 20} MB")
        look = self._look(len(data))
        strings, keys = parts.body(data, "")
        self._body(look, data, strings, keys)
        look.found |= {(OWN, n) for n in self._own.pieced(look.fragments) | self._own.covered(look.pieces)}
        return list(self._spans(look.found, where, data))

    def answer(self, data: bytes, tail: bytes = b"") -> list[Finding]:
        """Own secrets, raw and simply encoded, in a piece of an answer; spans are those in `tail + data`."""
        text = tail + data
        return list(self._spans({(OWN, name) for name in self._own.literal(text)}, "answer", text))

    def redact(
        self, headers: Sequence[tuple[str, str]], path: str, body: bytes, findings: Sequence[Finding]
    ) -> tuple[list[tuple[str, str]], str, bytes] | None:
        """The request without what was found; None when something cannot be cut out."""
        if not findings:
            return list(headers), path, body
        result = cut.redacted(self._own, headers, path, body, patterns=self._patterns)
        if result is None:
            return None
        try:
            left = self.request(method="", host="", path=result[1], headers=result[0], body=result[2])
        except Unscannable:
            return None
        return None if left else result

    def host_label(self, host: str, route_host: str) -> Finding | None:
        """Data in the labels that the agent chose below a wildcard."""
        own = {part for view in labels.readings(host, route_host) for part in self._labelled(view)}
        if own:
            return Finding(OWN, "host", sorted(own)[0])
        reason = labels.data(host, route_host)
        return Finding(reason, "host") if reason else None

    def _labelled(self, view: bytes) -> set[str]:
        normal = norm(view)
        fragment = self._own.fragment(normal)
        return self._own.names(view, normal, set()) | ({fragment} if fragment else set())

    def _look(self, size: int) -> _Look:
        return _Look(self._patterns, size * 6 + MAX_WORK)

    def _surface(
        self,
        look: _Look,
        method: str,
        host: str,
        path: str,
        headers: Sequence[tuple[str, str]],
        surface: list[Piece],
    ) -> None:
        signed = bool(_SIGNED.search(path))
        bearers = [(n, v) for n, v in headers if n.lower() in _BEARER and ".eyJ" in v]
        lines = [path.encode("utf-8", "surrogateescape")]
        lines += [f"{n}: {v}".encode("utf-8", "surrogateescape") for n, v in headers if (n, v) not in bearers]
        # Any word is a method.
        lines.append(method.encode("utf-8", "surrogateescape"))
        self._scan(b"\n".join(lines), look, 0)
        if signed:
            look.found = {(rule, name) for rule, name in look.found if rule not in _SIGNED_RULES}
        for (
            name,
            value,
        ) in bearers:  # a session that the agent got for itself; its own secrets are looked for all the same
            unshaped = _Look(False, look.left, fragments=look.fragments, pieces=look.pieces)
            self._scan(f"{name}: {value}".encode("utf-8", "surrogateescape"), unshaped, 0)
            look.found |= unshaped.found
        look.pieces.add(gently(lines[-1]))
        self._joined(look, surface)
        self._own_in(unquote_to_bytes(lines[0]) + f"{method} {host}".encode("utf-8", "surrogateescape"), look)

    def _body(self, look: _Look, plain: bytes, strings: list[Piece], keys: list[Piece]) -> None:
        if strings and strings[0].where.startswith("body json"):
            self._scan(plain, look, DEPTH, again=True)
            self._scan(b"\n".join(piece.data for piece in strings), look, 0)
            self._scan(b"\n".join(dict.fromkeys(piece.data for piece in keys)), look, 0)
        else:
            self._scan(plain, look, 0)
            if strings and strings[0].where.startswith("body part"):
                self._scan(b"\n".join(piece.data for piece in strings), look, 0)
            elif len(plain) > parts.PARSED and parts.is_json(plain):
                for text in joined.windows(parts.strings(plain), WINDOW, OVERLAP):
                    self._own_in(text, look)
        look.pieces.update(joined.tokens(plain))
        self._joined(look, strings, keys)

    def _joined(self, look: _Look, strings: list[Piece], keys: Sequence[Piece] = ()) -> None:
        """Strings without what stands between them, and the strings of JSON that stands in one of them."""
        for some, names in ((strings, keys), *joined.nested(strings)):
            look.pieces |= joined.short(some, names)
            if len(some) > 1:
                for text in joined.orders(some):
                    self._own_in(text, look)
            if some is not strings:
                self._own_in(b"".join(piece.data for piece in some), look)
            if len(names) > 1:
                self._own_in(b"".join(piece.data for piece in names), look)

    def _scan(self, text: bytes, look: _Look, depth: int, *, again: bool = False) -> None:
        if len(text) > WINDOW:
            for start in range(0, len(text), WINDOW - OVERLAP):
                self._scan(text[start : start + WINDOW], look, depth, again=again)
            return
        key = hash(text)
        if look.scanned.get(key, DEPTH + 1) <= depth or not text:
            return
        seen = key in look.scanned  # deeper, where less of it was undone
        look.scanned[key] = depth
        if depth:
            look.left -= len(text)
            if look.left < 0:
                raise Unscannable("encoded data that holds too much other encoded data")
        if look.patterns and not seen:
            for index in shapes.patterns().found(text):
                rule = shapes.SHAPES[index].rule
                if (rule, "") not in look.found and any(True for _ in shapes.confirmed(index, text)):
                    look.found.add((rule, ""))
        self._own_in(text, look, breaks=not again, again=again)
        if depth and not again and parts.is_json(text):
            self._joined(look, *parts.body(text, ""))
        if depth < DEPTH:
            for view in views(text, min(MAX_BODY, max(look.left, 0))):
                self._scan(view, look, depth + 1)

    def _own_in(self, text: bytes, look: _Look, *, breaks: bool = False, again: bool = False) -> None:
        normal = norm(text.replace(b"\\n", b" ") if breaks and b"\\n" in text else text)
        names = self._own.names(text, normal, look.fragments, again=again)
        look.found |= {(OWN, name) for name in names}

    def _placed(self, look: _Look, strings: list[Piece], whole: str, literal: bytes) -> list[Finding]:
        """Findings with their places: the pieces that hold them by themselves, else the whole."""
        result: list[Finding] = []
        rest = set(look.found)
        for piece in strings[:LOCATED] if rest else ():
            alone = self._look(len(piece.data))
            try:
                self._scan(piece.data, alone, 0)
            except Unscannable:
                continue
            hits = alone.found & look.found
            result += self._spans(hits, piece.where, literal)
            rest -= hits
        return result + [
            f for hit in sorted(rest) for f in self._spans({hit}, f"{whole}, in pieces or with its key", literal)
        ]

    def _spans(self, found: set[tuple[str, str]], where: str, data: bytes) -> Iterator[Finding]:
        for rule, name in sorted(found):
            spans = cut.spans(self._own, data, rule, name) if data else []
            yield from (Finding(rule, where, name, start, end) for start, end in spans[:16])
            if not spans:
                yield Finding(rule, where, name)
