"""Images and rebuilds of the docker backend, on a real engine."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from backends.api import BackendError, Decision, LaunchSpec, Values, WorkspaceMode
from backends.docker import engine, images, proof, rebuild, spec
from backends.docker.driver import DockerBackend
from botbottle_tui.host.launching import Host
from sidecar_bundle.shared import queue
from sidecar_bundle.shared.proposal import CapabilityRequest, make_proposal
from tests.contract.plans import plan
from tests.contract.test_contract import Terminal, quiet, until
from tests.contract.test_docker import ON_LINK, host_addresses, listener

MARK = f"io.bot-bottle.test={uuid.uuid4().hex}"
ON = f"ARG PROVIDER_IMAGE\nFROM ${{PROVIDER_IMAGE}}\nLABEL {MARK}\n"


@pytest.fixture(scope="module", autouse=True)
def no_images_stay() -> Iterator[None]:
    yield
    with engine.engine("images of these tests") as api:
        for image in api.images(filters={"label": MARK}):
            api.remove_image(image["Id"], force=True)


def container(slug: str) -> str:
    """The id of the agent's container."""
    with engine.engine("inspect") as api:
        return str(api.inspect_container(spec.Names.of(slug).agent)["Id"])


def own(folder: Path, dockerfile: str) -> str:
    """A bottle whose image is made of `folder`."""
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(dockerfile)
    return f"---\nagent_provider:\n  template: shell\n  dockerfile: {folder}/Dockerfile\n---\n"


@pytest.mark.parametrize("provider", ["claude", "codex"])
def test_an_image_really_has_its_program(docker: DockerBackend, provider: str) -> None:
    chosen = plan("docker", bottle=f"---\nagent_provider:\n  template: {provider}\n---\n")
    slug = docker.launch(chosen, Values(), None, quiet).agent.slug
    script = f"PATH={'/usr/local/bin:$PATH'}; {provider} --version; id -un; ls /opt; command -v node npm"
    done = docker.exec(slug, script)
    assert images.pins()[f"{provider.upper()}_VERSION"] in done.stdout.splitlines()[0], done
    assert done.stdout.splitlines()[1:] == ["agent", *(["codex"] if provider == "codex" else [])], "nothing else stays"


def test_a_bottles_own_dockerfile(docker: DockerBackend, tmp_path: Path) -> None:
    bottle = own(tmp_path / "image", f'{ON}COPY . /opt/mine/\nENTRYPOINT ["false"]\nUSER 0\n')
    for name in ("kept", "left"):
        (tmp_path / "image" / name).write_text(name)
    (tmp_path / "image" / ".dockerignore").write_text("left\n")
    chosen = plan("docker", bottle=bottle)
    assert [c.detail for c in docker.preflight(chosen) if c.name == "dockerfile"] == [
        f"{tmp_path}/image/Dockerfile in place of the provider's, with 2 beside it as its context"
    ]
    slug = docker.launch(chosen, Values(), None, quiet).agent.slug
    done = docker.exec(slug, "ls /opt/mine; id -u; cat ~/.bot-bottle-Dockerfile")
    assert done.stdout.splitlines()[:2] == ["Dockerfile", "kept"] and done.stdout.splitlines()[2] != "0"
    assert done.stdout.endswith(docker.dockerfile(slug)) and "COPY . /opt/mine/" in docker.dockerfile(slug)
    assert docker.build([chosen], quiet) and not any(new for _, new in docker.build([chosen], quiet))


