"""A modest detector of instructions in an answer that address the agent; it finds what is blunt, not what is clever."""

from __future__ import annotations

from sidecar_bundle.dlp.literals import Patterns

_RULES = (
    (
        "tells the agent to ignore its instructions",
        r"(?:ignore|disregard|forget|override)\s{1,4}(?:all\s{1,4}|any\s{1,4}|everything\s{1,4})?(?:of\s{1,4})?(?:the\s{1,4}|your\s{1,4}|my\s{1,4})?"
        r"(?:previous|prior|above|earlier|preceding|original|system|existing)\s{1,4}(?:instruction|prompt|rule|direction|message|guideline)",
    ),
    (
        "gives the agent a new role",
        r"(?:new|updated|real)\s{1,4}(?:system\s{1,4}prompt|instructions\s{1,4}for\s{1,4}(?:the\s{1,4})?(?:ai|assistant|agent|model))",
    ),
    (
        "imitates the marks of a conversation",
        r"<\|(?:im_start|im_end|system|endoftext)\|>|\[/?INST\]|<</?SYS>>|\n\n(?:Human|System): ",
    ),
    (
        "addresses AI agents",
        r"(?:attention|note|important|message)[:,]?\s{1,4}(?:to\s{1,4}|for\s{1,4})?(?:all\s{1,4}|any\s{1,4}|the\s{1,4})?(?:ai|llm)\s{1,4}(?:agents?|assistants?|models?)",
    ),
    (
        "asks the agent to hide something from the user",
        r"(?:do\s{1,4}not|don't|never)\s{1,4}(?:tell|inform|mention\s{1,4}(?:this\s{1,4})?to|reveal\s{1,4}(?:this\s{1,4})?to|alert|notify)\s{1,4}(?:the\s{1,4})?(?:user|human|operator)",
    ),
    (
        "asks the agent to send secrets",
        r"(?:send|post|upload|exfiltrate|leak|submit)\s{1,4}(?:me\s{1,4})?(?:the\s{1,4}|your\s{1,4}|all\s{1,4}|any\s{1,4}){0,2}"
        r"(?:api\s{0,2}keys?|credentials|environment\s{1,4}variables|env\s{1,4}vars|secrets|ssh\s{1,4}keys?|private\s{1,4}keys?|tokens)\s{1,4}to",
    ),
)
_patterns: list[Patterns] = []


def instructions(text: bytes) -> str:
    """The first reason to think that the text instructs the agent, or ""."""
    if not _patterns:
        _patterns.append(Patterns([rule.encode() for _, rule in _RULES], caseless=True))
    found = _patterns[0].found(text)
    return f"the text {_RULES[min(found)][0]}" if found else ""
