"""An approval for good: the same change in the bottle's manifest, as a minimal edit, proved before it is written."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from backends.api import BackendError, Preview
from botbottle_tui.host import catalog, files
from botbottle_tui.host.effective import Refused, digest, passed_over, with_paths
from manifests.catalog import Bottle, ManifestError, build_catalog
from manifests.edit import CannotEdit, allow, declares_routes, pass_over
from sidecar_bundle.shared.proposal import Payload, PipelockRequest, RouteRequest
from sidecar_bundle.shared.routes import Route


@dataclass(frozen=True, slots=True)
class Edit:
    """A manifest's bytes before and after; `path` is the real file, behind any link."""

    preview: Preview
    path: Path
    before: bytes
    after: bytes

    def write(self) -> None:
        """Replaces the file, unless it is another one by now. `BackendError`."""
        self._replace(self.before, self.after)

    def undo(self) -> None:
        """The file as it was, where this was written at all; `BackendError` when somebody changed it since."""
        if files.read_head(self.path, catalog.MAX_BYTES + 1) != self.before:
            self._replace(self.after, self.before)

    def _replace(self, expected: bytes, wanted: bytes) -> None:
        if files.read_head(self.path, catalog.MAX_BYTES + 1) != expected:
            raise BackendError(f"the manifest changed meanwhile: {self.path}", "look again")
        if wanted != expected:
            files.write_bytes(self.path, wanted, self.path.stat().st_mode & 0o777)


def edit(home: Path, bottle: str, payload: Payload) -> Edit:
    """The edit that grants `payload` to every later start of `bottle`; `Refused` says why there is none."""
    if not isinstance(payload, RouteRequest | PipelockRequest):
        raise Refused("only routes and what pipelock judges can be kept in a manifest")
    every = catalog.bottle_files(home)
    found = build_catalog(every, {}, {})
    was = found.bottle(bottle)
    if was is None:
        broken = next((b for b in found.broken if b.name == bottle), None)
        raise Refused(str(broken.error) if broken else f"there is no bottle {bottle} in {home / 'bottles'} any more")
    path = _declaring(every, was)
    before = every[path]
    try:
        if isinstance(payload, RouteRequest):
            wanted = with_paths(_routes(was), payload.host, payload.paths)
            after = before if wanted == _routes(was) else allow(path, before, payload.host, payload.paths)
        else:
            wanted = passed_over(_routes(was), payload.host)
            after = before if wanted == _routes(was) else pass_over(path, before, payload.host)
    except CannotEdit as error:
        raise Refused(f"{path}: {error}") from None
    then = build_catalog({**every, path: after}, {}, {})
    now = then.bottle(bottle)
    if now is None or _routes(now) != wanted or len(then.broken) > len(found.broken):
        raise Refused(f"{path} has a shape that cannot be edited safely; add it by hand: {_by_hand(payload)}")
    others = [b.name for b in found.bottles if b.name != bottle and _routes(b) != _routes_of(then.bottle(b.name))]
    said = [] if path.stem == bottle else [f"{bottle} inherits its routes from {path.name}"]
    said += [f"this also changes {', '.join(others)}"] if others else []
    said += ["nothing changes: the manifest allows it already"] if before == after else []
    preview = Preview(
        diff=_diff(before, after, path),
        seen=digest(str(path), before.hex(), after.hex()),
        note="; ".join(said),
        file=str(path),
    )
    return Edit(preview, path.resolve(), before, after)


def _declaring(every: Mapping[Path, bytes], bottle: Bottle) -> Path:
    """The file that the bottle's routes come from; its own where none declares any."""
    by_name = {path.stem: path for path in every}
    for name in bottle.chain:
        path = by_name[name]
        try:
            if declares_routes(path, every[path]):
                return path
        except ManifestError as error:
            raise Refused(str(error)) from None
    return bottle.path


def _routes(bottle: Bottle) -> tuple[Route, ...]:
    return tuple(r.route for r in bottle.routes)


def _routes_of(bottle: Bottle | None) -> tuple[Route, ...]:
    return _routes(bottle) if bottle else ()


def _by_hand(payload: RouteRequest | PipelockRequest) -> str:
    if isinstance(payload, RouteRequest):
        return f"host: {payload.host}" + (f", path_allowlist: [{', '.join(payload.paths)}]" if payload.paths else "")
    return f"pipelock: {{tls_passthrough: true}} for {payload.host}"


def _diff(before: bytes, after: bytes, path: Path) -> str:
    old, new = (data.decode(errors="replace").splitlines() for data in (before, after))
    return "\n".join(difflib.unified_diff(old, new, str(path), str(path), lineterm=""))
