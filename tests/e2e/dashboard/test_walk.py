"""The first walk of a newcomer: a clean clone, an empty HOME, `make run` in tmux, and what an agent can and cannot."""

from __future__ import annotations

import json
import secrets

from tests.e2e.driving import Person, leftovers, remains, runs
from tests.e2e.terminal import screen

TOKEN, GIVEN, PLANTED = (f"{name}-{secrets.token_hex(8)}" for name in ("token", "given", "planted"))
BOTTLE = """---
agent_provider:
  template: shell
env:
  GIVEN: ${HOST_GIVEN}
  PLAIN: plain
egress:
  routes:
    - host: a.example
      auth:
        scheme: Bearer
        token_ref: HOST_TOKEN
---
"""


def test_from_a_clean_clone(newcomer: Person) -> None:
    """`make run`; `i`; `n`, Enter, Enter; and in the pane on the right an agent that reaches what it may."""
    mounts = newcomer.world.space.mounts()
    clone = newcomer.home / "bot-bottle"
    assert newcomer.home.stat().st_mode & 0o777 == 0o700 and not newcomer.state.exists()
    secret = {"HOST_SECRET": PLANTED}
    with screen(newcomer, "make", "run", cwd=clone, env=secret) as dash:
        dash.wait("i  writes example bottles")
        dash.keys("i")
        dash.wait("^n new")
        dash.keys("n")
        dash.wait("> shell ")
        dash.keys("Enter")
        dash.wait("ready: Enter starts it")
        dash.keys("Enter")
        pane, slug = dash.shown(set())
        assert list(dash.panes()) == ["%0", pane]

        assert dash.ask("id -u", pane)[1] not in ("0", "")
        interfaces = dash.ask("grep : /proc/net/dev", pane)[1].split("\n")
        assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]
        assert dash.ask("cat /proc/net/route /proc/net/unix | grep -c /", pane)[1] == "0"
        env = dash.ask("env", pane)[1]
        assert "BOT_BOTTLE=1" in env and PLANTED not in env
        assert "pyproject.toml" in dash.ask("ls", pane)[1].split(), "the folder in which it was started, as a copy"

        status, answer = dash.ask("curl -sS https://pypi.org/simple/?q=1", pane)
        assert status == 0 and json.loads(answer)["path"] == "/simple/?q=1"
        _, answer = dash.ask("curl -sS -w '%{http_code}' https://other.example/x", pane)
        assert answer.endswith("403") and answer.startswith("egress: host other.example is not allowed")
        _, answer = dash.ask("curl -sS -w '%{http_code}' --noproxy '*' -m 3 https://pypi.org/", pane)
        assert answer.endswith("000"), "past egress there is nothing"
        dash.wait(r"allowed GET pypi.org/simple/ 200")
        dash.wait(r"REFUSED GET other.example/x  host other.example is not allowed")
        assert [r["server"] for r in newcomer.world.seen()] == ["pypi.org"]

        assert leftovers(newcomer) == []
        names = runs(newcomer)
        dash.stop(slug)
        assert list(dash.panes()) == ["%0"]
        dash.leave()
    assert remains(newcomer, mounts, names) == []


def test_without_a_home(newcomer: Person) -> None:
    """No HOME, and a user whom the system does not know either: one line."""
    if newcomer.uid:
        for verb in ("list", "doctor", "init", "cleanup"):
            done = newcomer.dash(verb, env={"HOME": None})
            assert (done.returncode, done.stdout) == (1, "")
            assert (
                done.stderr.startswith("bottle-dash: no home folder: HOME is not set") and done.stderr.count("\n") == 1
            )


def test_credentials_stay_outside(newcomer: Person) -> None:
    """The agent has the `${VAR}` that it was given, never the token that its requests carry outside."""
    mounts = newcomer.world.space.mounts()
    newcomer.write(".bot-bottle/bottles/keys.md", BOTTLE)
    newcomer.write(".bot-bottle/agents/keys.md", "---\nbottle: keys\n---\n")
    env = {"HOST_TOKEN": TOKEN, "HOST_GIVEN": GIVEN, "HOST_SECRET": PLANTED}
    with screen(newcomer, env=env) as dash:
        dash.wait("Nothing runs")
        pane, slug = dash.start("keys")
        inside = dash.ask("env; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'", pane)[1]
        assert f"GIVEN={GIVEN}" in inside and "PLAIN=plain" in inside
        assert TOKEN not in inside and PLANTED not in inside
        found = dash.ask("grep -rslE '(token|planted)-[0-9a-f]{16}' ~ /etc /tmp /run /var 2>/dev/null | head", pane)[1]
        assert found == ""
        status, _ = dash.ask("curl -sS -H 'Authorization: Bearer mine' https://a.example/v1", pane)
        assert status == 0
        sent = [(k.lower(), v) for r in newcomer.world.seen() for k, v in r["headers"]]
        assert [v for k, v in sent if k == "authorization"] == [f"Bearer {TOKEN}"]
        names = runs(newcomer)
        files = [p for p in newcomer.state.rglob("*") if p.is_file() and p.name != "keys.md"]
        assert any(p.name == "bottle.json" for p in files)
        for path in files:
            text = path.read_bytes()
            for value in (TOKEN, GIVEN, PLANTED):
                assert value.encode() not in text, path
        assert newcomer.dash("stop", slug, "--yes").returncode == 0
        dash.gone("running")
        dash.leave()
    assert remains(newcomer, mounts, names) == []
