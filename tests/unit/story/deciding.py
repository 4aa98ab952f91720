"""Stories of proposals and of rules that change while a bottle runs. Each function is one story."""

from __future__ import annotations

from dataclasses import replace

from backends.api import BackendError, Fault, Health, Waiting
from botbottle_tui.core import effect as e
from botbottle_tui.core.msg import Progressed
from sidecar_bundle.shared.proposal import (
    HeldRequest,
    PipelockRequest,
    Question,
    RouteRequest,
)
from tests.fake_world import NOW, FakeWorld
from tests.story import Story
from tests.unit.story.worlds import SCROLLS, asking, many_lines, three, unwell


def story_approve() -> Story:
    s = Story.of(asking()).sees("Proposals (5)", "[2 waiting]", "one-1 route files.example.org /a")
    s.press("w").sees("═ Proposals (5)", "> ").press("enter").sees("Proposal of one-1", "why because <U+202E>of x")
    s.sees("+route files.example.org", "+ path /a", "+ no credential of yours").press("a")
    s.sees("one-1: egress-block approved", "Proposals (4)", "[1 waiting]").sees_no("Proposal of")
    assert [(d.action, d.seen, d.text) for d in s.world.desk.decided] == [("approve", "s", "")]
    return s


def story_a_new_one_appears_by_itself() -> Story:
    s = Story.of(three()).sees("Proposals (0)").press("w").sees("nothing waits for an answer")
    s.world.desk.ask("two-2", "egress-block", RouteRequest("new.example.org", (), "x"), NOW)
    s.tick().sees("Proposals (1)", "+ 0s two-2 route new.example.org (every path)")
    s.sees("two-2 asks: route new.example.org (every path); w leads there")
    return s.tick(6).sees_no("+ 6s two-2").sees("6s two-2")


def story_what_came_while_an_agent_had_the_terminal_is_told() -> Story:
    s = Story.of(three(), held=[e.Foreground]).press("enter")
    s.world.desk.ask("two-2", "egress-block", RouteRequest("a.example.org", (), "x"), NOW)
    s.world.desk.ask("two-2", "egress-block", RouteRequest("b.example.org", (), "x"), NOW)
    return s.tick().release().sees("two-2 asks: route a.example.org (every path), and 1 more; w leads there")


def story_what_waited_before_is_not_new() -> Story:
    return Story.of(asking()).sees_no("+ 5m one-1")


def story_jump() -> Story:
    s = Story.of(asking()).press("w").sees("> ").press("w")
    seen = [s.model.proposal]
    for _ in range(4):
        seen.append(s.press("w").model.proposal)
    assert len(set(seen)) == 5 and s.press("w").model.proposal == seen[0]
    s.press("j", "k", "g", "G", "down", "up", "home", "end", "page up", "page down")
    return s.press("tab").sees("═ Activity").press("w").sees("═ Proposals").press("esc").sees("═ Agents")


def story_jump_skips_none() -> Story:
    s = Story.of(asking()).press("tab", "w").sees("under the cursor", "> 5m one-1")
    first, second, third, *_ = [w.key for w in s.world.desk.pending]
    s.press("w", "x", "enter").sees("ask-operator")
    assert s.model.proposal == third, "the row that took its place"
    assert s.press("w").model.proposal == third, "it waits too"
    assert s.press("w").model.proposal not in (first, third)
    s = Story.of(asking()).press("2", "w")
    assert s.model.proposal == second, "the selected bottle's"
    s.press("w", "esc", "w")
    assert s.model.proposal == second
    return s


def story_reject_with_a_reason() -> Story:
    s = Story.of(asking()).press("w", "x").sees("Reject?", "one-1: route files.example.org /a").types("nox")
    s.press("backspace").types(", q").sees("> no, q▏").press("enter").sees("egress-block rejected")
    assert s.world.desk.decided[0].reason == "no, q" and s.world.desk.decided[0].action == "reject"
    s.press("enter", "x").sees("Reject?").types("zz").press("ctrl u", "esc").press("ctrl c").press("x", "ctrl c")
    s.press("x", "enter").sees("rejected")
    assert s.world.desk.decided[1].reason == ""
    return s


def story_several_at_once() -> Story:
    s = Story.of(asking()).press("w", "g", " ", " ", " ", " ").sees("4 marked").press("g", " ").sees("3 marked")
    s.press("g", " ").sees("4 marked").press("a").sees("Approve?")
    s.sees("y approves 2 of 4; the others cannot be, and wait on")
    s.resize(80, 40).sees("one-1: route files.example.org", "cannot be done: bubblewrap builds no image")
    s.sees("a question wants an answer").press("y").resize(80, 24)
    s.sees("2 were answered", "Proposals (3)").sees_no("marked")
    assert [d.action for d in s.world.desk.decided] == ["approve", "approve"]
    s.press("g", " ", " ", "x").sees("Reject?").types("no").press("enter").sees("2 were answered", "Proposals (1)")
    assert [d.reason for d in s.world.desk.decided[2:]] == ["no", "no"]
    return s


