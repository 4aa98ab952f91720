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
# Programs and interpreters outside the bundle's own environment: paths, "" or unset where there is none.
PIPELOCK_ENV = "BOT_BOTTLE_PIPELOCK"
GITLEAKS_ENV = "BOT_BOTTLE_GITLEAKS"
SUPERVISE_PYTHON_ENV = "BOT_BOTTLE_SUPERVISE_PYTHON"
# The unix socket of the process that dials for the bundle; unset where the bundle has a network of its own.
DIALER_ENV = "BOT_BOTTLE_DIALER"
# The folder of the operator's answers, which the bundle only reads.
ANSWERS_ENV = "BOT_BOTTLE_ANSWERS"

EGRESS = "egress"
PIPELOCK = "pipelock"
GIT_GATE = "git-gate"
SUPERVISE = "supervise"
DAEMONS = (EGRESS, PIPELOCK, GIT_GATE, SUPERVISE)  # in start order

DEFAULT_STATE = "/run/bot-bottle"
DEFAULT_ROUTES = "/etc/egress/routes.yaml"

ACTIVITY_FILE = "activity.jsonl"
ACTIVITY_BYTES = 8 * 1024 * 1024
CA_FOLDER = "ca"
CA_FILE = "mitmproxy-ca.pem"
PIPELOCK_CA_FILE = "pipelock-ca.pem"
PIPELOCK_KEY_FILE = "pipelock-ca-key.pem"
QUEUE_FOLDER = "queue"
ANSWERS_FOLDER = "answers"

# The descriptor of a daemon's private line to init.
CHANNEL_FD = 3
# TEST-NET 1 to 3 (RFC 5737), nobody's and public in pipelock's eyes: where its outlets are.
OUTLET_NETWORKS = ("203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24")
EGRESS_PORT = 9099
PIPELOCK_PORT = 8888
GIT_GATE_PORT = 9418
SUPERVISE_PORT = 9100
INTROSPECTION_HOST = "_egress.local"
