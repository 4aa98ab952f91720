"""What the stand-in looks for, a small part of what pipelock does: GitHub tokens, known secrets, seed phrases."""

from __future__ import annotations

import base64
import json
import math
import re
from collections import Counter
from urllib.parse import parse_qsl, unquote, urlsplit

from config import Config

GITHUB = re.compile(r"gh[pousr]_[A-Za-z0-9]{36,}", re.IGNORECASE)
# Enough of the list for tests; the real one has 2048 words and tests the checksum.
SEED_WORDS = frozenset({"abandon", "ability", "able", "about", "above", "absent", "absorb", "abstract", "absurd"})
INJECTION = re.compile(r"(?i)ignore (all )?previous instructions")


def secret(text: str, config: Config) -> str:
    """The name of what leaks in a text, or ""."""
    for form in _forms(text):
        if GITHUB.search(form):
            return "GitHub Token"
        if any(s in form or _base64(s) in form for s in config.secrets):
            return "Known Secret Leak"
        if config.get("seed_phrase_detection", "enabled") and _seed_phrase(form):
            return "BIP-39 Seed Phrase"
    return ""


def body_fault(data: bytes, content_type: str, encoding: str, config: Config) -> str:
    """Why a request's body is refused, or ""."""
    if encoding.strip().lower() not in ("", "identity"):
        return "request body: compressed body cannot be scanned"
    if len(data) > config.get("request_body_scanning", "max_body_bytes"):
        return "request body too large for scanning"
    text = data.decode("utf-8", "replace")
    if data and "json" in content_type:
        try:
            text += "\n" + "\n".join(_strings(json.loads(text)))
        except (ValueError, RecursionError):
            return "request body: invalid JSON"
    name = secret(text, config)
    return f"request body contains secret: {name}" if name else ""


def headers_leak(headers: list[tuple[str, str]], config: Config) -> bool:
    """Whether a header that is looked at leaks."""
    mode = config.get("request_body_scanning", "header_mode")
    listed = {h.lower() for h in config.get("request_body_scanning", "sensitive_headers")}
    ignored = {h.lower() for h in config.get("request_body_scanning", "ignore_headers")}
    for name, value in headers:
        looked_at = name.lower() in listed if mode == "sensitive" else name.lower() not in ignored
        if looked_at and any(secret(form, config) for form in (value, _decoded(value.rpartition(" ")[2]))):
            return True
    return False


def url_fault(url: str, config: Config) -> tuple[str, str]:
    """Scanner and reason of a refused URL, or two empty texts."""
    if len(url) > config.get("fetch_proxy.monitoring", "max_url_length"):
        return "length", f"URL length {len(url)} exceeds maximum"
    if any(GITHUB.search(form) for form in _forms(url)):
        return "core_dlp", "core DLP match: GitHub Token (critical)"
    if name := secret(url, config):
        return "dlp", f"DLP match: {name} (critical)"
    threshold = config.get("fetch_proxy.monitoring", "entropy_threshold") or 4.5
    for key, value in parse_qsl(urlsplit(url).query):
        if len(value) >= 20 and (bits := entropy(value)) > threshold:
            return "entropy", f'high entropy query param "{key}" ({bits:.2f} > {threshold:.2f} threshold)'
    return "", ""


def entropy(text: str) -> float:
    """Shannon's, in bits a character."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())


def _forms(text: str) -> list[str]:
    return [text, unquote(text)]


def _base64(value: str) -> str:
    return base64.b64encode(value.encode()).decode().rstrip("=")


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text + "==").decode("utf-8", "replace")
    except ValueError:
        return ""


def _seed_phrase(text: str) -> bool:
    run = 0
    for word in re.findall(r"[a-z]+", text.lower()):
        run = run + 1 if word in SEED_WORDS else 0
        if run >= 12:
            return True
    return False


def _strings(value: object) -> list[str]:
    if isinstance(value, dict):
        return [s for pair in value.items() for part in pair for s in _strings(part)]
    if isinstance(value, list):
        return [s for part in value for s in _strings(part)]
    return [value] if isinstance(value, str) else []
