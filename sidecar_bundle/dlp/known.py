"""The table of token shapes: what the keys of well-known services look like, and the check that a real one passes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from sidecar_bundle.dlp import assigned as a
from sidecar_bundle.dlp import validators as v
from sidecar_bundle.dlp.drawn import mixed


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of token; a check sees what the pattern matched, and with `block` all up to the next dashes."""

    rule: str
    pattern: str  # in the dialect that hyperscan and `re` share; bytes as latin-1
    check: Callable[[str], bool] = v.drawn
    alone: bool = False  # neither a letter nor a digit, `_` or `-` may stand before it, nor a letter or digit after
    block: bool = False
    first: bool = False  # looked for only near where a word begins: all through a long one it would take for ever
    near: int = 0  # `re` is slow on it: only so far before an end that hyperscan saw is it looked for
    unless: re.Pattern[bytes] | None = None  # what stands before it where it is no secret


_B = "[A-Za-z0-9]"
_U = "[A-Za-z0-9_-]"
_X = "[0-9a-f]"
_64 = "[A-Za-z0-9+/]"
_IS = r"[\\\"']{0,4}[\s:=]{1,4}[\\\"']{0,4}"
_FREE = r"(?:^|[\s\"'=:,(]|[\\][nrt])"  # before and after what stands by chance in base64
_ENDED = r"(?:[^A-Za-z0-9+/=_-]|$)"
_PRESIGNED = re.compile(
    rb"(?:X-Amz-Credential|X-Amz-Security-Token|AWSAccessKeyId|GoogleAccessId|Credential)[\"']?(?:=|%3D|:)\s?[\"']?$",
    re.IGNORECASE,
)
_OAUTH = re.compile(
    rb"(?:assertion|subject_token|id_token(?:_hint)?|state|nonce|code|code_challenge|request|jwt)[\"']?(?:=|%3D|:)\s?[\"']?$",
    re.IGNORECASE,
)
_LINE = re.compile(rb"(?:^|\n)$")  # a header of the request itself
_CLOUD = (
    Shape("aws-access-key", "(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}", v.whole, alone=True, unless=_PRESIGNED),
    Shape("aws-secret-key", rf"(?i)secret_?(?:access_?)?key['\"]?(?:\s|=|:|\\|'|\"|%3d){{1,6}}{_64}{{40}}", near=100),
    Shape(
        "aws-session-token", "(?:IQoJb3JpZ2lu|FwoGZXIvYXdz|FQoGZXIvYXdz)[A-Za-z0-9+/%_=-]{80,}", bool, unless=_PRESIGNED
    ),
    Shape("aws-bedrock-key", f"(?:ABSKQmVkcm9ja0FQSUtleS|bedrock-api-key-YmVkcm9jay){_64}{{60,}}", bool),
    Shape("google-api-key", f"AIza{_U}{{35}}", v.whole, alone=True),
    Shape("google-oauth-token", r"ya29\.[A-Za-z0-9_.-]{30,}", v.whole, alone=True),
    Shape("google-client-secret", f"GOCSPX-{_U}{{28}}", v.whole),
    Shape("google-refresh-token", f"1//0{_U}{{40}}", v.whole),
    Shape("azure-storage-key", f"Account_?Key=?{_64}{{86}}==", v.storage),
    Shape(
        "azure-storage-env", rf"(?i)(?:account|storage|cosmos)[a-z_]{{0,12}}key{_IS}{_64}{{86}}==", v.drawn, near=140
    ),
    Shape("azure-shared-key", f"SharedAccess(?:Key|Signature)={_64}{{43}}=", v.tail),
    Shape(
        "azure-signed-url",
        r"\.(?:blob|file|queue|table|dfs|azure)[a-z.]{0,20}\.(?:windows\.net|com)[^\s\"'<>]{1,600}(?:[?&;]|u0026)sig="
        r"[A-Za-z0-9%+/_-]{40,}",
        v.tail,
    ),
    Shape("azure-client-secret", r"[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31}", mixed, alone=True, near=60),
    Shape("azure-key", rf"{_B}{{44,80}}(?:AZDO{_B}{{4}}|JQQJ99{_B}{{4}}A[A-Z]{_B}{{20}})", mixed, alone=True, near=120),
    Shape("azure-function-key", rf"{_U}{{44}}AzFu{_B}{{6}}==", mixed, near=80),
    Shape("azure-registry-key", rf"{_64}{{42}}\+ACR{_B}{{6}}", mixed, alone=True, near=80),
    Shape("teams-webhook", rf"\.webhook\.office\.com/webhookb2/{a.UUID}@{a.UUID}/IncomingWebhook/{_X}{{32}}", v.tail),
    Shape("alibaba-key", f"LTAI{_B}{{16,24}}", mixed, alone=True),
    Shape("digitalocean-token", f"do[opr]_v1_{_X}{{64}}"),
    Shape("heroku-key", f"HRKU-(?:{_X}{{8}}-|{_U}{{20}})", v.whole),
    Shape(
        "cloudflare-token",
        rf"(?i)(?:cloudflare[a-z_ .-]{{0,24}}|(?:^|[^a-z0-9])cf_(?:api_)?(?:token|key)){_IS}(?:{_U}{{40}}|{_X}{{37}})",
        a.last_word,
        near=100,
    ),
    Shape("cloudflare-key", f"(?:v1\\.0-{_X}{{24}}-{_X}{{146}}|cf(?:ut|k|at)_{_B}{{40}})"),
    Shape("fly-token", f"(?:fm[12][ar]?_{_64}{{60}}|fo1_{_U}{{43}})", v.whole),
    Shape("supabase-key", f"(?:sbp_(?:oauth_)?{_X}{{40}}|sb_secret_{_U}{{31}})"),
    Shape("vercel-token", f"vc[pikar]_{_B}{{24,60}}", mixed, alone=True),
    Shape("vercel-token-old", rf"(?i)vercel[a-z_ .-]{{0,20}}{_IS}{_B}{{24}}", v.drawn, alone=True, near=70),
    Shape("netlify-token", f"nf[pcoub]_{_B}{{36}}", v.whole, alone=True),
    Shape("render-key", f"rnd_{_B}{{32}}", mixed, alone=True),
    Shape("neon-key", f"napi_{_B}{{60}}", mixed, alone=True),
    Shape("planetscale-token", f"pscale_(?:tkn|pw|oauth)_{_U}{{32}}"),
    Shape("scalingo-token", f"tk-us-{_U}{{48}}", v.whole, alone=True),
    Shape("yandex-key", f"AQVN{_U}{{35,38}}", mixed, alone=True),
    Shape("tailscale-key", f"tskey-[a-z]{{3,10}}-{_B}{{8,}}-{_B}{{20}}"),
    Shape("vault-token", rf"hv[sbr]\.{_U}{{24,}}", v.whole, alone=True),
    Shape("vault-batch-token", rf"hvb\.AAAAAQ{_U}{{80,}}", bool),
    Shape("vault-token-old", rf"(?i)(?:vault|client)[a-z_-]{{0,16}}{_IS}[sb]\.{_B}{{24}}", v.tail, alone=True, near=60),
    Shape("terraform-token", rf"{_B}{{14}}\.atlasv1\.{_U}{{60}}", v.whole, near=100),
    Shape("doppler-token", rf"dp\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z0-9_-]{{2,35}}\.)?{_B}{{40}}"),
    Shape("pulumi-token", f"pul-{_X}{{40}}", alone=True),
    Shape("databricks-token", f"(?:dapi|dose){_X}{{32}}", v.whole, alone=True),
)
_CODE = (
    Shape("github-token", f"gh[pousr]_{_B}{{36}}", v.checksummed),
    Shape("github-pat", f"github_pat_{_B}{{22}}_{_B}{{59}}"),
    Shape("gitlab-token", f"(?:gl(?:pat|dt|rt|cbt|ptt|soat|ft|imt|agent|oas|ffct)-|GR1348941){_U}{{20}}", v.whole),
    Shape("atlassian-token", f"AT(?:ATT3|CTT3|BB){_U}{{32,}}", mixed, alone=True),
    Shape("npm-token", f"npm_{_B}{{36}}", v.checksummed),
    Shape("pypi-token", f"pypi-AgE{_U}{{50}}", v.drawn),
    Shape("docker-token", f"dckr_(?:pat|oat)_{_U}{{27}}", v.whole),
    Shape("rubygems-key", f"rubygems_{_X}{{48}}"),
    Shape("crates-token", f"cio{_B}{{32}}", mixed, alone=True),
    Shape("nuget-key", "oy2[a-z0-9]{43}", alone=True),
    Shape("artifactory-key", f"AKCp{_B}{{60,}}", mixed, alone=True),
    Shape("artifactory-token", f"cmVmdGtuOjAxOj{_B}{{40,}}", mixed),
    Shape("circleci-token", f"CCI(?:PAT|PRJ)_{_B}{{20,}}_{_X}{{40}}"),
    Shape("buildkite-token", f"bk(?:ua|ct|aj|pi|pt|at)_{_X}{{40}}"),
    Shape("sonar-token", f"sq[pua]_{_X}{{40}}", alone=True),
    Shape("sourcegraph-token", f"sgp_(?:{_X}{{16}}_|local_)?{_X}{{40}}"),
    Shape("clojars-token", f"CLOJARS_{_X}{{60}}"),
    Shape("sentry-token", f"(?:sntr[yu]s_[A-Za-z0-9+/=_]{{60}}|sntryu_{_X}{{64}})"),
    Shape("grafana-token", f"(?:glc_{_64}{{32}}|glsa_{_B}{{32}}_[0-9a-fA-F]{{8}}|eyJrIjoi{_64}{{60}})"),
    Shape("newrelic-key", "NR(?:AK|II|JS|IQ|RA|AA)-[A-Za-z0-9_-]{27}", v.whole),
    Shape("datadog-key", rf"(?i)(?:datadog|dd)[_-]?(?:api|app|application)[_-]?key{_IS}{_X}{{32}}", near=90),
    Shape("dynatrace-token", r"dt0[a-z][0-9]{2}\.[A-Z0-9]{24}\.[A-Z0-9]{64}"),
    Shape("launchdarkly-key", f"(?:sdk|mob|api)-{a.UUID}", a.numbered, alone=True),
    Shape("postman-key", f"PMAK-{_X}{{24}}-{_X}{{34}}"),
    Shape("figma-token", f"fig[dorh]_{_U}{{40}}", mixed),
    Shape("linear-key", f"lin_(?:api|oauth)_{_B}{{32}}"),
    Shape("notion-token", f"(?:secret_{_B}{{43}}|ntn_{_B}{{40,}})", alone=True),
    Shape("airtable-token", rf"pat{_B}{{14}}\.{_X}{{64}}"),
    Shape("contentful-token", f"CFPAT-{_U}{{43}}", v.whole),
    Shape("typeform-token", r"tfp_[A-Za-z0-9_.=-]{59}", mixed, alone=True),
    Shape("asana-token", f"[12]/[0-9]{{15,16}}(?:/[0-9]{{16}})?:{_X}{{32}}", v.tail, alone=True),
    Shape("dropbox-token", rf"sl\.(?:u\.)?{_U}{{120,}}", mixed, alone=True),
    Shape("onepassword-token", f"ops_eyJ{_64}{{100,}}", v.whole),
    Shape("onepassword-key", "A3-[A-Z0-9]{6}-(?:[A-Z0-9]{6}-)?[A-Z0-9]{5,6}(?:-[A-Z0-9]{5}){2}", v.whole, alone=True),
    Shape("mapbox-token", rf"sk\.ey[A-Za-z0-9_-]{{40,}}\.{_U}{{20,}}", mixed, alone=True),
    Shape("maxmind-key", f"{_B}{{6}}_{_B}{{29}}_mmk", mixed, alone=True, near=60),
    Shape("okta-token", rf"(?i)okta[a-z_ -]{{0,24}}{_IS}00{_U}{{40}}", v.tail, near=90),
    Shape("octopus-key", "API-[A-Z0-9]{26}", v.whole, alone=True),
    Shape("openshift-token", f"sha256~{_U}{{43}}", mixed),
    Shape("harness-key", rf"(?:pat|sat)\.{_U}{{22}}\.{_B}{{24}}\.{_B}{{20}}", mixed, alone=True),
    Shape("infracost-key", f"ico-{_B}{{32}}", mixed, alone=True),
    Shape("numbered-key", a.NUMBERED, a.numbered, near=110),
)
_MONEY_AND_MAIL = (
    Shape(
        "slack-token",
        rf"(?:xox[abceoprs]-(?:[0-9]-)?[0-9A-Za-z]{{8,}}-[0-9A-Za-z-]{{12,}}{_B}|xoxe(?:\.xox[bp])?-[0-9]-{_B}{{60,}})",
    ),
    Shape("slack-cookie", "xoxd-[A-Za-z0-9%/+]{40,}", v.whole),
    Shape("slack-app-token", f"xapp-[0-9]-[A-Z0-9]{{6,}}-[0-9]{{6,}}-{_X}{{32}}"),
    Shape(
        "slack-webhook",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/T[A-Z0-9]{7,12}/[A-Z0-9]{7,14}(?:/[0-9]{9,20})?/[A-Za-z0-9]{24}",
        v.whole,
    ),
    Shape("discord-token", rf"(?:[MNO]{_U}{{23,27}}\.{_U}{{6}}\.{_U}{{27,38}})", v.discord),
    Shape("discord-mfa", rf"mfa\.{_U}{{84}}", v.whole, alone=True),
    Shape("discord-webhook", rf"discord(?:app)?\.com/api/webhooks/[0-9]{{17,20}}/{_U}{{60}}", v.whole),
    Shape("telegram-token", f"[0-9]{{8,10}}:AA{_U}{{33}}", v.whole, near=60),
    Shape("stripe-key", f"(?:sk|rk)_(?:live|test)_{_B}{{24}}"),
    Shape("stripe-webhook-secret", f"whsec_{_64}{{32}}", v.whole),
    Shape("square-token", f"(?:sq0(?:atp-{_U}{{22}}|csp-{_U}{{43}}))", mixed, alone=True),
    Shape("square-token-old", f"{_FREE}EAAA{_U}{{60}}{_ENDED}", mixed),
    Shape("facebook-token", f"{_FREE}EAA[A-Z]{_B}{{110,}}{_ENDED}", mixed),
    Shape("shopify-token", "shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    Shape("shippo-token", f"shippo_(?:live|test)_{_X}{{40}}"),
    Shape("flutterwave-key", f"FLWSECK(?:_TEST)?-{_B}{{12,}}", v.whole),
    Shape("razorpay-key", f"rzp_(?:live|test)_{_B}{{14}}", v.whole),
    Shape("paypal-token", rf"access_token\$(?:production|sandbox)\$[a-z0-9]{{16}}\${_X}{{32}}", bool),
    Shape("plaid-token", f"access-(?:sandbox|development|production)-{a.UUID}", a.numbered),
    Shape("duffel-token", f"duffel_(?:live|test)_{_U}{{43}}", v.whole),
    Shape("easypost-key", f"EZ[AT]K{_B}{{54}}", mixed, alone=True),
    Shape("lob-key", f"(?:live|test)_{_X}{{35}}", alone=True),
    Shape("gocardless-token", f"live_{_U}{{40}}", mixed, alone=True),
    Shape("adobe-secret", f"p8e-{_B}{{32}}", mixed, alone=True),
    Shape("sendgrid-key", rf"SG\.{_U}{{22}}\.{_U}{{43}}", v.whole),
    Shape("brevo-key", f"x(?:key|smtp)sib-{_X}{{64}}-{_B}{{16}}", v.whole),
    Shape("resend-key", f"re_{_B}{{8}}_{_B}{{24}}", mixed, alone=True),
    Shape("twilio-key", f"SK{_X}{{32}}", v.whole, alone=True),
    Shape("mailgun-key", f"key-{_X}{{32}}", v.whole, alone=True),
    Shape("mailgun-key-new", f"{_X}{{32}}-{_X}{{8}}-{_X}{{8}}", v.whole, alone=True, near=60),
    Shape("mailchimp-key", f"{_X}{{32}}-us[0-9]{{1,2}}", v.whole, alone=True, near=50),
    Shape("hubspot-token", f"pat-(?:na|eu|ap)[0-9]-{a.UUID}", a.numbered, alone=True),
    Shape("prefect-token", f"pn[ub]_{_B}{{36}}", mixed, alone=True),
    Shape("readme-key", "rdme_[a-z0-9]{70}", v.whole),
    Shape("frameio-token", f"fio-u-{_U}{{64}}", v.whole),
    Shape("adafruit-key", f"aio_{_B}{{28}}", mixed, alone=True),
    Shape("intra42-secret", f"s-s4t2(?:ud|af)-{_X}{{64}}"),
    Shape("pagerduty-token", rf"(?i)pager_?duty[a-z_ -]{{0,20}}{_IS}(?:u\+)?[a-z0-9_+-]{{18,20}}", v.tail, near=70),
    Shape("firebase-key", f"AAAA{_U}{{7}}:APA91b{_U}{{120}}", mixed),
)
_MODELS = (
    Shape("anthropic-key", f"sk-ant-(?:api|admin|sid|oat|ort)[0-9]{{2}}-{_U}{{32}}", v.drawn),
    Shape("openai-key", f"sk-(?:proj|svcacct|admin|None)-{_U}{{40}}"),
    Shape("openai-key-old", f"(?:sk-{_B}{{48}}|sess-{_B}{{40}})", alone=True),
    Shape("openai-like-key", f"sk-(?:or-v1-)?(?:{_X}{{64}}|{_X}{{32}})", alone=True),
    Shape("huggingface-token", f"(?:hf_|api_org_){_B}{{34}}", v.drawn, alone=True),
    Shape("groq-key", f"gsk_{_B}{{48}}"),
    Shape("xai-key", f"xai-{_B}{{64}}"),
    Shape("perplexity-key", f"pplx-{_B}{{40}}"),
    Shape("replicate-token", f"r8_{_B}{{37}}", mixed, alone=True),
    Shape("elevenlabs-key", f"sk_{_X}{{48}}", alone=True),
    Shape("nvidia-key", f"nvapi-{_U}{{60,}}", v.whole),
    Shape("langchain-key", f"ls(?:v2_[a-z]{{2}}|__)_?{_X}{{32}}", v.drawn),
    Shape("pinecone-key", f"pcsk_{_B}{{5,7}}_{_B}{{50,}}", mixed),
    Shape("tavily-key", f"tvly-(?:dev-|prod-)?{_B}{{32}}", mixed),
    Shape("fireworks-key", f"fw_{_B}{{22,24}}", mixed, alone=True),
    Shape("cerebras-key", "csk-[a-z0-9]{48}", alone=True),
)
_KEYS = (
    Shape("age-key", "AGE-SECRET-KEY-(?:PQ-)?1[A-Z0-9]{58}", v.whole),
    Shape("private-key", r"BEGIN [A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)? ?-{4,5}", v.pem, block=True),
    Shape("putty-key", r"Private-Lines: [0-9]{1,3}", v.putty, block=True),
    Shape("jwk", rf"[\\]{{0,3}}\"d[\\]{{0,3}}\"\s?:\s?[\\]{{0,3}}\"{_U}{{42,}}", v.jwk),
    Shape("bitcoin-key", "[xyz]prv[1-9A-HJ-NP-Za-km-z]{100,}", mixed, alone=True),
    Shape(
        "jwt",
        rf"e[wy][A-Za-z0-9]{_U}{{12,}}\.(?:e[wy][A-Za-z0-9]{_U}{{8,}}\.{_U}{{20,}}"
        rf"|{_U}{{0,600}}\.{_U}{{16,}}\.{_U}{{16,}}\.{_U}{{20,}})",
        v.jwt,
        first=True,
        unless=_OAUTH,
    ),
    Shape(
        "url-password",
        r"[a-z][a-z0-9+.-]{2,12}://[^\s:/@\"'<>?#]{0,64}:[^\s@/\"'<>?#]{8,64}@[A-Za-z0-9\[][A-Za-z0-9.-]{0,60}",
        v.userinfo,
        near=220,
    ),
    Shape(
        "netrc",
        r"machine[\sn\\]{1,4}[^\s]{1,80}[\sn\\]{1,4}login[ ]{1,4}[^\s]{1,60}[\sn\\]{1,6}password[ ]{1,4}"
        r"[^\s\"'\\]{12,80}",
        a.last_word,
    ),
    Shape(
        "pgpass",
        r":(?:5432|3306|\*):[A-Za-z0-9_*-]{1,40}:[A-Za-z0-9_*-]{1,40}:[A-Za-z0-9_!@#$%^&*+=-]{12,80}",
        a.last_word,
    ),
    Shape("wireguard-key", rf"PrivateKey\s?=\s?{_64}{{43}}=", v.tail),
    Shape("http-credentials", a.BEARER, a.bearer, near=80, unless=_LINE),
    Shape("http-basic", a.BASIC, a.basic, near=80, unless=_LINE),
    Shape("assigned", a.PATTERN, a.assigned, near=150, unless=a.NO_SECRET),
)
SHAPES = (*_CLOUD, *_CODE, *_MONEY_AND_MAIL, *_MODELS, *_KEYS)
