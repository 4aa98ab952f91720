"""Stories of agents that live: opening, stopping, their work, cleanup, faults. Each function is one story."""

from __future__ import annotations

from dataclasses import replace

from backends.api import Agent, Audited, BackendError, Fault, Leftover
from botbottle_tui.core import effect as e
from manifests.catalog import Catalog
from sidecar_bundle.shared.activity import Activity
from tests.fake_world import NOW, FakeWorld, agent, catalog
from tests.story import Story, in_tmux
from tests.unit.story.worlds import SCROLLS, live, many_lines, three


def story_decisions_are_in_activity() -> Story:
    world = three()
    world.lines["one-1"] += (Audited(NOW + 60, "egress-block approved: a.example.org /x, by me (dashboard)"),)
    return (
        Story.of(world)
        .tick()
        .sees("= egress-block approved: a.example.org /x, by me")
        .press("2")
        .tick()
        .sees_no("= eg")
    )


def story_paste() -> Story:
    s = Story.of(three()).press("begin paste", "x", "y", "q", "end paste").sees("Agents (3)").sees_no("Stop")
    assert not s.ended
    s.press("/", "begin paste", "o", "n", "e", "enter", "end paste").sees("(1 match) /one▏")
    return s.press("enter").sees_no("▏")


def story_no_pane() -> Story:
    s = Story.of(three(), options=in_tmux())
    s.panes.fail = BackendError("no space for new pane")
    s.press("enter").sees("no pane for one-1: no space for new pane")
    assert s.foregrounds == [("attach", "one-1")]
    return s


def story_move() -> Story:
    s = Story.of(three()).sees("> 1 running one-1").press("j").sees("> 2 running two-2").press("k", "down", "up", "G")
    s.sees("> 3 running three-3").press("g", "end", "home").sees("> 1").press("page down", "page up").sees("> 1")
    for n in "123":
        s.press(n).sees(f"> {n}")
    for n in "456789":
        s.press(n).sees(f"there is no row {n}", "> 3")
    s.press("o")
    assert s.foregrounds == [("attach", "three-3")]
    return s.press("Z").sees("Z does nothing here; ? shows the keys")


def story_panes() -> Story:
    s = Story.of(three()).tick().sees("═ Agents", "─ Proposals", "nothing waits", "REFUSED GET evil.example/x no route")
    s.press("tab").sees("═ Proposals").press("j").sees("nothing waits here").press("a").sees(
        "nothing waits for an answer"
    ).press("tab").sees("═ Activity of one-1")
    s.press("k").sees("1 back, G: newest").sees_no("REFUSED").press("up", "page up", "g").sees("/v1/0 200")
    s.press("home", "page down", "down", "j").press("end").sees("REFUSED").press("k", "G").sees("REFUSED")
    return s.press("esc").sees("═ Agents").press("tab", "tab", "tab").sees("═ Agents")


def story_scrolled_back_stays() -> Story:
    world = three()
    s = Story.of(world).tick().press("tab", "tab").press(*["k"] * 3).sees("3 back").sees_no("REFUSED")
    world.lines["one-1"] += (Activity(NOW + 60, "egress", "allow", "GET", "api.example.org", "/late", "", 200),)
    return s.tick().sees("4 back").sees_no("/late").press("G").sees("/late")


def story_filter() -> Story:
    s = Story.of(three()).press("/").types("rev").sees("(1 match) /rev", "> 2 running two-2".replace("2 ", "1 ", 1))
    s.press("up", "down", "backspace", "ctrl u").sees("(3 match)").types("nope").sees("nothing matches")
    s.press("esc").sees("Agents (3)").press("/").types("three").press("enter").sees("(1 match) /three")
    s.press("/", "ctrl c").sees("Agents (3)").press("/").types("one").press("enter", "esc")
    return s.sees("Agents (3)", "two-2")


def story_help() -> Story:
    s = Story.of(three()).press("?").sees("Keys", "stop the bottle, after a question")
    many_lines(s, *SCROLLS).press("esc").resize(80, 24)
    for key in ("q", "?", "ctrl c"):
        s.press("?").sees("Keys").press(key).sees_no("Keys ")
    return s


