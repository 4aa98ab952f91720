"""Stories of starting an agent: key by key, and what the screen says. Each function is one story."""

from __future__ import annotations

from backends.api import BackendError, Check, EnvVar, LaunchSpec, WorkspaceMode
from botbottle_tui.core import effect as e
from manifests.catalog import Catalog
from tests.fake_world import CWD, FAKE, FakeWorld
from tests.story import Story, in_tmux
from tests.unit.story.worlds import SCROLLS, SECRET, many_lines, three


def story_empty_home() -> Story:
    s = Story.of(FakeWorld(manifests=Catalog()))
    s.sees("There are no agents", "writes example bottles").press("n").sees(
        "there are no agents yet; i writes examples"
    )
    s.press("i").sees("wrote 2 examples", "Nothing runs")
    s.press("n", "enter").sees("Start builder?", "ready: Enter starts it").press("enter")
    assert s.called("launch") == [("builder-1", ())]
    assert s.foregrounds == [("attach", "builder-1")]
    return s.sees("running", "builder-1", "back in the dashboard").press("i").sees("there are manifests already")


def story_new_in_tmux() -> Story:
    s = Story.of(options=in_tmux()).press("n").sees("> builder", "! /home/op/.bot-bottle/agents/odd.md:3: botle")
    s.press("enter").sees(
        "web < base", "[auth:Bearer from SHOP_TOKEN]", "[not seen by pipelock]", "namespaces, seccomp"
    )
    s.sees("EDITOR from EDITOR", "copy of /home/op/shop").sees_no("HIDDEN_PLACEHOLDER")
    s.hold(e.Launch).press("enter").sees("starting", "builder-1").press("x").sees("builder-1 is still starting")
    s.press("enter").sees("still starting").release().sees(">*1 running")
    assert s.panes.slug == "builder-1" and s.panes.focused and not s.foregrounds
    assert s.panes.history == [("attach", "builder-1", "--pane")]
    return s.press("n").sees("(1 running)").press("esc")


def story_picker_keys() -> Story:
    s = Story.of().press("n", "down", "up", "ctrl n", "ctrl p", "page down", "page up", "end").sees("> shell")
    s.sees("in place of the one in HOME").press("home").sees("> builder")
    s.types("odd").sees("> odd").press("enter").sees("unknown key (allowed: bottle, skills)")
    s.press("backspace", "ctrl u").sees("type to filter").types("zz").press("enter").sees("nothing matches 'zz'")
    s.press("esc").sees("New agent", "reviewer").press("esc").sees("Nothing runs")
    return s.press("n", "ctrl c").sees("Nothing runs").sees_no("New agent")


def story_backend_is_asked() -> Story:
    world = FakeWorld(infos=(*FakeWorld().infos, FAKE))
    s = Story.of(world).press("n", "enter").sees("Backend for builder", "> bubblewrap", "no engine answers")
    s.press("down").sees("! no engine answers at /var/run/docker.sock", "fix: start dockerd").press("enter")
    s.sees("no engine answers at /var/run/docker.sock; start dockerd")
    s.press("down", "enter").sees("Start builder?", "backend fake")
    s.press("b").sees("backend bubblewrap", "ready").press("b").sees("backend fake")
    s.press("q").sees("Backend for builder").press("esc", "esc").sees("Nothing runs")
    s = Story.of().press("n", "enter", "b")
    return s.sees("no other backend can be used here (docker: no engine answers at", "start dockerd)")


def story_backend_comes_late() -> Story:
    s = Story.of(held=[e.LoadBackends]).press("n").sees("New agent")
    s.press("enter").sees("finding out which agents can start; or move to one")
    s.press("down", "enter").sees("Backend for builder", "looking…").press("enter").sees("still being looked at")
    return s.release().sees("Start builder?", "ready")


def story_first_that_can_start() -> Story:
    s = Story.of(FakeWorld(cannot=frozenset({"builder"}))).press("n").sees("> reviewer")
    return s.press("home", "enter").sees("FAILED provider: builder is not installed", "fix: install it under /usr")


def story_last_agent() -> Story:
    last = LaunchSpec("shell", "bubblewrap", CWD, WorkspaceMode.BIND)
    s = Story.of(FakeWorld(last=last)).press("n").sees("> shell").press("enter")
    return s.sees("ITSELF, written by the agent", "from this repository", "in place of the one in HOME")


