"""Small edits of a bottle's file as text: one route more, a path more; all else stays as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from manifests.frontmatter import Node, parse_document
from manifests.values import ManifestError

_PLAIN = re.compile(r"[A-Za-z0-9/_][A-Za-z0-9._~/-]*\Z")
_FLOW = re.compile(r"(?P<head>\s*(?:- )?path_allowlist:\s*\[)(?P<items>[^\[\]#]*)(?P<tail>\]\s*(?:#.*)?)\Z")
_EMPTY = re.compile(r"(\s*routes:)\s*\[\s*\](\s*(?:#.*)?)\Z")


class CannotEdit(Exception):
    """The file's shape is not one that can be edited safely; the text says what to write by hand."""


def declares_routes(path: Path, data: bytes) -> bool:
    """Whether this file has routes of its own, or inherits them. Raises `ManifestError`."""
    return parse_document(path, data).root.at("egress", "routes") is not None


def allow(path: Path, data: bytes, host: str, paths: Sequence[str]) -> bytes:
    """The file with these paths of a host allowed too; no paths: every path. The caller checks what came out."""
    file = _File(path, data)
    routes = file.root.at("egress", "routes")
    if routes is None:
        if file.root.at("egress") is not None:
            raise CannotEdit("egress has no routes; add them by hand")
        return file.insert(file.end, ["egress:", "  routes:", *_item("    ", host, paths)])
    if not routes.items:
        at = file.root.entries["egress"].keys["routes"]
        found = _EMPTY.match(file.lines[at - 1])
        if not found:
            raise CannotEdit(f"line {at}: write the list of routes as lines that begin with `-`")
        file.lines[at - 1] = found[1] + found[2]
        indent = " " * (file.indent(at) + 2)
        return file.insert(at + 1, _item(indent, host, paths))
    node = _route(routes, host)
    if node is None:
        last = routes.items[-1]
        indent = file.dash(last.line)
        return file.insert(file.after(last.line, len(indent)), _item(indent, host, paths))
    return _more_paths(file, node, paths)


def pass_over(path: Path, data: bytes, host: str) -> bytes:
    """The file with `pipelock: {tls_passthrough: true}` for a host that has a route."""
    file = _File(path, data)
    routes = file.root.at("egress", "routes")
    node = _route(routes, host) if routes else None
    if node is None:
        raise CannotEdit(f"{host} has no route of its own there; write it by hand")
    pipelock = node.at("pipelock")
    if pipelock is None:
        indent = file.dash(node.line)
        inner = " " * (len(indent) + 2)
        lines = [f"{inner}pipelock:", f"{inner}  tls_passthrough: true"]
        return file.insert(file.after(node.line, len(indent)), lines)
    at = pipelock.keys.get("tls_passthrough", 0)
    changed, count = re.subn(r"(\btls_passthrough:\s*)false\b", r"\g<1>true", file.lines[at - 1]) if at else ("", 0)
    if count != 1:
        raise CannotEdit(f"line {pipelock.line}: write tls_passthrough: true there by hand")
    file.lines[at - 1] = changed
    return file.data()


def _more_paths(file: _File, node: Node, paths: Sequence[str]) -> bytes:
    known = node.at("path_allowlist")
    if known is None or not known.items:
        return file.data()  # every path is allowed already
    key = node.keys["path_allowlist"]
    block = known.items[0].line != key
    last = known.items[-1].line
    wanted = [p for p in paths if p not in {item.text for item in known.items}]
    if paths and block:
        indent = file.dash(last)
        return file.insert(last + 1, [f"{indent}- {_scalar(p)}" for p in wanted])
    if paths:
        found = _FLOW.match(file.lines[key - 1])
        if not found:
            raise CannotEdit(f"line {key}: write the paths as lines that begin with `-`")
        items = ", ".join([found["items"].strip().rstrip(","), *(json.dumps(p, ensure_ascii=False) for p in wanted)])
        file.lines[key - 1] = f"{found['head']}{items}{found['tail']}"
        return file.data()
    if file.lines[key - 1].lstrip().startswith("-") or (not block and not _FLOW.match(file.lines[key - 1])):
        raise CannotEdit(f"line {key}: take path_allowlist out by hand")
    del file.lines[key - 1 : last]
    return file.data()


def _route(routes: Node, host: str) -> Node | None:
    for node in routes.items:
        named = node.at("host")
        if named and named.text.strip().lower().rstrip(".") == host:
            return node
    return None


def _item(indent: str, host: str, paths: Sequence[str]) -> list[str]:
    out = [f"{indent}- host: {_scalar(host)}"]
    if paths:
        out += [f"{indent}  path_allowlist:", *(f"{indent}    - {_scalar(p)}" for p in paths)]
    return out


def _scalar(text: str) -> str:
    return text if _PLAIN.match(text) else json.dumps(text, ensure_ascii=False)


class _File:
    """The lines of a manifest, with the line ends and byte order mark that it had. Numbers of lines begin with 1."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.root = parse_document(path, data).root
        self._mark = "\ufeff" if data.startswith(b"\xef\xbb\xbf") else ""
        text = data.decode("utf-8-sig")
        self._ends = "\r\n" if "\r\n" in text else "\n"
        self.lines = text.replace("\r\n", "\n").split("\n")
        self.end = next(i for i, one in enumerate(self.lines, 1) if i > 1 and one.rstrip(" \t") == "---")

    def data(self) -> bytes:
        # Whatever UTF-8 cannot say becomes something else, which the caller's check then refuses.
        return (self._mark + self._ends.join(self.lines)).encode("utf-8", "replace")

    def insert(self, at: int, lines: Sequence[str]) -> bytes:
        """The file with these lines before line `at`."""
        self.lines[at - 1 : at - 1] = lines
        return self.data()

    def indent(self, number: int) -> int:
        text = self.lines[number - 1]
        return len(text) - len(text.lstrip(" "))

    def dash(self, number: int) -> str:
        """The blanks before the `-` of a list's item."""
        found = re.match(r"( *)- ", self.lines[number - 1])
        if not found:
            raise CannotEdit(f"line {number}: write this list as lines that begin with `-`")
        return found[1]

    def after(self, number: int, indent: int) -> int:
        """The line after the last one that belongs to the item which begins there."""
        last = number
        for at in range(number + 1, self.end):
            text = self.lines[at - 1].strip()
            if text and not text.startswith("#"):
                if self.indent(at) <= indent:
                    break
                last = at
        return last + 1


__all__ = ["CannotEdit", "ManifestError", "allow", "declares_routes", "pass_over"]
