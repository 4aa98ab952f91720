"""The one table of all manifest keys: what is checked, what messages say, and the reference in the README."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from agent_image.providers import PROVIDERS
from manifests.frontmatter import Document, Node
from sidecar_bundle.shared.routes import DLP_MODES, INJECTION_MODES

Type = Literal["text", "bool", "list", "map", "any"]
NAME = re.compile(r"[a-z][a-z0-9-]*\Z")

_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Key:
    """One key. In `path`, `*` stands for a name of the writer's own and `[]` for an item of a list.

    `default` is shown only; `words` are all that a text may be (none: any text).
    """

    path: str
    type: Type
    meaning: str
    default: str = ""
    required: bool = False
    words: tuple[str, ...] = ()


BOTTLE: tuple[Key, ...] = (
    Key("extends", "text", "name of the bottle that this one starts from", "none"),
    Key("env", "map", "variables of the agent; with `extends`, added to the parent's", "none"),
    Key("env.*", "text", '`text` as it is, `"${HOST_VAR}"` from the host, `"?question"` asked at the start, masked'),
    Key("agent_provider", "map", "what runs in the bottle; replaces the parent's whole"),
    Key("agent_provider.template", "text", "the provider", "claude", words=tuple(PROVIDERS)),
    Key(
        "agent_provider.dockerfile",
        "text",
        "a Dockerfile in place of the provider's: absolute, `~/...` or from the bottle's folder",
        "the provider's",
    ),
    Key("git", "map", "git inside the bottle"),
    Key("git.user", "map", "who commits; with `extends`, each key given here wins over the parent's"),
    Key("git.user.name", "text", "`user.name`", "none"),
    Key("git.user.email", "text", "`user.email`", "none"),
    Key("git.remotes", "map", "upstreams by host, added to the parent's; `{}` drops the parent's", "none"),
    Key("git.remotes.*", "map", "one upstream; the key is its host"),
    Key("git.remotes.*.Name", "text", "local label, unique in the bottle", required=True),
    Key("git.remotes.*.Upstream", "text", "`ssh://user@host/path` or `user@host:path`", required=True),
    Key("git.remotes.*.IdentityFile", "text", "private key on the host; absolute or `~/...`", required=True),
    Key("git.remotes.*.KnownHostKey", "text", "the host's public key; without it nothing is forwarded", "none"),
    Key("git.remotes.*.ExtraHosts", "map", "addresses of host names that DNS does not know", "none"),
    Key("git.remotes.*.ExtraHosts.*", "text", "an IP address"),
    Key("egress", "map", "what the bottle reaches; replaces the parent's whole"),
    Key("egress.routes", "list", "allowed destinations; everything else is refused", "`[]`"),
    Key("egress.routes[]", "map", "one destination"),
    Key("egress.routes[].host", "text", "host name, or `*.example.org` for its subdomains", required=True),
    Key("egress.routes[].path_allowlist", "list", "path prefixes", "`[]`, all paths"),
    Key("egress.routes[].path_allowlist[]", "text", "an absolute path such as `/v1/`"),
    Key("egress.routes[].auth", "map", "a credential that egress adds and the agent never sees", "none"),
    Key("egress.routes[].auth.scheme", "text", "first word of the header: `Bearer`, `token`", required=True),
    Key("egress.routes[].auth.token_ref", "text", "name of the host variable with the value", required=True),
    Key("egress.routes[].role", "text", "tells the provider that it is logged in: a role of the template", "none"),
    Key("egress.routes[].dlp", "text", "what happens to a request that carries a secret", "block", words=DLP_MODES),
    Key(
        "egress.routes[].prompt_injection",
        "text",
        "answers that instruct the agent: passed, told in Activity, or cut",
        "off",
        words=INJECTION_MODES,
    ),
    Key("egress.routes[].pipelock", "map", "how pipelock treats the host"),
    Key("egress.routes[].pipelock.tls_passthrough", "bool", "pipelock does not decrypt (egress still does)", "false"),
    Key("egress.routes[].pipelock.ssrf_ip_allowlist", "list", "private networks the host may lie in", "`[]`"),
    Key("egress.routes[].pipelock.ssrf_ip_allowlist[]", "text", "a network such as `10.1.2.0/24`"),
    Key("supervise", "bool", "whether the agent can ask the operator", "true"),
    Key("isolation", "text", "container runtime: `auto`, `runsc`, ...; never weaker than asked", "auto"),
    Key("pipelock", "map", "pipelock in this bottle; replaces the parent's whole"),
    Key("pipelock.required", "bool", "whether the bottle refuses to start without pipelock", "false"),
    Key("pipelock.seed_phrases", "bool", "whether texts like wallet seed phrases are stopped", "false"),
)

AGENT: tuple[Key, ...] = (
    Key("bottle", "text", "name of the bottle (of the HOME folder) that the agent runs in", required=True),
    Key("skills", "list", "skills copied into the bottle, from `~/.claude/skills`", "`[]`"),
    Key("skills[]", "text", "name of a skill's folder"),
    *(Key(k, "any", "ignored, so that a subagent's file can be used") for k in ("name", "description")),
    *(Key(k, "any", "ignored, as `name` is") for k in ("model", "color", "memory")),
)

REMOVED: Mapping[str, str] = {
    "runtime": "was removed: gVisor is used where it is found; to insist on it, write `isolation: runsc`",
    "ssh": "was removed: declare the upstream under `git.remotes`, by host",
    "cred_proxy": "was removed: give each host a route under `egress.routes`, with `auth: {scheme, token_ref}`",
    "egress_proxy": "was renamed: write its routes under `egress.routes`",
    "git_user": "was moved: write `name` and `email` under `git.user`",
}

_TYPES: Mapping[Type, str] = {"text": "a text", "bool": "true or false", "list": "a list", "map": "a mapping"}


def check(doc: Document, table: tuple[Key, ...], words: Mapping[str, tuple[str, ...]] | None = None) -> None:
    """Raises the first `ManifestError` of a document against a table. `words` replaces a key's allowed words."""
    _Checker(doc, table, words or {}).map(doc.root, doc.root.line, "", "")


