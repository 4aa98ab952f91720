"""What control sequences (CSI) do to a screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.holder.cells import apply_sgr
from backends.holder.modes import CARRIED, DEFAULT_ON

if TYPE_CHECKING:
    from backends.holder.screen import Screen

_KITTY_DEEPEST = 16


def control(screen: Screen, private: str, params: str, between: str, final: str) -> None:
    """Performs `CSI private params between final`, for example `CSI ? 25 h`; unknown ones do nothing."""
    if private or between:
        _private(screen, private, params, between, final)
        return
    if final == "m":
        screen.grid.pen = apply_sgr(screen.grid.pen, params)
        return
    numbers = [min(int(part.split(":")[0] or 0), 9999) for part in params.split(";")]
    first = numbers[0]
    count = max(first, 1)
    second = numbers[1] if len(numbers) > 1 else 0
    grid = screen.grid
    match final:
        case "A":
            grid.step(-count, 0)
        case "B" | "e":
            grid.step(count, 0)
        case "C" | "a":
            grid.step(0, count)
        case "D":
            grid.step(0, -count)
        case "E" | "F":
            grid.step(count if final == "E" else -count, 0)
            grid.x = 0
        case "G" | "`":
            grid.x = min(count, grid.cols) - 1
            grid.wrap = False
        case "d":
            grid.move(count - 1, grid.x)
        case "H" | "f":
            grid.move(count - 1, max(second, 1) - 1)
        case "I" | "Z":
            grid.tab(count if final == "I" else -count)
        case "J":
            grid.erase_display(first) if first < 3 else None
        case "K":
            grid.erase_line(first) if first < 3 else None
        case "L":
            grid.insert_lines(count)
        case "M":
            grid.delete_lines(count)
        case "@":
            grid.insert_chars(count)
        case "P":
            grid.delete_chars(count)
        case "X":
            grid.erase_chars(count)
        case "S":
            grid.scroll_up(count)
        case "T":
            grid.scroll_down(count) if len(numbers) == 1 else None
        case "b":
            grid.put(screen.last * min(count, grid.rows * grid.cols))
        case "g":
            if first == 0:
                grid.tabs.discard(grid.x)
            elif first == 3:
                grid.tabs = set()
        case "h" | "l":
            for number in numbers:
                if number == 4:
                    grid.insert = final == "h"
                elif number == 20:
                    screen.linefeed = final == "h"
        case "r":
            grid.margins(count - 1, (second or grid.rows) - 1)
        case "s":
            grid.save()
        case "u":
            grid.restore()
        case "c":
            screen.reply("\x1b[?62;22c")
        case "n":
            if first == 5:
                screen.reply("\x1b[0n")
            elif first == 6:
                row = grid.y - (grid.top if grid.origin else 0)
                screen.reply(f"\x1b[{row + 1};{grid.x + 1}R")


def _private(screen: Screen, private: str, params: str, between: str, final: str) -> None:
    numbers = [min(int(part.split(":")[0] or 0), 9999) for part in params.split(";")]
    first = numbers[0]
    match (private, between, final):
        case ("?", "", "h" | "l"):
            for number in numbers:
                _mode(screen, number, final == "h")
        case ("", " ", "q"):
            screen.cursor_style = first if first <= 6 else 0
        case ("", "!", "p"):
            screen.grid.reset_state()
            screen.modes -= {1, 66}
            screen.modes |= DEFAULT_ON
            screen.keypad = False
        case (">", "", "m"):
            if first == 4:
                screen.modify_keys = min(numbers[1], 3) if len(numbers) > 1 else 0
        case (">" | "=" | "<", "", "u"):
            _kitty(screen, private, params.split(";"), numbers)


def _kitty(screen: Screen, private: str, given: list[str], numbers: list[int]) -> None:
    stack = screen.kitty[screen.grid.alternate]
    flags = numbers[0] & 31
    if private == ">":
        stack.append(flags)
        del stack[1 : max(1, len(stack) - _KITTY_DEEPEST)]
    elif private == "<":
        del stack[max(0, len(stack) - (numbers[0] if given[0] else 1)) :]
        if not stack:
            stack.append(0)
    else:
        how = numbers[1] if len(numbers) > 1 else 1
        stack[-1] = {2: stack[-1] | flags, 3: stack[-1] & ~flags}.get(how, flags)


def _mode(screen: Screen, number: int, on: bool) -> None:
    grid = screen.grid
    if number in CARRIED:
        (screen.modes.add if on else screen.modes.discard)(number)
    if number == 6:
        grid.origin = on
        grid.move(0, 0)
    elif number == 7:
        grid.autowrap = on
        grid.wrap = grid.wrap and on
    elif number == 1048:
        grid.save() if on else grid.restore()
    elif number in (47, 1047, 1049):
        if on and not grid.alternate:
            screen.alternate_by = number
            if number == 1049:
                grid.save()
            grid.switch(True)
            if number == 1049:
                grid.clear()
        elif not on and grid.alternate:
            if number == 1047:
                grid.clear()
            grid.switch(False)
        if not on and number == 1049:
            grid.restore()
