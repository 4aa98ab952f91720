"""The command line: exit codes, one line for each mistake, nothing heavy before `--help`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from backends.api import BackendInfo, Check
from botbottle_tui.__main__ import main
from botbottle_tui.cli import parser
from botbottle_tui.cli.care import backend_checks
from botbottle_tui.cli.out import check_line


def test_every_verb_resolves() -> None:
    import importlib

    for target in parser.VERBS.values():
        module, name = target.split(":")
        assert callable(getattr(importlib.import_module(module), name))
    help_text = parser.build("").format_help()
    assert all(f"    {verb} " in help_text for verb in parser.VERBS)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from botbottle_tui.__main__ import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted(m for m in ('urwid', 'yaml', 'docker', 'libtmux', 'backends', 'manifests') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["start"], 2, "agent"),
        (["frobnicate"], 2, "frobnicate"),
        (["start", "nobody"], 1, "no agent 'nobody'"),
        (["start", "shell", "--"], 2, "no command after --"),
        (["list", "--", "x"], 2, "only start takes a command"),
        (["stop", "shell-aaaaa", "--yes"], 1, "no bottle shell-aaaaa"),
        (["attach", "shell-aaaaa"], 1, "no bottle shell-aaaaa"),
        (["diff", "shell-aaaaa"], 1, "no bottle"),
        (["export", "shell-aaaaa"], 1, "no bottle"),
        (["apply", "shell-aaaaa"], 1, "no bottle"),
        (["info", "nobody"], 1, "no agent"),
        (["build"], 2, "agents by name, or --all"),
        (["build", "shell", "--all"], 2, "agents by name, or --all"),
        (["build", "nobody"], 1, "nobody: no agent 'nobody'"),
        (["start", "shell", "--backend", "dokcer"], 1, "no backend 'dokcer'"),
        (["start", "shell", "--cwd=everything"], 2, "everything"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str], status: int, says: str, own_state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == status
    said = capsys.readouterr().err
    assert says in said and "Traceback" not in said
    assert len([line for line in said.splitlines() if line.startswith("bottle-dash")]) == 1
    assert not (own_state / "state").exists()


def run(words: list[str]) -> int:
    """The exit status, whichever way it comes."""
    try:
        return main(words)
    except SystemExit as end:
        return int(end.code or 0)


def test_a_mistake_of_the_real_program_is_one_line_too() -> None:
    argv = [sys.executable, "-m", "botbottle_tui", "start", "nobody"]
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30)
    assert done.returncode == 1 and done.stderr.count("\n") <= 3 and "Traceback" not in done.stderr


def test_version_and_lists(capsys: pytest.CaptureFixture[str], own_state: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0 and capsys.readouterr().out.startswith("bottle-dash 0.")
    assert main(["list"]) == 0 and "bottle-dash init" in capsys.readouterr().err
    assert main(["init"]) == 0
    capsys.readouterr()
    assert main(["list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [a["name"] for a in found["agents"]] == ["claude", "codex", "shell"] and found["schema"] == 1
    assert main(["list"]) == 0
    assert "shell\tshell\tshell\thome" in capsys.readouterr().out.splitlines()
    assert main(["list", "active", "--json"]) == 0 and json.loads(capsys.readouterr().out)["bottles"] == []
    assert main(["cleanup", "--dry-run", "--json"]) == 0
    # Claims and control groups are the whole machine's, and may be another's; so are bottles on its engine.
    found = json.loads(capsys.readouterr().out)["leftovers"]
    assert [one for one in found if not one["left"] and one["kind"] not in ("uid", "cgroup")] == []
    assert main(["info", "claude", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["provider"] == "claude"


def test_neither_terminal_nor_yes_is_refused(own_state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init"]) == 0
    assert run(["start", "shell"]) in (1, 2)
    assert "bottle-dash: " in capsys.readouterr().err
    assert not (own_state / "state").exists()


def test_dry_run_by_flag_and_variable(
    own_state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["init"])
    capsys.readouterr()
    monkeypatch.setenv("BOT_BOTTLE_DRY_RUN", "1")
    run(["start", "shell", "--json"])
    assert json.loads(capsys.readouterr().out)["agent"] == "shell" and not (own_state / "run").exists()


def test_no_script_takes_a_repositorys_agent_for_yours(
    own_state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["init"])
    agents = tmp_path / ".bot-bottle" / "agents"
    agents.mkdir(parents=True)
    (agents / "shell.md").write_text("---\nbottle: shell\n---\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", str(tmp_path))
    monkeypatch.setattr("backends.bubblewrap.driver.BubblewrapBackend.preflight", lambda *args: ())
    capsys.readouterr()
    for words in (["start", "shell", "--yes"], ["start", "shell", "--", "true"]):
        assert run(words) == 2
        assert "--repository-agent" in capsys.readouterr().err
    assert not (own_state / "state").exists()


REMOTE = """---
agent_provider: {template: shell}
env: {TEAM: "${NO_SUCH_TEAM}"}
git:
  remotes:
    git.example.org: {Name: app, Upstream: "ssh://git@git.example.org/a.git", IdentityFile: /nowhere/key}
---
"""


def test_the_dry_run_tells_all_and_each_failure_once(own_state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder, text in (("bottles", REMOTE), ("agents", "---\nbottle: box\n---\n")):
        (own_state / folder).mkdir(parents=True)
        (own_state / folder / "box.md").write_text(text)
    assert run(["start", "box", "--dry-run"]) == 1
    out, err = capsys.readouterr()
    for line in (
        "git        git.example.org: ssh://git@git.example.org/a.git",
        "sidecars   egress, git-gate, supervise",
    ):
        assert f"\n{line}\n" in out
    assert re.search(r"\nlimits     \d+ MiB memory, \d+ processes, \d+ open files\n", out)
    assert (out + err).count("the host variable NO_SUCH_TEAM is not set") == 1
    failed = [line for line in out.splitlines() if line.startswith("FAIL")]
    assert out.splitlines()[-len(failed) :] == failed, "they stand last"
    assert err == f"bottle-dash: cannot start box: {len(failed)} checks failed, see above\n"
    assert run(["start", "box", "--yes"]) == 1
    out, err = capsys.readouterr()
    assert "FAIL" not in out + err and err.count("bottle-dash: cannot start box: ") == len(failed)
    assert err.count("the host variable NO_SUCH_TEAM is not set (export NO_SUCH_TEAM=...)\n") == 1
    assert run(["start", "box", "--dry-run", "--json"]) == 1
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["remotes"] == {"app": "ssh://git@git.example.org/a.git"} and "egress" in told["sidecars"]
    assert told["limits"]["pids"] > 0 and "NO_SUCH_TEAM" in err


def test_doctor_says_of_each_backend_whether_it_can_be_used() -> None:
    gone = BackendInfo("docker", Check("docker", False, "no engine", "start dockerd"), "")
    here = BackendInfo("bubblewrap", Check("bubblewrap", True, "0.8.0"), "")
    assert [check_line(c) for c in backend_checks([here, gone])] == [
        "ok   backend bubblewrap: usable: 0.8.0",
        "warn backend docker: not usable: no engine  -> start dockerd",
    ]
    assert [check_line(c) for c in backend_checks([gone])] == [
        "FAIL backend docker: not usable: no engine  -> start dockerd"
    ]
