"""Approvals for good: the manifest changes by the lines that it must, or not at all."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from backends.api import BackendError, Decision
from botbottle_tui.host import lasting
from botbottle_tui.host.effective import Refused
from sidecar_bundle.shared.proposal import PipelockRequest, Question, RouteRequest
from tests.unit.host.deskrig import BASE, Rig

CHILD = "---\nextends: base\nenv: {A: b}\n---\n"


def route(host: str, *paths: str) -> RouteRequest:
    return RouteRequest(host, paths, "x")


def over(host: str) -> PipelockRequest:
    return PipelockRequest(host, f"https://{host}/", "x")


def added(before: str, after: str) -> tuple[list[str], list[str]]:
    """The lines that are gone, and those that are new."""
    rows = list(difflib.ndiff(before.splitlines(), after.splitlines()))
    return [x[2:] for x in rows if x.startswith("- ")], [x[2:] for x in rows if x.startswith("+ ")]


# what is asked, lines gone, lines new
EDITS = {
    "a new host": (route("x.example.org"), [], ["    - host: x.example.org"]),
    "a new host with paths": (
        route("x.example.org", "/a", "/b c".replace(" ", "+")),
        [],
        ["    - host: x.example.org", "      path_allowlist:", "        - /a", '        - "/b+c"'],
    ),
    "a wildcard": (route("*.x.example.org"), [], ['    - host: "*.x.example.org"']),
    "another path": (route("api.example.org", "/v2"), [], ["        - /v2"]),
    "every path": (route("api.example.org"), ["      path_allowlist:", "        - /v1"], []),
    "pipelock": (over("pypi.org"), [], ["      pipelock:", "        tls_passthrough: true"]),
    "pipelock before another": (over("api.example.org"), [], ["      pipelock:", "        tls_passthrough: true"]),
}


@pytest.mark.parametrize("what", EDITS)
def test_minimal_edits(own_state: Path, what: str) -> None:
    asked, gone, new = EDITS[what]
    Rig(own_state)
    edit = lasting.edit(own_state, "box", asked)
    assert added(BASE, edit.after.decode()) == (gone, new)
    assert "# the API" in edit.after.decode() and "    # the packages\n" in edit.after.decode()
    edit.write()
    assert (own_state / "bottles/box.md").read_text() == edit.after.decode()
    again = lasting.edit(own_state, "box", asked)
    assert again.before == again.after and "allows it already" in again.preview.note
    edit.undo()
    assert (own_state / "bottles/box.md").read_text() == BASE


SHAPES = {
    "no egress": (
        "---\nagent_provider: {template: shell}\n# end\n---\nText\n",
        "  routes:\n    - host: x.example.org\n---\n",
    ),
    "an empty list": (
        "---\nagent_provider: {template: shell}\negress:\n  routes: []  # none yet\nsupervise: true\n---\n",
        "  routes:  # none yet\n    - host: x.example.org\nsupervise: true\n",
    ),
    "list at the key's column": (
        "---\negress:\n  routes:\n  - host: a.example.org\n  # last\n\nsupervise: true\n---\n",
        "  - host: a.example.org\n  - host: x.example.org\n  # last\n\nsupervise: true\n",
    ),
    "items of one line": (
        "---\negress:\n  routes:\n    - {host: a.example.org}\n---\n",
        "    - {host: a.example.org}\n    - host: x.example.org\n---\n",
    ),
    "windows line ends": (
        "---\r\negress:\r\n  routes:\r\n    - host: a.example.org\r\n---\r\nText\r\n",
        "    - host: a.example.org\r\n    - host: x.example.org\r\n---\r\nText\r\n",
    ),
}


@pytest.mark.parametrize("what", SHAPES)
def test_shapes_that_can_be_edited(own_state: Path, what: str) -> None:
    before, expected = SHAPES[what]
    Rig(own_state)
    (own_state / "bottles/box.md").write_bytes(before.encode())
    assert expected in lasting.edit(own_state, "box", route("x.example.org")).after.decode()


def test_paths_on_one_line(own_state: Path) -> None:
    rig = Rig(own_state)
    text = BASE.replace("path_allowlist:\n        - /v1", "path_allowlist: [/v1, '/w']  # both")
    rig.manifest("box").write_text(text)
    edit = lasting.edit(own_state, "box", route("api.example.org", "/v2", "/w"))
    assert "path_allowlist: [/v1, '/w', \"/v2\"]  # both" in edit.after.decode()


REFUSED = {
    "flow": (
        "---\negress: {routes: [{host: a.example.org}]}\n---\n",
        route("x.example.org"),
        "lines that begin with `-`",
    ),
    "a wildcard covers it": (
        "---\negress:\n  routes:\n    - host: '*.example.org'\n      path_allowlist: [/a]\n---\n",
        route("x.example.org", "/b"),
        "cannot be edited safely; add it by hand: host: x.example.org, path_allowlist: [/b]",
    ),
    "paths first in the item": (
        "---\negress:\n  routes:\n    - path_allowlist: [/a]\n      host: x.example.org\n---\n",
        route("x.example.org"),
        "take path_allowlist out by hand",
    ),
    "no route": (BASE, over("x.example.org"), "no route to x.example.org"),
    "a question": (BASE, Question("?"), "can be kept in a manifest"),
    "broken by now": ("---\nbotle: 1\n---\n", route("x.example.org"), "botle: is not a key here"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_shapes_that_are_refused(own_state: Path, what: str) -> None:
    text, asked, why = REFUSED[what]
    Rig(own_state)
    (own_state / "bottles/box.md").write_text(text)
    with pytest.raises(Refused) as caught:
        lasting.edit(own_state, "box", asked)
    assert why in str(caught.value)
    assert (own_state / "bottles/box.md").read_text() == text


def test_inherited_routes_are_edited_where_they_stand(own_state: Path) -> None:
    rig = Rig(own_state, {"base": BASE, "box": CHILD, "other": CHILD})
    ident = rig.ask("egress-block", route("x.example.org"))
    preview = rig.desk.preview_lasting(rig.slug, ident)
    assert preview.file.endswith("bottles/base.md")
    assert "box inherits its routes from base.md" in preview.note and "also changes base, other" in preview.note
    assert "+    - host: x.example.org" in preview.diff


def for_good(rig: Rig, ident: str) -> Decision:
    seen = rig.desk.preview(rig.slug, ident).seen
    return Decision(rig.slug, ident, "approve", seen, manifest=rig.desk.preview_lasting(rig.slug, ident).seen)


def test_for_good_is_live_and_written(own_state: Path) -> None:
    rig = Rig(own_state)
    rig.manifest("box").chmod(0o640)
    ident = rig.ask("egress-block", route("x.example.org", "/a"))
    done, faults = rig.desk.decide([for_good(rig, ident)], lambda line: None)
    assert faults == () and done[0].endswith("approved for good: x.example.org /a")
    assert "- host: x.example.org" in rig.manifest("box").read_text()
    assert rig.manifest("box").stat().st_mode & 0o777 == 0o640
    (entry,) = rig.desk.audit.entries()
    assert "+route x.example.org" in entry["diff"] and "+    - host: x.example.org" in entry["diff"]


def test_a_manifest_that_changed_meanwhile(own_state: Path) -> None:
    rig = Rig(own_state)
    ident = rig.ask("egress-block", route("x.example.org"))
    decision = for_good(rig, ident)
    rig.manifest("box").write_text(BASE + "More.\n")
    _, faults = rig.desk.decide([decision], lambda line: None)
    assert "the manifest changed meanwhile" in faults[0].message
    assert rig.backend.configured == [] and rig.response(ident) is None


def test_for_good_is_undone_with_the_rest(own_state: Path) -> None:
    rig = Rig(own_state)
    ident = rig.ask("egress-block", route("x.example.org"))
    decision = for_good(rig, ident)
    rig.exchange().answers.rmdir()
    _, faults = rig.desk.decide([decision], lambda line: None)
    assert "cannot be written" in faults[0].message and rig.manifest("box").read_text() == BASE


def test_a_link_stays_a_link(own_state: Path, tmp_path: Path) -> None:
    rig = Rig(own_state)
    real = tmp_path / "dotfiles.md"
    real.write_text(BASE)
    rig.manifest("box").unlink()
    rig.manifest("box").symlink_to(real)
    edit = lasting.edit(own_state, "box", route("x.example.org"))
    edit.write()
    assert rig.manifest("box").is_symlink() and "x.example.org" in real.read_text()
    with pytest.raises(BackendError, match="changed meanwhile"):
        edit.write()
