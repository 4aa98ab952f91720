"""The host object over the fake backend: prepare, launch, join with records, stop, bring out, clean up."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.api import BackendError, HostPaths, LaunchSpec, WorkspaceMode
from backends.fake.driver import FakeBackend
from botbottle_tui.host import snapshot, tree
from botbottle_tui.host.launching import Host

BOTTLE = """---
agent_provider: {template: shell}
env: {TAKEN: "${HOST_THING}", ASKED: "?say"}
---
"""


@pytest.fixture
def host(own_state: Path) -> Iterator[Host]:
    """A host whose only backend runs plain processes."""
    for folder, name, text in (
        ("bottles", "box", "---\nagent_provider: {template: shell}\n---\n"),
        ("bottles", "secrets", BOTTLE),
        ("agents", "worker", "---\nbottle: box\n---\nWork.\n"),
        ("agents", "spy", "---\nbottle: secrets\n---\n"),
    ):
        (own_state / folder).mkdir(parents=True, exist_ok=True)
        (own_state / folder / f"{name}.md").write_text(text)
    paths = HostPaths(own_state, own_state / "cache")
    made = Host(paths, (FakeBackend(paths),), chosen="fake")
    yield made
    for agent in made.enumerate()[0]:
        made.stop(agent.slug, drop_changes=True)


def spec(agent: str = "worker", cwd: Path = Path("/"), mode: WorkspaceMode = WorkspaceMode.NONE) -> LaunchSpec:
    return LaunchSpec(agent, "", cwd, mode)


def start(host: Host, chosen: LaunchSpec) -> str:
    prepared = host.prepare(chosen)
    assert prepared.ok and prepared.plan is not None, prepared.checks
    return host.launch(prepared.plan, host.host_values(prepared.plan, {}), lambda line: None).slug


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "kept.txt").write_text("one\ntwo\n")
    (folder / "gone.txt").write_text("bye\n")
    (folder / "blob.bin").write_bytes(bytes(range(256)))
    return folder


def test_prepare_touches_nothing(host: Host, own_state: Path) -> None:
    before = sorted(own_state.rglob("*"))
    assert host.prepare(spec()).ok
    assert not host.prepare(spec("nobody")).ok
    assert sorted(own_state.rglob("*")) == before


def test_missing_variables_fail_in_the_preflight(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = host.prepare(spec("spy"))
    assert not prepared.ok and any("HOST_THING" in c.detail for c in prepared.checks if not c.ok)
    monkeypatch.setenv("HOST_THING", "value-of-thing")
    prepared = host.prepare(spec("spy"))
    assert prepared.ok and prepared.plan is not None and "value-of-thing" not in repr(prepared)
    with pytest.raises(BackendError, match="ASKED"):
        host.host_values(prepared.plan, {})
    values = host.host_values(prepared.plan, {"ASKED": "said"})
    assert values.env == {"TAKEN": "value-of-thing", "ASKED": "said"} and "said" not in repr(values)


def test_a_bottle_from_start_to_stop(host: Host, own_state: Path) -> None:
    slug = start(host, spec())
    record = json.loads((own_state / "state" / slug / "metadata.json").read_text())
    assert record["schema"] == 1 and record["backend"] == "fake" and record["slug"] == slug
    assert [(a.slug, a.state) for a in host.enumerate()[0]] == [(slug, "running")]
    assert host.leftovers() == ()
    last = host.last_spec()
    assert last is not None and (last.agent, last.backend) == ("worker", "fake")
    assert host.stop(slug, drop_changes=False) == ""
    assert host.enumerate()[0] == () and not (own_state / "state" / slug).exists()


@pytest.mark.parametrize("step", ["files", "agent", "ready"])
def test_a_failed_launch_leaves_nothing(host: Host, own_state: Path, step: str, project: Path) -> None:
    broken = FakeBackend(host.paths, fail_at=step)
    host.all_backends = (broken,)
    prepared = host.prepare(spec(cwd=project, mode=WorkspaceMode.COPY))
    assert prepared.plan is not None
    with pytest.raises(BackendError, match=step):
        host.launch(prepared.plan, host.host_values(prepared.plan, {}), lambda line: None)
    assert host.enumerate()[0] == () and host.leftovers() == ()
    assert not list((own_state / "state").iterdir()) and host.last_spec() is None


def test_lost_and_foreign(host: Host) -> None:
    slug, other = start(host, spec()), start(host, spec())
    host.all_backends[0].stop(slug)
    host.records.remove(other)
    states = {a.slug: a.state for a in host.enumerate()[0]}
    assert states == {slug: "lost", other: "foreign"}
    assert [one.slug for one in host.leftovers()] == [slug]
    assert host.sweep(host.leftovers()) == ()
    assert [a.slug for a in host.enumerate()[0]] == [other]


def test_a_launch_under_way_is_nobodys_leftover(host: Host) -> None:
    with host.records.working_on("worker-zzzzz"):
        assert host.leftovers() == () and host.enumerate()[0] == ()
    assert [one.ident for one in host.leftovers()] == ["worker-zzzzz"]
    assert host.sweep(host.leftovers()) == () and host.leftovers() == ()


def test_work_comes_out_as_a_patch_and_back(host: Host, project: Path, own_state: Path) -> None:
    slug = start(host, spec(cwd=project, mode=WorkspaceMode.COPY))
    inside = own_state / "state" / slug / "workspace"
    assert host.changes(slug).files == ()
    (inside / "kept.txt").write_text("one\n2\n")
    (inside / "gone.txt").unlink()
    (inside / "blob.bin").write_bytes(bytes(reversed(range(256))))
    (inside / 'na "me\n ü.txt').write_text("odd\n")
    (inside / "run.sh").write_text("#!/bin/sh\n")
    (inside / "run.sh").chmod(0o755)
    (inside / "link").symlink_to("kept.txt")
    os.mkfifo(inside / "pipe")
    found = host.changes(slug)
    assert {path: kind for kind, path in found.files} == {
        "kept.txt": "M",
        "gone.txt": "D",
        "blob.bin": "M",
        'na "me\n ü.txt': "A",
        "run.sh": "A",
        "link": "A",
    }
    assert not found.exported and (project / "gone.txt").exists()
    assert "6 files changed" in host.apply(slug)
    assert (project / "kept.txt").read_text() == "one\n2\n" and not (project / "gone.txt").exists()
    assert (project / "blob.bin").read_bytes() == bytes(reversed(range(256)))
    assert (project / 'na "me\n ü.txt').read_text() == "odd\n" and os.access(project / "run.sh", os.X_OK)
    assert (project / "link").readlink() == Path("kept.txt")
    assert host.changes(slug).exported
    assert host.stop(slug, drop_changes=False) == ""


def test_what_was_not_brought_out_is_kept_at_the_stop(host: Host, project: Path, own_state: Path) -> None:
    slug = start(host, spec(cwd=project, mode=WorkspaceMode.COPY))
    (own_state / "state" / slug / "workspace" / "kept.txt").write_text("changed\n")
    kept = Path(host.stop(slug, drop_changes=False))
    assert kept == own_state / "exports" / f"{slug}.patch" and kept.stat().st_mode & 0o777 == 0o600
    subprocess.run(["git", "apply", str(kept)], cwd=project, check=True)
    assert (project / "kept.txt").read_text() == "changed\n"
    for ask in (host.changes, host.export, host.apply):
        with pytest.raises(BackendError, match=f"{slug} is gone; what it changed is kept in {kept}") as caught:
            ask(slug)
        assert caught.value.hint == f"git apply {kept}"
    kept.unlink()
    kept.with_suffix("").mkdir()
    with pytest.raises(BackendError, match=f"its whole copy is kept in {kept.with_suffix('')}"):
        host.changes(slug)
    with pytest.raises(BackendError, match="no bottle"):
        host.changes(f"x/../{slug}")


def test_nothing_from_inside_runs_on_the_host(host: Host, project: Path, own_state: Path, tmp_path: Path) -> None:
    slug = start(host, spec(cwd=project, mode=WorkspaceMode.COPY))
    inside = own_state / "state" / slug / "workspace"
    trap = tmp_path / "ran"
    command = f"touch {trap}"
    git = inside / ".git"
    (git / "hooks").mkdir(parents=True)
    (git / "config").write_text(
        f'[core]\n\tfsmonitor = "{command}"\n\tpager = "{command}"\n[filter "x"]\n\tclean = "{command}"\n\tsmudge = '
        f'"{command}"\n[diff "x"]\n\ttextconv = "{command}"\n\tcommand = "{command}"\n'
    )
    (git / "hooks" / "post-applypatch").write_text(f"#!/bin/sh\n{command}\n")
    (git / "hooks" / "post-applypatch").chmod(0o755)
    (inside / ".gitattributes").write_text("* filter=x diff=x\n")
    (inside / "kept.txt").write_text("changed\n")
    (inside / "passwd").symlink_to("/etc/passwd")
    found = host.changes(slug)
    assert {p for _, p in found.files} == {".gitattributes", "kept.txt", "passwd"} and "root:" not in found.patch
    host.export(slug)
    host.apply(slug)
    assert not trap.exists() and (project / "kept.txt").read_text() == "changed\n"


def test_changes_that_do_not_fit_leave_the_folder_alone(host: Host, project: Path, own_state: Path) -> None:
    slug = start(host, spec(cwd=project, mode=WorkspaceMode.COPY))
    inside = own_state / "state" / slug / "workspace"
    (inside / "kept.txt").write_text("one\n2\n")
    (inside / "gone.txt").unlink()
    (project / "kept.txt").write_text("all\nelse\n")
    with pytest.raises(BackendError, match="do not fit") as caught:
        host.apply(slug)
    assert "export" in caught.value.hint and (project / "gone.txt").exists()


def test_what_a_bottle_never_gets(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home" / "me"))
    (tmp_path / "home" / "me").mkdir(parents=True)
    for cwd in (Path("/"), tmp_path / "home" / "me", tmp_path / "home", tmp_path / "missing"):
        for mode in (WorkspaceMode.COPY, WorkspaceMode.BIND):
            assert not host.prepare(spec(cwd=cwd, mode=mode)).ok, cwd


def test_a_workspace_and_the_state_folder_keep_apart(host: Host, own_state: Path) -> None:
    (own_state / "state").mkdir(parents=True)
    for cwd in (own_state, own_state / "state", own_state.parent):
        prepared = host.prepare(spec(cwd=cwd, mode=WorkspaceMode.BIND))
        assert [c.name for c in prepared.checks if not c.ok] == ["workspace"], cwd


def test_the_copy_leaves_out_what_git_ignores(host: Host, project: Path, own_state: Path) -> None:
    subprocess.run(["git", "init", "-q", str(project)], check=True)
    (project / ".gitignore").write_text(".env\nout/\n")
    (project / ".env").write_text("SECRET=1\n")
    (project / "out").mkdir()
    (project / "out" / "big").write_text("x")
    os.mkfifo(project / "pipe")
    slug = start(host, spec(cwd=project, mode=WorkspaceMode.COPY))
    inside = own_state / "state" / slug / "workspace"
    names = {p.name for p in inside.iterdir()}
    assert names == {".git", ".gitignore", "kept.txt", "gone.txt", "blob.bin"}
    assert subprocess.run(["git", "-C", str(inside), "status"], capture_output=True).returncode == 0


def test_the_examples_can_be_planned(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(host.init_home()) == 6 and host.init_home() == ()
    monkeypatch.setenv("BOT_BOTTLE_CLAUDE_OAUTH_TOKEN", "t")
    monkeypatch.setenv("OPENAI_API_KEY", "t")
    for name in ("shell", "claude", "codex"):
        prepared = host.prepare(spec(name))
        assert prepared.ok, prepared.checks


def _deep(inside: Path) -> None:
    fd = os.open(inside, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=fd)
        inner = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)


def _huge(inside: Path) -> None:
    with (inside / "big").open("wb") as file:
        file.truncate(400 << 30)


def _closed(inside: Path) -> None:
    (inside / "closed").mkdir()
    (inside / "closed" / "file").write_text("x")
    (inside / "closed" / "file").chmod(0)
    (inside / "closed").chmod(0)


@pytest.mark.parametrize("trap", [_deep, _huge, _closed])
@pytest.mark.parametrize("drop", [False, True])
def test_no_copy_makes_its_bottle_unstoppable(
    host: Host, project: Path, own_state: Path, trap: Any, drop: bool
) -> None:
    slug = start(host, spec(cwd=project, mode=WorkspaceMode.COPY))
    inside = own_state / "state" / slug / "workspace"
    trap(inside)
    (inside / "kept.txt").write_text("changed\n")
    kept = host.stop(slug, drop_changes=drop)
    assert host.enumerate()[0] == () and not (own_state / "state" / slug).exists() and host.leftovers() == ()
    if drop:
        assert kept == ""
    elif trap is _closed:
        assert kept.endswith(".patch") and "closed/file" in Path(kept).read_text()
    else:  # what no patch can hold is kept whole
        assert (Path(kept) / "kept.txt").read_text() == "changed\n"
        tree.remove(Path(kept))
        assert not Path(kept).exists()


def test_what_a_patch_leaves_out_is_named_and_not_deleted(
    host: Host, project: Path, own_state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "LARGEST", 100)
    slug = start(host, spec(cwd=project, mode=WorkspaceMode.COPY))  # blob.bin has 256 bytes
    inside = own_state / "state" / slug / "workspace"
    (inside / "kept.txt").write_text("changed\n")
    found = host.changes(slug)
    assert [path for _, path in found.files] == ["kept.txt"] and "blob.bin" in found.note
    (inside / "kept.txt").write_text("changed again\n")
    (inside / "more.txt").write_text("since\n")
    host.apply(slug, found.seen)
    assert (project / "kept.txt").read_text() == "changed\n", "what was seen, and not what came since"
    assert (project / "blob.bin").exists() and not (project / "more.txt").exists()
    assert not host.changes(slug).exported
    (inside / "gone.txt").write_text("y" * 200)
    assert "gone.txt" in host.changes(slug).note
    assert Path(host.stop(slug, drop_changes=False)).is_dir()


def test_the_copy_follows_no_link_on_either_side(host: Host, own_state: Path, tmp_path: Path) -> None:
    secret = tmp_path / "ssh"
    secret.mkdir()
    (secret / "id_rsa").write_text("PRIVATE")
    project = tmp_path / "x" / "project"
    (project / "keys").mkdir(parents=True)
    (project / "a").mkdir()
    (project / "keys" / "id_rsa").write_text("public")
    (project / "a" / "planted.md").write_text("planted")
    git = ["git", "-C", str(project)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "-A"], check=True)
    for name, target in (("keys", secret), ("a", own_state / "bottles")):
        subprocess.run(["rm", "-r", str(project / name)], check=True)
        (project / name).symlink_to(target)
    (own_state / "bottles" / "planted.md").unlink(missing_ok=True)
    slug = start(host, spec(cwd=project, mode=WorkspaceMode.COPY))
    inside = own_state / "state" / slug / "workspace"
    assert (inside / "keys").is_symlink() and (inside / "a").is_symlink()
    assert not (own_state / "bottles" / "planted.md").exists()
    held = [p.read_bytes() for p in inside.rglob("*") if p.is_file() and not p.is_symlink()]
    assert held and not any(b"PRIVATE" in data for data in held)


def test_credentials_in_the_repositorys_configuration_are_said(host: Host, project: Path) -> None:
    subprocess.run(["git", "init", "-q", str(project)], check=True)
    said = {c.name: c for c in host.prepare(spec(cwd=project, mode=WorkspaceMode.COPY)).checks}
    assert not said["workspace"].warn
    with (project / ".git" / "config").open("a") as config:
        config.write('[remote "o"]\n\turl = https://me:token@example.org/x.git\n')
    said = {c.name: c for c in host.prepare(spec(cwd=project, mode=WorkspaceMode.COPY)).checks}
    assert said["workspace"].warn and "credentials" in said["workspace"].detail


def test_a_manifest_that_is_no_file_stops_nothing(host: Host, tmp_path: Path) -> None:
    agents = tmp_path / ".bot-bottle" / "agents"
    agents.mkdir(parents=True)
    os.mkfifo(agents / "pipe.md")
    (agents / "stdin.md").symlink_to("/dev/stdin")
    (tmp_path / "mine.md").write_text("---\nbottle: box\n---\n")
    (agents / "link.md").symlink_to(tmp_path / "mine.md")
    found = host.catalog(tmp_path)
    assert {b.name for b in found.broken} == {"pipe", "stdin", "link"} and found.agent("worker") is not None


def test_a_repositorys_agent_that_takes_credentials_needs_consent(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOST_THING", "value")
    agents = tmp_path / ".bot-bottle" / "agents"
    agents.mkdir(parents=True)
    (agents / "worker.md").write_text("---\nbottle: secrets\n---\n")
    (agents / "harmless.md").write_text("---\nbottle: box\n---\n")
    plan = host.prepare(spec(cwd=tmp_path)).plan
    assert plan is not None and "replaces" in plan.needs_consent and "TAKEN" in plan.needs_consent
    assert plan.needs_consent in plan.notes
    plan = host.prepare(spec("harmless", cwd=tmp_path)).plan
    assert plan is not None and plan.needs_consent == ""
