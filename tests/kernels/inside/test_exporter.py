#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""proctally-exporter by its units, with the socket that systemd opens: a connection starts
the service, and whatever becomes of the service, who connects gets an answer."""
import threading

from machine import *

SERVICE, SOCKET = "proctally-exporter.service", "proctally-exporter.socket"
DROP_INS = "/etc/systemd/system/%s.d/" % SERVICE
URL = "http://127.0.0.1:9256"
COMM = "proctally-expor"


def scrape():
    status, text = http(URL + "/metrics", seconds=120)
    check_equal(status, 200, "status of a scrape (%s; %s)" % (text, journal(SERVICE, COMM)))
    return Metrics(text)


def pid():
    return int(shown(SERVICE, "MainPID"))


def check_quiet():
    """It says where it listens and how it collects, and nothing else."""
    said = [l for l in journal(SERVICE, COMM).splitlines()
            if not re.match("proctally-exporter: (listening on socket 1 of systemd|"
                            "source bpf, collecting when asked)", l)]
    check_equal(said, [], "what it says")


def check_whole(m):
    """Nothing of what it reads was refused."""
    check_equal(m.get("proctally_source", source="bpf"), 1, "source bpf")
    for unit in SERVICE, "dbus.service", "proctally-tests.service":
        check(m.get("proctally_processes", groupname=unit) >= 1, "no group " + unit)
    unreadable = {k: v for k, v in m.series.items() if "unreadable" in k[0] and v}
    check_equal(unreadable, {}, "what could not be read")
    for family in "network_receive_bytes_total", "open_fds", "disk_read_bytes_total":
        check("proctally_" + family in m.families(), "no " + family)


def case_started_by_a_connection():
    """Set up as the units say."""
    install("proctally.sysusers.conf", "/etc/sysusers.d/proctally.conf")
    done("systemd-sysusers")
    write_text(CONFIG, read_text(os.path.join(SRC, "examples/proctally.yaml")))
    for unit in SERVICE, SOCKET:
        install(unit, "/etc/systemd/system/" + unit)
    install("proctally-exporter-socket.conf", DROP_INS + "socket.conf")
    systemctl("daemon-reload")
    systemctl("enable", "--now", SOCKET)
    check_equal(shown(SERVICE, "ActiveState"), "inactive", "the service before anybody asks")
    m = scrape()
    check_equal(shown(SERVICE, "ActiveState"), "active", "the service")
    check_whole(m)
    check_quiet()
    check_rights(pid())
    # what is short is counted, too
    program = steps_program()
    name = unique("scraped")
    used = run_unit(name, program, "spawn:5:1", program, "burn:100")

    def all_there():
        m = scrape()
        check_unit_cpu(m.sum("proctally_cpu_seconds_total", groupname=name + ".service"), used, name)
        check_equal(m.get("proctally_process_exits_total", groupname=name + ".service"), 6, "exits")
        return True
    wait_for(all_there, "short processes", 60)


def goes_on(what, meanwhile):
    """Something is done to the service while others ask, each on a connection of its own:
    nobody is refused, and no counter falls. (Who was let in and has not yet asked may see
    the connection end.)"""
    before, old = of_groups(scrape()), pid()
    answers, end = [], threading.Event()

    def ask():
        while not end.is_set():
            try:
                answers.append(http(URL + "/-/healthy", seconds=120)[0])
            except OSError as e:
                answers.append(str(e))
    askers = [threading.Thread(target=ask) for _ in range(2)]
    for one in askers:
        one.start()
    try:
        meanwhile()
        wait_for(lambda: pid() not in (0, old), "another process", 90)
        count = len(answers)
        wait_for(lambda: len(answers) > count + 5, "answers", 90)
    finally:
        end.set()
        for one in askers:
            one.join()
    other = [a for a in answers if a != 200]
    print("      %s: %d answers, others: %s" % (what, len(answers) - len(other), other))
    check(not [a for a in other if not isinstance(a, str) or "refused" in a],
          what + ": refused", other)
    check_equal(answers[-5:], [200] * 5, what + ": the last answers")
    check_equal(shown(SOCKET, "ActiveState"), "active", "the socket")
    check_never_falls(before, of_groups(scrape()), what)
    check_quiet()


def case_restart():
    goes_on("a restart", lambda: systemctl("restart", SERVICE))


def case_stop():
    """The next connection starts it again."""
    goes_on("a stop", lambda: systemctl("stop", SERVICE))


def case_killed():
    goes_on("SIGKILL", lambda: systemctl("kill", "-s", "KILL", SERVICE))


def case_nothing_is_refused():
    """With a filter that kills where that of the unit refuses, all is there all the same."""
    write_text(DROP_INS + "z.conf", "[Service]\nSystemCallErrorNumber=kill\n")
    systemctl("daemon-reload")
    systemctl("restart", SERVICE)
    first = pid()
    check_whole(scrape())
    systemctl("reload", SERVICE)
    wait_for(lambda: "has been read again" in journal(SERVICE, COMM), "its reload")
    for path in "/", "/groups.json", "/-/ready", "/metrics":
        check_equal(http(URL + path)[0], 200, path)
    check_equal(pid(), first, "its pid")
    systemctl("stop", SOCKET, SERVICE)
    check_equal(shown(SERVICE, "Result"), "success", "its end")


def case_stop_of_the_socket():
    """It ends the service too, and nobody listens any more."""
    systemctl("start", SOCKET)
    scrape()
    systemctl("disable", "--now", SOCKET)
    check_equal(shown(SERVICE, "ActiveState"), "inactive", "the service")
    try:
        http(URL + "/-/healthy")
    except OSError as e:
        check("refused" in str(e), "expected a connection refused", str(e))
    else:
        raise Failed("somebody listens")


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
