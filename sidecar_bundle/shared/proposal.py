"""What an agent may ask of the operator, and what is answered: values that bundle and host parse with the same code.

A proposal is a file `<id>.proposal.json`, its answer `<id>.response.json` (see `queue`). Everything in a proposal comes
from inside the bottle and is untrusted: whoever shows it passes it through `visible`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sidecar_bundle.shared.routes import RouteError, check_host, check_path

Kind = Literal["egress-block", "pipelock-block", "capability-block", "ask-operator", "dlp-ask"]
Status = Literal["approved", "modified", "rejected", "cancelled"]

KINDS: tuple[Kind, ...] = ("egress-block", "pipelock-block", "capability-block", "ask-operator", "dlp-ask")
STATUSES: tuple[Status, ...] = ("approved", "modified", "rejected", "cancelled")
# A proposal's life: from each state, what may happen to it and the state that follows.
MOVES: Mapping[str, Mapping[str, str]] = {
    "pending": {"approve": "approved", "modify": "modified", "reject": "rejected", "cancel": "cancelled"},
    "approved": {},
    "modified": {},
    "rejected": {},
    "cancelled": {},
}

MAX_TEXT = 4000  # characters of a justification, a question or notes
MAX_DOCKERFILE = 64 * 1024
MAX_PATHS = 50
MAX_CHOICES = 20
MAX_FINDINGS = 20
MAX_FILE = 256 * 1024  # bytes of a proposal's or response's file
MAX_FAULT = 400  # characters of an error, which may quote what is at fault
ID = re.compile(r"[0-9a-f]{32}\Z")
_SECONDS = 2.0**33


class ProposalError(ValueError):
    """A call or file that cannot be used. `key` is at fault; the text says what is allowed, on one line."""

    def __init__(self, key: str, message: str) -> None:
        self.key = key
        self.message = message[:MAX_FAULT]
        super().__init__(f"{key}: {self.message}")


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """`egress-block`: let requests to `host` through, on these path prefixes (none: all paths)."""

    host: str
    paths: tuple[str, ...]
    justification: str


@dataclass(frozen=True, slots=True)
class PipelockRequest:
    """`pipelock-block`: pipelock refused `url` (of `host`); let it stop judging that host's content."""

    host: str
    url: str
    justification: str


@dataclass(frozen=True, slots=True)
class CapabilityRequest:
    """`capability-block`: a whole Dockerfile for the agent's next image."""

    dockerfile: str
    justification: str


@dataclass(frozen=True, slots=True)
class Question:
    """`ask-operator`: a question; with `choices`, the answer is one of them."""

    question: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HeldRequest:
    """`dlp-ask`: a request that egress holds because it carries a secret. `findings` name rule and place, no value."""

    method: str
    host: str
    path: str
    findings: tuple[str, ...]


Payload = RouteRequest | PipelockRequest | CapabilityRequest | Question | HeldRequest


@dataclass(frozen=True, slots=True)
class Proposal:
    """One request to the operator. `created` is seconds since the epoch, as the bundle says."""

    id: str
    kind: Kind
    bottle: str
    created: float
    payload: Payload


@dataclass(frozen=True, slots=True)
class Response:
    """The operator's answer: `answer` the choice or text for a question, `notes` the reason or what was changed."""

    id: str
    status: Status
    notes: str = ""
    answer: str = ""
    decided: float = 0.0


