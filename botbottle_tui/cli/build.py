"""`build`: what launches would build first, built ahead."""

from __future__ import annotations

import argparse

from backends.api import LaunchPlan, LaunchSpec, WorkspaceMode
from botbottle_tui.cli.out import Steps, fail, say
from botbottle_tui.host.launching import Host
from botbottle_tui.host.paths import host_paths, work_folder
from sidecar_bundle.shared.visible import visible


def run(args: argparse.Namespace) -> int:
    """A line for each thing that is there now; 1 when something of an agent could not be built."""
    if bool(args.agent) == args.all:
        fail("build wants agents by name, or --all", "bottle-dash list")
        return 2
    host = Host(host_paths(), chosen=args.backend or "")
    backend = host.backend()
    names = args.agent or [agent.name for agent in host.catalog(work_folder()).agents]
    plans: list[LaunchPlan] = []
    for name in dict.fromkeys(names):
        prepared = host.prepare(LaunchSpec(name, backend.name, work_folder(), WorkspaceMode.NONE))
        if prepared.plan is None:
            fail(f"{name}: {prepared.checks[0].detail}", prepared.checks[0].fix)
        else:
            plans.append(prepared.plan)
    with Steps() as told:
        made = backend.build(plans, told, pull=args.pull, fresh=args.no_cache) if plans else ()
    for name, new in made:
        say(visible(f"{name}\t{'built' if new else 'is there'}", keep="\t"))
    return 0 if plans and len(plans) == len(set(names)) else 1
