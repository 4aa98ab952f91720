"""What a change really is: nothing of a route hides from the diff, and no text of anybody's breaks the parsing."""

from __future__ import annotations

import random
from dataclasses import fields, replace
from pathlib import Path

import pytest

from botbottle_tui.host import effective, lasting
from botbottle_tui.host.effective import Refused
from sidecar_bundle.shared.config import BundleConfig, Pipelock, dump_config
from sidecar_bundle.shared.proposal import (
    CapabilityRequest,
    PipelockRequest,
    Proposal,
    RouteRequest,
    make_proposal,
)
from sidecar_bundle.shared.routes import Route, RouteAuth
from tests.unit.host.deskrig import Rig

PLAIN = Route("a.example.org")
OTHER: dict[str, object] = {
    "host": "b.example.org",
    "path_allowlist": ("/x",),
    "auth": RouteAuth("Bearer", "EGRESS_TOKEN_0"),
    "tls_passthrough": True,
    "ssrf_ip_allowlist": ("10.0.0.0/8",),
    "dlp": "off",
    "prompt_injection": "warn",
}


@pytest.mark.parametrize("name", [f.name for f in fields(Route)])
def test_every_field_of_a_route_is_in_the_diff(name: str) -> None:
    before = BundleConfig("s", (PLAIN,))
    after = replace(before, routes=(replace(PLAIN, **{name: OTHER[name]}),))  # type: ignore[arg-type]
    assert effective.config_diff(before, after) and effective.config_digest(before) != effective.config_digest(after)


def test_a_route_that_changes_is_shown_whole_and_no_other() -> None:
    long = Route("long.example.org", tuple(f"/{i}" for i in range(50)))
    before = BundleConfig("s", (PLAIN, long, Route("b.example.org")))
    after = replace(before, routes=effective.with_paths(before.routes, long.host, ("/new",)))
    rows = effective.config_diff(before, after).splitlines()
    assert rows[3] == " route long.example.org" and rows[-2:] == ["+  path /new", "   no credential of yours"]
    assert [row for row in rows if "route " in row] == [" route long.example.org"]
    both = effective.config_diff(before, replace(after, routes=(*reversed(after.routes),)))
    assert "-route b.example.org" in both and "+route b.example.org" in both, "another order is a change"


def test_a_wildcard_is_called_by_what_it_means() -> None:
    before = BundleConfig("s")
    for host, said in (("*.github.io", "every subdomain of github.io; every path of the host"), ("github.io", "every")):
        payload = RouteRequest(host, (), "y")
        assert effective.note(payload, before, effective.changed(before, payload)).startswith(said)
    assert "subdomain" not in effective.note(payload, before, effective.changed(before, payload))


def test_the_scheme_the_slot_and_the_seed_phrases_too() -> None:
    texts = {
        effective.config_diff(BundleConfig("s"), BundleConfig("s", routes, ("egress",), pipelock))
        for routes in ((replace(PLAIN, auth=RouteAuth(s, t)),) for s in ("Bearer", "token") for t in ("E_0", "E_1"))
        for pipelock in (Pipelock(), Pipelock(seed_phrases=True))
    }
    assert len(texts) == 8


def test_a_wildcard_keeps_what_it_said_for_the_one_host() -> None:
    wild = Route("*.example.org", ("/a",), RouteAuth("Bearer", "EGRESS_TOKEN_0"), dlp="redact")
    found = effective.with_paths((wild,), "x.example.org", ("/b",))
    assert found == (wild, replace(wild, host="x.example.org", path_allowlist=("/a", "/b")))
    assert effective.with_paths((wild,), "x.example.org", ("/a",)) == (wild,)
    assert effective.with_paths((replace(wild, path_allowlist=()),), "x.example.org", ("/b",)) == (
        replace(wild, path_allowlist=()),
    )
    assert effective.passed_over((wild,), "x.example.org")[1].tls_passthrough
    assert effective.with_paths((wild,), "example.org", ("/b",))[1] == Route("example.org", ("/b",))


def asked(seed: int) -> Proposal:
    rng = random.Random(seed)
    payload = rng.choice(
        (
            RouteRequest("a.example.org", ("/x",), "y"),
            PipelockRequest("a.example.org", "https://a.example.org/", "y"),
            CapabilityRequest("FROM x", "y"),
        )
    )
    kind = {RouteRequest: "egress-block", PipelockRequest: "pipelock-block", CapabilityRequest: "capability-block"}
    return make_proposal(kind[type(payload)], "s", payload, 1.0)  # type: ignore[arg-type]


PIECES = (
    '{"host": "x.example.org"',
    ', "paths": ["/a"]',
    "}",
    "5",
    "null",
    "[]",
    "# x\n",
    '"\\ud800"',
    "1" * 5000,
    "é\x00",
)


@pytest.mark.parametrize("seed", range(200))
def test_whatever_is_typed_is_taken_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    config = BundleConfig("s", (PLAIN,), ("egress", "pipelock"))
    text = "".join(rng.choices(PIECES, k=rng.randint(0, 6)))
    for attempt in (
        lambda: dump_config(effective.changed(config, effective.edited(asked(seed), text))),
        lambda: dump_config(effective.edited_rules(config, "routes", text)),
        lambda: dump_config(effective.edited_rules(config, "pipelock", text)),
    ):
        try:
            attempt()
        except Refused as error:
            assert str(error) and "\n" not in str(error)


def test_what_a_manifest_cannot_hold_is_refused(own_state: Path) -> None:
    Rig(own_state)
    with pytest.raises(Refused):
        lasting.edit(own_state, "box", RouteRequest("x.example.org", ("/\ud800",), "y"))
