"""A recorded launch: no command line, no file and no log holds a value that was asked for or taken from the host."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.driving import Person, remains, runs
from tests.e2e.terminal import PROMPT, screen

ASKED, GIVEN = f"asked-{secrets.token_hex(8)}", f"given-{secrets.token_hex(8)}"
BOTTLE = """---
agent_provider:
  template: shell
env:
  ASKED: "?The pass phrase"
  GIVEN: ${HOST_GIVEN}
---
"""


@contextlib.contextmanager
def recorded(person: Person) -> Iterator[set[str]]:
    """Every command line of every process of this world meanwhile, looked at without a pause."""
    lines: set[str] = set()
    done = threading.Event()
    proc = Path(f"/proc/{person.world.space.pid}/root/proc")

    def watch() -> None:
        while not done.is_set():
            for entry in proc.iterdir():
                if entry.name.isdigit():
                    with contextlib.suppress(OSError):
                        lines.add((entry / "cmdline").read_text(errors="replace"))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield lines
    finally:
        done.set()
        thread.join()


def prepare(person: Person) -> None:
    person.write(".bot-bottle/bottles/asks.md", BOTTLE)
    person.write(".bot-bottle/agents/asks.md", "---\nbottle: asks\n---\n")
    # what the record does see: a word that is on a command line and in a file on purpose
    person.write(".bot-bottle/control", "control-word")


def check(person: Person, lines: set[str]) -> None:
    """Neither value anywhere, and the control where it is."""
    texts = {str(p): p.read_bytes().decode(errors="replace") for p in person.home.rglob("*") if p.is_file()}
    assert "control-word" in texts[str(person.state / "control")]
    assert any("control-word" in line for line in lines) and any("backends.bubblewrap.keeper" in x for x in lines)
    for value in (ASKED, GIVEN):
        assert not [line for line in lines if value in line]
        assert not [name for name, text in texts.items() if value in text]


def test_in_the_dashboard(person: Person) -> None:
    """Asked for in a masked overlay."""
    mounts = person.world.space.mounts()
    prepare(person)
    with screen(person, env={"HOST_GIVEN": GIVEN}) as dash:
        dash.wait("^n new")
        with recorded(person) as lines:
            person.run("sh", "-c", "sleep 0.3", "control-word")
            dash.keys("n")
            dash.wait("> asks ")
            dash.keys("Enter")
            dash.wait("ready: Enter starts it")
            assert GIVEN not in dash.text()
            dash.keys("Enter")
            dash.wait("The pass phrase")
            half = len(ASKED) // 2
            # send-keys has the text on its own command line, which is not what is looked for
            dash.tmux("send-keys", "-t", "%0", "-l", ASKED[:half])
            dash.tmux("send-keys", "-t", "%0", "-l", ASKED[half:])
            dash.wait(r"\*{8,}|•{8,}")
            assert ASKED[:half] not in dash.text()
            dash.keys("Enter")
            pane, slug = dash.shown(set())
        assert dash.ask("echo $ASKED $GIVEN", pane) == (0, f"{ASKED} {GIVEN}")
        check(person, lines)
        names = runs(person)
        dash.stop(slug)
        dash.leave()
    check(person, lines)
    assert remains(person, mounts, names) == []


def test_on_the_command_line(person: Person) -> None:
    """Asked for on the terminal without an echo; without one refused, naming the variable."""
    mounts = person.world.space.mounts()
    prepare(person)
    with (
        recorded(person) as lines,
        screen(person, person.program, "start", "asks", "--yes", env={"HOST_GIVEN": GIVEN}) as terminal,
    ):
        person.run("sh", "-c", "sleep 0.3", "control-word")
        terminal.wait("The pass phrase: ?$")
        half = len(ASKED) // 2
        for part in (ASKED[:half], ASKED[half:]):
            terminal.tmux("send-keys", "-t", "%0", "-l", part)
        terminal.keys("Enter")
        text = terminal.wait(PROMPT)
        assert ASKED[:half] not in text and GIVEN not in text
        assert terminal.ask("echo $ASKED $GIVEN", "%0") == (0, f"{ASKED} {GIVEN}")
        check(person, lines)
        names = runs(person)
        terminal.keys("C-q")
        terminal.wait("goes on: bottle-dash attach")
        slug = person.bottles()[0]["slug"]
        assert person.dash("stop", slug, "--yes").returncode == 0
    assert remains(person, mounts, names) == []

    for words in (("--yes",), ("--", "true")):
        done = person.dash("start", "asks", *words, env={"HOST_GIVEN": GIVEN})
        assert done.returncode == 1 and "ASKED must be typed in, and there is no terminal" in done.stderr
    done = person.dash("start", "asks", "--yes")
    assert done.returncode == 1 and "the host variable HOST_GIVEN is not set" in done.stderr
    assert remains(person, mounts) == []