def story_new_with_options() -> Story:
    s = (
        Story.of()
        .press("N", "enter")
        .sees("Backend for builder")
        .press("enter")
        .sees("Workspace for builder", "> copy")
    )
    s.press("down", "enter").sees("/home/op/shop ITSELF")
    s.press("w").sees("workspace none").press("f").sees("the workspace is none")
    s.press("w").sees("copy of /home/op/shop").press("f").sees("folder > /home/op/shop")
    s.press("ctrl u", "enter").sees("type a folder").types("subx").press("backspace", "enter").sees(
        "copy of /home/op/shop/sub"
    )
    s.press("f", "esc").sees("/home/op/shop/sub").press("f", "ctrl c").sees("Start builder?")
    s.press("v").resize(80, 30).sees("name = Op", "| [user]").press("v").sees_no("name = Op")
    s.hold(e.Prepare).press("r").sees("checking…").press("enter").sees("the checks still run").release()
    many_lines(s, *SCROLLS)
    assert s.called("launch") == []
    return s.press("ctrl c", "esc", "esc", "esc").resize(80, 24).sees("Nothing runs")


def story_failed_check() -> Story:
    world = FakeWorld(checks=(Check("disk", False, "2 MiB left", "free some space"),))
    s = Story.of(world).press("n", "enter").sees("cannot start: 1 check failed", "fix: free some space")
    s.press("enter").sees("cannot start: disk: 2 MiB left; free some space")
    world.checks = (Check("disk", True, "2 GiB left"),)
    return s.press("r").sees("ready: Enter starts it").press("enter").sees("running")


def story_prepare_fails() -> Story:
    s = Story.of(FakeWorld(last=LaunchSpec("builder", "bubblewrap", CWD)))
    s.world.fail["prepare"] = BackendError("the folder is your HOME", "choose another with f")
    s.press("n", "enter").sees("cannot start: the folder is your HOME (choose another with f)")
    return s.press("enter").sees("! cannot start")


def story_values_are_asked() -> Story:
    world = FakeWorld(secrets=(SECRET, EnvVar("SECOND", "secret", "another")))
    s = Story.of(world).press("n", "enter", "enter").sees("A value for DB_PASSWORD", "the test database's password")
    s.press("enter").sees("type the value").types("hunterx").press("backspace").sees("> ••••••▏").sees_no("hunter")
    s.press("enter").sees("A value for SECOND", "(2 of 2").types("zz").press("ctrl u").types("pw").press("enter")
    assert s.called("launch") == [("builder-1", (("DB_PASSWORD", "hunter"), ("SECOND", "pw")))]
    s.sees("! SECOND is not protected: under 8 characters").sees_no("hunter")
    s.press("n", "enter", "enter").sees("A value for").press("esc").sees("Start builder?")
    return s.press("enter", "ctrl c").sees("Start builder?")


def story_launch_fails() -> Story:
    s = Story.of(held=[e.Launch]).press("n", "enter", "enter").sees("starting")
    s.world.fail["launch"] = BackendError("the bundle did not answer within 10 s", "bottle-dash doctor")
    s.release().sees("builder did not start", "the bundle did not answer", "bottle-dash doctor").press("z")
    s.sees("builder did not start", "z does nothing here; Esc leaves").press("enter").sees_no("starting")
    return s.sees("Nothing runs", "! builder did not start")


def story_launch_fails_while_typing() -> Story:
    s = Story.of(three(), held=[e.Launch]).press("n", "enter", "enter", "n").types("rev")
    s.world.fail["launch"] = BackendError("no disk", "")
    s.release().sees("> rev", "! builder did not start: no disk").press("enter").sees("Start reviewer?")
    s.press("esc", "esc", "esc").sees("builder did not start", "no disk")
    many_lines(s, *SCROLLS, "q")
    for key in ("esc", "ctrl c", " "):
        s.world.fail["init_home"] = BackendError("x")
        s.world.fail["changes"] = BackendError("the copy is gone")
        s.press("D").sees("No changes of one-1", "the copy is gone").press(key).sees_no("the copy is gone")
    return s


def story_folder_is_remembered() -> Story:
    s = Story.of().press("n", "enter", "f", "ctrl u").types("/srv/other").press("enter", "enter")
    return s.press("n", "enter").sees("copy of /srv/other")


def story_progress() -> Story:
    from botbottle_tui.core.msg import Progressed

    s = Story.of(held=[e.Launch]).press("n", "enter", "enter")
    return s.happens(Progressed("builder-1", "building the\x1b[31m sandbox")).sees("building the<U+001B>[31m sandbox")


def story_busy_when_it_runs() -> Story:
    s = Story.of(held=[e.Launch]).press("n", "enter", "enter", "?").release()
    assert s.foregrounds == []
    return s.sees("builder-1 runs; Enter on its row opens it").press("esc", "enter")


def story_resize() -> Story:
    s = Story.of(FakeWorld(secrets=(SECRET,))).press("n", "enter", "enter").types("abc")
    for size in ((60, 20), (160, 50), (10, 3), (80, 24)):
        s.resize(*size)
    return s.sees("> •••▏").press("enter").sees("running")