def story_batch_of_what_cannot_be() -> Story:
    s = Story.of(asking()).hold(e.LoadPreviews).press("w", "j", "j", "a").sees("working out").press("y")
    s.sees("still working out").release().press("y").sees("cannot be approved: bubblewrap builds no image")
    many_lines(s, *SCROLLS).resize(80, 24)
    for key in ("esc", "q", "ctrl c"):
        s.press(key).sees_no("Approve?").press("a").sees("Approve?")
    return s


def story_modify() -> Story:
    s = Story.of(asking())
    s.editor = lambda text: text.replace("/a", "/only/this")
    s.press("w", "enter", "m").sees("edited by you", "+ path /only/this").press("a").sees("egress-block modified")
    assert "/only/this" in s.world.desk.decided[0].text and s.edits[0].startswith("# ")
    s = Story.of(asking()).press("w", "enter", "m").sees("nothing was changed")
    s.editor = lambda text: "{"
    s.press("m").sees("not JSON", "m edits it again").press("a").sees("cannot be approved: not JSON")
    s.editor = lambda text: '{"host": "1.2.3.4"}'
    s.press("m").sees("is an IP address")
    s.world.fail["preview"] = BackendError("it waits no more")
    s.editor = lambda text: "{}"
    return s.press("m").press("esc").sees("Nothing was edited", "it waits no more")


def story_for_good() -> Story:
    s = Story.of(asking()).press("w", "enter").hold(e.LoadPreviews).press("A").sees("working out").press("y")
    s.sees("still working out").release().sees("For good: /home/op/.bot-bottle/bottles/web.md", "+ - host: x.example")
    many_lines(s, *SCROLLS).resize(80, 24)
    for key in ("esc", "q", "ctrl c"):
        s.press(key).sees("Proposal of one-1").press("A").sees("For good")
    s.press("y").sees("egress-block approved")
    assert s.world.desk.decided[0].manifest == "k" and s.world.desk.decided[0].seen == "s"
    s.world.desk.unkept = "web.md: line 4: write this list by hand"
    s.press("G", "enter", "A").sees("write this list by hand").press("y").sees("Esc, then a approves it for this run")
    return s.press("esc", "a").sees("approved")


def story_review_keys() -> Story:
    s = Story.of(asking()).press("w").hold(e.LoadPreviews).press("enter").sees("working out").press("a", "m")
    s.sees("still working out").release()
    many_lines(s, *SCROLLS).resize(80, 24)
    for key in ("esc", "q", "ctrl c"):
        s.press(key).sees_no("Proposal of").press("enter").sees("Proposal of one-1")
    s.press("x").sees("Reject?").press("esc").sees("Proposal of one-1").press("x").types("n").press("enter")
    s.sees("rejected").press("j", "j", "enter").sees("Proposal of three-3", "carries own-secret SHOP_TOKEN in the body")
    s.press("m").sees("nothing to change").press("A").sees("no manifest can keep that").press("a").sees(
        "dlp-ask approved"
    )
    return s


def story_question() -> Story:
    s = Story.of(asking()).press("w", "j", "enter").sees("Question of two-2", "Which database?", "> postgres", "sqlite")
    s.press("j").sees("> sqlite").press("k", "down", "up", "down", "down").sees("> sqlite").press("enter")
    assert s.world.desk.decided[0].answer == "sqlite"
    s.world.desk.ask("two-2", "ask-operator", Question("What name?\nA short one."), NOW - 400)
    s.tick().press("g", "enter").sees("What name?", "A short one.").press("a").sees("Your answer").press("enter")
    s.sees("type the answer").types("shop").press("enter").sees("ask-operator approved")
    assert s.world.desk.decided[1].answer == "shop"
    s.world.desk.ask("two-2", "ask-operator", Question("Long?\n" * 40), NOW - 400)
    s.tick().press("g", "enter").resize(60, 12).press("page down", "G", "end", "page up", "g", "home").resize(80, 24)
    for key in ("esc", "q", "ctrl c"):
        s.press(key).sees_no("Question of").press("enter").sees("Question of")
    return s.press("x").types("later").press("enter").sees("ask-operator rejected")


