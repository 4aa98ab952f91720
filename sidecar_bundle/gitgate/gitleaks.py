"""Runs gitleaks over texts so that nothing that the texts say can weaken it, and proves each time that it looks."""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sidecar_bundle.gitgate.rules import CONFIGURATION
from sidecar_bundle.gitgate.run import Failed, run

# gitleaks reads a file in parts of 10 kB, looks at each by itself, and passes over a part that begins like an archive.
# So it gets files that are one part each, that overlap, and that begin as text.
PIECE = 8000
OVERLAP = 1600
_HEAD = b"#\n"
_FOUND = 77
_ALLOW = re.compile(rb"(?i)gitleaks:(allow)")


@dataclass(frozen=True, slots=True)
class Hit:
    """A rule that fires: the index of the text, the rule, and the lines that it fires on (never shown)."""

    index: int
    rule: str
    lines: bytes


class Gitleaks:
    """gitleaks at `program`. `Failed` when it cannot be made to work."""

    def __init__(self, program: str, folder: Path, env: Mapping[str, str]) -> None:
        self.program = program
        self._folder = folder
        self._env = dict(env)
        self._config = folder / "gitleaks.toml"
        self._config.write_text(CONFIGURATION)
        known = run([program, "detect", "--help"], env=env, timeout=20, cwd=str(folder)).out.decode("utf-8", "replace")
        self._more = ["--max-decode-depth", "3"] if "--max-decode-depth" in known else []
        self.scan([b""], 30)

    def scan(self, texts: Sequence[bytes], timeout: float) -> list[Hit]:
        """What it finds in `texts`. `Failed` when it does not end, or does not find what is there for it to find."""
        until = time.monotonic() + timeout
        with tempfile.TemporaryDirectory(prefix="leaks-", dir=self._folder) as place:
            source = Path(place, "texts")
            source.mkdir()
            pieces: dict[str, int] = {}
            for index, text in enumerate([*texts, _canary()]):
                for form in forms(text):
                    for start in range(0, max(1, len(form)), PIECE - OVERLAP):
                        name = f"{len(pieces):08x}"
                        pieces[name] = index
                        # `gitleaks:allow` in a text is that text's word, not the operator's.
                        part = _ALLOW.sub(rb"gitleaks-\1", form[start : start + PIECE])
                        Path(source, name).write_bytes(_HEAD + part)
                        if start + PIECE >= len(form):
                            break
            report = Path(place, "report.json")
            argv = [self.program, "detect", "--no-git", "--source", str(source), "--config", str(self._config)]
            argv += ["--redact", "--no-banner", "--report-format", "json", "--report-path", str(report)]
            argv += ["--exit-code", str(_FOUND), "--max-target-megabytes", "0", *self._more]
            done = run(argv, env=self._env, timeout=until - time.monotonic(), cwd=place)
            if done.status != _FOUND:
                raise Failed(f"gitleaks failed ({done.status}): {(done.lines or ['it found nothing at all'])[-1]}")
            try:
                rows = json.loads(report.read_bytes())
                seen = [int(row["StartLine"]) for row in rows if pieces[Path(row["File"]).name] == len(texts)]
                # Versions count lines from 0 or from 1: the canary stands in line 3.
                shift = 3 - seen[0] if seen else 0
                hits = [_hit(row, source, pieces, shift) for row in rows]
            except (OSError, ValueError, KeyError, TypeError):
                raise Failed("gitleaks' report cannot be read") from None
        if not seen:
            raise Failed("gitleaks does not find what was put there for it to find")
        return sorted({h for h in hits if h.index < len(texts)}, key=lambda h: (h.index, h.rule, h.lines))


def _hit(row: Mapping[str, object], source: Path, pieces: Mapping[str, int], shift: int) -> Hit:
    name = Path(str(row["File"])).name
    first, last = (int(str(row[key])) + shift for key in ("StartLine", "EndLine"))
    lines = Path(source, name).read_bytes().split(b"\n")[first - 1 : last]
    return Hit(pieces[name], str(row["RuleID"])[:80], b"\n".join(line.strip() for line in lines))


def forms(text: bytes) -> list[bytes]:
    """The text, and what it is when its zero bytes go: UTF-16 as ASCII."""
    return [text, text.replace(b"\0", b"")] if b"\0" in text else [text]


def _canary() -> bytes:
    # Made here, so that it stands in no file that is scanned for secrets.
    return b"\n" + b"ghp" + b"_" + b"x7Kd92mQpLr4TzWv8NcYbH3sJf6gAeU1Xo5i" + b"\n"
