"""The dashboard's world, composed once when this module is first imported."""

from botbottle_tui.host.launching import Host
from botbottle_tui.host.paths import host_paths

WORLD = Host(host_paths(), via="dashboard")