def parse_call(kind: Any, arguments: Any) -> Payload:
    """The payload of a tool call (or of a proposal's file); raises `ProposalError`."""
    if not isinstance(arguments, Mapping):
        raise ProposalError("arguments", "must be a mapping")
    known = _KEYS.get(kind) if isinstance(kind, str) else None
    if known is None:
        raise ProposalError("kind", f"{str(kind)[:40]!r} is not one of {', '.join(KINDS)}")
    for key in arguments:
        if key not in known:
            raise ProposalError(str(key)[:60], f"is not a parameter of {kind} (allowed: {', '.join(known)})")
    match kind:
        case "egress-block":
            return _route(arguments)
        case "pipelock-block":
            return _pipelock(arguments)
        case "capability-block":
            dockerfile = _text(arguments, "dockerfile", MAX_DOCKERFILE, lines=True)
            # Blanks of one line only: with \s, each of many empty lines would be read on to the last of them.
            if not re.search(r"^[ \t]*FROM[ \t]+\S", dockerfile, re.MULTILINE | re.IGNORECASE):
                raise ProposalError("dockerfile", "must be a whole Dockerfile, with a FROM line")
            return CapabilityRequest(dockerfile, _text(arguments, "justification", MAX_TEXT, lines=True))
        case "ask-operator":
            choices = _texts(arguments, "choices", MAX_CHOICES, 200)
            if len(set(choices)) != len(choices):
                raise ProposalError("choices", "must differ from each other")
            return Question(_text(arguments, "question", MAX_TEXT, lines=True), choices)
        case _:
            method, host, path = (_text(arguments, key, 1024) for key in ("method", "host", "path"))
            return HeldRequest(method, host, path, _texts(arguments, "findings", MAX_FINDINGS, 300))


_KEYS: Mapping[str, tuple[str, ...]] = {
    "egress-block": ("host", "paths", "justification"),
    "pipelock-block": ("host", "url", "justification"),
    "capability-block": ("dockerfile", "justification"),
    "ask-operator": ("question", "choices"),
    "dlp-ask": ("method", "host", "path", "findings"),
}


def _route(arguments: Mapping[str, Any]) -> RouteRequest:
    paths = arguments.get("paths") or []
    if not isinstance(paths, list | tuple) or len(paths) > MAX_PATHS:
        raise ProposalError("paths", f"must be a list of at most {MAX_PATHS} absolute paths")
    try:
        host = check_host(arguments.get("host"))
        checked = tuple(dict.fromkeys(check_path(p, f"paths[{i}]") for i, p in enumerate(paths)))
    except RouteError as error:
        raise ProposalError(error.key, error.message) from None
    if any(len(path) > 1024 for path in checked):
        raise ProposalError("paths", "must hold no path of more than 1024 characters")
    return RouteRequest(host, checked, _text(arguments, "justification", MAX_TEXT, lines=True))


def _pipelock(arguments: Mapping[str, Any]) -> PipelockRequest:
    url = _text(arguments, "url", 2000)
    found = re.match(r"https?://([^/?#:@]+)(?::[0-9]{1,5})?(?:[/?#]|\Z)", url)
    if not found:
        raise ProposalError("url", "must be the refused URL, such as https://api.example.org/v1")
    try:
        host = check_host(found[1], "url")
        if "host" in arguments and check_host(arguments["host"]) != host:
            raise ProposalError("host", "differs from the URL's")
    except RouteError as error:
        raise ProposalError(error.key, error.message) from None
    # A query may carry what pipelock stopped: nobody needs it to decide about the host.
    return PipelockRequest(host, re.split(r"[?#]", url)[0], _text(arguments, "justification", MAX_TEXT, lines=True))


def _text(arguments: Mapping[str, Any], key: str, limit: int, *, lines: bool = False) -> str:
    text = arguments.get(key)
    if not isinstance(text, str) or not text.strip():
        raise ProposalError(key, "must be a text that is not empty")
    if len(text) > limit:
        raise ProposalError(key, f"is longer than {limit} characters")
    if not lines and ("\n" in text or "\r" in text):
        raise ProposalError(key, "must be one line")
    return _encodable(text).strip()


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _texts(arguments: Mapping[str, Any], key: str, most: int, limit: int) -> tuple[str, ...]:
    values = arguments.get(key) or []
    if not isinstance(values, list | tuple) or len(values) > most:
        raise ProposalError(key, f"must be a list of at most {most} texts")
    return tuple(_text({f"{key}[{i}]": value}, f"{key}[{i}]", limit) for i, value in enumerate(values))


