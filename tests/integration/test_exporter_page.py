#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 300
# aside
"""The exporter's page for people in a real browser: Chromium without a window, driven
by ChromeDriver. Pictures of the page are left in $BUILD/logs/."""
import base64
import gzip
import hashlib
import http.server as http_server
import itertools
import json
import os
import re
import shutil
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

from common import *

EXPORTER = os.path.join(BUILD, "plugins/exporter/proctally-exporter")
PAGE = os.path.join(SRC, "plugins/exporter/page.html")
ENTER, ESCAPE, DOWN, TAB = "\ue007", "\ue00c", "\ue015", "\ue004"
DASH = "\u2013"


# ---- The browser -----------------------------------------------------------------------

class Browser:
    """A client of the WebDriver protocol, as small as will do."""

    def __init__(self):
        port = free_port()
        self.url = "http://127.0.0.1:%d" % port
        log = tempfile.TemporaryFile()
        start([need_program("chromedriver"), "--port=%d" % port], stdout=log, stderr=log)
        wait_for(lambda: self.call("GET", "/status")["ready"], "chromedriver")
        home = tempfile.mkdtemp(prefix="pt-")
        later(shutil.rmtree, home, True)
        args = ["--headless=new", "--user-data-dir=" + home, "--no-first-run", "--no-proxy-server",
                "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
        if is_root():
            args.append("--no-sandbox")  # Chromium refuses to start as root with it
        self.url += "/session/" + self.call("POST", "/session", capabilities={"alwaysMatch": {
            "goog:chromeOptions": {"binary": need_program("chromium"), "args": args},
            "goog:loggingPrefs": {"browser": "ALL"}}})["sessionId"]
        later(self.call, "DELETE", "")

    def call(self, method, path, **body):
        request = urllib.request.Request(self.url + path, method=method,
                                         data=json.dumps(body).encode() if method == "POST" else None)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as e:
            raise Failed("%s %s: %s" % (method, path, json.load(e)["value"]["message"][:2000]))

    def run(self, script, *args):
        return self.call("POST", "/execute/sync", script=script, args=list(args))

    def cdp(self, command, **params):
        return self.call("POST", "/goog/cdp/execute", cmd=command, params=params)

    def click(self, css):
        found = self.call("POST", "/element", using="css selector", value=css)
        # Rows get their size when they come into view (content-visibility). If the driver scrolled,
        # what it points at could move away between its look and its click.
        self.call("POST", "/execute/async", args=[found], script="""
            const [target, done] = arguments;
            const settle = (top, calm) => requestAnimationFrame(() => {
                target.scrollIntoView({block: 'nearest'});
                const now = target.getBoundingClientRect().top;
                calm = now === top ? calm + 1 : 0;
                calm < 3 ? settle(now, calm) : done();
            });
            settle(NaN, 0);""")
        self.call("POST", "/element/%s/click" % next(iter(found.values())))

    def press(self, text):
        """Keys, to whatever has the focus."""
        steps = [{"type": kind, "value": c} for c in text for kind in ("keyDown", "keyUp")]
        self.call("POST", "/actions", actions=[{"type": "key", "id": "keys", "actions": steps}])

    def screenshot(self, path):
        with open(path, "wb") as f:
            f.write(base64.b64decode(self.call("GET", "/screenshot")))

    def errors(self):
        """What the console got since it was asked last, without what needs no look."""
        return [e for e in self.call("POST", "/se/log", type="browser")
                if e["level"] in ("WARNING", "SEVERE")]


# ---- The exporter and its page ---------------------------------------------------------

class Server:
    def __init__(self, port=None):
        self.port = port or free_port()
        self.url = "http://127.0.0.1:%d/" % self.port
        self.process = start([EXPORTER, "--web.listen-address", "127.0.0.1:%d" % self.port,
                              "--source", "procfs"])
        wait_for(self.snapshot, "the exporter's answer")

    def snapshot(self):
        status, text = http(self.url + "groups.json")
        check_equal(status, 200, "status of groups.json (%s)" % text[:300])
        return json.loads(text)

    def has(self, name):
        return any(g["name"] == name for g in self.snapshot()["groups"])


def start_server(port=None):
    return Server(port)


def texts(css):
    return browser.run("return [...document.querySelectorAll(arguments[0])]"
                       ".map(e => e.textContent)", css)


def text(css):
    found = texts(css)
    check(found, "the page has no " + css)
    return found[0]


def names():
    return texts("tbody .open")


def cell(name, column):
    """(text, title) of a group's cell."""
    return browser.run("const row = groups.get(arguments[0]).row.tr.querySelector(arguments[1]);"
                       "return [row.textContent, row.title]", name, "td." + column)


def soon(condition, what):
    return wait_for(condition, what, seconds=60, every=0.2)


def set_size(width, height, mobile=False):
    browser.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height,
                deviceScaleFactor=1, mobile=mobile)


