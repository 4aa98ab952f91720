"""Writes what a bottle's sandbox shows as /etc and HOME, before the sandbox starts."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from backends import provision
from backends.api import LaunchPlan
from backends.folders import give_tree


def write(run: Path, plan: LaunchPlan, ca: str, agent_uid: int) -> None:
    """Fills `run`/files: the plan's files and skills, the system's own, and the bottle's CA (PEM).

    HOME is given to `agent_uid`, unless it is 0.
    """
    files = run / "files"
    roots = (run / "upstream-ca.pem").read_text()
    (files / "home").mkdir(parents=True, mode=0o755)
    for file in (*plan.files, *provision.system_files(plan.slug), *provision.ca_files(roots, ca)):
        home = file.path.startswith("/home/agent/")
        target = files / ("home" + file.path[len("/home/agent") :] if home else file.path.lstrip("/"))
        target.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file.mode), "wb") as out:
            out.write(file.content)
    for skill in plan.skills:
        shutil.copytree(skill, files / "home" / plan.provider.skills_dir / skill.name, symlinks=True)
    if agent_uid:
        for place in (files, files / "etc"):
            place.chmod(0o755)
        for path in (files / "etc").iterdir():
            path.chmod(0o644)
        give_tree(files / "home", agent_uid)