def make_proposal(kind: Kind, bottle: str, payload: Payload, created: float, salt: str = "") -> Proposal:
    """A proposal whose id follows from what it asks, so that a call which is sent again finds its own earlier one.

    `salt` tells later requests of the same text from one that was answered.
    """
    text = json.dumps([kind, bottle, asdict(payload), salt], sort_keys=True)
    return Proposal(hashlib.sha256(text.encode()).hexdigest()[:32], kind, bottle, round(created, 3), payload)


def dump_proposal(proposal: Proposal) -> str:
    """The file's text."""
    return json.dumps({"schema": 1, **asdict(proposal)}, ensure_ascii=True, sort_keys=True) + "\n"


def parse_proposal(text: str | bytes) -> Proposal:
    """The value of a file; raises `ProposalError` for whatever else it may hold."""
    raw = _object(text, {"schema", "id", "kind", "bottle", "created", "payload"})
    payload = parse_call(raw.get("kind", ""), raw.get("payload"))
    bottle = raw.get("bottle")
    if not isinstance(bottle, str) or len(bottle) > 100:
        raise ProposalError("bottle", "must be a bottle's name")
    return Proposal(_id(raw), raw["kind"], bottle, _time(raw, "created"), payload)


def make_response(ident: str, status: Status, notes: str, answer: str, decided: float) -> Response:
    """An answer that the bundle can read and tell; raises `ProposalError` where it is too long for that."""
    made = Response(ident, status, _encodable(notes), _encodable(answer), decided)
    if (size := len(dump_response(made))) > MAX_FILE:
        raise ProposalError("answer", f"is too long: {size} bytes as it is written, {MAX_FILE} at most")
    return made


def dump_response(response: Response) -> str:
    """The file's text."""
    return json.dumps({"schema": 1, **asdict(response)}, ensure_ascii=True, sort_keys=True) + "\n"


def parse_response(text: str | bytes) -> Response:
    """The value of a file; raises `ProposalError`."""
    raw = _object(text, {"schema", "id", "status", "notes", "answer", "decided"})
    if raw.get("status") not in STATUSES:
        raise ProposalError("status", f"is not one of {', '.join(STATUSES)}")
    notes, answer = raw.get("notes", ""), raw.get("answer", "")
    if not isinstance(notes, str) or not isinstance(answer, str) or len(notes) + len(answer) > MAX_FILE:
        raise ProposalError("notes", "must be a text")
    return Response(_id(raw), raw["status"], _encodable(notes), _encodable(answer), _time(raw, "decided"))


def _object(text: str | bytes, keys: set[str]) -> dict[str, Any]:
    if len(text) > MAX_FILE:
        raise ProposalError("file", f"is larger than {MAX_FILE} bytes")
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        raise ProposalError("file", "is not JSON") from None
    if not isinstance(raw, dict) or set(raw) - keys or raw.get("schema") != 1:
        raise ProposalError("file", "is not of this schema")
    return raw


def _id(raw: Mapping[str, Any]) -> str:
    ident = raw.get("id")
    if not isinstance(ident, str) or not ID.match(ident):
        raise ProposalError("id", "must be 32 hexadecimal digits")
    return ident


def _time(raw: Mapping[str, Any], key: str) -> float:
    value = raw.get(key, 0.0)
    if type(value) not in (int, float) or not 0 <= value < _SECONDS:
        raise ProposalError(key, "must be seconds since the epoch")
    return float(value)


def what(payload: Payload) -> str:
    """The request in one line, untrusted as it is."""
    match payload:
        case RouteRequest(host=host, paths=paths):
            return f"{host} {' '.join(paths)}" if paths else f"{host} (every path)"
        case PipelockRequest(host=host):
            return f"pass over {host}"
        case CapabilityRequest(dockerfile=dockerfile):
            return f"{len(dockerfile.splitlines())} lines of Dockerfile"
        case Question(question=question):
            return " ".join(question.split())
        case HeldRequest(method=method, host=host, path=path, findings=findings):
            return f"{method} {host}{path}: {', '.join(findings)}"
