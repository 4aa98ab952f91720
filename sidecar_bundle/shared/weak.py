"""Which values are too short or too common to be looked for in traffic, and why."""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise

MIN_LENGTH = 8
_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s]*", re.IGNORECASE)
_USERINFO = re.compile(r"^[a-z][a-z0-9+.-]*://[^/@\s]*:([^/@\s]+)@", re.IGNORECASE)
_LOCALE = re.compile(r"(?:[a-z]{2,3}(?:[_-][A-Za-z]{2,4})?|C|POSIX)(?:\.[A-Za-z0-9-]+)?(?:@\w+)?(?::[A-Za-z_.-]+)*")
_PATH = re.compile(
    r"(?:~|\.{1,2})?/[^\s]*|[A-Za-z]:\\.*|(?:[a-z][\w.-]*/)+[\w.-]*\.[a-z]{1,5}|(?:~?/[^\s:]*:)+~?/[^\s:]*"
)
_HOST = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?\.)+[a-z]{2,12}(?::\d{1,5})?|[a-z-]+:\d{1,5}", re.IGNORECASE
)
_ADDRESS = re.compile(
    r"\[?[0-9a-f:]*:[0-9a-f:]*\]?(?::\d{1,5})?|\d{1,3}(?:\.\d{1,3}){3}(?:[:/]\d{1,5})?", re.IGNORECASE
)
_EMAIL = re.compile(r"[\w.+-]{1,64}@(?:[\w-]+\.)+[a-z]{2,12}", re.IGNORECASE)
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?")
_VERSION = re.compile(r"v?\d+(?:\.\d+)+(?:[-+.]?[a-z]{1,6}\.?\d*)?", re.IGNORECASE)
_TOKEN = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_STRONG_PART = re.compile(r"(?=[A-Za-z0-9_~+=-]*\d)(?=[A-Za-z0-9_~+=-]*[A-Za-z])[A-Za-z0-9_~+=-]{20,}")


def weak(value: str) -> str:
    """ "" when the value can be protected, else the reason why not, such as "a dictionary word"."""
    text = value.strip()
    if len(text) < MIN_LENGTH:
        return f"under {MIN_LENGTH} characters"
    if len(set(text.lower())) < 4:
        return "of hardly any different characters"
    if _runs_on(text):
        return "a run of the alphabet, the digits or the keyboard"
    if re.fullmatch(r"[\d.,+_ -]+", text) and sum(c.isdigit() for c in text) < 10:
        return "a short number"
    for pattern, reason in (
        (_DATE, "a date"),
        (_VERSION, "a version"),
        (_LOCALE, "a locale"),
        (_ADDRESS, "an address"),
        (_EMAIL, "an e-mail address"),
    ):
        if pattern.fullmatch(text):
            return reason
    if _URL.fullmatch(text):
        secret = _USERINFO.match(text)
        return "" if (secret and not weak(secret[1])) or _random_part(text) else "a URL"
    if _PATH.fullmatch(text):
        return "" if _random_part(text) else "a path"
    if _HOST.fullmatch(text):
        return "" if _random_part(text) else "a host name"
    return _wordy(text)


def wordlike(text: str) -> bool:
    """Whether lower-case letters could be a word: known, or made of pairs of letters that words have."""
    return text in words() or (text.isalpha() and all(pair in _pairs() for pair in pairwise(text)))


@cache
def words() -> frozenset[str]:
    return frozenset(_WORDS.split())


@cache
def _pairs() -> frozenset[tuple[str, str]]:
    seen: dict[tuple[str, str], int] = {}
    for word in words():
        for pair in pairwise(word):
            seen[pair] = seen.get(pair, 0) + 1
    return frozenset(pair for pair, count in seen.items() if count >= 2)