class _Checker:
    """One walk over one document; `path` is the table's spelling of a key, `dotted` the document's, `line` its line."""

    def __init__(self, doc: Document, table: tuple[Key, ...], words: Mapping[str, tuple[str, ...]]) -> None:
        self._doc = doc
        self._words = words
        self._keys = {key.path: key for key in table}
        self._names: dict[str, list[str]] = {}
        for path in self._keys:
            parent, _, name = path.rpartition(".")
            if not name.endswith("[]"):
                self._names.setdefault(parent, []).append(name)

    def map(self, node: Node, line: int, path: str, dotted: str) -> None:
        allowed = self._names.get(path, [])
        for name, child in node.entries.items():
            own = "*" if "*" in allowed else name
            if own not in allowed:
                raise self._doc.error(node.keys[name], _join(dotted, name), _unknown(name, allowed, path, self._keys))
            self._value(child, node.keys[name], _join(path, own), _join(dotted, name))
        for name in allowed:
            key = self._keys[_join(path, name)]
            if key.required and name not in node.entries:
                raise self._doc.error(line, _join(dotted, name), f"is missing: {key.meaning}")

    def _value(self, node: Node, line: int, path: str, dotted: str) -> None:
        key = self._keys[path]
        if key.type == "any":
            return
        bool_like = not node.quoted and node.text.lower() in ("true", "false")
        if node.kind != key.type or (key.type == "text" and bool_like):
            raise self._doc.error(line, dotted, _wrong_type(node, key.type))
        if key.type == "map":
            self.map(node, line, path, dotted)
        for i, item in enumerate(node.items):
            self._value(item, item.line, f"{path}[]", f"{dotted}[{i}]")
        if key.type == "text":
            self._text(node, key, self._words.get(path, key.words), dotted)

    def _text(self, node: Node, key: Key, allowed: tuple[str, ...], dotted: str) -> None:
        if bad := _CONTROL.search(node.text):
            what = "a line break" if bad[0] in "\r\n" else f"the character U+{ord(bad[0]):04X}"
            raise self._doc.error(node.line, dotted, f"must not hold {what}")
        if not node.text and key.required:
            raise self._doc.error(node.line, dotted, f"must not be empty: {key.meaning}")
        if allowed and node.text not in allowed:
            message = f"{node.text!r} is not one of {', '.join(allowed)}{close(node.text, allowed)}"
            raise self._doc.error(node.line, dotted, message)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def close(word: str, allowed: Iterable[str]) -> str:
    """` (did you mean x?)` when one of the allowed words is near, else nothing."""
    import difflib

    # Bounded: a folder may hold any number of names, and each broken file asks.
    by_lower = {a.lower(): a for a in islice(allowed, 200)}
    near = difflib.get_close_matches(word[:64].lower(), by_lower, 1, 0.7)
    return f" (did you mean {by_lower[near[0]]}?)" if near else ""


def _unknown(name: str, allowed: list[str], path: str, keys: Mapping[str, Key]) -> str:
    bottle = "bottle" not in keys
    if not path and name in REMOVED:
        return f"{REMOVED[name]}" + ("" if bottle else ", in the bottle")
    if not path and not bottle and name == "git":
        return "an agent has no git remotes or user of its own: write `git` in its bottle, in the HOME folder"
    other = AGENT if bottle else BOTTLE
    if not path and any(k.path == name for k in other):
        whose = "an agent's key, not a bottle's" if bottle else "a bottle's key: write it in the agent's bottle"
        return f"is {whose} (allowed: {', '.join(allowed)})"
    return f"is not a key here{close(name, allowed)} (allowed: {', '.join(allowed)})"


def _wrong_type(node: Node, wanted: Type) -> str:
    if wanted == "text" and node.kind in ("bool", "number", "text"):
        return f'must be a text; write it in quotes: "{node.text}"'
    if wanted == "bool" and node.kind in ("text", "number"):
        meant = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
        word = node.text.lower()
        word = word if word in ("true", "false") else meant.get(word, "")
        return f"must be true or false, not {node.text!r}" + (f"; write {word}, without quotes" if word else "")
    found = "a list" if node.kind == "list" else "a mapping" if node.kind == "map" else f"{node.text!r}"
    return f"must be {_TYPES[wanted]}, not {found}"


def reference() -> str:
    """All keys as Markdown: a table for bottles, one for agents, one of keys that are no longer read."""
    parts = [_table("Bottle (`bottles/<name>.md`)", BOTTLE), _table("Agent (`agents/<name>.md`)", AGENT)]
    rows = [f"| `{name}` | {hint} |" for name, hint in REMOVED.items()]
    parts.append("\n".join(["**No longer read**", "", "| key | what to do |", "|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def _table(title: str, table: tuple[Key, ...]) -> str:
    rows = [f"**{title}**", "", "| key | type | default | meaning |", "|---|---|---|---|"]
    for key in table:
        default = "required" if key.required else key.default
        meaning = key.meaning + (f": {', '.join(f'`{w}`' for w in key.words)}" if key.words else "")
        kind = {"map": "mapping", "any": "anything", "bool": "true or false"}.get(key.type, key.type)
        rows.append(f"| `{key.path}` | {kind} | {default} | {meaning} |")
    return "\n".join(rows)
