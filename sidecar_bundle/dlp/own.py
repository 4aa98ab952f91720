"""The bottle's own secrets, found in any of their forms, whole or in pieces."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from sidecar_bundle.dlp.forms import MIN, gentle, gently, norm, normalised, plain, within
from sidecar_bundle.dlp.literals import Literals
from sidecar_bundle.shared.weak import weak, wordlike

SHORT, LONG = 6, 8  # lengths of a fragment, of secrets up to and above LONG_SECRET normalised bytes
LONG_SECRET = 96
MOST = 1024  # normalised bytes of a secret of which fragments are made
LEAST = 4  # characters of a string that is a piece of a secret; one more where there are many
CROWD = 4000  # strings are many then, and by accident make up what is short
COVERED = 200  # characters of the longest secret that is made up of whole strings
ENOUGH = 0.6  # of the characters of a secret that fragments cover


class Own:
    """Looks for the values of `own` (name to value); those that are `weak` are left out."""

    def __init__(self, own: Mapping[str, str]) -> None:
        self._plain: dict[bytes, str] = {}
        self._forms: dict[bytes, list[str]] = {}
        self._fragments: dict[bytes, list[tuple[str, int, int]]] = {}
        self._wanted: dict[str, int] = {}
        self.raw: dict[str, list[bytes]] = {}
        self._whole: list[tuple[str, bytes]] = []
        self._odd = False  # some secret is found only as it stands, or simply encoded
        self._gentle: dict[bytes, str] = {}  # of those with too few letters and digits to be found in a normalised text
        for name, value in sorted(own.items()):
            if not weak(value):
                for number, part in enumerate(within(value)):
                    self._add(name, part.encode("utf-8", "surrogateescape"), number)
        self._plain_list, self._form_list = list(self._plain), list({**self._forms, **self._fragments})
        self._plain_db = Literals(self._plain_list, caseless=True)
        self._form_db = Literals(self._form_list)
        self._gentle_list = list(self._gentle)
        self._gentle_db = Literals(self._gentle_list)

    def _add(self, name: str, secret: bytes, number: int) -> None:
        self.raw.setdefault(name, []).append(secret)
        if len(even := gently(secret)) <= COVERED:
            self._whole += [(name, even), (name, even[::-1])]
        for form in plain(secret):
            self._plain.setdefault(form, name)
        plainest = norm(secret)
        for form in gentle(secret):
            self._gentle.setdefault(form, name)
        self._odd |= len(plainest) < MIN and gently(secret) not in self._gentle
        for form in normalised(secret):
            self._forms.setdefault(form, []).append(name)
        key = f"{name}\n{number}"
        covered: set[int] = set()
        for start, fragment in _fragments(plainest):
            self._fragments.setdefault(fragment, []).append((key, start, start + len(fragment)))
            covered.update(range(start, start + len(fragment)))
        if len(covered) >= 12:
            self._wanted[key] = len(covered)

    def literal(self, text: bytes) -> set[str]:
        """Names of the secrets that stand there raw or simply encoded; the fastest look."""
        return {self._plain[self._plain_list[i]] for i in self._plain_db.found(text)}

    def names(self, text: bytes, normal: bytes, seen: set[tuple[str, int, int]], *, again: bool = False) -> set[str]:
        """Names of the secrets in a text, of which `normal` is the normalised form. Fragments are added to `seen`.

        With `again` the strings of the text are looked at by themselves as well.
        """
        names = self.literal(text) if self._odd else set()
        if self._gentle and not again:
            names |= {self._gentle[self._gentle_list[i]] for i in self._gentle_db.found(gently(text))}
        for index in self._form_db.found(normal):
            form = self._form_list[index]
            names.update(self._forms.get(form, ()))
            seen.update(self._fragments.get(form, ()))
        return names

    def pieced(self, seen: set[tuple[str, int, int]]) -> set[str]:
        """Names of the secrets of which so many fragments were seen that the rest does not matter."""
        covered: dict[str, set[int]] = {}
        for key, start, end in seen:
            covered.setdefault(key, set()).update(range(start, end))
        return {
            key.partition("\n")[0]
            for key, places in covered.items()
            if key in self._wanted and len(places) >= ENOUGH * self._wanted[key]
        }

    def covered(self, pieces: set[bytes]) -> set[str]:
        """Names of the secrets that whole strings make up, in any order and from anywhere, but for three characters."""
        least = LEAST + (len(pieces) > CROWD) + (len(pieces) > CROWD * 25)
        usable = {piece for piece in pieces if least <= len(piece) <= COVERED}
        digits = sum(map(bytes.isdigit, usable))
        usable = {piece for piece in usable if not piece.isdigit() or len(piece) > 5 or digits < 40}
        lengths, begun = sorted({len(piece) for piece in usable}), {piece[:least] for piece in usable}
        return {name for name, text in self._whole if _made(text, usable, lengths, begun, least)}

    def fragment(self, normal: bytes) -> str:
        """The name of a secret of which any fragment of 8 characters stands in a short text, or ""."""
        for name, values in self.raw.items():
            for value in values:
                whole = norm(value)[:MOST]
                for start in range(len(whole) - LONG + 1):
                    piece = whole[start : start + LONG]
                    if piece in normal and not wordlike(piece.decode()):
                        return name
        return ""

    def spans(self, text: bytes, name: str = "") -> Iterator[tuple[int, int]]:
        """Where the secrets (or one of them) stand raw, or escaped for a URL, JSON or HTML, in any case."""
        lowered = text.lower()
        for form, owner in self._plain.items():
            if name in ("", owner):
                for match in re.finditer(re.escape(form), lowered):
                    yield match.span()


def _made(text: bytes, pieces: set[bytes], lengths: list[int], begun: set[bytes], least: int) -> bool:
    """Whether pieces make up a text; at least half of it with what is no word, and of a short one all."""
    missing = [0, *[len(text)] * len(text)]
    words = [0] * (len(text) + 1)
    for start in range(len(text)):
        steps = [(1, 1)]
        if text[start : start + least] in begun:
            steps += [(n, 0) for n in lengths if text[start : start + n] in pieces and start + n <= len(text)]
        for length, lost in steps:
            end = start + length
            if missing[start] + lost < missing[end]:
                missing[end] = missing[start] + lost
                word = not lost and wordlike(text[start:end].decode("utf-8", "replace"))
                words[end] = words[start] + length * word
    left = missing[-1]
    return left <= (3 if len(text) - left >= 12 else 0) and words[-1] * 2 <= len(text)


def _fragments(plainest: bytes) -> Iterator[tuple[int, bytes]]:
    """Pieces that no other text has by accident: not words, not numbers."""
    length, step = (SHORT, 1) if len(plainest) <= LONG_SECRET else (LONG, LONG)
    for start in range(0, min(len(plainest), MOST) - length + 1, step):
        piece = plainest[start : start + length]
        if not piece.isdigit() and not wordlike(piece.decode()):
            yield start, piece