def story_what_is_decided_is_what_is_shown() -> Story:
    s = Story.of(asking()).press("w", "j").hold(e.LoadPreviews).press("enter").sees("Which database?").press("j")
    s.world.desk.swap(1, Question("May I push --force?", ("yes",)))
    s.release().sees("May I push --force?", "> yes", "it changed meanwhile: look again").sees_no("Which database?")
    s.press("enter")
    assert s.world.desk.decided[0].answer == "yes"
    s.press("G", "g", "j", "j").hold(e.LoadPreviews).press("enter").sees("carries own-secret SHOP_TOKEN")
    s.world.desk.swap(2, HeldRequest("POST", "evil.example", "/all", ("own-secret OTHER",)))
    s.release().sees("carries own-secret OTHER").sees_no("SHOP_TOKEN").press("esc")
    s.world.desk.swap(0, RouteRequest("files.example.org", ("/a",), "a new reason"))
    s.press("g", "enter").sees("why a new reason", "it changed meanwhile").press("esc").press(" ", " ", "g", "a")
    s.sees("Approve?", "it changed meanwhile").press("esc").press("enter")
    s.world.desk.swap(0, RouteRequest("files.example.org", ("/a",), "the last reason"))
    s.editor = lambda text: text.replace("/a", "/b")
    return s.press("m").sees("+ path /b", "why the last reason")


def story_a_failed_apply_waits_on() -> Story:
    s = Story.of(asking())
    s.world.fail["decide"] = BackendError("the bundle did not answer", "look at its health")
    s.press("w", "enter", "a").sees("Not decided, still waiting", "the bundle did not answer", "look at its health")
    s.press("enter").sees("Proposals (5)")
    one = s.world.desk.pending[0]
    s.world.desk.pending[0] = Waiting(one.slug, one.proposal, "the bundle did not answer")
    s.world.desk.version += 1
    return s.tick().sees("! failed files.example.org").press("enter").sees("failed the bundle did not answer")


def story_it_was_answered_elsewhere() -> Story:
    s = Story.of(asking()).press("w", "enter")
    del s.world.desk.pending[0]
    s.press("esc", "enter").sees("It cannot be looked at", "waits no more").press("esc")
    s.press(" ", " ", "g", " ", "a").sees("Approve?")
    return s.press("esc")


def story_inbox_faults() -> Story:
    s = Story.of(three())
    s.world.desk.faults, s.world.desk.version = (Fault("proposals of one-1", "x.proposal.json: file: is not JSON"),), 5
    s.tick().sees("! proposals of one-1: x.proposal.json")
    s.world.fail["watch"] = BackendError("no such folder")
    s.world.desk.version = 6
    s.tick(times=4).sees("! proposals: no such folder")
    assert sum("no such folder" in n.text for n in s.model.notes) == 1
    s.world.fail = {}
    s.world.desk.faults = ()
    return s.tick(times=2).sees("Proposals (0)").sees_no("Proposals (0) !")


def story_edit_routes() -> Story:
    s = Story.of(three())
    s.editor = lambda text: text.replace('"pypi.org"', '"pypi.example"')
    s.press("e").sees("Routes of one-1", "-route pypi.org", "+route pypi.example")
    many_lines(s, *SCROLLS).resize(80, 24)
    for key in ("esc", "q", "ctrl c"):
        s.press(key).sees_no("Routes of").press("e").sees("Routes of")
    s.press("y").sees("one-1: routes changed")
    assert any(r.host == "pypi.example" for r in s.world.desk.config("one-1").routes)
    s.editor = str
    s.press("e").sees("nothing was changed")
    s.editor = lambda text: text.replace("EGRESS_TOKEN_0", "EGRESS_TOKEN_7")
    s.press("e").sees("EGRESS_TOKEN_7 is no credential of this bottle").press("y").sees("m edits it again")
    s.editor = lambda text: text.replace("EGRESS_TOKEN_7", "EGRESS_TOKEN_0").replace("/v1", "/v2")
    s.press("m").sees("+ path /v2")
    s.world.fail["change_rules"] = BackendError("the rules of one-1 were changed meanwhile: look again")
    s.press("y").sees("The rules of one-1 were not changed", "look again").press("enter")
    s.world.fail["rules"] = BackendError("the live rules of one-1 are not known")
    return s.press("e").sees("Nothing was edited", "are not known").press("enter")


def story_edit_policy() -> Story:
    s = Story.of(three()).press("p").sees("pipelock does not run in one-1")
    s.world.live[0] = replace(s.world.live[0], services=("egress", "pipelock"))
    s.editor = lambda text: text.replace("false", "true").replace("[]", '["pypi.org"]')
    s.tick(times=2).press("p").sees(
        "Pipelock policy of one-1", "+ content not seen by pipelock", "+pipelock seed phrases refused"
    )
    s.press("y").sees("one-1: pipelock changed").press("q")
    assert s.ended
    s = Story.of(three(), held=[e.EditRules]).press("e").press("e").sees("that is under way")
    world = FakeWorld(live=[replace(three().live[0], state="lost")])
    return Story.of(world).press("e").sees("has no rules here")