def test_the_verb_builds_what_a_start_would(own_state: Path, tmp_path: Path) -> None:
    def dash(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "botbottle_tui", *words]
        return subprocess.run(argv, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL)

    dash("init")
    (own_state / "bottles" / "box.md").write_text(own(tmp_path / "image", f"{ON}RUN echo said by it\n"))
    (own_state / "agents" / "worker.md").write_text("---\nbottle: box\n---\n")
    first, again = (dash("build", "worker", "shell", "--backend", "docker") for _ in range(2))
    assert (first.returncode, again.returncode) == (0, 0), first.stderr
    assert "building shell 4/5: RUN echo said by it" in first.stderr.splitlines() and again.stderr == ""
    rows = [line.split("\t") for line in again.stdout.splitlines()]
    assert {name.partition(":")[0] for name, _ in rows} == {
        "bot-bottle-shell",
        "bot-bottle-sidecars",
        "bot-bottle-sidecars-base",
    } and {what for _, what in rows} == {"is there"}
    assert [line for line in first.stdout.splitlines() if line.endswith("\tbuilt")]
    own(tmp_path / "image", f"{ON}RUN echo why >&2; exit 1\n")
    bad = dash("build", "worker", "--backend", "docker")
    assert bad.returncode == 1 and bad.stderr.splitlines()[-1].startswith(
        "bottle-dash: building bot-bottle-shell failed at step 4/5: why (all that it said is in "
    )


@pytest.mark.parametrize(
    ("dockerfile", "says"),
    [
        (f"{ON}RUN echo why it is so >&2; exit 3\n", "failed at step 4/5: why it is so"),
        (f"{ON}RUN exit 3\n", "failed at step 4/5: a step ended with status 3"),
        (f"{ON}NONSENSE\n", "unknown instruction: NONSENSE"),
        (f"{ON}COPY none /\n", "failed at step 4/5: COPY failed"),
    ],
)
def test_a_build_that_fails_is_one_line_and_leaves_nothing(
    docker: DockerBackend, tmp_path: Path, dockerfile: str, says: str
) -> None:
    chosen = plan("docker", bottle=own(tmp_path / "image", dockerfile))
    with pytest.raises(BackendError) as told:
        docker.launch(chosen, Values(), None, quiet)
    assert says in told.value.message.replace("Unknown", "unknown") and "\n" not in told.value.message
    assert docker.enumerate() == ((), ()) and docker.leftovers() == ()
    assert not (docker.root / chosen.slug).exists()


