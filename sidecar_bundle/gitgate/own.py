"""The scanners of a push together: gitleaks where it is, and the built-in DLP with the bottle's own values."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from sidecar_bundle.gitgate.gitleaks import Gitleaks
from sidecar_bundle.gitgate.run import Failed
from sidecar_bundle.gitgate.scan import Mark


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
                from sidecar_bundle.dlp.engine import Engine, Unscannable

                self._engine = Engine(values, patterns=self.alone)
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
        with self._lock:
            if self._fault:
                raise Failed(self._fault)
            try:
                found = self._engine.message(text, where="file")
            except self._unscannable as error:
                raise Failed(f"cannot be scanned: {error}") from None
        out = set()
        for one in found:
            rule = f"{one.rule} {one.name}".strip()
            # Of a value of the bottle it is enough that it is there; of a pattern, the line says which one.
            begin, end = text.rfind(b"\n", 0, max(0, one.start)) + 1, text.find(b"\n", one.end)
            line = text[begin : end if end >= 0 else None].strip() if one.start >= 0 and not one.name else b""
            out.add(Mark(rule, line))
        return out