def open_page(url=None):
    set_size(1280, 800)
    browser.call("POST", "/url", url=url or server.url)
    soon(lambda: text("#state") == "Live" and names(), "groups on the page")


def check_console(*expected):
    """Nothing on the console but what says so."""
    errors = [e["message"] for e in browser.errors()]
    errors = [e for e in errors if not any(x in e for x in expected)]
    check(not errors, "the browser complains", *errors)


def sleepers(*words):
    started = [Workload(SLEEPER, name=unique(w)) for w in words]
    for w in started:
        w.hear()
    return [w.name for w in started]


def number_in(shown):
    """What a cell shows, as a number that can be compared."""
    if shown == DASH:
        return None
    m = re.match(r"<?([\d,.]+) ?([KMGTPE]i)?(B|%)?(/s)?$", shown)
    check(m, "no number: %r" % shown)
    return float(m.group(1).replace(",", "")) * 1024 ** " KMGTPE".index((m.group(2) or " ")[0])


# ---- The file ----------------------------------------------------------------------------

def case_self_contained():
    """One style, one script, and nothing that their hashes do not cover."""
    page = read_text(PAGE)
    check(len(page) < 45 << 10, "the page has %d bytes" % len(page))
    for tag in "style", "script":
        check_equal((page.count("<%s" % tag), page.count("<%s>" % tag), page.count("</%s>" % tag)),
                    (1, 1, 1), "number of <%s>" % tag)
    markup = re.sub(r"<(style|script)>.*?</\1>", "", page, flags=re.S)
    check(not re.search(r"\s(style|on\w+|src)\s*=", markup), "what the policy forbids is there")
    check(not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|https?:(?!//www\.w3\.org/2000/svg)",
                        page), "markup from data, or something from elsewhere")


def case_units():
    """The page knows unit and kind of all metrics that the catalogue has."""
    open_page()
    status, out, err = run([TEXTFILE, "--list-metrics"])
    check_equal(status, 0, "status of --list-metrics (%s)" % err)
    catalogue = dict((line.split()[0], line.split()[1:3]) for line in out.splitlines()[1:])
    units = browser.run("return Object.fromEntries(unitOf)")
    counters = browser.run("return [...COUNTERS]")
    check_equal(sorted((set(units) | set(counters)) - set(catalogue)), [], "ids of no metric")
    for id, (kind, unit) in catalogue.items():
        shown = "seconds" if units.get(id) == "date" else units.get(id, "count")
        check_equal(shown, unit, "unit of " + id)
    of_groups = {id for g in server.snapshot()["groups"] for id in g["metrics"]}
    check_equal(sorted(id for id in of_groups if catalogue[id][0] == "counter" and id not in counters),
                [], "counters without a rate")
    check_equal([id for id in counters if catalogue[id][0] != "counter"], [], "gauges with a rate")
    used = browser.run("return [...FACTS.map(f => f.id), ...Object.values(HISTORIES).map(h => h.metric)]"
                       ".filter(id => id)")
    check_equal([id for id in used if id not in catalogue], [], "ids of no metric")
    check_console()


def get(url):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=20) as answer:
        return answer.headers, answer.read()


