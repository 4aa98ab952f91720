"""What dead bottles left, in every backend and in the state folder, and how it goes; what is not ours stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.api import BackendError, Fault, Leftover

if TYPE_CHECKING:
    from botbottle_tui.host.launching import Host


def find(host: Host, *, images: bool) -> tuple[Leftover, ...]:
    """As `Host.leftovers`."""
    out: list[Leftover] = []
    unknown: list[Leftover] = []
    for backend in host.all_backends:
        try:
            out += backend.leftovers(images=images)
        except BackendError as error:
            unknown.append(Leftover(backend.name, "folder", "", "", "not looked at", error.message))
    agents, _ = host.enumerate()
    dead = {one.slug for one in out}
    for agent in agents:
        if agent.state == "lost" or (agent.state == "error" and agent.slug in dead):
            try:
                changes = host.outcomes.changes(agent.slug)
                open_work = len(changes.files) if not changes.exported else 0
                note = f"; {open_work} changed files are kept as a patch" if open_work else ""
            except BackendError:
                note = "; its copy is kept"
            out.append(Leftover("host", "folder", agent.slug, agent.slug, f"state of a bottle that is gone{note}"))
    for slug in host.records.torn():
        out.append(Leftover("host", "folder", slug, slug, "state of a launch that was cut off"))
    return (*out, *unknown, *host.foreign())


def sweep(host: Host, leftovers: tuple[Leftover, ...]) -> tuple[Fault, ...]:
    """As `Host.sweep`."""
    faults: list[Fault] = []
    leftovers = tuple(one for one in leftovers if not one.left)
    for backend in host.all_backends:
        try:
            faults += backend.sweep([one for one in leftovers if one.backend == backend.name])
        except BackendError as error:
            faults.append(Fault(backend.name, error.message, error.hint))
    for one in leftovers:
        if one.backend == "host" and not host.is_live(one.slug):
            try:
                if host.records.load(one.slug) is None:
                    host.records.remove(one.slug)
                else:
                    host.stop(one.slug, drop_changes=False)
            except BackendError as error:
                faults.append(Fault("host", error.message, error.hint))
    return tuple(faults)
