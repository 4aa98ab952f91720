"""Builds images on an engine: what is missing of them, one process at a time, telling each step and its last words."""

from __future__ import annotations

import contextlib
import fcntl
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from backends.api import BackendError, Progress
from backends.docker import proof, spec
from backends.docker.images import BASE_ENV, Image
from sidecar_bundle.shared.visible import visible

SILENCE = 1800  # seconds without a word from the engine
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_STEP = re.compile(r"Step (\d+/\d+) : (.*)", re.DOTALL)
_CHATTER = re.compile(r"--->|Removing intermediate container|Successfully (built|tagged)|\[Warning\]")


def lacking(api: Any, images: Sequence[Image]) -> list[Image]:
    """What has to be built so that the engine has all of `images`, in order."""
    import docker

    out: list[Image] = []
    for image in images:
        try:
            api.inspect_image(image.tag)
        except docker.errors.ImageNotFound:
            out += [*(lacking(api, [image.on]) if image.on else ()), image]
    return _once(out)


def whole(images: Sequence[Image]) -> list[Image]:
    """`images` and all that they stand on, in order."""
    return _once([one for image in images for one in (*(whole([image.on]) if image.on else ()), image)])


def _once(images: Sequence[Image]) -> list[Image]:
    return list({image.tag: image for image in images}.values())


class Builder:
    """Builds for the state folder `home`, where its logs are kept."""

    def __init__(self, home: Path) -> None:
        self.home, self.logs = home, home / "logs"

    def ensure(
        self, api: Any, images: Sequence[Image], progress: Progress, *, pull: bool = False, fresh: bool = False
    ) -> list[Image]:
        """Builds what the engine lacks, and answers that. `pull` and `fresh` build all of it anew: from bases as their
        registry has them now, or without what earlier builds left.
        """
        if not (pull or fresh or lacking(api, images)):
            return []
        with self._alone(progress):
            todo = whole(images) if pull or fresh else lacking(api, images)
            for image in todo:
                self._build(api, image, progress, pull=pull, fresh=fresh)
        return todo

    def _build(self, api: Any, image: Image, progress: Progress, *, pull: bool, fresh: bool) -> None:
        import docker

        log = self.logs / f"build-{image.repository}.log"
        doing = f"building {image.repository}"
        progress(_short(doing))
        try:
            with _private(log) as file:
                said = _Said(doing, progress, file)
                lines = api.build(
                    fileobj=io.BytesIO(image.archive()),
                    custom_context=True,
                    dockerfile=image.dockerfile,
                    tag=image.tag,
                    labels=spec.image_labels(proof.owner(self.home)),
                    buildargs=dict(image.args),
                    # What stands on an image of ours is nowhere else to be had.
                    pull=pull and image.on is None,
                    nocache=fresh,
                    rm=True,
                    forcerm=True,
                    decode=True,
                    timeout=SILENCE,
                )
                for message in lines:
                    said.take(message)
        except docker.errors.APIError as error:
            if not error.is_client_error():
                raise
            reason = visible(" ".join(str(error.explanation).split()), keep="")[:300]
            raise BackendError(f"{doing} failed: {reason}", "correct its Dockerfile") from None
        if said.error:
            raise BackendError(said.failure(), said.hint() or f"all that it said is in {log}")

    @contextlib.contextmanager
    def _alone(self, progress: Progress) -> Iterator[None]:
        with _private(self.logs / "build.lock") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress("waiting for another build")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


class _Said:
    """What the engine says during one build: the step it is at, and the step's last line."""

    def __init__(self, doing: str, progress: Progress, log: BinaryIO) -> None:
        self.doing, self.progress, self.log = doing, progress, log
        self.step = self.last = self.error = ""
        self._rest = ""

    def take(self, message: Mapping[str, Any]) -> None:
        """One message of the engine's."""
        if "error" in message:
            self.error = _clean(str(message["error"])) or "no reason given"
            self._keep(self.error)
        if status := message.get("status"):
            self._line(" ".join(str(part) for part in (status, message.get("id"), message.get("progress")) if part))
        self._rest += str(message.get("stream", "")).replace("\r", "\n")
        *lines, self._rest = self._rest.split("\n")
        for line in lines:
            self._line(line)

    def _line(self, raw: str) -> None:
        line = _clean(raw)
        if not line:
            return
        self._keep(line)
        if step := _STEP.match(line):
            self.step, self.last = step[1], ""
            line = step[2]
        elif _CHATTER.match(line):
            return
        else:
            self.last = line
        self.progress(f"{_short(self.doing)}{f' {self.step}' if self.step else ''}: {line[:200]}")

    def _keep(self, line: str) -> None:
        # A full disk here is no reason to fail.
        with contextlib.suppress(OSError):
            self.log.write(f"{line}\n".encode(errors="replace"))

    def failure(self) -> str:
        """Why it failed, in one line: a step's last words rather than its status."""
        ended = re.search(r"returned a non-zero code: (\d+)", self.error)
        reason = (self.last or f"a step ended with status {ended[1]}") if ended else self.error
        return f"{self.doing} failed{f' at step {self.step}' if self.step else ''}: {reason[:300]}"

    def hint(self) -> str:
        """The way out, where the reason tells it."""
        lower = f"{self.error} {self.last}".lower()
        if "no space left" in lower:
            return "docker system df shows what fills the engine's disk"
        if re.search(r"manifest (for .* )?(unknown|not found)|pull access denied|failed to resolve|dial tcp", lower):
            return f"docker pull it, or name another base image in {BASE_ENV}"
        return ""


def _short(doing: str) -> str:
    """As a row has room for it."""
    return doing.replace(" bot-bottle-", " ")


def _clean(text: str) -> str:
    return visible(_COLOUR.sub("", text).strip(), keep="")


@contextlib.contextmanager
def _private(path: Path) -> Iterator[BinaryIO]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = path.open("wb", buffering=0)
    except OSError as error:
        raise BackendError(f"cannot write {path}: {error.strerror}", f"check {path.parent}") from None
    with file:
        yield file