def story_stop_and_keep() -> Story:
    s = Story.of(three(), options=in_tmux()).press("2", "enter")
    assert s.panes.slug == "two-2"
    s.press("x").sees(
        "Stop two-2?", "3 files changed and not exported", "keep the changes as a patch", "drop the changes"
    )
    s.press("y").sees("y is no answer here").press("k").sees("its changes are kept in", "two-2.patch")
    assert s.called("stop") == [("two-2", False)]
    assert s.panes.slug == "three-3" and not s.panes.focused
    s.press("x", "y").sees("three-3: stopped")
    assert s.panes.slug == "one-1"
    s.press("x", "y").sees("Nothing runs")
    assert s.panes.slug == ""
    return s


def story_stop_and_drop() -> Story:
    s = Story.of(three()).press("2", "x", "d").sees("two-2: stopped", "Agents (2)")
    assert s.called("stop") == [("two-2", True)]
    for key in ("esc", "n", "q", "ctrl c"):
        s.press("x").sees("Stop three-3?").press(key).sees_no("Stop three-3?")
    assert len(s.called("stop")) == 1
    return s


def story_stop_before_the_answer() -> Story:
    s = Story.of(three()).hold(e.LoadChanges, e.Stop).press("2", "x").sees("Looking at what it changed")
    s.press("y").sees("stopping").press("x").sees("two-2 is being stopped").press("q").sees("a stop is under way")
    return s.press("esc").tick(times=3).sees("stopping: two-2").release().sees("Agents (2)", "kept in")


def story_stop_fails() -> Story:
    world = three()
    world.fail = {"changes": BackendError("the copy is locked"), "stop": BackendError("it does not die", "doctor")}
    s = (
        Story.of(world)
        .press("x")
        .sees("Its changes are not known: the copy is locked")
        .press("k")
        .sees("no answer here")
    )
    return s.press("y").sees("one-1 was not stopped", "it does not die", "doctor").press("enter").sees("Agents (3)")


def story_lost_and_foreign() -> Story:
    world = FakeWorld(live=[live("gone-1", "lost"), live("other-2", "foreign", 20), live("new-3", "starting", 10)])
    s = Story.of(world).press("1", "enter").sees("gone-1 is gone; x clears it away").press("x").sees("is cleared away")
    s.press("y", "1", "enter").sees("other-2 has no record here").press("D").sees("nothing is known of its workspace")
    s.press("x").sees("it has no record here").press("y").sees("Agents (1)").press("D").sees("still starting")
    return s


def story_changes() -> Story:
    s = Story.of(three()).hold(e.LoadChanges).press("2", "D").sees("comparing the workspace").press("e")
    s.sees("still being compared").release().sees(
        "3 files changed, not exported", "changed src/app.py", "deleted old.txt"
    )
    s.sees("+new<U+001B>[2J<U+202E>").press("p").sees("Apply the changes?", "3 files of two-2").press("esc")
    s.press("e").sees("patch written to").sees("3 files changed, exported").press("p", "y").sees("applied 3 files to")
    many_lines(s, *SCROLLS).press("esc").resize(80, 24)
    for key in ("q", "ctrl c"):
        s.press("1", "D").sees("nothing was changed").press("e").sees("nothing was changed").press(key)
    s.world.fail["apply"] = BackendError("src/app.py does not match", "export and merge by hand")
    return s.press("2", "D", "p", "y").press("esc").sees("were not applied", "does not match", "merge by hand")


