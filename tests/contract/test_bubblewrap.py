"""What the bubblewrap backend promises beyond the contract: its sandbox, its failures, its remains."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import tempfile
import time
from pathlib import Path

import pytest

from backends import uids
from backends.api import BackendError, Limits, Values, WorkspaceMode
from backends.bubblewrap import limits, probe, proof, syscalls
from backends.bubblewrap.driver import BubblewrapBackend
from backends.process import Runner
from tests.conftest import need
from tests.contract.plans import LIMITS, plan
from tests.contract.test_contract import quiet, until


def live(backend: BubblewrapBackend, slug: str) -> tuple[Path, proof.Live]:
    found = proof.find(backend.root, slug)
    assert found is not None
    return found


def test_an_ordinary_user_with_nothing(bubblewrap: BubblewrapBackend) -> None:
    slug = bubblewrap.launch(plan("bubblewrap"), Values(), None, quiet).agent.slug
    out = bubblewrap.exec(slug, "id -u; cat /proc/self/status; cat /proc/net/dev; ls /; cat /proc/1/cmdline").stdout
    assert out.splitlines()[0] == "1000"
    fields = dict(line.split(":\t", 1) for line in out.splitlines() if ":\t" in line)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(fields[name], 16) == 0
    assert fields["NoNewPrivs"] == "1" and fields["Seccomp"] == "2"
    interfaces = [line.split(":")[0].strip() for line in out.splitlines() if line.strip().startswith("lo:")]
    assert interfaces == ["lo"] and "eth0" not in out
    assert "sleep" in out.splitlines()[-1]


def test_host_secrets_planted_anywhere_are_not_found(bubblewrap: BubblewrapBackend) -> None:
    """World-readable files, each proved readable outside to an unprivileged user, none of them inside."""
    word = "planted-secret-" + os.urandom(6).hex()
    places = [Path(p) for p in ("/home", "/root", "/opt", "/srv", "/mnt", "/var", "/run", "/var/tmp", "/tmp")]
    planted = []
    try:
        for place in places:
            if os.access(place, os.W_OK):
                file = place / word
                file.write_text(word)
                file.chmod(0o644)
                planted.append(file)
        assert planted
        slug = bubblewrap.launch(plan("bubblewrap"), Values(), None, quiet).agent.slug
        script = f"find / -xdev -name '{word}' 2>/dev/null; find / -name '{word}' -not -path '/proc/*' 2>/dev/null; "
        script += " ".join(f"cat {p} 2>/dev/null;" for p in planted) + "ls /sys /root /opt /srv /mnt 2>/dev/null; true"
        done = bubblewrap.exec(slug, script)
        assert done.stdout == ""
    finally:
        for file in planted:
            file.unlink()


def test_no_way_to_more(bubblewrap: BubblewrapBackend) -> None:
    slug = bubblewrap.launch(plan("bubblewrap"), Values(), None, quiet).agent.slug
    for attempt in (
        "unshare -U true",
        "unshare -rm true",
        "mount -t tmpfs none /tmp",
        "chmod u+s /tmp/x",
        "mkdir /evil",
        "touch /usr/bin/evil",
        "touch /etc/evil",
        "touch /dev/evil",
        "nsenter -t 1 -n true",
        "dmesg",
        "python3 -c 'import socket; socket.socket(40, 1)'",
        "python3 -c 'import socket; socket.socket(socket.AF_PACKET, 3)'",
        "echo 1 > /proc/sys/kernel/sysrq",
    ):
        done = bubblewrap.exec(slug, f"touch /tmp/x; {attempt}")
        assert done.status != 0, attempt
    # the positive control: the same shell can do what it may
    assert (
        bubblewrap.exec(
            slug, "touch /tmp/x && chmod 700 /tmp/x && mkdir ~/d && python3 -c 'import socket; socket.socket()'"
        ).status
        == 0
    )


def test_nothing_of_other_bottles_or_the_host_is_seen(bubblewrap: BubblewrapBackend) -> None:
    one = bubblewrap.launch(plan("bubblewrap"), Values(), None, quiet).agent.slug
    two = bubblewrap.launch(plan("bubblewrap"), Values(), None, quiet).agent.slug
    bubblewrap.exec(one, "echo mine > ~/mine; echo mine > /tmp/mine; (sleep 300 >/dev/null 2>&1 &)")
    assert bubblewrap.exec(one, "cat ~/mine; pgrep -c sleep").stdout.split() == ["mine", "2"]
    done = bubblewrap.exec(two, "cat ~/mine /tmp/mine; pgrep -c sleep; ls /proc | grep -c '^[0-9]'; ls /run; ls /tmp")
    assert "mine" not in done.stdout and done.stdout.split()[0] == "1"
    assert int(done.stdout.split()[1]) < 12


def test_the_agent_cannot_end_its_bottle(bubblewrap: BubblewrapBackend) -> None:
    slug = bubblewrap.launch(plan("bubblewrap"), Values(), None, quiet).agent.slug
    bubblewrap.exec(slug, "kill -9 -1; kill -9 1")
    bubblewrap.exec(slug, "kill -9 1; kill -TERM 1; pkill -9 sleep; true")
    assert bubblewrap.exec(slug, "echo alive").stdout == "alive\n"


def test_fork_bomb_and_memory_hog_stay_inside(bubblewrap: BubblewrapBackend) -> None:
    small = Limits(memory=200 << 20, pids=60, files=256, tmpfs=16 << 20)
    slug = bubblewrap.launch(plan("bubblewrap", limits=small), Values(), None, quiet).agent.slug
    done = bubblewrap.exec(slug, "i=0; while [ $i -lt 300 ]; do sleep 3 & i=$((i+1)); done 2>&1 | tail -1; exit 0", 30)
    assert done.status != 0 or "fork" in done.stdout.lower() + done.stderr.lower()
    hog = 'python3 -c "b=[]\nwhile True: b.append(bytearray(10<<20))"'
    until(lambda: bubblewrap.exec(slug, "true").status == 0, 10)
    done = bubblewrap.exec(slug, hog, 60)
    assert done.status != 0
    each = "import time; b=bytearray(90<<20); b[::4096]=b'x'*len(b[::4096]); time.sleep(4)"
    crowd = f'for i in 1 2 3 4; do python3 -c "{each}" & p="$p $!"; done; for q in $p; do wait $q || s=1; done; exit $s'
    assert bubblewrap.exec(slug, crowd, 60).status != 0
    assert bubblewrap.exec(slug, "dd if=/dev/zero of=/tmp/big bs=1M count=64 2>/dev/null").status != 0
    assert bubblewrap.exec(slug, "dd if=/dev/zero of=/dev/shm/big bs=1M count=64 2>/dev/null").status != 0
    assert bubblewrap.exec(slug, "rm -f /tmp/big /dev/shm/big; echo alive").stdout == "alive\n"


def test_bound_repository_keeps_its_git(bubblewrap: BubblewrapBackend, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    (folder / ".git" / "hooks").mkdir(parents=True)
    (folder / ".git" / "config").write_text("[core]\n")
    chosen = plan("bubblewrap", cwd=folder, workspace=WorkspaceMode.BIND)
    slug = bubblewrap.launch(chosen, Values(), folder, quiet).agent.slug
    for attempt in (
        *("touch .git/hooks/pre-commit", "echo x >> .git/config", "mv .git .g", "rm -rf .git/hooks"),
        *("echo ../e > .git/commondir", "ln -s ../.. .git/modules", "touch .git/index"),
    ):
        assert bubblewrap.exec(slug, f"cd ~/workspace && {attempt}").status != 0, attempt
    assert bubblewrap.exec(slug, "cd ~/workspace && touch f && chmod 4755 f").status != 0
    assert (folder / ".git" / "config").read_text() == "[core]\n" and (folder / "f").exists()


def test_everything_of_the_bottle_runs_unprivileged(bubblewrap: BubblewrapBackend) -> None:
    slug = bubblewrap.launch(plan("bubblewrap"), Values(), None, quiet).agent.slug
    _, record = live(bubblewrap, slug)
    owners = {Path(f"/proc/{p.pid}").stat().st_uid for p in record.procs}
    if os.geteuid():
        assert owners == {os.geteuid()}
        return
    assert owners == {record.agent_uid, record.bundle_uid} and 0 not in owners
    other = bubblewrap.launch(plan("bubblewrap"), Values(), None, quiet).agent.slug
    _, second = live(bubblewrap, other)
    assert not {record.agent_uid, record.bundle_uid} & {second.agent_uid, second.bundle_uid}


@pytest.mark.parametrize("victim", [0, 1, 2, 3])
def test_a_killed_process_ends_in_a_clear_state(bubblewrap: BubblewrapBackend, victim: int) -> None:
    """Keeper, sandbox, bundle or dialer killed: everything goes, or the row says what is wrong and stop works."""
    slug = bubblewrap.launch(plan("bubblewrap"), Values(), None, quiet).agent.slug
    run, record = live(bubblewrap, slug)
    os.kill(record.procs[victim].pid, signal.SIGKILL)
    until(lambda: not record.procs[victim].alive())
    if victim >= 2:
        rows = bubblewrap.enumerate()[0]
        assert rows[0].state == "error" and ("", "", "bundle", "dialer")[victim] in rows[0].detail
        assert bubblewrap.exec(slug, "curl -fsS -m 3 https://pypi.org").status != 0
        bubblewrap.stop(slug)
    else:
        until(lambda: not any(p.alive() for p in record.procs))
        left = bubblewrap.leftovers()
        assert [one.slug for one in left] == [slug]
        assert bubblewrap.sweep(left) == ()
    assert not run.exists() and bubblewrap.leftovers() == () and bubblewrap.enumerate()[0] == ()


def test_remains_after_stop(bubblewrap: BubblewrapBackend) -> None:
    before = Path("/proc/self/mountinfo").read_text().count("\n")
    slug = bubblewrap.launch(plan("bubblewrap"), Values(), None, quiet).agent.slug
    run, record = live(bubblewrap, slug)
    bubblewrap.stop(slug)
    assert not any(p.alive() for p in record.procs) and not run.exists()
    assert limits.find_groups(run.name) == ()
    assert Path("/proc/self/mountinfo").read_text().count("\n") == before
    if os.geteuid() == 0:
        assert str(run) not in uids.claims().values()
        assert not _processes_of({record.agent_uid, record.bundle_uid})


def _processes_of(owners: set[int]) -> list[str]:
    out = []
    for proc in Path("/proc").iterdir():
        try:
            if (
                proc.name.isdigit()
                and proc.stat().st_uid in owners
                and "Z" not in (proc / "stat").read_text().split()[2]
            ):
                out.append((proc / "cmdline").read_text())
        except OSError:
            continue
    return out


def test_a_recycled_pid_is_no_proof(bubblewrap: BubblewrapBackend) -> None:
    slug = bubblewrap.launch(plan("bubblewrap"), Values(), None, quiet).agent.slug
    run, record = live(bubblewrap, slug)
    text = (run / proof.RECORD).read_text()
    try:
        (run / proof.RECORD).write_text(text.replace(record.boot_id, "another boot"))
        assert bubblewrap.enumerate()[0] == ()
        (run / proof.RECORD).write_text(text.replace(f'"start": {record.keeper.start}', '"start": 1'))
        assert bubblewrap.enumerate()[0] == ()
    finally:
        (run / proof.RECORD).write_text(text)
    assert [a.slug for a in bubblewrap.enumerate()[0]] == [slug]


def test_failures_are_one_line_and_undone(
    bubblewrap: BubblewrapBackend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    with pytest.raises((BackendError, OSError)):
        bubblewrap.launch(plan("bubblewrap", cwd=gone, workspace=WorkspaceMode.BIND), Values(), gone, quiet)
    false = tmp_path / "python"
    false.symlink_to("/bin/false")
    monkeypatch.setattr(bubblewrap.spares.env, "python", lambda: false)
    started = time.monotonic()
    with pytest.raises(BackendError, match="bundle did not start"):
        bubblewrap.launch(plan("bubblewrap"), Values(), None, quiet)
    assert time.monotonic() - started < 15
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackendError, match="bubblewrap is not installed"):
        bubblewrap.launch(plan("bubblewrap"), Values(), None, quiet)
    assert not probe.sandbox(bubblewrap.runner).ok
    monkeypatch.undo()
    assert bubblewrap.leftovers() == () and not list(bubblewrap.root.iterdir())


def test_refused_namespaces_have_a_reason_and_a_fix(
    bubblewrap: BubblewrapBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Path(tempfile.mkdtemp(prefix="bottle-test-"))  # pytest's own folders are closed to other users
    fake = place / "bwrap"
    fake.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo bubblewrap 0.8.0 && exit\n'
        "echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1\n"
    )
    fake.chmod(0o755)
    place.chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    check = probe.sandbox(bubblewrap.runner)
    assert not check.ok and "uid map" in check.detail and "namespaces" in check.fix
    monkeypatch.setattr(probe, "_setting", lambda path: "1" if "apparmor" in path else "")
    assert "/etc/apparmor.d/bwrap" in probe.fix_for("Permission denied")


def test_a_spare_is_used_once_and_goes_with_its_owner(bubblewrap: BubblewrapBackend) -> None:
    bubblewrap.warm()
    bubblewrap.warm()
    assert len(list(bubblewrap.root.iterdir())) == 1
    assert bubblewrap.leftovers() == () and bubblewrap.enumerate()[0] == ()
    slug = bubblewrap.launch(plan("bubblewrap"), Values(), None, quiet).agent.slug
    assert len(list(bubblewrap.root.iterdir())) == 1
    bubblewrap.warm()
    bubblewrap.close()
    assert [a.slug for a in bubblewrap.enumerate()[0]] == [slug]
    assert len(list(bubblewrap.root.iterdir())) == 1
    bubblewrap.warm()
    owner = bubblewrap.spares.ready.pop()
    owner.close()  # as when the owner is killed
    until(lambda: not owner.run.exists())
    assert [a.slug for a in bubblewrap.enumerate()[0]] == [slug]


def test_long_paths(own_state: Path) -> None:
    from tests.contract.conftest import paths

    home = own_state / ("long-" * 30)
    backend = BubblewrapBackend(paths(home))
    slug = backend.launch(plan("bubblewrap", limits=LIMITS), Values(), None, quiet).agent.slug
    assert backend.exec(slug, "echo hi").stdout == "hi\n"
    backend.stop(slug)
    assert backend.leftovers() == ()


def test_a_bound_git_is_read_only_whole_and_a_link_is_refused(bubblewrap: BubblewrapBackend, tmp_path: Path) -> None:
    folder = tmp_path / "worktree"
    folder.mkdir()
    (folder / ".git").write_text("gitdir: /elsewhere\n")
    chosen = plan("bubblewrap", cwd=folder, workspace=WorkspaceMode.BIND)
    slug = bubblewrap.launch(chosen, Values(), folder, quiet).agent.slug
    for attempt in ("echo x > .git", "rm .git", "mv .git g"):
        assert bubblewrap.exec(slug, f"cd ~/workspace && {attempt}").status != 0, attempt
    assert (folder / ".git").read_text() == "gitdir: /elsewhere\n"
    bubblewrap.stop(slug)
    (folder / ".git").unlink()
    (folder / ".git").symlink_to("/etc")
    with pytest.raises(BackendError, match="is a link"):
        bubblewrap.launch(chosen, Values(), folder, quiet)
    assert bubblewrap.leftovers() == () and bubblewrap.enumerate()[0] == ()


def test_memory_that_nothing_maps_is_bounded_too(bubblewrap: BubblewrapBackend) -> None:
    small = Limits(memory=200 << 20, pids=60, files=256, tmpfs=16 << 20)
    slug = bubblewrap.launch(plan("bubblewrap", limits=small), Values(), None, quiet).agent.slug
    _, record = live(bubblewrap, slug)
    hidden = (
        "import os, time\nfd = os.memfd_create('x')\n"
        "for _ in range(60): os.write(fd, bytes(10 << 20)); time.sleep(0.02)\ntime.sleep(8)\n"
    )
    shared = (
        "import mmap, time\nm = mmap.mmap(-1, 600 << 20)\nfor i in range(0, 600 << 20, 4096): m[i] = 1\ntime.sleep(8)\n"
    )
    for script in (hidden, shared):
        assert bubblewrap.exec(slug, f"python3 - <<'X'\n{script}\nX", 60).status != 0
        assert all(p.alive() for p in record.procs)
    assert bubblewrap.exec(slug, "echo alive").stdout == "alive\n"


def test_no_terminal_of_the_caller_gets_in(bubblewrap: BubblewrapBackend) -> None:
    """`start A -- CMD | cat` on a terminal: the command's output arrives, the terminal itself does not get in."""
    slug = bubblewrap.launch(plan("bubblewrap"), Values(), None, quiet).agent.slug
    argv = bubblewrap.exec_argv(slug, ["sh", "-c", "ls -l /proc/self/fd; echo to-stderr >&2; cat; exit 4"], tty=False)
    reader, writer = os.pipe()
    pid, fd = pty.fork()
    if pid == 0:
        os.dup2(writer, 1)
        os.execv(argv[0], argv)
    os.close(writer)
    with os.fdopen(reader) as out:
        listing = out.read()
    shown = b""
    with contextlib.suppress(OSError):
        while chunk := os.read(fd, 4096):
            shown += chunk
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 4
    assert b"to-stderr" in shown and "pts" not in listing and "/dev/null" in listing
    os.close(fd)


