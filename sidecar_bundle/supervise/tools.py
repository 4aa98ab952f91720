"""What the agent can call, as MCP describes it: names, when to use them, and the shapes of arguments and answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sidecar_bundle.shared import proposal
from sidecar_bundle.shared.config import BundleConfig

INSTRUCTIONS = (
    "You work in a sandbox whose operator is a person. When it refuses something that the task needs, ask with these "
    "tools: name exactly what was refused, and why you need it. A call returns when the operator has answered, which "
    "may take long. Do not look for a way around a refusal, and do not ask again for what was rejected."
)
LIST_ROUTES = "list-egress-routes"


@dataclass(frozen=True, slots=True)
class Tool:
    """`schema` and `answer` are JSON schemas."""

    name: str
    text: str
    schema: Mapping[str, Any]
    answer: Mapping[str, Any]


def _text(what: str, most: int) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": most, "description": what}


def _object(required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


_WHY = _text("Why the task needs it; the operator reads this.", proposal.MAX_TEXT)
_ANSWER = _object(
    ("status", "notes", "answer"),
    status={"type": "string", "enum": list(proposal.STATUSES)},
    notes={"type": "string", "description": "The operator's reason, or what was changed."},
    answer={"type": "string", "description": "The answer to a question."},
)

TOOLS: tuple[Tool, ...] = (
    Tool(
        "egress-block",
        "Use this when a request failed with a 403 that starts with 'egress:' because the host or path is not "
        "allowed. Asks the operator to allow one host. On 'approved' or 'modified', retry the request.",
        _object(
            ("host", "justification"),
            host=_text("The host that was refused, such as api.example.org.", 253),
            paths={
                "type": "array",
                "items": {"type": "string"},
                "maxItems": proposal.MAX_PATHS,
                "description": "Path prefixes that are enough, such as /v1; leave out for all paths.",
            },
            justification=_WHY,
        ),
        _ANSWER,
    ),
    Tool(
        "pipelock-block",
        "Use this when a request was refused with a line that starts with 'pipelock:'. Asks the operator to let "
        "pipelock pass that host's content unjudged.",
        _object(
            ("url", "justification"),
            host=_text("The URL's host; may be left out.", 253),
            url=_text("The URL that was refused.", 2048),
            justification=_WHY,
        ),
        _ANSWER,
    ),
    Tool(
        "capability-block",
        "Use this when a program or library is missing that you cannot install here. Proposes a whole Dockerfile for "
        "your next image; the present one is ~/.bot-bottle-Dockerfile, where there is one. Save your work first: when "
        "the operator approves, this sandbox is rebuilt; workspace and home folder stay, what runs ends.",
        _object(
            ("dockerfile", "justification"),
            dockerfile=_text("The whole Dockerfile, with its FROM line.", proposal.MAX_DOCKERFILE),
            justification=_WHY,
        ),
        _ANSWER,
    ),
    Tool(
        LIST_ROUTES,
        "Shows which hosts and paths this sandbox may reach now. Use it before you ask for another one.",
        _object(()),
        _object(("routes",), routes={"type": "array", "items": {"type": "object"}}),
    ),
    Tool(
        "ask-operator",
        "Use this for a question that only the operator can answer: a choice, a missing fact, leave to go on.",
        _object(
            ("question",),
            question=_text("The question, with what the operator must know to answer it.", proposal.MAX_TEXT),
            choices={
                "type": "array",
                "items": {"type": "string", "minLength": 1, "maxLength": 200},
                "maxItems": proposal.MAX_CHOICES,
                "description": "Answers to choose from; leave out for a free answer.",
            },
        ),
        _ANSWER,
    ),
)
NAMES = tuple(tool.name for tool in TOOLS)


def routes(config: BundleConfig) -> dict[str, Any]:
    """The answer of `list-egress-routes`: rules only, no names or values of credentials."""
    found = [
        {"host": r.host, "paths": list(r.path_allowlist), "credential": r.auth is not None, "dlp": r.dlp}
        for r in config.routes
    ]
    return {"routes": found}