def _wordy(text: str) -> str:
    parts = _TOKEN.findall(text)
    letters = [p.lower() for p in parts if p.isalpha()]
    if text.isalpha() and len(text) <= 16 and len(letters) == 1 and wordlike(letters[0]):
        return "a dictionary word"
    if sum(c.isdigit() for c in text) > 8 and not letters:
        return ""
    if len([w for w in letters if len(w) > 2]) > 3 and sum(map(len, letters)) >= 20:
        return ""  # a passphrase
    stripped = re.sub(r"[A-Za-z0-9\s_.:/,@()-]", "", text)
    plain = all(len(w) < 2 or w in words() for w in letters)
    short = all(len(p) <= 4 or re.fullmatch(r"20\d{6}", p) for p in parts if p.isdigit())
    spelled = sum(len(w) for w in letters if len(w) > 2)
    mixed = text.isalnum() and len(text) >= 12 and sum(p.isdigit() for p in parts) > 1
    if plain and short and not mixed and len(stripped) < 2 and spelled * 3 >= len(text):
        return "a dictionary word" if len(letters) == 1 else "made of common words"
    return ""


def _random_part(text: str) -> bool:
    return any(not _wordy(m[0]) for m in _STRONG_PART.finditer(text))


def _runs_on(text: str) -> bool:
    low = text.lower()
    rows = ("abcdefghijklmnopqrstuvwxyz", "01234567890123456789", "qwertyuiopasdfghjklzxcvbnm")
    return any(low in row or low in row[::-1] for row in rows)


