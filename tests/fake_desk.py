"""Proposals and rules in memory: the `Desk` protocol with the real merging and the real refusals, and no disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from backends.api import BackendError, Decision, Fault, Preview, Progress, Waiting
from botbottle_tui.host import effective
from botbottle_tui.host.audit import told
from botbottle_tui.host.effective import Refused, What
from sidecar_bundle.shared.config import BundleConfig
from sidecar_bundle.shared.proposal import CapabilityRequest, Kind, Payload, make_proposal, what
from sidecar_bundle.shared.routes import Route, RouteAuth

MANIFEST = "/home/op/.bot-bottle/bottles/web.md"


def config(slug: str) -> BundleConfig:
    routes = (Route("api.example.org", ("/v1",), RouteAuth("Bearer", "EGRESS_TOKEN_0")), Route("pypi.org"))
    return BundleConfig(slug, routes, ("egress", "pipelock", "supervise"))


@dataclass
class FakeDesk:
    """`pending` is what waits; `called` is told of each call, so that a world can fail it."""

    called: Callable[..., None]
    pending: list[Waiting] = field(default_factory=list)
    faults: tuple[Fault, ...] = ()
    configs: dict[str, BundleConfig] = field(default_factory=dict)
    decided: list[Decision] = field(default_factory=list)
    unkept: str = ""
    version: int = 0

    def ask(self, slug: str, kind: Kind, payload: Payload, created: float, error: str = "") -> Waiting:
        """An agent asks."""
        one = Waiting(slug, make_proposal(kind, slug, payload, created), error)
        self.pending.append(one)
        self.version += 1
        return one

    def swap(self, at: int, payload: Payload) -> None:
        """A bundle writes another request into the file of one that waits; no row shows it yet."""
        one = self.pending[at]
        self.pending[at] = replace(one, proposal=replace(one.proposal, payload=payload))

    def mark(self) -> str:
        return f"m{self.version}"

    def watch(self, seen: str, seconds: float) -> tuple[str, tuple[Waiting, ...], tuple[Fault, ...]]:
        self.called("watch", seen)
        end = time.monotonic() + seconds
        while seen == self.mark() and time.monotonic() < end:
            time.sleep(0.02)
        return self.mark(), tuple(sorted(self.pending, key=lambda w: w.proposal.created)), self.faults

    def config(self, slug: str) -> BundleConfig:
        return self.configs.setdefault(slug, config(slug))

    def preview(self, slug: str, ident: str, text: str = "") -> Preview:
        self.called("preview", slug, ident, text)
        one = next((w for w in self.pending if w.key == (slug, ident)), None)
        if one is None:
            raise BackendError(f"{ident[:8]} of {slug} waits no more: it was answered, or taken back")
        before, payload = self.config(slug), one.proposal.payload
        shown = text
        try:
            if isinstance(payload, CapabilityRequest):
                raise Refused("bubblewrap builds no image for an agent")
            payload = effective.edited(one.proposal, text) if text else payload
            after = effective.changed(before, payload)
            shown = text or effective.request_text(payload)
        except Refused as error:
            if not text and "nothing to change" in str(error):
                return Preview(seen="s", waiting=one)
            return Preview(seen="s", text=shown, refused=str(error), waiting=one)
        said = effective.note(payload, before, after)
        return Preview(effective.config_diff(before, after), "s" + text, "", shown, said, waiting=one)

    def preview_lasting(self, slug: str, ident: str, text: str = "") -> Preview:
        self.called("preview_lasting", slug, ident, text)
        if self.unkept:
            return Preview(refused=self.unkept)
        return Preview("--- web.md\n+++ web.md\n@@ -3,0 +4 @@\n+    - host: x.example.org", "k", file=MANIFEST)

    def decide(self, decisions: Sequence[Decision], progress: Progress) -> tuple[tuple[str, ...], tuple[Fault, ...]]:
        done: list[str] = []
        faults: list[Fault] = []
        for one in decisions:
            try:
                self.called("decide", one.slug, one.id, one.action)
            except BackendError as error:
                faults.append(Fault(f"{one.slug} {one.id[:8]}", error.message, error.hint))
                continue
            self.decided.append(one)
            found = next(w for w in self.pending if w.key == (one.slug, one.id))
            self.pending.remove(found)
            self.version += 1
            action = "reject" if one.action == "reject" else "modify" if one.text else "approve"
            entry = {"kind": found.proposal.kind, "action": action, "what": what(found.proposal.payload)}
            done.append(f"{one.slug}: {told(entry | {'notes': one.reason, 'answer': one.answer})}")
        return tuple(done), tuple(faults)

    def rules(self, slug: str, what: What) -> Preview:
        self.called("rules", slug, what)
        return Preview(text=effective.rules_text(self.config(slug), what))

    def preview_rules(self, slug: str, what: What, text: str) -> Preview:
        before = self.config(slug)
        try:
            after = effective.edited_rules(before, what, text)
        except Refused as error:
            return Preview(seen="r", text=text, refused=str(error))
        return Preview(effective.config_diff(before, after), "r", text=text)

    def change_rules(self, slug: str, what: What, text: str, seen: str) -> str:
        self.called("change_rules", slug, what, seen)
        self.configs[slug] = effective.edited_rules(self.config(slug), what, text)
        return f"{slug}: {what} changed"
