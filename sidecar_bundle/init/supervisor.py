"""What init does when a child dies, a signal comes or time passes: a state machine without any I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

GRACE = 8.0
FIRST_BACKOFF = 0.1
MAX_BACKOFF = 10.0
STABLE = 30.0
PATIENCE = 2.0
ASKED = 128 + 15


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start the daemon."""

    name: str


@dataclass(frozen=True, slots=True)
class Terminate:
    """Ask the daemon to end (SIGTERM), or make it (SIGKILL)."""

    name: str
    hard: bool = False


@dataclass(frozen=True, slots=True)
class Exit:
    """All is over: end with this code."""

    code: int


@dataclass(frozen=True, slots=True)
class Note:
    """A line for the log."""

    text: str


Action = Spawn | Terminate | Exit | Note


def select(spec: str | None, known: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The daemons to run, in start order, and the unknown names of a list such as `egress, supervise`; None is all."""
    if spec is None:
        return tuple(known), ()
    asked = [name.strip() for name in spec.split(",") if name.strip()]
    return tuple(n for n in known if n in asked), tuple(n for n in asked if n not in known)


@dataclass
class _Daemon:
    life: Literal["running", "waiting", "over"] = "running"
    since: float = 0.0
    failures: int = 0
    restarts: int = 0
    code: int = 0
    due: float = 0.0
    kill_at: float | None = None
    wanted: bool = False
    dropped: bool = False

    def absent(self) -> tuple[str, str]:
        """State and detail while no process of it runs; `restarts` is -1 until its first start."""
        return ("starting", "") if self.restarts < 0 else ("backoff", f"ended with {self.code}")


@dataclass
class Supervisor:
    """Times are seconds of any steady clock, given by the caller. Every method answers with what to do now."""

    names: tuple[str, ...]
    stopping: bool = False
    daemons: dict[str, _Daemon] = field(default_factory=dict)

    def start(self, now: float) -> list[Action]:
        """Starts the first daemon; the others when it serves (`release`), or soon: it is what a launch waits for."""
        if not self.names:
            return [Note("no daemons selected")]
        self.daemons = {name: _Daemon("waiting", due=now + PATIENCE, restarts=-1) for name in self.names}
        self.daemons[self.names[0]] = _Daemon(since=now)
        return [Spawn(self.names[0])]

    def release(self, now: float) -> list[Action]:
        """Starts those that have not been started yet."""
        for daemon in self.daemons.values():
            if daemon.restarts < 0:
                daemon.due = now
        return self.tick(now)

    def died(self, name: str, code: int, now: float) -> list[Action]:
        """A child is gone; `code` is 128+n for signal n. It comes back after a pause that grows; others live on."""
        daemon = self.daemons[name]
        daemon.code, daemon.kill_at = code, None
        if daemon.dropped:
            del self.daemons[name]
            return self._exit_if_over() if self.stopping else []
        if self.stopping:
            # One that was asked to end before it could listen for that has not failed.
            daemon.life, daemon.code = "over", 0 if code == ASKED else code
            return self._exit_if_over()
        daemon.failures = 0 if daemon.wanted or now - daemon.since >= STABLE else daemon.failures + 1
        pause = 0.0 if daemon.wanted else min(FIRST_BACKOFF * 2 ** max(daemon.failures - 1, 0), MAX_BACKOFF)
        daemon.life, daemon.due, daemon.wanted = "waiting", now + pause, False
        return [Note(f"{name} ended with {code}; starting it again in {pause:.1f} s"), *self.tick(now)]

    def restart(self, name: str, now: float) -> list[Action]:
        """Ends a daemon so that it starts anew at once; nothing for an unknown name or while stopping."""
        daemon = self.daemons.get(name)
        if daemon is None or daemon.dropped or self.stopping:
            return []
        if daemon.life == "waiting":
            daemon.due = now
            return self.tick(now)
        daemon.wanted, daemon.kill_at = True, now + GRACE
        return [Terminate(name)]

    def keep(self, names: Sequence[str], now: float) -> list[Action]:
        """Ends all other daemons for good: they neither come back nor count any more."""
        actions: list[Action] = []
        for name, daemon in list(self.daemons.items()):
            if name in names or daemon.dropped or self.stopping:
                continue
            if daemon.life == "running":
                daemon.dropped, daemon.kill_at = True, now + GRACE
                actions.append(Terminate(name))
            else:
                del self.daemons[name]
        return actions

    def kept(self) -> tuple[str, ...]:
        """The daemons that count, in start order."""
        return tuple(name for name in self.names if name in self.daemons and not self.daemons[name].dropped)

    def stop(self, now: float) -> list[Action]:
        """SIGTERM to all; what is left after the grace gets SIGKILL. A second stop changes nothing."""
        if self.stopping:
            return []
        self.stopping = True
        actions: list[Action] = []
        for name, daemon in self.daemons.items():
            if daemon.life == "running":
                daemon.kill_at = now + GRACE
                actions.append(Terminate(name))
            else:
                daemon.life = "over"
        return actions + self._exit_if_over()

    def tick(self, now: float) -> list[Action]:
        """What is due by now."""
        actions: list[Action] = []
        for name, daemon in self.daemons.items():
            if daemon.life == "waiting" and daemon.due <= now and not self.stopping:
                daemon.life, daemon.since = "running", now
                daemon.restarts += 1
                actions.append(Spawn(name))
            elif daemon.life == "running" and daemon.kill_at is not None and daemon.kill_at <= now:
                daemon.kill_at = None
                actions.append(Terminate(name, hard=True))
        return actions

    def deadline(self) -> float | None:
        """When `tick` has something to do, or None."""
        times = [d.due for d in self.daemons.values() if d.life == "waiting"]
        times += [d.kill_at for d in self.daemons.values() if d.life == "running" and d.kill_at is not None]
        return min(times, default=None)

    def _exit_if_over(self) -> list[Action]:
        if any(d.life != "over" for d in self.daemons.values()):
            return []
        return [Exit(next((d.code for d in self.daemons.values() if d.code), 0))]