def story_cleanup() -> Story:
    world = three()
    world.left = tuple(Leftover("bubblewrap", "folder", f"/run/x/{i}", "old-9", "owner is dead") for i in range(30))
    s = Story.of(world).hold(e.FindLeftovers).press("c").sees("looking for what").press("y").sees("still looking")
    s.release().sees("y removes these 30", "bubblewrap: folder /run/x/0 of old-9 owner is dead")
    many_lines(s, *SCROLLS).resize(80, 24).press("y").sees("everything was removed")
    assert len(s.called("sweep")) == 1
    s.press("c").sees("Nothing is left behind").press("y").sees("there is nothing to remove")
    for key in ("esc", "q", "ctrl c"):
        s.press(key, "c")
    other = Leftover("docker", "container", "theirs-1", "theirs-1", "running", "of user 1000 on build-host")
    world.left = (other,)
    s.press("esc", "c").sees("Nothing is left behind", "Left alone", "container theirs-1 running of user 1000 on")
    s.press("y").sees("there is nothing to remove").press("esc")
    world.left = (other, Leftover("docker", "network", "n2", "gone-1"))
    s.press("c").sees("y removes these 1", "Left alone").press("y")
    assert s.called("sweep")[-1] == ((Leftover("docker", "network", "n2", "gone-1"),),)
    world.left, world.unswept = (Leftover("docker", "network", "n1", ""),), (Fault("docker", "n1 is in use"),)
    s.press("c", "y").sees("Not everything was removed", "docker: n1 is in use")
    world.fail["leftovers"] = BackendError("no answer")
    return s.press("enter", "c").sees("No cleanup plan", "no answer")


def story_faults() -> Story:
    world = three()
    world.faults = (Fault("docker", "no answer", "start it"),)
    s = (
        Story.of(world)
        .sees("Agents (3) ! docker: no answer", "! docker: no answer (start it)")
        .press("j")
        .tick(times=4)
    )
    assert len(s.model.notes) == 1
    # Its last bottle was stopped elsewhere, so it was not asked: nothing says that it answers.
    world.faults = ()
    s.tick(times=2).sees_no("answers again", "Agents (3) !")
    world.faults = (Fault("docker", "no answer", "start it"),)
    s.tick(times=2)
    world.faults, bottle = (), replace(live("four-4"), backend="docker")
    world.live.append(bottle)
    s.tick(times=2).sees("docker: answers again").sees_no("Agents (4) !")
    world.fail["enumerate"] = BackendError("broken")
    s.tick(times=4).sees("Agents (4) ! bottles: broken")
    world.fail = {"activity": BackendError("no log")}
    return s.tick(times=4).sees("Activity of two-2 ! no log")


def story_slow_backend() -> Story:
    s = Story.of(three()).hold(e.Enumerate).tick(times=12).sees("listing for 5s").press("j").sees("> 2 running")
    assert len(s.waiting) == 1
    return s.release().tick(times=2).sees_no("listing for")


def story_refresh() -> Story:
    world = FakeWorld(manifests=catalog())
    s = Story.of(world)
    world.manifests = Catalog(
        agents=(agent("fresh"),), bottles=catalog().bottles, warnings=("bottles/ here is ignored",)
    )
    s.press("r").sees("bottles/ here is ignored").press("n").sees("> fresh").press("esc")
    world.fail = {"catalog": BackendError("no such folder"), "backends": BackendError("no luck")}
    return s.press("r", "n").sees("(manifests)", "no such folder").press("esc")


def story_pane_closed_by_hand() -> Story:
    s = Story.of(three(), options=in_tmux()).press("enter").sees(">*1")
    s.panes.slug = ""
    s.tick(times=2).sees_no(">*1").press("enter").sees(">*1")
    assert len(s.panes.history) == 2
    return s


def story_ends_by_itself() -> Story:
    s = Story.of(three())
    s.world.live[0] = Agent("one-1", "builder", "bubblewrap", "error", NOW - 300, (), "status 3")
    return s.tick(100).tick().sees("error one-1", "! error: status 3")


def story_quit() -> Story:
    s = Story.of(three()).press("q")
    assert s.ended and s.called("stop") == []
    s = Story.of(three()).press("ctrl c")
    assert s.ended
    s = Story.of(held=[e.Launch]).press("n", "enter", "enter", "q").sees("a start is under way").press("y")
    assert s.ended
    return s