def case_policy():
    """The browser is told to run and load nothing but what is in the page."""
    def digest(tag):
        found = re.search(b"<%b>(.*?)</%b>" % (tag, tag), page, re.S).group(1)
        return "'sha256-%s'" % base64.b64encode(hashlib.sha256(found).digest()).decode()

    headers, page = get(server.url)
    if headers["Content-Encoding"] == "gzip":
        page = gzip.decompress(page)
    check(page.decode() == read_text(PAGE), "what is served is not page.html")
    policy = dict(d.strip().split(" ", 1) for d in headers["Content-Security-Policy"].split(";"))
    check_equal(policy, {"default-src": "'none'", "script-src": digest(b"script"),
                         "style-src": digest(b"style"), "connect-src": "'self'", "img-src": "data:",
                         "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'"},
                "policy")


class Prefixed(http_server.BaseHTTPRequestHandler):
    """What a proxy does that shows the exporter below a path of its own."""

    PREFIX = "/hosts/one/"

    def do_GET(self):
        if not self.path.startswith(self.PREFIX):
            self.send_error(404)
            return
        headers, body = get(server.url + self.path[len(self.PREFIX):])
        self.send_response(200)
        for key, value in headers.items():
            if key in ("Content-Type", "Content-Encoding", "Content-Security-Policy"):
                self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def case_behind_a_proxy():
    """Everything is found below the path that a proxy has put the page at."""
    proxy = http_server.ThreadingHTTPServer(("127.0.0.1", 0), Prefixed)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    later(proxy.server_close)
    later(proxy.shutdown)
    base = "http://127.0.0.1:%d%s" % (proxy.server_port, Prefixed.PREFIX)
    open_page(base)
    for link in browser.run("return [...document.querySelectorAll('a:not([hidden])')].map(a => a.href)"):
        check(link.startswith(base), "a link leads out", link)
        check(get(link)[1], "nothing behind a link", link)
    check_console()


# ---- What it shows -------------------------------------------------------------------------

def case_live_groups():
    """Groups that there are, with the figures that there are; the top line."""
    one, two = sleepers("one", "two")
    open_page()
    soon(lambda: {one, two} <= set(names()), "two groups on the page")
    snapshot = server.snapshot()
    metrics = next(g["metrics"] for g in snapshot["groups"] if g["name"] == one)
    check_equal(cell(one, "processes"), ["1", ""], "processes of a group")
    check_near(number_in(cell(one, "memory")[0]), metrics["memory_rss"], "memory of a group",
               relative=0.01)
    soon(lambda: cell(one, "cpu")[0] != DASH and cell(one, "disk")[0] != DASH, "rates")
    facts = dict(zip(texts("#facts dt"), texts("#facts dd")))
    check_equal(facts["Source"], "procfs", "source")
    check_equal(facts["Groups"] == DASH, False, "number of groups is known")
    # source procfs has no events that could be lost: not known is not 0
    check("lost_events" not in snapshot["self"], "procfs has lost events")
    check_equal(facts["Lost events"], DASH, "lost events")
    check_equal(text("#version"), "proctally " + snapshot["version"], "version")
    check_equal(text("#host"), snapshot["host"], "host")
    soon(lambda: texts("#notices li") == server.snapshot()["notices"], "the same notices")
    soon(lambda: browser.run("return groups.get(arguments[0]).row.line.getAttribute('d')", one),
         "a history")
    check_console()


def case_group_ends():
    """A group whose last process ended stays for a while, and looks so."""
    w = Workload(SLEEPER)
    w.hear()
    open_page()
    soon(lambda: w.name in names(), "the group")
    w.end()
    soon(lambda: cell(w.name, "processes")[0] == "0", "a group without processes")
    check(browser.run("return groups.get(arguments[0]).row.tr.classList.contains('ended')", w.name),
          "it looks alive")
    check_console()


def case_sorts():
    """By each column, both ways, and says so to those who do not see it."""
    sleepers("b", "a", "c")
    open_page()
    soon(lambda: any(v != DASH for v in texts("tbody td.io")), "rates")
    browser.press("p")
    soon(lambda: text("#state") == "Paused", "a pause")
    check_equal(browser.run("return document.querySelector('[aria-sort]').className"), "cpu",
                "sorted by at first")
    for column in "memory", "io", "processes", "threads", "fds", "footprint":
        for direction in "descending", "ascending":
            browser.click("thead .%s button" % column)
            check_equal(browser.run("return [...document.querySelectorAll('[aria-sort]')].map(e => "
                                    "e.className.split(' ')[0] + ' ' + e.getAttribute('aria-sort'))"),
                        [column + " " + direction], "aria-sort")
            shown = [number_in(t) for t in texts("tbody td." + column)]
            known = [n for n in shown if n is not None]
            check(known, "nothing is known of " + column)
            check_equal(shown[len(known):], [None] * (len(shown) - len(known)), "the end")
            check_equal(known, sorted(known, reverse=direction == "descending"), column)
    browser.click("thead .name button")
    check_equal(names(), browser.run("return arguments[0].sort()", names()), "by name")
    check_console()


