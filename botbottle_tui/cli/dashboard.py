"""Without a verb: the dashboard. What it drives is imported by the first worker that needs it, not before the frame."""

from __future__ import annotations

import argparse
import importlib
import os
from typing import Any, cast

from botbottle_tui.host.paths import host_paths, is_private, work_folder
from botbottle_tui.shell.runtime import DashOptions, run_dashboard
from botbottle_tui.shell.world import World


class Later:
    """The world, made at its first use; the import system sees to it that only one is made."""

    used = False

    def __getattr__(self, name: str) -> Any:
        self.used = True
        return getattr(importlib.import_module("botbottle_tui.cli.composed").WORLD, name)


def run(args: argparse.Namespace) -> int:
    """Until it is left. Bottles go on; a bundle that was started ahead goes."""
    paths = host_paths()
    world = Later()
    try:
        return run_dashboard(
            cast(World, world),
            cwd=work_folder(),
            home=paths.home,
            options=DashOptions(backend=args.backend or chosen_backend(), cwd_is_private=is_private(work_folder())),
            run_foreground=lambda argv: int(world.runner.foreground(argv)),
        )
    finally:
        if world.used:
            world.close()


def chosen_backend() -> str:
    """`BOT_BOTTLE_BACKEND`, if it says something."""
    return os.environ.get("BOT_BOTTLE_BACKEND", "")