def story_health() -> Story:
    world = three()
    world.lines = {}
    ready = (Health("egress", "ready"), Health("git-gate", "ready"))
    world.live[0] = replace(world.live[0], services=("egress", "git-gate"), health=ready)
    s = Story.of(world, size=(110, 30)).sees("egress git-gate").sees_no("git-gate…")
    dead = (ready[0], Health("git-gate", "backoff", "killed by signal 9", 1))
    world.live[0] = replace(world.live[0], health=dead)
    s.tick(times=2).sees("egress git-gate… ! git-gate ended, comes back: killed by signal 9")
    s.sees("! git-gate of one-1 ended (killed by signal 9): restarting")
    world.live[0] = replace(world.live[0], health=(ready[0], Health("git-gate", "backoff", "killed by signal 9", 3)))
    s.tick(times=8)
    assert sum("ended (killed" in n.text for n in s.model.notes) == 1, "one that ends again and again says so once"
    world.live[0] = replace(world.live[0], health=(ready[0], Health("git-gate", "ready", "", 3)))
    s.tick(times=2).sees("git-gate of one-1 serves again")
    world.live[0] = replace(world.live[0], health=(ready[0], Health("git-gate", "ready", "9", 4)))
    s.tick(times=2).sees("git-gate of one-1 ended (9) and is back")
    world.live[0] = replace(world.live[0], health=(Health("egress", "dead", "its binary is gone"), ready[1]))
    return s.tick(times=2).sees("egress✗ git-gate", "egress dead: its binary is gone")


def story_what_is_stopped_is_no_news() -> Story:
    world = three()
    world.lines = {}
    well = world.live[0]
    world.live[0] = replace(well, health=(Health("egress", "ready"),))
    s = Story.of(world)
    world.live[0] = replace(well, health=(Health("egress", "stopping"),))
    s.tick(times=2).sees("egress stopping").sees_no("egress of one-1")
    held = Story.of(world, held=[e.Stop]).press("x", "y")
    world.live[0] = replace(well, state="error", detail="its sidecar bundle is gone")
    return held.tick(times=2).sees_no("error: its sidecar bundle")


def story_a_bundle_that_does_not_answer() -> Story:
    world = unwell()
    world.lines = {}
    well = world.live[2]
    s = Story.of(world).press("3")
    world.live[2] = replace(well, health=(Health("bundle", "dead", "no answer"),))
    s.tick(times=6).sees("Activity of three-3 ! bundle dead: no answer", "! bundle of three-3: no answer")
    assert sum("no answer" in n.text for n in s.model.notes) == 1
    world.live[2] = well
    return s.tick(times=2).sees("bundle of three-3 answers again")


def story_credentials_are_given_again() -> Story:
    world = three()
    world.lines = {}
    s = Story.of(world)
    assert not s.called("supply")
    world.live[0] = replace(world.live[0], health=(Health("egress", "needs-credentials", "EGRESS_TOKEN_0"),))
    s.tick(times=6).sees("egress needs credentials: EGRESS_TOKEN_0", "its credentials were given again")
    assert s.called("supply") == [("one-1",)]
    world.live[0] = replace(world.live[0], health=(Health("egress", "ready"),))
    s.tick(times=2)
    world.fail["supply"] = BackendError("the host variable SHOP_TOKEN is not set", "export SHOP_TOKEN=...")
    world.live[0] = replace(world.live[0], health=(Health("egress", "needs-credentials"),))
    s.tick(times=6).sees("one-1 needs credentials: the host variable SHOP_TOKEN is not set", "export SHOP_TOKEN")
    assert len(s.called("supply")) == 2
    return s


def story_pipelock_and_images() -> Story:
    s = Story.of(asking())
    s.world.desk.ask("two-2", "pipelock-block", PipelockRequest("pypi.org", "https://pypi.org/x", "y"), NOW - 900)
    s.tick().press("w", "g", "enter").sees("pass over pypi.org", "refused https://pypi.org/x", "+ content not seen")
    s.press("a").sees("pipelock-block approved")
    s.world.desk.ask("two-2", "pipelock-block", PipelockRequest("no.where", "https://no.where/", "y"), NOW - 900)
    s.tick().press("g", "enter").sees("there is no route to no.where").press("a").sees("cannot be approved")
    return s.press("q")


def story_a_build_is_told_while_it_is_decided() -> Story:
    s = Story.of(asking()).press("w", "enter").hold(e.Decide).press("a").tick(times=4)
    s.happens(Progressed("", "building claude 3/7: Setting up\x1b[31m gcc")).sees(
        "deciding (2s) building claude 3/7: Set"
    )
    return s.release().sees("egress-block approved").sees_no("building claude")