def case_searches():
    """/ goes to the search box, Escape leaves it empty; p is a letter there."""
    one, two = sleepers("papaya", "papaw")
    open_page()
    soon(lambda: {one, two} <= set(names()), "two groups on the page")
    browser.press("/")
    check_equal(browser.run("return document.activeElement.id"), "search", "focus")
    browser.press(one[-8:].upper())
    check_equal(names(), [one], "found")
    check(re.match(r"1 of \d+ groups$", text("#shown")), "how many were found", text("#shown"))
    check_equal(text("#state"), "Live", "state")
    browser.press("no such thing")
    check_equal(names(), [], "found")
    check(browser.run("return !document.getElementById('none').hidden"), "says nothing of it")
    browser.press(ESCAPE)
    check({one, two} <= set(names()), "all are back")
    check_equal(browser.run("return document.getElementById('search').value"), "", "search box")
    check_console()


ASKED = "return performance.getEntriesByType('resource').length"


def case_nobody_looks():
    """In a tab that is hidden nothing is asked for."""
    open_page()
    browser.call("POST", "/window/minimize")
    try:
        soon(lambda: browser.run("return document.hidden && !asking"), "a hidden tab")
        before = browser.run(ASKED)
        time.sleep(1.5 * browser.run("return REFRESH_S"))
        check_equal(browser.run(ASKED), before, "questions asked")
    finally:
        browser.call("POST", "/window/rect", width=1280, height=900)
    soon(lambda: browser.run(ASKED) > before, "a question")
    check_console()


def case_pauses():
    """While paused nothing is asked for, and nothing moves."""
    open_page()
    browser.press("p")
    soon(lambda: text("#state") == "Paused", "a pause")
    check_equal(text("#pause"), "Resume", "button")
    soon(lambda: not browser.run("return asking"), "the end of a question")
    before, shown = browser.run(ASKED), texts("tbody tr")
    name, = sleepers("later")
    wait_for(lambda: server.has(name), "the exporter to see the group")
    time.sleep(1.5 * browser.run("return REFRESH_S"))
    check_equal(browser.run(ASKED), before, "questions asked")
    check_equal(texts("tbody tr"), shown, "rows")
    browser.click("#pause")
    soon(lambda: name in names(), "the new group after the pause")
    check_equal(text("#state"), "Live", "state")
    check_console()


def case_names_are_text():
    """Whatever a process calls itself."""
    evil = [b"<script>alert(1", b'"><b>x', b"<img src=x>", b"&lt;&#39;", b"__proto__", b"constructor"]
    start_hostile(evil + HOSTILE_NAMES)
    open_page()

    def groups():
        found = {g["name"] for g in server.snapshot()["groups"]}
        return found if {e.decode() for e in evil} <= found else None
    wanted = soon(groups, "the groups")
    soon(lambda: wanted <= set(names()), "the names on the page")
    for name in [e.decode() for e in evil]:
        browser.run("toggle(groups.get(arguments[0]))", name)
        check_equal(browser.run("return groups.get(arguments[0]).details.tr.querySelector('bdi')"
                                ".textContent", name), name, "name in the details")
    check_equal(texts("main b, main img, main script"), [], "elements made from names")
    browser.press("/<img")
    check_equal(names(), ["<img src=x>"], "found")
    check_console()


