"""Each tool that this machine has makes one intercepted call from a bottle: proxy and CA reach it without a flag."""

from __future__ import annotations

from tests.e2e.driving import Person

SITE = "https://pypi.org/tool"
JAVA = (
    "class Call { public static void main(String[] a) throws Exception {"
    "System.out.write(new java.net.URL(a[0]).openStream().readAllBytes()); } }"
)
NODE = f"fetch('{SITE}/node-fetch').then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))"
S_CLIENT = (
    "openssl s_client -quiet -verify_return_error -proxy 127.0.0.1:9099 -connect pypi.org:443 -servername pypi.org"
)
# Name -> (the program that it needs, the command). Node's own fetch obeys the proxy from version 22 on.
CALLS = {
    "curl": ("curl", f"curl -sSf {SITE}/curl"),
    "wget": ("wget", f"wget -qO- {SITE}/wget"),
    "git": ("git", f"git ls-remote {SITE}/git"),
    "python": ("python3", f"python3 -c \"import urllib.request as u; u.urlopen('{SITE}/python').read()\""),
    "pip": ("pip3", f"pip3 download --no-deps --no-cache-dir -d /tmp/p --index-url {SITE}/pip thing"),
    "npm": ("npm", f"npm view thing --registry {SITE}/npm/"),
    "node": ("node", f'node -p process.versions.node | grep -qE "^(2[2-9]|[3-9])" && node -e "{NODE}"'),
    "openssl": ("openssl", f"printf 'GET /tool/openssl HTTP/1.0\\r\\nHost: pypi.org\\r\\n\\r\\n' | {S_CLIENT}"),
    "java": ("java", f"cat > /tmp/Call.java <<'X'\n{JAVA}\nX\njava /tmp/Call.java {SITE}/java"),
}
NEEDED = ("curl", "git", "python", "openssl")


def test_every_tool_trusts_the_bottles_ca_and_uses_its_proxy(person: Person) -> None:
    person.dash("init")
    script = "\n".join(
        f"command -v {program} >/dev/null && {{ ( {command} ) >/tmp/{name}.log 2>&1 </dev/null; "
        f"echo tool={name}; tail -3 /tmp/{name}.log >&2; }}"
        for name, (program, command) in CALLS.items()
    )
    done = person.dash("start", "shell", "--", "sh", "-c", script, timeout=120)
    ran = {line.removeprefix("tool=") for line in done.stdout.splitlines() if line.startswith("tool=")}
    assert ran >= set(NEEDED), done.stderr
    arrived = {str(r["path"]).split("/")[2].split("?")[0] for r in person.world.seen() if "/tool/" in str(r["path"])}
    arrived = {"node" if name == "node-fetch" else name for name in arrived}
    assert ran - arrived - {"node"} == set(), done.stderr


def test_a_tool_that_is_told_to_trust_nobody_is_refused_by_itself(person: Person) -> None:
    """The proof that it is the provisioned trust that the calls above rest on."""
    person.dash("init")
    done = person.dash("start", "shell", "--", "curl", "-sS", "--cacert", "/dev/null", f"{SITE}/curl")
    assert done.returncode != 0 and "certificate" in done.stderr.lower()
    assert not [r for r in person.world.seen() if "/tool/" in str(r["path"])]
