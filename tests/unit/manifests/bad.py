"""Bad manifests as data: what stands in the file, and the line, key and words that its error must name."""

from __future__ import annotations

from typing import NamedTuple


class Bad(NamedTuple):
    """`text` is the frontmatter; its first line is line 2 of the file."""

    text: str
    line: int
    key: str
    words: tuple[str, ...]


_ROUTE = "egress:\n  routes:\n    - host: a.example.org\n"
_REMOTE = (
    "git:\n  remotes:\n    git.example.org:\n      Name: {name}\n      Upstream: {upstream}\n"
    "      IdentityFile: {identity}\n"
)


def _remote(name: str = "x", upstream: str = "git@h.example:x.git", identity: str = "~/k", more: str = "") -> str:
    return _REMOTE.format(name=name, upstream=upstream, identity=identity) + more


BOTTLES: dict[str, Bad] = {
    # keys
    "typo": Bad("env: {}\negres:\n  routes: []\n", 3, "egres", ("did you mean egress?", "allowed: extends, env")),
    "typo-deep": Bad(_ROUTE + "      pathallowlist: []\n", 5, "egress.routes[0].pathallowlist", ("path_allowlist?",)),
    "wrong-case": Bad("egress:\n  routes:\n    - Host: a.example\n", 4, "egress.routes[0].Host", ("mean host?",)),
    "lower-remote": Bad(_remote(more="      name: y\n"), 8, "git.remotes.git.example.org.name", ("mean Name?",)),
    "user-subkey": Bad("git:\n  user:\n    mail: a@b\n", 4, "git.user.mail", ("email?", "name, email")),
    "agents-key": Bad("skills: []\n", 2, "skills", ("an agent's key",)),
    "runtime": Bad("runtime: runsc\n", 2, "runtime", ("removed", "isolation: runsc")),
    "ssh": Bad("ssh: []\n", 2, "ssh", ("removed", "git.remotes")),
    "cred-proxy": Bad("env: {}\ncred_proxy:\n  a: b\n", 3, "cred_proxy", ("removed", "egress.routes", "token_ref")),
    "egress-proxy": Bad("egress_proxy: {}\n", 2, "egress_proxy", ("renamed", "egress.routes")),
    "git-user": Bad("git_user:\n  name: x\n", 2, "git_user", ("moved", "git.user")),
    # YAML
    "duplicate": Bad("env:\n  A: x\n  B: y\n  A: z\n", 5, "env.A", ("stands twice", "line 3")),
    "anchor": Bad("env: &e\n  A: x\n", 2, "env", ("anchors (&)", "aliases (*)")),
    "alias": Bad("env:\n  A: *x\n", 3, "env.A", ("aliases (*)", "quotes")),
    "alias-key": Bad("env:\n  *x : y\n", 3, "env", ("aliases (*)",)),
    "tag": Bad("supervise: !!str true\n", 2, "supervise", ("tags (!)",)),
    "python-tag": Bad("env: !!python/object/apply:os.system [id]\n", 2, "env", ("tags (!)",)),
    "merge-key": Bad("env:\n  <<: {A: x}\n", 3, "env", ("merge keys", "extends")),
    "literal-block": Bad("env:\n  A: |\n    x\n    y\n", 3, "env.A", ("block texts (| and >)", "one line")),
    "folded-block": Bad("env:\n  A: >-\n    x\n", 3, "env.A", ("block texts",)),
    "two-lines": Bad("env:\n  A: x\n    y\n", 3, "env.A", ("one line",)),
    "two-lines-quoted": Bad('env:\n  A: "x\n    y"\n', 3, "env.A", ("one line",)),
    "null": Bad("env:\n  A:\n", 3, "env.A", ("no value", '""')),
    "null-word": Bad("extends: null\n", 2, "extends", ("no value",)),
    "null-tilde": Bad("env:\n  A: ~\n", 3, "env.A", ("no value",)),
    "empty-section": Bad("egress:\n  routes:\n    # - host: a\n", 3, "egress.routes", ("no value", "a list []")),
    "set": Bad("env: {A, B}\n", 2, "env.A", ("no value",)),
    "key-list": Bad("? [a]\n: b\n", 2, "", ("a key must be a plain word",)),
    "empty-key": Bad('"": b\n', 2, "", ("key is empty",)),
    "list-root": Bad("- a\n", 2, "", ("`key: value`",)),
    "text-root": Bad("hello\n", 2, "", ("`key: value`",)),
    "directive": Bad("%YAML 1.1\n", 2, "", ("directives (%)",)),
    "two-documents": Bad("env: {}\n--- {}\n", 3, "", ("only one YAML document",)),
    "document-end": Bad("env: {}\n...\n", 3, "", ("only one YAML document",)),
    "tab": Bad("env:\n\tA: x\n", 3, "", ("tab", "blanks")),
    "tab-inside": Bad("supervise:\ttrue\n", 2, "", ("not valid YAML", "quotes")),
    "colon": Bad("env:\n  A: b: c\n", 3, "", ("not valid YAML", '": "', "quotes")),
    "at-sign": Bad("env:\n  A: @home\n", 3, "", ("'@'", "quotes")),
    "bare-question": Bad("env:\n  A: ?\n", 3, "", ("not valid YAML", 'in quotes: "?"')),
    "open-quote": Bad("env:\n  A: 'x\n", 3, "", ("not valid YAML", "not closed")),
    "indentation": Bad("egress:\n    routes: []\n  x: []\n", 4, "", ("not valid YAML", "indentation")),
    "bad-escape": Bad('env:\n  A: "\\UFFFFFFFF"\n', 3, "", ("out of range",)),
    "bell": Bad("env:\n  A: x\x07\n", 3, "", ("U+0007",)),
    "line-separator": Bad("env:\n  A: x\u2028B: y\n", 3, "", ("U+2028",)),
    "deep": Bad("env: " + "[" * 20 + "]" * 20 + "\n", 2, "env" + "[0]" * 11, ("deeper than 12",)),
    "many": Bad("env:\n" + "".join(f"  A{i}: x\n" for i in range(2100)), 2001, "env.A1998", ("more than 2000",)),
    "long": Bad(f"# {'x' * 40000}\n", 1, "", ("larger than 32 KiB",)),
    # types
    "number": Bad("env:\n  PORT: 8080\n", 3, "env.PORT", ("a text", '"8080"')),
    "bool-as-text": Bad("env:\n  DEBUG: true\n", 3, "env.DEBUG", ("a text", '"true"')),
    "capital-bool": Bad("env:\n  DEBUG: True\n", 3, "env.DEBUG", ("a text", '"True"')),
    "norway": Bad("supervise: no\n", 2, "supervise", ("true or false", "'no'", "write false")),
    "on": Bad("pipelock:\n  required: ON\n", 3, "pipelock.required", ("true or false", "write true")),
    "quoted-bool": Bad('supervise: "true"\n', 2, "supervise", ("true or false", "without quotes")),
    "one": Bad("supervise: 1\n", 2, "supervise", ("true or false", "'1'")),
    "env-list": Bad("env:\n  - A=x\n", 2, "env", ("a mapping, not a list",)),
    "env-map": Bad("env:\n  A:\n    B: c\n", 3, "env.A", ("a text, not a mapping",)),
    "routes-map": Bad("egress:\n  routes:\n    a.example: {}\n", 3, "egress.routes", ("a list, not a mapping",)),
    "egress-text": Bad("egress: all\n", 2, "egress", ("a mapping, not 'all'",)),
    "extends-list": Bad("extends: [a, b]\n", 2, "extends", ("a text, not a list",)),
    "user-name": Bad("git:\n  user:\n    name: [x]\n", 4, "git.user.name", ("a text, not a list",)),
    # env
    "env-name": Bad("env:\n  A-B: x\n", 3, "env.A-B", ("not a variable's name", "letters")),
    "env-digit": Bad("env:\n  1A: x\n", 3, "env.1A", ("not a variable's name",)),
    "env-newline": Bad('env:\n  A: "x\\ny"\n', 3, "env.A", ("line break",)),
    "env-nul": Bad('env:\n  A: "x\\0y"\n', 3, "env.A", ("U+0000",)),
    "env-surrogate": Bad('env:\n  A: "\\ud800"\n', 3, "env.A", ("U+D800",)),
    "env-proxy": Bad("env:\n  https_proxy: http://x\n", 3, "env.https_proxy", ("reserved", "egress")),
    "env-path": Bad("env:\n  PATH: /bin\n", 3, "env.PATH", ("reserved", "sandbox")),
    "env-ca": Bad("env:\n  SSL_CERT_FILE: /x\n", 3, "env.SSL_CERT_FILE", ("reserved", "certificates")),
    "env-slot": Bad("env:\n  EGRESS_TOKEN_0: x\n", 3, "env.EGRESS_TOKEN_0", ("reserved", "auth")),
    "env-preload": Bad("env:\n  LD_PRELOAD: /x.so\n", 3, "env.LD_PRELOAD", ("reserved", "loads code")),
    "env-host-name": Bad("env:\n  A: ${B-C}\n", 3, "env.A", ("'${B-C}'", "${NAME}")),
    # provider, isolation
    "template": Bad(
        "agent_provider:\n  template: cluade\n", 3, "agent_provider.template", ("shell, claude, codex", "mean claude?")
    ),
    "isolation": Bad('isolation: "gVisor!"\n', 2, "isolation", ("not a runtime", "auto, runsc")),
    # git
    "user-empty": Bad('git:\n  user:\n    name: ""\n    email: ""\n', 3, "git.user", ("empty", "email")),
    "user-nothing": Bad("git:\n  user: {}\n", 3, "git.user", ("empty",)),
    "upstream-https": Bad(
        _remote(upstream="https://git.example.org/x"),
        6,
        "git.remotes.git.example.org.Upstream",
        ("ssh://user@host", "user@host:path"),
    ),
    "upstream-option": Bad(
        _remote(upstream="ssh://-oProxyCommand=x/y"),
        6,
        "git.remotes.git.example.org.Upstream",
        ("not an SSH upstream",),
    ),
    "upstream-dots": Bad(
        _remote(upstream="git@h.example:../../x"), 6, "git.remotes.git.example.org.Upstream", ("not an SSH upstream",)
    ),
    "upstream-port": Bad(
        _remote(upstream="ssh://git@h.example:99999/x"), 6, "git.remotes.git.example.org.Upstream", ("[:port]",)
    ),
    "remote-name": Bad(_remote(name="../x"), 5, "git.remotes.git.example.org.Name", ("not a plain name",)),
    "identity": Bad(_remote(identity="id_rsa"), 7, "git.remotes.git.example.org.IdentityFile", ("absolute", "~/")),
    "no-upstream": Bad(
        "git:\n  remotes:\n    h.example:\n      Name: x\n", 4, "git.remotes.h.example.Upstream", ("missing", "ssh://")
    ),
    "known-host": Bad(
        _remote(more="      KnownHostKey: SHA256:abc\n"),
        8,
        "git.remotes.git.example.org.KnownHostKey",
        ("ssh-ed25519",),
    ),
    "remote-host": Bad(_remote().replace("    git.example.org", "    a b"), 4, "git.remotes.a b", ("host name",)),
    "extra-host": Bad(
        _remote(more="      ExtraHosts:\n        h.example: nowhere\n"),
        9,
        "git.remotes.git.example.org.ExtraHosts.h.example",
        ("IP address", "'nowhere'"),
    ),
    "same-name": Bad(
        _remote() + "    other.example:\n      Name: X\n      Upstream: a@b.example:c\n      IdentityFile: /k\n",
        8,
        "git.remotes.other.example.Name",
        ("both", "git.example.org", "other.example"),
    ),
    "extra-host-clash": Bad(
        _remote(more="      ExtraHosts: {h.example: 192.0.2.1}\n")
        + "    other.example:\n      Name: y\n      Upstream: a@b.example:c\n      IdentityFile: /k\n"
        + "      ExtraHosts: {h.example: 192.0.2.2}\n",
        9,
        "git.remotes.other.example.ExtraHosts.h.example",
        ("192.0.2.1 at git.example.org", "192.0.2.2 at other.example"),
    ),
    # routes
    "no-host": Bad("egress:\n  routes:\n    - dlp: ask\n", 4, "egress.routes[0].host", ("missing", "host name")),
    "host-url": Bad(
        "egress:\n  routes:\n    - host: https://a.example/\n", 4, "egress.routes[0].host", ("without scheme",)
    ),
    "host-ip": Bad("egress:\n  routes:\n    - host: 127.0.0.1\n", 4, "egress.routes[0].host", ("an IP address",)),
    "host-octal": Bad("egress:\n  routes:\n    - host: 0177.1\n", 4, "egress.routes[0].host", ("IP address",)),
    "host-twice": Bad(_ROUTE + "    - host: A.EXAMPLE.org\n", 5, "egress.routes[1].host", ("twice", "line 4")),
    "path": Bad(
        _ROUTE + "      path_allowlist:\n        - /a\n        - v1\n",
        7,
        "egress.routes[0].path_allowlist[1]",
        ("'v1'", "absolute path"),
    ),
    "path-dots": Bad(
        _ROUTE + '      path_allowlist: ["/a/../b"]\n', 5, "egress.routes[0].path_allowlist[0]", ("'..'",)
    ),
    "auth-partial": Bad(
        _ROUTE + "      auth:\n        scheme: Bearer\n",
        5,
        "egress.routes[0].auth.token_ref",
        ("missing", "host variable"),
    ),
    "auth-empty": Bad(_ROUTE + "      auth: {}\n", 5, "egress.routes[0].auth.scheme", ("missing", "Bearer")),
    "scheme": Bad(
        _ROUTE + '      auth: {scheme: "Bearer x", token_ref: T}\n',
        5,
        "egress.routes[0].auth.scheme",
        ("Bearer or token",),
    ),
    "token-ref": Bad(
        _ROUTE + '      auth: {scheme: Bearer, token_ref: "$T"}\n',
        5,
        "egress.routes[0].auth.token_ref",
        ("name of a host variable",),
    ),
    "role": Bad(
        _ROUTE + "      role: codex_auth\n",
        5,
        "egress.routes[0].role",
        ("roles of provider claude: claude_code_oauth",),
    ),
    "dlp": Bad(_ROUTE + "      dlp: blok\n", 5, "egress.routes[0].dlp", ("block, redact, ask, off", "mean block?")),
    "passthrough": Bad(
        _ROUTE + "      pipelock: {tls_passthrough: yes}\n",
        5,
        "egress.routes[0].pipelock.tls_passthrough",
        ("true or false", "write true"),
    ),
    "ssrf": Bad(
        _ROUTE + "      pipelock:\n        ssrf_ip_allowlist: [10.0.0.1/8]\n",
        6,
        "egress.routes[0].pipelock.ssrf_ip_allowlist[0]",
        ("10.1.2.0/24",),
    ),
    "many-routes": Bad(
        "egress:\n  routes:\n" + "".join(f"    - host: h{i}.example\n" for i in range(101)),
        4,
        "egress.routes",
        ("101", "allowed: 100"),
    ),
    # extends
    "self": Bad("extends: self\n", 2, "extends", ("bottle self extends itself",)),
    "extends-name": Bad("extends: ../x\n", 2, "extends", ("not a bottle's name", "a-z")),
}