def case_keyboard():
    """Everything can be reached and done with keys, and it can be seen where one is."""
    one, two = sleepers("key", "lock")
    open_page()
    soon(lambda: {one, two} <= set(names()), "two groups on the page")
    focus = "const e = document.activeElement; return [e.id || e.className || e.textContent, " \
            "getComputedStyle(e).outlineStyle]"
    browser.press("/" + one[:-4])
    browser.press(ESCAPE + "/")
    reached = []
    for _ in range(40):
        browser.press(TAB)
        where, outline = browser.run(focus)
        check(where == "" or outline != "none" or where == "BODY", "the focus can't be seen", where)
        reached.append(where)
        if where == "open":
            break
    check({"pause", "Group", "CPU", "Memory", "open"} <= set(reached), "reached by Tab", reached)
    browser.press("p")
    soon(lambda: text("#state") == "Paused", "a pause")
    browser.run("groups.get(arguments[0]).row.open.focus()", one)
    browser.press(ENTER)
    expanded = "return groups.get(arguments[0]).row.open.getAttribute('aria-expanded')"
    check_equal(browser.run(expanded, one), "true", "aria-expanded")
    shown = dict(zip(texts(".details dt"), texts(".details dd:nth-child(2)")))
    metrics = next(g["metrics"] for g in server.snapshot()["groups"] if g["name"] == one)
    check(set(metrics) <= set(shown), "metrics in the details", sorted(set(metrics) - set(shown)))
    check_equal((shown["processes"], shown["nice"]), ("1", str(os.nice(0))), "metrics")
    unknown = {id for id in shown if id not in metrics}
    check_equal({id for id, v in shown.items() if v == DASH}, unknown, "what is not known")
    browser.press(DOWN)
    at = browser.run("return document.activeElement.textContent")
    order = names()
    check_equal(at, (order + [one])[order.index(one) + 1], "where the arrow went")
    browser.run("groups.get(arguments[0]).row.open.focus()", one)
    browser.press(ENTER)
    check_equal((browser.run(expanded, one), texts(".details")), ("false", []), "closed again")
    # the order may change under the focus
    browser.click("thead .name button")
    browser.run("groups.get(arguments[0]).row.open.focus(); sortBy(COLUMNS[0])", one)
    check_equal(browser.run("return document.activeElement.textContent.slice(0, 40)"), one,
                "focus after sorting")
    check_console()


MADE_UP = """
if (!paused) pause();
const made = (time, n, metrics) => ({version: '1', host: 'h', time, interval: 5, notices: [], self: {},
    groups: Array.from({length: n}, (_, i) => ({name: 'g' + String(i).padStart(4, '0'), labels: {},
                                               metrics: metrics(i)}))});
const now = shot.time + 1000;
"""


def case_not_known():
    """Absent, new and fallen counters have no rate; they come last and are never 0."""
    open_page()
    browser.run(MADE_UP + """
        const before = [{cpu_usage: 0, disk_read: 10, disk_written: 10},
                        {cpu_usage: 0.5, disk_read: 10}, {disk_read: 10, disk_written: 10}, {}];
        const after = [{cpu_usage: 0, disk_read: 110, disk_written: 10},
                       {cpu_usage: 0.5, disk_read: 20, disk_written: 20}, {disk_read: 5, disk_written: 10},
                       {cpu_usage: 0.25}];
        take(made(now, 4, i => before[i]));
        take(made(now + 5, 4, i => after[i]));
        render();""")
    check_equal([cell("g%04d" % i, "disk") for i in range(4)],
                [["20 B/s", ""]] + [[DASH, "not known"]] * 3, "rates")
    check_equal(names(), ["g0001", "g0003", "g0000", "g0002"], "order")
    check_equal([cell("g%04d" % i, "cpu") for i in (0, 1, 2)],
                [["0 %", ""], ["50.0 %", ""], [DASH, "not known"]], "CPU")
    check_equal(cell("g0000", "memory"), [DASH, "not known"], "memory")
    check_equal(set(texts("#facts dd")), {DASH}, "facts")
    check_console()