def test_a_kernel_that_refuses_user_namespaces(own_state: Path) -> None:
    """Not a fake: a user namespace whose own limit is none, and in it an ordinary user who asks for a bottle."""
    if os.geteuid():
        need("root", "only root can map other uids into a namespace")
    ready_r, ready_w = os.pipe()
    go_r, go_w = os.pipe()
    out_r, out_w = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            syscalls.unshare(syscalls.CLONE_NEWUSER)
            os.write(ready_w, b"1")
            os.read(go_r, 1)
            Path("/proc/sys/user/max_user_namespaces").write_text("0")
            os.setgroups([])
            os.setresgid(65000, 65000, 65000)
            os.setresuid(65000, 65000, 65000)
            check = probe.sandbox(Runner())
            os.write(out_w, f"{check.ok}|{check.detail}|{check.fix}".encode())
        finally:
            os._exit(0)
    os.close(out_w)
    os.read(ready_r, 1)
    for name in ("uid_map", "gid_map"):
        Path(f"/proc/{pid}/{name}").write_text("0 0 65536\n")
    os.write(go_w, b"1")
    with os.fdopen(out_r) as out:
        said = out.read()
    os.waitpid(pid, 0)
    assert said.startswith("False|bwrap: ") and said.endswith("|as root: sysctl -w user.max_user_namespaces=15000")


def test_an_empty_group_is_a_leftover_and_a_busy_one_is_not(
    bubblewrap: BubblewrapBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not limits.describe()[0]:
        need("root", "no control groups for this user")
    monkeypatch.setattr(limits, "SETTLED", -1.0)
    made = limits.make_groups("f0f0f0f0", LIMITS)
    assert made.folders
    bubblewrap.launch(plan("bubblewrap"), Values(), None, quiet)
    left = [one for one in bubblewrap.leftovers() if one.ident == "f0f0f0f0"]
    assert [one.kind for one in left] == ["cgroup"]
    assert bubblewrap.sweep(left) == () and limits.find_groups("f0f0f0f0") == ()