AGENTS: dict[str, Bad] = {
    "no-bottle": Bad("skills: []\n", 2, "bottle", ("missing", "name of the bottle")),
    "nothing": Bad("", 1, "bottle", ("missing",)),
    "unknown-bottle": Bad("name: x\nbottle: bas\n", 3, "bottle", ("'bas'", "mean base?", "bottles: base")),
    "bottle-list": Bad("bottle: [base]\n", 2, "bottle", ("a text, not a list",)),
    "empty-bottle": Bad('bottle: ""\n', 2, "bottle", ("must not be empty",)),
    "skill-path": Bad("bottle: base\nskills: [ok, ../x]\n", 3, "skills[1]", ("'../x'", "skill's folder")),
    "skill-twice": Bad("bottle: base\nskills:\n  - a\n  - a\n", 5, "skills[1]", ("twice",)),
    "skills-text": Bad("bottle: base\nskills: a\n", 3, "skills", ("a list, not 'a'",)),
    "agent-git": Bad("bottle: base\ngit:\n  remotes: {}\n", 3, "git", ("no git remotes", "in its bottle")),
    "agent-egress": Bad("bottle: base\negress:\n  routes: []\n", 3, "egress", ("a bottle's key", "allowed: bottle")),
    "agent-typo": Bad("bottle: base\nskill: [a]\n", 3, "skill", ("mean skills?",)),
    "agent-runtime": Bad("bottle: base\nruntime: x\n", 3, "runtime", ("removed", "in the bottle")),
}

# Whole files, bytes as they are.
FILES: dict[str, tuple[bytes, int, tuple[str, ...]]] = {
    "empty": (b"", 1, ("must begin with a line `---`",)),
    "no-front": (b"# Title\n", 1, ("must begin with a line `---`",)),
    "blank-first": (b"\n---\n---\n", 1, ("must begin",)),
    "not-closed": (b"---\nenv: {}\n", 1, ("no closing line `---`",)),
    "latin-1": (b"---\nenv:\n  A: caf\xe9\n---\n", 3, ("not UTF-8",)),
    "utf-16": ("---\n---\n".encode("utf-16"), 1, ("not UTF-8",)),
    "carriage-return": (b"---\renv: {}\r---\r", 1, ("must begin",)),
    "huge": (b"---\n---\n" + b"x" * 300_000, 1, ("larger than 256 KiB",)),
}