def case_many_groups():
    """5,000: the first ones, all if wanted, and only what changed is touched."""
    open_page()
    browser.run(MADE_UP + """
        window.many = time => made(now + time, 5000, i => ({cpu_usage: i === 4321 ? 0.5 : 0, memory_rss: i * 4096}));
        take(many(0)); render();""")
    check_equal((len(names()), names()[0]), (200, "g4321"), "rows")
    check_equal(text("#more button"), "Show all 5,000", "button")
    browser.click("#more button")
    soon(lambda: len(names()) == 5000, "all rows")
    changed = browser.run("""
        const observer = new MutationObserver(() => 0);
        observer.observe(document.querySelector('main'), {subtree: true, childList: true, characterData: true});
        take(many(5)); render();
        return observer.takeRecords().length""")
    check_equal(changed, 0, "changes where nothing changed")
    took = browser.run("const begun = performance.now(); take(many(10)); render(); return performance.now() - begun")
    print("      5,000 groups, all shown: a refresh takes %.0f ms" % took)
    browser.click("#more button")
    check_equal(len(names()), 200, "rows")
    browser.run("search('g49')")
    check_equal(len(names()), 100, "found")
    check_console()


# ---- When the server is away ---------------------------------------------------------------

def case_server_stops():
    """It says so, keeps what it has, and goes on when the server is back."""
    mine = start_server()
    open_page(mine.url)
    shown = len(names())
    stop(mine.process)
    soon(lambda: text("#state") == "No answer", "a word about the server")
    check("cannot be reached" in text("#what"), "what it says", text("#what"))
    check(re.search(r"figures below are those of \d\d:\d\d:\d\d", text("#what")), "how old", text("#what"))
    check(browser.run("return document.getElementById('problem').getClientRects().length"), "hidden")
    check(len(names()) >= shown, "the rows are gone")
    soon(lambda: browser.run("return failures") >= 2, "a second try")
    start_server(mine.port)
    browser.click("#retry")
    soon(lambda: text("#state") == "Live", "the server again")
    check(browser.run("return document.getElementById('problem').hidden"), "still complains")
    check_console("net::ERR_")


# ---- How it looks ----------------------------------------------------------------------------

def check_nothing_sticks_out():
    check_equal(*browser.run("const e = document.documentElement;"
                             "return [e.scrollWidth, e.clientWidth]"), "width of what is on the page")
    heads, columns = browser.run(
        "return [heads.filter(th => th.getClientRects().length).length,"
        " getComputedStyle(heads[0].parentNode).gridTemplateColumns.split(' ').length]")
    check_equal(heads, columns, "columns shown, by those that there is room for")


def case_looks():
    """Two widths, dark and light; nothing sticks out. For people to look at."""
    logs = os.path.join(BUILD, "logs")
    os.makedirs(logs, exist_ok=True)
    name, = sleepers("picture")
    open_page()
    soon(lambda: any(v != DASH for v in texts("tbody td.io")), "rates")
    try:
        for (width, height), scheme in itertools.product([(1280, 800), (390, 844)], ["light", "dark"]):
            set_size(width, height, mobile=width < 600)
            browser.cdp("Emulation.setEmulatedMedia",
                        features=[{"name": "prefers-color-scheme", "value": scheme}])
            for opened in False, True:
                path = os.path.join(logs, "exporter-page-%d-%s%s.png" % (width, scheme,
                                                                         "-open" if opened else ""))
                if opened:
                    browser.run("toggle(groups.get(arguments[0])); scrollTo(0, 0);"
                                "groups.get(arguments[0]).row.tr.scrollIntoView()", name)
                browser.screenshot(path)
                check_nothing_sticks_out()
            browser.run("toggle(groups.get(arguments[0])); scrollTo(0, 0)", name)
            ground = browser.run("return getComputedStyle(document.body).backgroundColor")
            bright = sum(map(int, re.findall(r"\d+", ground)[:3])) > 3 * 128
            check_equal(bright, scheme == "light", "brightness of " + ground)
            columns = browser.run("return heads.filter(th => th.getClientRects().length).length")
            check(columns <= 5 if width < 600 else columns >= 10, "columns at %d" % width, columns)
        for width in 320, 599, 600, 760, 880, 960, 1120, 1240, 1400, 1920:
            set_size(width, 800, mobile=width < 600)
            check_nothing_sticks_out()
    finally:
        browser.cdp("Emulation.setEmulatedMedia", features=[])
    check_console()


if __name__ == "__main__":
    if not os.access(EXPORTER, os.X_OK):
        skip_all("proctally-exporter was not built")
    try:
        browser = Browser()
    except Skipped as e:
        skip_all(str(e))
    server = start_server()
    run_cases(sys.modules[__name__])