def test_a_killed_build_leaves_nothing(docker: DockerBackend, tmp_path: Path) -> None:
    unique = uuid.uuid4().hex
    bottle = own(tmp_path / "image", f"{ON}RUN echo {unique} runs; sleep 300\n")
    chosen = plan("docker", bottle=bottle)
    tag = docker.launcher.images(chosen)[0].tag
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from backends.docker.driver import DockerBackend\n"
        "from tests.contract.conftest import paths\n"
        "from tests.contract.plans import plan\n"
        "def progress(line):\n"
        f"    if line.endswith('{unique} runs'): os.kill(os.getpid(), signal.SIGKILL)\n"
        "DockerBackend(paths(Path(sys.argv[1]))).build([plan('docker', bottle=sys.argv[2])], progress)\n"
    )
    argv = [sys.executable, "-c", script, str(docker.paths.home), bottle]
    done = subprocess.run(argv, cwd=Path(__file__).parents[2], capture_output=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr

    def runs() -> bool:
        with engine.engine("looking") as api:
            return any(unique in one["Command"] for one in api.containers(all=True))

    until(lambda: not runs(), 30)
    with engine.engine("looking") as api:
        assert not [image for image in api.images() if tag in (image["RepoTags"] or ())]
    assert docker.enumerate() == ((), ()) and docker.leftovers() == ()


def test_a_rebuilt_agent_has_the_new_image_behind_the_same_fence(docker: DockerBackend) -> None:
    slug = docker.launch(plan("docker"), Values(), None, quiet).agent.slug
    before = container(slug)
    docker.rebuild(slug, f"{ON}RUN echo new > /usr/local/share/marker\n", quiet)
    assert container(slug) != before
    assert docker.exec(slug, "cat /usr/local/share/marker; tail -n 1 ~/.bot-bottle-Dockerfile").stdout == (
        "new\nRUN echo new > /usr/local/share/marker\n"
    )
    addresses = host_addresses(slug)
    with listener() as sock:
        script = ON_LINK.replace("PORT", str(sock.getsockname()[1]))
        done = docker.exec(slug, f"python3 - {' '.join(addresses)} 2>&1 <<'END'\n{script}\nEND\n")
        assert addresses and done.stdout.count("Operation not permitted") == 3 * len(addresses), done
        with pytest.raises(TimeoutError):
            sock.recv(16)
    answer = docker.exec(slug, "curl -sS -m 5 http://other.example/ 2>&1")
    assert "egress: host other.example is not allowed" in answer.stdout, "its bundle is reached as before"


def test_a_failed_rebuild_leaves_the_bottle_as_it_was(docker: DockerBackend) -> None:
    slug = docker.launch(plan("docker"), Values(), None, quiet).agent.slug
    before, text = container(slug), docker.dockerfile(slug)
    kept = {path.name for path in (docker.root / slug).iterdir()}
    terminal = Terminal(docker.attach_argv(slug, pane=True))
    for step, says in (
        ("echo why >&2; exit 3", "failed at step 4/5: why"),
        ("rm /bin/tar", "the image has no tar"),
        ("rm /bin/sleep", "the image has no sleep"),
    ):
        with pytest.raises(BackendError, match=says):
            docker.rebuild(slug, f"{ON}RUN {step}\n", quiet)
        assert (container(slug), docker.dockerfile(slug)) == (before, text)
        assert {path.name for path in (docker.root / slug).iterdir()} == kept
        terminal.seen = b""
        terminal.type("echo go''es on\n")
        terminal.sees("goes on")
        with engine.engine("listing") as api:
            mine = api.containers(all=True, filters={"label": f"{spec.PREFIX}slug={slug}"})
        assert len(mine) == 2 and docker.leftovers() == ()
    terminal.end()


REBUILD_AND_DIE = """
import os, signal, sys
from pathlib import Path
from backends.docker import rebuild
from backends.docker.driver import DockerBackend
from tests.contract.conftest import paths
home, slug, dockerfile, step = sys.argv[1:]
def die(): os.kill(os.getpid(), signal.SIGKILL)
def progress(line):
    if line == step: die()
settle, calls = rebuild.settle, []
def settled(api, run):
    calls.append(run)
    if step == "swap" and len(calls) == 2: die()
    settle(api, run)
rebuild.settle = settled
create = rebuild.launch.create
def created(*said):
    create(*said)
    if step == "created": die()
rebuild.launch.create = created
signal_ = rebuild._signal
def signalled(*said):
    signal_(*said)
    if step == "frozen": die()
rebuild._signal = signalled
DockerBackend(paths(Path(home))).rebuild(slug, dockerfile, progress)
"""
STEPS = ("trying the new image", "created", "moving the agent's files", "frozen", "starting the agent again", "swap")


def test_a_rebuild_that_is_killed_is_settled_by_cleanup(docker: DockerBackend) -> None:
    slug, beside = (docker.launch(plan("docker"), Values(), None, quiet).agent.slug for _ in range(2))
    docker.exec(slug, "echo said > ~/transcript")
    others = container(beside)
    for step in STEPS:
        argv = [sys.executable, "-c", REBUILD_AND_DIE, str(docker.paths.home), slug, f'{ON}RUN echo "{step}"\n', step]
        done = subprocess.run(argv, cwd=Path(__file__).parents[2], capture_output=True, timeout=120)
        assert done.returncode == -signal.SIGKILL, (step, done.stderr)
        state = "done" if step == "swap" else "running"
        until(lambda: {a.slug: a.state for a in docker.enumerate()[0]}[slug] == state)  # noqa: B023
        left = docker.leftovers()
        assert [(one.slug, one.detail) for one in left] == [(slug, "a rebuild that was cut off")], step
        assert docker.sweep(left) == () and docker.leftovers() == ()
        assert not (docker.root / slug / rebuild.BEGUN).exists()
        assert docker.exec(slug, "cat ~/transcript").stdout == "said\n" and container(beside) == others
        assert docker.dockerfile(slug).endswith('RUN echo "swap"\n') is (step == "swap")
        terminal = Terminal(docker.attach_argv(slug, pane=True))
        until(lambda: [a.state for a in docker.enumerate()[0]] == ["running"] * 2)
        terminal.type(f"echo go''es on after {step.partition(' ')[0]}\n")
        terminal.sees(f"goes on after {step.partition(' ')[0]}")
        terminal.end()


def test_an_approved_image_is_built_or_everything_stays(docker: DockerBackend) -> None:
    """A `capability-block`, decided as the dashboard does it."""
    home = docker.paths.home
    for folder, name, text in (
        ("bottles", "box", "---\nagent_provider:\n  template: shell\n---\n"),
        ("agents", "worker", "---\nbottle: box\n---\n"),
    ):
        (home / folder).mkdir(parents=True)
        (home / folder / f"{name}.md").write_text(text)
    host = Host(docker.paths, (docker,), chosen="docker")
    prepared = host.prepare(LaunchSpec("worker", "", Path("/"), WorkspaceMode.NONE))
    assert prepared.plan is not None and prepared.ok, prepared.checks
    slug = host.launch(prepared.plan, Values(), quiet, remember=False).slug
    before = container(slug)
    exchange = docker.exchange(slug)
    assert exchange is not None

    def ask(dockerfile: str) -> str:
        payload = CapabilityRequest(dockerfile, "it is missing")
        asked = make_proposal("capability-block", "whatever it says", payload, time.time(), "")
        queue.put_proposal(exchange.queue, asked)
        return asked.id

    def approve(ident: str) -> tuple[tuple[str, ...], tuple[object, ...]]:
        seen = host.desk.preview(slug, ident)
        assert not seen.refused and "-FROM ${BASE}" in seen.diff and "+FROM ${PROVIDER_IMAGE}" in seen.diff
        return host.desk.decide([Decision(slug, ident, "approve", seen.seen)], quiet)

    bad = ask(f"{ON}RUN echo no such thing >&2; exit 1")
    done, faults = approve(bad)
    assert done == () and "no such thing" in str(faults[0]) and container(slug) == before
    assert [(one.proposal.id, "no such thing" in one.error) for one in host.desk.inbox.watch("", 0)[1]] == [(bad, True)]
    stored = host.records.folder(slug) / "Dockerfile"
    assert not stored.exists()

    good = ask(f"{ON}RUN echo new > /usr/local/share/marker")
    done, faults = approve(good)
    what = f"{slug}: capability-block approved: 4 lines of Dockerfile"
    assert (done, faults) == ((what,), ()) and container(slug) != before
    assert stored.read_text().endswith("/share/marker\n")
    assert docker.exec(slug, "cat /usr/local/share/marker").stdout == "new\n"
    answer = json.loads((exchange.answers / f"{good}.response.json").read_text())
    assert answer["status"] == "approved"
    host.stop(slug, drop_changes=True)


def test_a_change_of_the_bundles_code_is_built_in_a_moment(docker: DockerBackend, tmp_path: Path) -> None:
    """The layers below stay: how long it takes is for the bench, that nothing else is built is for here."""
    package = tmp_path / "sidecar_bundle"
    subprocess.run(["cp", "-r", str(images._BUNDLE), str(package)], check=True)
    (package / "init" / "new.py").write_text(f"# {MARK}\n")
    was = images._BUNDLE
    try:
        images._BUNDLE = package
        built = docker.build([plan("docker")], quiet)
    finally:
        images._BUNDLE = was
    assert [name.partition(":")[0] for name, new in built if new] == ["bot-bottle-sidecars"]
    with engine.engine("images of these tests") as api:
        api.remove_image(next(name for name, new in built if new))


def test_an_image_is_removed_by_who_built_it(docker: DockerBackend) -> None:
    """Unused, it is a leftover of whoever built it, and of nobody else on the engine."""
    mine = proof.owner(docker.root)
    others = replace(mine, uid=mine.uid + 1), replace(mine, host="elsewhere")
    tags = [f"bot-bottle-test-{uuid.uuid4().hex}:1" for _ in (mine, *others)]
    with engine.engine("images of these tests") as api:
        for tag, who in zip(tags, (mine, *others), strict=True):
            text = BytesIO(f"FROM scratch\nLABEL {MARK}\n".encode())
            list(api.build(fileobj=text, tag=tag, labels=spec.image_labels(who)))
            assert api.inspect_image(tag)
    found = {one.ident for one in docker.leftovers(images=True) if one.kind == "image"}
    assert found & set(tags) == {tags[0]}
