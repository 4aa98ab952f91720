"""gitleaks' configuration here: its own rules, and ours for what they miss."""

from __future__ import annotations

# Rules of gitleaks that guess. In files whose hashes they take for secrets, a guess counts for nothing.
GUESSES = frozenset({"generic-api-key"})
LOCK_FILES = frozenset({
    "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock", "deno.lock", "go.sum",
    "go.mod", "go.work.sum", "cargo.lock", "poetry.lock", "pipfile.lock", "pdm.lock", "uv.lock", "composer.lock",
    "gemfile.lock", "flake.lock", "gradle.lockfile", "verification-metadata.xml", "packages.lock.json", "mix.lock",
    "pubspec.lock", "podfile.lock", "modules.txt",
})  # fmt: skip

CONFIGURATION = r"""
title = "bot-bottle"

[extend]
useDefault = true

[[rules]]
id = "anthropic-key"
description = "a key or token of Anthropic"
regex = '''\bsk-ant-[a-z]{2,10}[0-9]{2}-[A-Za-z0-9_-]{20,}'''
keywords = ["sk-ant-"]

[[rules]]
id = "openai-project-key"
description = "a project or service key of OpenAI"
regex = '''\bsk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20,}'''
keywords = ["sk-proj-", "sk-svcacct-", "sk-admin-"]

[[rules]]
id = "google-oauth-secret"
description = "a client secret or access token of Google"
regex = '''\b(?:GOCSPX-[A-Za-z0-9_-]{20,}|ya29\.[A-Za-z0-9_-]{30,})'''
keywords = ["gocspx-", "ya29."]

[[rules]]
id = "groq-or-xai-key"
description = "a key of Groq or xAI"
regex = '''\b(?:gsk_[A-Za-z0-9]{40,}|xai-[A-Za-z0-9]{60,})'''
keywords = ["gsk_", "xai-"]

[[rules]]
id = "docker-hub-token"
description = "an access token of Docker Hub"
regex = '''\bdckr_(?:pat|oat)_[A-Za-z0-9_-]{20,}'''
keywords = ["dckr_"]

[[rules]]
id = "azure-account-key"
description = "the key of an Azure storage account"
regex = '''\bAccountKey=[A-Za-z0-9+/]{86}=='''
keywords = ["accountkey="]

[[rules]]
id = "private-key-begin"
description = "the beginning of a private key"
regex = '''-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----[^A-Za-z0-9]{0,20}(?:[A-Za-z-]+: .*\s+)*[\w+/]{40}'''
keywords = ["private key"]

[[rules]]
id = "putty-private-key"
description = "a private key of PuTTY"
regex = '''PuTTY-User-Key-File-[23]: '''
keywords = ["putty-user-key-file"]
"""
