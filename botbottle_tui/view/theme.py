"""The palette: every attribute with what it is without colour, so that no state hangs on colour alone."""

from __future__ import annotations

# name, foreground, background, mono, foreground and background of 256 colours and more
PALETTE: tuple[tuple[str, str, str, str, str, str], ...] = (
    ("", "default", "default", "default", "default", "default"),
    ("bold", "default,bold", "default", "bold", "default,bold", "default"),
    ("dim", "dark gray", "default", "default", "#888", "default"),
    ("key", "light cyan", "default", "bold", "#5cf", "default"),
    ("ok", "dark green", "default", "default", "#5c5", "default"),
    ("bad", "light red", "default", "bold", "#f66", "default"),
    ("warn", "yellow", "default", "bold", "#fc6", "default"),
    ("add", "dark green", "default", "default", "#5c5", "default"),
    ("del", "light red", "default", "bold", "#f66", "default"),
    ("hunk", "dark cyan", "default", "underline", "#5cf", "default"),
    ("cursor", "black", "light gray", "standout", "#000", "#ccc"),
    ("title", "dark gray", "default", "default", "#888", "default"),
    ("title focus", "light cyan,bold", "default", "bold", "#5cf,bold", "default"),
    ("error", "white", "dark red", "standout", "#fff", "#a00"),
    ("toast", "black", "dark cyan", "standout", "#000", "#5cf"),
)

STATE_STYLES = {
    "starting": "warn",
    "running": "ok",
    "done": "bold",
    "error": "bad",
    "lost": "bad",
    "foreign": "dim",
}
