"""Splits a manifest into strict YAML frontmatter, with line numbers, and its Markdown body."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from manifests.values import ManifestError

MAX_BYTES = 256 * 1024
MAX_FRONTMATTER = 32 * 1024
MAX_DEPTH = 12
MAX_NODES = 2000

Kind = Literal["text", "number", "bool", "list", "map"]

_NUMBER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z")
_NULLS = ("", "~", "null", "Null", "NULL")
# YAML takes some of these for line ends, which would shift every line number after them.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_HUGE_ESCAPE = re.compile(r"\\U(?!00(?:0[0-9A-Fa-f]|10))[0-9A-Fa-f]{8}")
_HINTS = (
    ("mapping values are not allowed", 'a value that holds ": " must be in quotes, and a key needs less indentation'),
    ("mapping keys are not allowed", 'a value that begins with "? " or is a bare ? must be in quotes: "?"'),
    ("cannot start any token", "put the value in quotes"),
    ("could not find expected ':'", "write `key: value`"),
    ("expected <block end>", "check the indentation of this line"),
    ("expected ',' or", "check the brackets, or put the value in quotes"),
    ("unexpected end of stream", "a quote or bracket is not closed"),
    ("expected the node content", "a value is missing or must be in quotes"),
)


@dataclass(frozen=True, slots=True)
class Node:
    """One YAML value and the line (from 1) where it stands. `text` is a scalar as written, without its quotes.

    `number` and `bool` are unquoted scalars: a plain decimal number, `true` or `false`; every other scalar is text.
    `keys` holds the line of each key of a mapping.
    """

    line: int
    kind: Kind
    text: str = ""
    quoted: bool = False
    items: tuple[Node, ...] = ()
    entries: Mapping[str, Node] = field(default_factory=dict)
    keys: Mapping[str, int] = field(default_factory=dict)

    def at(self, *names: str) -> Node | None:
        """The value below these keys, or None where one of them is not there."""
        node: Node | None = self
        for name in names:
            node = node.entries.get(name) if node else None
        return node


@dataclass(frozen=True, slots=True)
class Document:
    """A manifest file: its frontmatter (a mapping) and its body, without blank lines around it."""

    path: Path
    root: Node
    body: str

    def error(self, line: int, key: str, message: str) -> ManifestError:
        """A mistake in this file."""
        return ManifestError(self.path, line, key, message)


def parse_document(path: Path, data: bytes) -> Document:
    """The parts of a manifest file, or `ManifestError`. A byte order mark (UTF-8) and CRLF line ends are taken too."""
    if len(data) > MAX_BYTES:
        raise ManifestError(path, 1, "", f"is larger than {MAX_BYTES // 1024} KiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = data[: e.start].count(b"\n") + 1
        raise ManifestError(path, line, "", "is not UTF-8 text; save the file as UTF-8") from None
    lines = text.replace("\r\n", "\n").split("\n")
    if lines[0].rstrip(" \t") != "---":
        raise ManifestError(path, 1, "", "must begin with a line `---` (the frontmatter, closed by another `---`)")
    end = next((i for i, one in enumerate(lines) if i and one.rstrip(" \t") == "---"), None)
    if end is None:
        raise ManifestError(path, 1, "", "the frontmatter that begins here has no closing line `---`")
    # The empty line in front stands for the opening one, so that YAML's line numbers are the file's.
    front = "\n".join(["", *lines[1:end], ""])
    return Document(path, _Reader(path, front).read(), "\n".join(lines[end + 1 :]).strip())


class _Reader:
    """Builds nodes from YAML events, refusing everything of YAML that a reader could take for something else."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._text = text
        self._count = 0

    def read(self) -> Node:
        if len(self._text) > MAX_FRONTMATTER:
            raise self._error(1, "", f"the frontmatter is larger than {MAX_FRONTMATTER // 1024} KiB")
        for number, line in enumerate(self._text.split("\n"), 1):
            if bad := _UNPRINTABLE.search(line):
                raise self._error(number, "", f"holds the character U+{ord(bad[0]):04X}, which is not allowed here")
            if "\t" in line[: len(line) - len(line.lstrip())]:
                raise self._error(number, "", "is indented with a tab; use blanks")
            if line.startswith("%"):
                raise self._error(number, "", "YAML directives (%) are not allowed")
        events = self._events()
        event = next(events)
        if _name(event) == "StreamEnd":
            return Node(1, "map")
        if _name(event) != "MappingStart":
            raise self._error(_line(event), "", "the frontmatter must be `key: value` lines")
        root = self._node(events, event, "", 1)
        next(events)
        return root

    def _events(self) -> Iterator[Any]:
        import yaml  # here, so that a program start which reads no manifest does not pay for it

        try:
            event: Any
            for event in yaml.parse(self._text, Loader=yaml.SafeLoader):
                name = _name(event)
                if name in ("DocumentStart", "DocumentEnd"):
                    if event.explicit:
                        raise self._error(_line(event), "", "only one YAML document is allowed (no `---` or `...`)")
                elif name != "StreamStart":
                    yield event
        except yaml.MarkedYAMLError as e:
            mark = e.problem_mark or e.context_mark
            problem = e.problem or "cannot be read"
            hint = next((h for words, h in _HINTS if words in problem), "")
            line = mark.line + 1 if mark else 1
            # At the end of the text the mark stands behind the last line; the place where it began says more.
            if "end of stream" in problem and e.context_mark:
                line = e.context_mark.line + 1
            raise self._error(line, "", f"not valid YAML: {problem}" + (f" ({hint})" if hint else "")) from None
        except (yaml.YAMLError, ValueError, OverflowError) as e:
            # ManifestError is a ValueError too: errors of ours go through as they are.
            if isinstance(e, ManifestError):
                raise
            lines = enumerate(self._text.split("\n"), 1)
            line = next((number for number, one in lines if _HUGE_ESCAPE.search(one)), 1)
            raise self._error(line, "", "not valid YAML: an escape or a character is out of range") from None

    def _node(self, events: Iterator[Any], event: Any, key: str, depth: int) -> Node:
        name, line = _name(event), _line(event)
        self._count += 1
        if self._count > MAX_NODES:
            raise self._error(line, key, f"the frontmatter holds more than {MAX_NODES} values")
        if depth > MAX_DEPTH:
            raise self._error(line, key, f"is nested deeper than {MAX_DEPTH} levels")
        self._check_plain_yaml(event, key)
        if name == "Scalar":
            return self._scalar(event, key)
        if name == "SequenceStart":
            items: list[Node] = []
            while _name(item := next(events)) != "SequenceEnd":
                items.append(self._node(events, item, f"{key}[{len(items)}]", depth + 1))
            return Node(line, "list", items=tuple(items))
        entries: dict[str, Node] = {}
        lines: dict[str, int] = {}
        while _name(k := next(events)) != "MappingEnd":
            word = self._key(k, key)
            dotted = f"{key}.{word}" if key else word
            if word in lines:
                raise self._error(_line(k), dotted, f"stands twice (first in line {lines[word]})")
            lines[word] = _line(k)
            entries[word] = self._node(events, next(events), dotted, depth + 1)
        return Node(line, "map", entries=entries, keys=lines)

    def _key(self, event: Any, parent: str) -> str:
        if _name(event) != "Scalar" and _name(event) != "Alias":
            raise self._error(_line(event), parent, "a key must be a plain word, not a list or mapping")
        self._check_plain_yaml(event, parent)
        word = str(event.value)
        if not word:
            raise self._error(_line(event), parent, "a key is empty")
        if word == "<<":
            raise self._error(_line(event), parent, "merge keys (<<) are not allowed (a bottle can use `extends`)")
        return word

    def _check_plain_yaml(self, event: Any, key: str) -> None:
        line = _line(event)
        if _name(event) == "Alias" or event.anchor is not None:
            raise self._error(line, key, "YAML anchors (&) and aliases (*) are not allowed; put a text in quotes")
        if event.tag is not None:
            raise self._error(line, key, "YAML tags (!) are not allowed; put a text in quotes")
        if _name(event) == "Scalar":
            if event.style in ("|", ">"):
                raise self._error(line, key, "block texts (| and >) are not allowed; write one line")
            if event.start_mark.line != event.end_mark.line:
                raise self._error(line, key, "must stand on one line")

    def _scalar(self, event: Any, key: str) -> Node:
        line, text = _line(event), str(event.value)
        if event.style:
            return Node(line, "text", text, quoted=True)
        if text in _NULLS:
            raise self._error(line, key, 'has no value (an empty text is "", a list [], a mapping {})')
        if text in ("true", "false"):
            return Node(line, "bool", text)
        return Node(line, "number" if _NUMBER.match(text) else "text", text)

    def _error(self, line: int, key: str, message: str) -> ManifestError:
        return ManifestError(self._path, line, key, message)


def _name(event: Any) -> str:
    return type(event).__name__.removesuffix("Event")


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1
