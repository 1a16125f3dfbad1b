#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 180
# aside
"""The pictures of README: the exporter's page and proctally top, both of the same groups.
They are left in $BUILD/logs/, or in the directory that PICTURES names (which is how
examples/pictures/make.sh makes them)."""
import base64
import sys
import xml.etree.ElementTree as xml
from xml.sax.saxutils import escape

from common import *
import test_command_top as top
import test_exporter_page as page

PLACE = os.environ.get("PICTURES") or os.path.join(BUILD, "logs")
LARGEST_BYTES = 60 << 10
COLUMNS, ROWS = 96, 18
WIDTH, HEIGHT = 1000, 540
# what is shown: names, processes, seconds between two pieces of work, seconds of each
SHOWN = (("nginx", 8, 0.2, 0.004), ("postgres", 12, 0.4, 0.006), ("java", 2, 0.1, 0.012),
         ("redis-server", 1, 0.1, 0.003), ("php-fpm8.2", 6, 0.5, 0.008), ("sshd", 4, 3, 0.001),
         ("cron", 1, 5, 0.001), ("rsyslogd", 1, 1, 0.001), ("prometheus", 1, 1, 0.02))
WORK = """import os, random
kept = bytearray(%d << 20)
path = %r
while True:
    time.sleep(random.expovariate(1 / %f))
    end = time.process_time() + random.expovariate(1 / %f)
    while time.process_time() < end: pass
    if random.random() < 0.2:
        with open(path, "wb") as f: f.write(b"x" * random.randrange(100, 100000))
    if random.random() < 0.2 and os.fork() == 0: os._exit(0)
    try:
        while os.waitpid(-1, os.WNOHANG)[0]: pass
    except ChildProcessError: pass
"""
CONFIG = """process_names:
  - name: "{{.Comm}}"
    comm: [%s]
  - name: all else
    comm: ['glob:*']
""" % ", ".join(name for name, *_ in SHOWN)


def start_shown():
    place = temp_dir()
    for name, count, between_s, burst_s in SHOWN:
        for i in range(count):
            path = os.path.join(place, "%s-%d" % (name, i))
            top.as_name(name, WORK % (4 * len(name), path, between_s, burst_s))
    return write_text(os.path.join(place, "proctally.yaml"), CONFIG)


def keep(name, data):
    os.makedirs(PLACE, exist_ok=True)
    path = os.path.join(PLACE, name)
    with open(path, "wb") as f:
        f.write(data)
    print("%s: %d bytes" % (path, len(data)))
    check(len(data) <= LARGEST_BYTES, "%s is too large: %d bytes" % (name, len(data)))


# ---- A terminal's screen as SVG -------------------------------------------------------------

CELL_WIDTH, CELL_HEIGHT, EDGE = 7.83, 17, 12
GROUND, INK = "#16181d", "#d6d9df"
COLOURS = ("#16181d", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#d6d9df")


def runs(line):
    """Of a line with colours, as tmux shows it: (column, text, {attributes})."""
    style, column = {}, 0
    for codes, text in re.findall(r"\x1b\[([\d;]*)m|([^\x1b]+)", line):
        for code in [int(c or 0) for c in codes.split(";")] if not text else []:
            if code == 0:
                style = {}
            elif code in (1, 2, 7):
                style = dict(style, **{{1: "bold", 2: "dim", 7: "reverse"}[code]: True})
            elif 30 <= code <= 37 or 90 <= code <= 97:
                style = dict(style, ink=COLOURS[code % 10])
            elif code == 39:
                style = {k: v for k, v in style.items() if k != "ink"}
            elif 40 <= code <= 47:
                style = dict(style, ground=COLOURS[code % 10])
        if text:
            yield column, text, style
            column += len(text)


def svg(screen):
    width = COLUMNS * CELL_WIDTH + 2 * EDGE
    height = ROWS * CELL_HEIGHT + 2 * EDGE
    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-size="13" '
           'font-family="DejaVu Sans Mono, Menlo, Consolas, monospace">' % (width, height),
           '<rect width="100%%" height="100%%" rx="6" fill="%s"/>' % GROUND]
    for row, line in enumerate(screen.split("\n")[:ROWS]):
        y = EDGE + row * CELL_HEIGHT
        for column, text, style in runs(line):
            x, wide = EDGE + column * CELL_WIDTH, len(text) * CELL_WIDTH
            ink, ground = style.get("ink", INK), style.get("ground")
            if style.get("reverse"):
                ink, ground = GROUND, ink
            if ground:
                out.append('<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>' %
                           (x, y, wide, CELL_HEIGHT, ground))
            if text.strip():
                out.append('<text x="%.1f" y="%.1f" textLength="%.1f" fill="%s" '
                           'xml:space="preserve"%s%s>%s</text>' %
                           (x, y + 13, wide, ink, ' font-weight="bold"' if style.get("bold") else "",
                            ' opacity="0.6"' if style.get("dim") else "", escape(text)))
    return "\n".join(out) + "\n</svg>\n"


# ---- The pictures ------------------------------------------------------------------------

def case_top():
    top.need_screen()
    config = start_shown()
    terminal = top.Terminal("%s top --config %s" % (COMMAND, config), width=COLUMNS, height=ROWS,
                            term="xterm-256color")
    names = [name for name, *_ in SHOWN]
    # some looks later, so that the columns of rates have something to show
    terminal.wait(lambda s: all(top.row_of(s, name) for name in names), "all groups")
    time.sleep(6)
    screen = terminal.call("capture-pane", "-e", "-p", "-t", "top")
    terminal.keys("q")
    check_equal(terminal.wait_status(), 0, "status")
    picture = svg(screen)
    xml.fromstring(picture)
    for name in names:
        check(name in picture, "a group is missing in the picture", name)
    keep("top.svg", picture.encode())


def case_page():
    if not os.access(page.EXPORTER, os.X_OK):
        raise Skipped("proctally-exporter was not built")
    config = start_shown()
    browser = page.browser = page.Browser()
    port = free_port()
    url = "http://127.0.0.1:%d/" % port
    # with a name that a host could have, where that can be done
    named = ["unshare", "--uts", "sh", "-c", 'hostname web-1 && exec "$@"', "sh"] if is_root() else []
    start(named + [page.EXPORTER, "--web.listen-address", "127.0.0.1:%d" % port,
                   "--config", config])
    wait_for(lambda: http(url)[0] == 200, "the exporter's answer")
    page.open_page(url)
    page.set_size(WIDTH, HEIGHT)
    names = [name for name, *_ in SHOWN]
    page.soon(lambda: set(names) <= set(page.names()) and
              any(t != page.DASH for t in page.texts("tbody td.io")), "all groups, and rates")
    time.sleep(40 if "PICTURES" in os.environ else 3)  # histories
    picture = base64.b64decode(browser.cdp("Page.captureScreenshot", format="webp",
                                           quality=80)["data"])
    # RIFF, a size, WEBP, VP8X, the chunk's size, flags, and in 24 bits what width and height are
    # more than 1
    check_equal((picture[:4], picture[8:16]), (b"RIFF", b"WEBPVP8X"), "what a picture begins with")
    check_equal([int.from_bytes(picture[at:at + 3], "little") + 1 for at in (24, 27)],
                [WIDTH, HEIGHT], "its size")
    page.check_nothing_sticks_out()
    page.check_console()
    keep("page.webp", picture)


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
