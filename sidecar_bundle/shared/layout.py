"""Names that host and bundle must agree on: environment variables, files of the bundle's state, ports."""

from __future__ import annotations

STATE_ENV = "BOT_BOTTLE_STATE"
CONTROL_ENV = "BOT_BOTTLE_CONTROL"
LIFELINE_ENV = "BOT_BOTTLE_LIFELINE_FD"
UPSTREAM_CA_ENV = "BOT_BOTTLE_UPSTREAM_CA"
DAEMONS_ENV = "BOT_BOTTLE_SIDECAR_DAEMONS"
SLUG_ENV = "BOT_BOTTLE_SLUG"
ROUTES_ENV = "BOT_BOTTLE_ROUTES"
LISTEN_HOST_ENV = "EGRESS_LISTEN_HOST"
TOKEN_PREFIX = "EGRESS_TOKEN_"

DEFAULT_STATE = "/run/bot-bottle"
DEFAULT_ROUTES = "/etc/egress/routes.yaml"

ACTIVITY_FILE = "activity.jsonl"
ACTIVITY_BYTES = 8 * 1024 * 1024
CA_FOLDER = "ca"
CA_FILE = "mitmproxy-ca.pem"

# The descriptor of a daemon's private line to init.
CHANNEL_FD = 3
EGRESS_PORT = 9099
INTROSPECTION_HOST = "_egress.local"
