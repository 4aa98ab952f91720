"""The scanners of a push together: gitleaks where it is, and the built-in DLP with the bottle's own values."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sidecar_bundle.gitgate.gitleaks import Gitleaks
from sidecar_bundle.gitgate.run import Failed
from sidecar_bundle.gitgate.scan import Mark

# A text with something encoded in it is looked at line by line up to this size.
LINED = 256 * 1024
_Spans = Callable[[str, bytes], list[tuple[int, int]]]


class Scanners:
    """Callable as `scan.Scanner`, from any thread. Never silently less than it says in `detail`."""

    def __init__(self, program: str, folder: Path, env: Mapping[str, str]) -> None:
        self._gitleaks: Gitleaks | None = None
        self._broken = ""
        self._fault = "the gate has no values of the bottle yet"
        self.detail = "gitleaks is not in this bundle: the built-in DLP alone scans pushes"
        self.name = "the built-in DLP"
        self.alone = not (program and os.access(program, os.X_OK))
        self._lock = threading.Lock()
        if not self.alone:
            self.detail, self.name = "gitleaks and the built-in DLP scan pushes", "gitleaks or the built-in DLP"
            try:
                self._gitleaks = Gitleaks(program, folder, env)
            except Failed as error:
                # It is there and does not work: that is no reason to do without.
                self._broken = str(error)

    def protect(self, values: Mapping[str, str]) -> None:
        """The values of this bottle that no push may carry, by name. `Failed` when the engine cannot be made."""
        with self._lock:
            try:
                # Hundreds of milliseconds: only once there is a bottle.
                from sidecar_bundle.dlp import cut
                from sidecar_bundle.dlp.engine import Engine, Unscannable
                from sidecar_bundle.dlp.own import Own

                # Also beside gitleaks: it undoes fewer encodings.
                self._engine, none = Engine(values), Own({})
                self._spans: _Spans = lambda rule, text: cut.spans(none, text, rule)
                self._unscannable: type[Exception] = Unscannable
                self._fault = ""
            except Exception as error:
                # Whatever keeps the engine from starting: nothing passes unscanned.
                self._fault = f"the built-in DLP cannot start ({type(error).__name__}); nothing is forwarded unscanned"
                raise Failed(self._fault) from None

    @property
    def fault(self) -> str:
        """Why nothing can be scanned, or ""."""
        return self._broken or self._fault

    def __call__(self, texts: Sequence[bytes], timeout: float) -> list[set[Mark]]:
        """Marks of each text. `Failed` when one of the scanners cannot tell."""
        until = time.monotonic() + timeout
        if self.fault:
            raise Failed(self.fault)
        out: list[set[Mark]] = [set() for _ in texts]
        if self._gitleaks:
            for hit in self._gitleaks.scan(texts, timeout):
                out[hit.index].add(Mark(hit.rule, hit.lines))
        for index, text in enumerate(texts):
            if time.monotonic() > until:
                raise Failed(f"the push cannot be scanned within {timeout:.0f} s; push it in parts")
            out[index] |= self._own(text)
        return out

    def _own(self, text: bytes) -> set[Mark]:
        found = self._found(text)
        # Of a value of the bottle it is enough that it is there; of a shape, the mark says which one.
        out = {Mark(rule) for rule, shape in found if not shape}
        return out.union(*(self._shaped(rule, text) for rule, shape in found if shape))

    def _shaped(self, rule: str, text: bytes) -> set[Mark]:
        """The lines with this shape; and where more is found than stands in a line, all the rest as one."""
        spans = self._spans(rule, text)
        # Beside gitleaks, what stands there as it is is for gitleaks to judge, which raises fewer false alarms.
        marks = {Mark(rule, _lines(text, *span)) for span in spans} if self.alone else set[Mark]()
        ends = [0, *(end for _, end in spans)]
        starts = [*(start for start, _ in spans), len(text)]
        rest = b" ".join(text[end:start] for end, start in zip(ends, starts, strict=True))
        if spans and (rule, True) not in self._found(rest):
            return marks
        # Encoded: line by line, so that what the upstream has of it stops no change beside it.
        lines = rest.split(b"\n")
        coded = (
            {line for line in set(lines) if (rule, True) in self._found(line)} if len(rest) <= LINED else set[bytes]()
        )
        left = b"\n".join(line for line in lines if line not in coded)
        if (rule, True) in self._found(left):
            coded.add(hashlib.sha256(left).digest())
        return marks | {Mark(rule, line.strip()) for line in coded}

    def _found(self, text: bytes) -> set[tuple[str, bool]]:
        """What the engine finds, and whether that is a shape."""
        with self._lock:
            if self._fault:
                raise Failed(self._fault)
            try:
                return {(f"{f.rule} {f.name}".strip(), not f.name) for f in self._engine.message(text, where="file")}
            except self._unscannable as error:
                raise Failed(f"cannot be scanned: {error}") from None


def _lines(text: bytes, start: int, end: int) -> bytes:
    stop = text.find(b"\n", end)
    return text[text.rfind(b"\n", 0, start) + 1 : stop if stop >= 0 else len(text)].strip()