_WORDS = """
able abort about above absolute accept accepted accepts access accessed accessible accessing accesskey according
account accounts across action actions active actual actually add added adding addition additional addons address
addresses adds admin administrator advertising affect affected africa after again against agent agreed agreement
algorithm alias align all allocate allocated allocation allow allowed allowing allows alone along alpha already also
alt alter altered alternate alternative although always amazon amazonaws america among amount amzn an analysis and
angel another ansible any anyone anything anyway ap apache api apigateway apikey app appear appears append apple
applicable application applications applied applies apply applying approach appropriate april arbitrary architecture
archive archives are arg argc args argument arguments argv arising arn around array arrays arrow articles asdfgh
asdfghjkl asia ask asked assert assets assign assigned associate associated associates association assume assumed
async asynchronous attach attached attempt attempts attr attribute attributes august australia auth author authorized
authors auto autoscaling autumn availability available avoid await aware away aws baby back backend backward bad
balancer banana bar base baseball based bash basic basis basketball batch batman beach bearer because become becomes
been before begin beginning behavior behaviour being below berlin best beta better between bgcolor big bin binaries
binary bind binding bindings bit bitbucket bits black blame blank blob block blocks blue body bold bool boolean
border bot both bound branch branches break broken brother browser bucket buffer buffers bug bugs build building
builds built builtin but butterfly button byte bytes ca cache cached call callback callbacks called caller calling
calls can canary cannot canonical care case cases castle cat catch category cause caused causes causing cd cdef
cellpadding cellspacing center central cert certain certificate certificates chain change changed changelog changeme
changes changing channel char character characters charge charlie chars charset check checked checking checkout
checks cheese cherry chicken child chocolate choice choose chunk ci cinema cjs claim class classes claude clause
clean cleanup clear clearly cli client clone close closed cluster cmd code codecommit codes codex coffee cognito
collection color column com combination come comes command commands comment comments commercial commit commits common
compare comparison compat compatible compilation compile compiled compiler compilers compiling complete completed
completely completion compliance component components comprehend compression compute computer condition conditions
config configure configured confirm conflict conflicts confused connect connected connection connections consider
considered consistent console const constant constants construct constructor contact contain contained container
containing contains content contents context continue continues contrib contributed contributors control controlled
controls convenience conversion convert converted cookie copied copies copy copying copyright copyrighted copyrights
core correct corrected correctly cost could count course cover covered cpan cpp create created creates creating
creation credential credentials critical cross crypto crystal css current currently custom customer damages dancing
darling darwin data database date day days db deal dealings debian debianized debug debugger debugging december
decode decoder decoration dedicated def default defaults defer define defined defines definition definitions delete
deleted deletes deleting demo demon depend dependencies dependency dependent depending depends deployment deprecated
depth derivative derived describe described describes description descriptor designed desired destination detail
detailed details detect detected detection determine determined dev developed developer developers development device
devices devil dgram diamond dictionary did didn die diff difference differences different dir direct directly
directories directory disable disabled disables disclaimer discussion disk display displays dist distribute
distributed distribution div dns doc docker docs document documented documents does doesn doing dolphin domain don
done dot double down download downloaded dragon drop dtd due dummy duplicate duration during dynamic each eagle
earlier early earth easier easily east easy echo edit editor edu effect effective effort either elasticsearch element
elements elephant elif else email embedded embedding emit emitted empty enable enabled enables encode encoded
encoding encryption end endorse endpoint ends engine enough ensure entire entirely entities entity entries entry env
environment environments equal equiv equivalent err error errors escape esm especially etc eu europe eval even event
events ever every everything exact exactly example examples except exception exceptions exclude excluding exclusive
exec executable execute executed execution exist existing exists exit expect expected experimental explain explicit
explicitly export exported exports express expression expressions extend extended extension extensions extent
external extra fail failed fails failure failures falcon fall fallback false family far fast faster father feature
features february fee fetch few field fields file filename files filesystem fill filter filters final finally find
finding finished fire first fix fixed fixes flag flags float flow flower folder follow followed following follows
font fonts foo foobar football for force forest fork form format formats formatted formatting forms forward found
four frame free freedesktop freedom freely friday friend from front frontend ftp full fully func function functions
furnished further future galaxy garden gateway gcc gemini general generally generate generated generates generating
generation generator generic get gets getting ghost ginger git github gitlab gitweb give given gives giving glibc
global globals gmail gnome gnu going golden good google got governing gpt grant granted grants graph greater green
greengrass grep group groups guest guide guitar had haiku hand handle handled handler handles handling happen happens
hard hardware has hash have having head header headers heap heaven height held hello help helper here hereby herein
hidden high higher history hockey hold holder home honey honor hook hooks hope horse host hostname how however href
html http https human hunter iam icon id identical identified identifier identify identity idp ids ignore ignored
iloveyou image images img immediately implement implemented implied import important imported imports improved
improvements include included includes including incompatible incomplete incorporated incorrect incorrectly
independent index indicate indicated indicates indicating indirect individual info information inherit init initial
initialize initialized inline input insensitive insert inside inspect inspector install installation installed
installing instance instances instead instruction instructions int integer intended interactive interface interfaces
internal internally internals internet interpreted intl into intro introduced invalid invoked io iot ip isinstance
island isn issue issued issues item items iterator its itself ivs january javascript jenkins jessica job jobs join
jordan json july june just kafka keep kept kernel key keys keyword keywords kind kingdom kms knight know known
kubernetes label lambda lang language languages large larger last later latest latter law lead leading leak learned
least leave left legacy legal lemon len length less let letmein letter level liable lib libraries library libstdc
libxml libxslt license licensed licenses licensing lightning lightsail like likely limit limitation limitations
limited limits line lines link linked linking links linux lion list listed listen listener lists literal little llama
load loaded loading local locale localhost locally located location lock log logging logic login logo logs london
long longer look looking looks lookup loop loose lost lover low lower machine macro macros made magic mail mailing
main maintain maintained maintainers maintenance major make makes making malloc man manage managed management manager
managing manual manually manuals many map mapping march margin mark marked master match matches matching material
materials matter max maximum may mean meaning means meant mechanism media medium member members memory mentioned
merge merges message messages met meta metadata method methods michael microservice middle middleware might min mini
minimal minimum minor minutes misc missing mistake mistral mit mjs mod mode model modern modification modified
modifies modify modifying module modules monday mongodb monitor monitoring monkey moonlight more most mostly mother
mountain move moved movie mozilla msg much multi multiple music must my mysql name named names namespace namespaces
nano native nav navigation necessarily necessary need needed needs negative net network never new newer newly news
next nightly ninja no node nodejs non none nor normal normally north northeast northwest not note noted notes nothing
notice notices notification november now null number numbers numeric obj object objects obtain obtained obtaining
occur occurred occurs ocean october of off offer offset often ok old older omit omitted on once one ones only open
openssl operating operation operations operator opt optimize optimized option optional optionally options opus orange
order org organization origin original originally os oss other others otherwise our out output outside over override
overview own owned owner ownership pack package packages packaging padding page pages pair pairs panda paragraph
parallel param parameter parameters params parent paris parse parsed parser parsing part partial particular parties
parts party pass passed passes passing passwd password patch patches patents path paths pattern patterns pending
people pepper per perform performance performed period perl permission permissions permit permitted person persons
pertaining phoenix php piano pick pieces pipe pipeline pirate place placed placeholder places plain plainly plan
planet platform platforms please plus png point pointer pointers points policies policy pool port portable portion
portions position possible possibly post postgres postgresql potential potentially practice pre preference preferred
prefix prepare prepared present preserved pretty prev prevent preview previous previously primary princess principal
print printed printf prior priority private probably problem problems procedure process processed processes
processing processor prod produce produced produces product production products profile program programming programs
progress project projects promise promises promote prompt proper properly properties property protected protection
protocol prototype provide provided provider provides providing proxy pub public publicity publicly publish published
pull punycode purple purpose purposes push put python qa query querystring queue quiet quite quotes qwerty qwertyuiop
rabbit rabbitmq rainbow raise raised random range rather raw rds read readable reading readline reads ready real
really reason reasonable reasons rebase receive received receiving recent recently recommended record records
recursive red redhat redis redistribute reduce ref refer reference references refers refs regardless regex region
register registered registers registry regression regular reject rejected rel related relative release released
releases relevant rely remain remaining remains remote removal remove removed removes removing rename repl replace
replaced replacement replica repo report reported reporting reports repositories repository represent represented
representing represents reproduce request requested requests require required requirement requirements requires res
reserved reset resolution resolve resolved resource resources respect respectively response responsible rest restore
restriction restrictions result resulting results retain retained retrieve retrieves return returned returning
returns rev reverse revision right rights risk river robot rocket role root routines royalty rule rules run runner
running runs runtime sa safe sale same sample samurai saturday save say scale scaling scheme scope screen script
scripts sdk search second secondary seconds secret secrets section security see seen select selected self sell
semantics send sending sends sense sent separate separated september sequence series server service services session
set sets setting settings setup several shadow shall share shared sharing shell short should show showing shown shows
side sign signal signature signed significant silver similar simple simply since singing single sister site size
sizeof skip slow small snapshot snapshots snow sns soccer socket software soldier some something sometimes sonnet
sort sorted source sourceforge sources south southeast space spaces span spec special specific specifically specified
specifies specify specifying speed spirit split spring sqlite src ssh ssm stability stable stack stage staging
standard standards starlight start started starting starts stat state stated statement statements static status std
stderr stdin stdio stdlib stdout step steps still stop stopped stops storage store stored stores storm str strategy
stream streams strict string strings strip strong struct structure structures stuff style stylesheet sub subdirectory
subject sublicense submit submodule submodules subnet subsequent subset substantial succeeds success successful
successfully such suffix suitable suite summary summer sunday sunshine superman supplied support supported supporting
supports sure svg svn sweetheart switch symbol symbolic symbols sync synopsis syntax sys system systems table tables
tag tagging tags take taken takes taking tar target targets task tasks tbody team tell template templates temporary
tennis term terminal terminate terminated termination terms terraform test tested testing tests text than that the
theatre their them theme themselves then there therefore thereof these they thing things think third this those
though thread threads three through throw thrown throws thunder thursday thus tiger time timeout timers times
timestamp title tls tmp tmux toc together token tokens tokyo told too tool tools top topic total trace tracing track
tracker tracking trademark trailing transfer transform translate translation treat treated tree tried tries trigger
triggered trivial true truecolor truncated try trying tty tuesday tuple turbo turn turtle two txt type types
typically ubuntu ui undefined under underlying understand unicode unique universe unknown unless unlimited
unnecessary unsigned until unused update updated updates updating upgrade upload upon ups upstream url us usage use
used useful user userguide username users uses using usr usual usually utf util utilities utility utils valid
validation valign value values van var variable variables variant various verbatim verbose verify version versions
very via view viewport virtual visible vlink vm void vpc wait want wants warn warning warnings warranties warranty
warrior was water way ways web website wednesday weight welcome well were west what whatever when whenever where
whether which while white whitespace who whole whom whose why wide width wiki will wind window windows winter wish
with within without wizard won word words work worker working works world worldwide would wrap wrapper writable write
writes writing written wrong wrote www xml xmlns xslt xterm year yellow yes yet york you your zero zip zlib
"""
