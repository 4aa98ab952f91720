"""The pure half of the bubblewrap backend: argument lists, the system call filter, limits, staging."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from backends import programs
from backends.api import BackendError
from backends.bubblewrap import argv, limits, probe, proof, seccomp, stage
from backends.folders import protected

ROOT = argv.HostRoot((("/bin", "usr/bin"), ("/lib", "usr/lib")), ("/lib64",))


def agent(workspace: str = "/ws", protect: tuple[str, ...] = ()) -> list[str]:
    return argv.agent_argv(
        "/usr/bin/bwrap",
        ROOT,
        hostname="worker-abcde",
        files="/run/x/files",
        workspace=workspace,
        protect=protect,
        tmpfs=1000,
        seccomp_fd=7,
        info_fd=8,
    )


def pairs(line: list[str], flag: str) -> list[tuple[str, str]]:
    return [(line[i + 1], line[i + 2]) for i, word in enumerate(line) if word == flag]


def test_the_agents_sandbox_shares_nothing_and_sees_an_allow_list() -> None:
    line = agent()
    for flag in (
        "--unshare-all",
        "--unshare-user",
        "--disable-userns",
        "--new-session",
        "--die-with-parent",
        "--clearenv",
    ):
        assert flag in line
    assert "--share-net" not in line and "--dev-bind" not in line
    binds = pairs(line, "--ro-bind") + pairs(line, "--ro-bind-try")
    sources = [source for source, _ in binds]
    for forbidden in ("/", "/etc", "/home", "/root", "/opt", "/srv", "/mnt", "/var", "/run", "/sys", "/tmp", "/proc"):
        assert forbidden not in sources
    assert pairs(line, "--bind") == [("/ws", "/home/agent/workspace")]
    assert [line[i - 1] for i, w in enumerate(line) if w == "--tmpfs" and line[i + 1] != "/etc"] != []
    for place in ("/tmp", "/var/tmp", "/dev/shm", "/home/agent"):
        at = line.index(place, line.index("--size"))
        assert "--size" in line[at - 5 : at]
    assert line[line.index("--") - 3 : line.index("--")] == ["--setenv", "PATH", "/usr/bin:/bin"]


def test_no_workspace_no_writable_bind() -> None:
    assert pairs(agent(""), "--bind") == []


def test_what_of_git_is_protected(tmp_path: Path) -> None:
    assert protected(tmp_path) == []
    git = tmp_path / ".git"
    git.mkdir()
    assert protected(tmp_path) == [str(git)]
    line = agent(str(tmp_path), (str(git),))
    assert (str(git), "/home/agent/workspace/.git") in pairs(line, "--ro-bind")
    git.rmdir()
    git.symlink_to("/etc")
    with pytest.raises(BackendError, match="is a link"):
        protected(tmp_path)


def bundle() -> list[str]:
    return argv.bundle_argv(
        "/usr/bin/bwrap",
        ROOT,
        python="/venv/bin/python",
        read_only=["/venv"],
        package="/app/sidecar_bundle",
        run="/state/x",
        programs={"pipelock": "/opt/pipelock"},
        seccomp_fd=7,
        info_fd=8,
        env=[("A", "b")],
    )


def test_the_bundles_sandbox_has_no_network_and_its_own_state_only() -> None:
    line = bundle()
    assert "--share-net" not in line and "--unshare-all" in line
    assert pairs(line, "--bind") == [("/state/x/bundle", "/run/bundle")]
    shown = pairs(line, "--ro-bind")
    assert ("/state/x/answers", "/run/answers") in shown and ("/opt/pipelock", "/app/bin/pipelock") in shown
    assert ("/state/x/bundle-etc/resolv.conf", "/etc/resolv.conf") in shown
    sources = [source for source, _ in shown + pairs(line, "--ro-bind-try")]
    assert not {"/state/x", "/state/x/policy", "/etc/resolv.conf", "/etc/hosts", "/etc"} & set(sources)
    assert pairs(line, "--setenv") == [("A", "b")]
    assert line[-3:] == ["/venv/bin/python", "-I", "/app/sidecar_bundle/init/__main__.py"]


def test_the_dialers_sandbox_has_the_network_and_writes_nothing() -> None:
    line = argv.dialer_argv(
        "/usr/bin/bwrap",
        ROOT,
        python="/venv/bin/python",
        read_only=["/venv"],
        package="/app/sidecar_bundle",
        policy="/state/x/policy",
        listener_fd=5,
        lifeline_fd=6,
        seccomp_fd=7,
        info_fd=8,
    )
    assert "--share-net" in line and "--bind" not in line
    assert ("/state/x/policy", "/run/policy") in pairs(line, "--ro-bind")
    assert not [
        source for source, _ in pairs(line, "--ro-bind") if source.startswith("/state/x/") and "policy" not in source
    ]
    assert line[-2:] == ["5", "6"]


def test_optional_programs_are_named_or_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in programs.VARIABLES.values():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert programs.find() == {}
    program = tmp_path / "gitleaks"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert programs.find() == {"gitleaks": str(program)}
    monkeypatch.setenv("BOT_BOTTLE_PIPELOCK", str(program))
    assert programs.find() == {"gitleaks": str(program), "pipelock": str(program)}
    program.chmod(0o644)
    with pytest.raises(BackendError, match="BOT_BOTTLE_PIPELOCK names no program"):
        programs.find()


def run_filter(program: bytes, arch: int, number: int, args: tuple[int, ...] = ()) -> int:
    """A classic BPF machine, enough for what the filter uses."""
    data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, arch, 0, *(*args, 0, 0, 0, 0, 0, 0)[:6])
    code = [struct.unpack_from("HBBI", program, i) for i in range(0, len(program), 8)]
    at = value = 0
    while True:
        op, yes, no, k = code[at]
        at += 1
        if op == 0x20:
            value = struct.unpack_from("<I", data, k)[0]
        elif op == 0x06:
            return k
        else:
            hit = {0x15: value == k, 0x35: value >= k, 0x45: bool(value & k)}[op]
            at += yes if hit else no


ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x00050001, 0x00050026


@pytest.mark.parametrize("machine", sorted(seccomp.MACHINES))
def test_the_filter(machine: str) -> None:
    program = seccomp.program(machine)
    arch, numbers = seccomp.MACHINES[machine]

    def call(name: str, *args: int) -> int:
        return run_filter(program, arch, numbers[name], args)

    assert run_filter(program, 0x40000003, 1) == 0x80000000  # i386: killed
    if machine == "x86_64":
        assert run_filter(program, arch, 0x40000000 + 1) == ENOSYS
        assert run_filter(program, arch, 0) == ALLOW  # read
    for name in ("unshare", "setns", "mount", "keyctl", "bpf", "userfaultfd", "kexec_load", "perf_event_open"):
        assert call(name) == EPERM, name
    for name in ("clone3", "openat2", "io_uring_setup"):
        assert call(name) == ENOSYS
    assert call("socket", 1) == call("socket", 2) == call("socket", 10) == call("socket", 16) == ALLOW
    for family in (0, 9, 15, 17, 38, 40, 44):
        assert call("socket", family) == 0x00050061, family
    assert call("ioctl", 0, 0x5412) == call("ioctl", 0, 0x541C) == EPERM and call("ioctl", 0, 0x5413) == ALLOW
    assert call("clone", 0x10000000) == call("clone", 0x00020000) == EPERM and call("clone", 0x11) == ALLOW
    assert call("fchmodat", 0, 0, 0o4755) == call("fchmod", 0, 0o2755) == EPERM and call("fchmod", 0, 0o755) == ALLOW
    assert call("openat", 0, 0, 0o100, 0o4755) == EPERM and call("openat", 0, 0, 0o100, 0o644) == ALLOW
    assert call("openat", 0, 0, 0o20200002, 0o4755) == EPERM  # O_TMPFILE makes one too
    assert call("openat", 0, 0, 0, 0o4755) == ALLOW  # no file is made, the mode means nothing


def test_an_unknown_machine_is_an_error() -> None:
    with pytest.raises(LookupError, match="pdp11"):
        seccomp.program("pdp11")


def test_default_limits_fit_the_machine() -> None:
    made = limits.default_limits()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert made.memory <= memory // 2 and made.tmpfs <= memory // 8 and made.pids > 100


def test_a_record_survives_the_round_trip_and_nothing_else_is_believed(tmp_path: Path) -> None:
    proc = proof.Proc(1, 2)
    live = proof.Live(2, "id", "slug", "a", 1.5, "boot", 0, proc, proc, proc, proc, ("egress",), 5, 6, 7, 8, 9, False)
    (tmp_path / proof.RECORD).write_text(proof.dump(live))
    assert proof.load(tmp_path) == live and not live.alive()
    for text in ("", "[]", "{}", "null", proof.dump(live).replace('"schema": 2', '"schema": 1')):
        (tmp_path / proof.RECORD).write_text(text)
        assert proof.load(tmp_path) is None


def test_the_topmost_closed_folder_is_found(tmp_path: Path) -> None:
    inner = tmp_path / "closed" / "inner"
    inner.mkdir(parents=True)
    for folder in (tmp_path, *tmp_path.parents[:-1]):
        if not folder.stat().st_mode & 1:
            assert stage.blocking_ancestor(inner / "x") == next(
                p for p in reversed(inner.parents) if not p.stat().st_mode & 1
            )
            return
    (tmp_path / "closed").chmod(0o700)
    assert stage.blocking_ancestor(inner / "x") == tmp_path / "closed"


def test_each_refusal_has_its_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, str] = {}
    monkeypatch.setattr(probe, "_setting", lambda path: settings.get(path.rsplit("/", 1)[1], ""))
    assert "another backend" in probe.fix_for("No permissions to create new namespace")
    assert "rootless" in probe.fix_for("setpriv: setresuid failed: Invalid argument")
    settings["max_user_namespaces"] = "0"
    assert "max_user_namespaces" in probe.fix_for("x")
    settings["unprivileged_userns_clone"] = "0"
    assert "unprivileged_userns_clone=1" in probe.fix_for("x")
    settings["apparmor_restrict_unprivileged_userns"] = "1"
    assert "userns," in probe.fix_for("x")
