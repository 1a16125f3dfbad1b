#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tests/machines/same.py DIRECTORY [EMULATOR]: the programs in DIRECTORY, which were built
for another C library or machine, find the same groups as those of BUILD.

In a process namespace, where one can be had: what others start and end meanwhile is not in it."""
import os
import re
import ssl
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../integration"))
from common import *

ALONE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc",
         *([] if is_root() else ["--user", "--map-root-user"])]
COUNT = 20


def go_alone():
    """Begins once more as the first process of a namespace, if that can be had."""
    if os.getpid() != 1 and run([*ALONE, "true"])[0] == 0:
        os.execvp(ALONE[0], [*ALONE, PYTHON, *sys.argv])


def config():
    """A rule with a regular expression, so that what reads files and patterns is there, and
    names that are hard to write."""
    start_hostile()
    directory, name = temp_dir(), unique("many")
    sleeper = linked(directory, name, need_program("sleep"))
    for seconds in range(COUNT):
        start([sleeper, "%d" % (1000 + seconds)])
    return name, write_text(directory + "/config", """
process_names:
  - name: "{{.Comm}}:{{.Matches.Digit}}"
    comm: [%s]
    cmdline: ['\\s10(?P<Digit>\\d)\\d$']
group-by: [name, user]
source: procfs
""" % name)


def counts(argv, pattern):
    status, out, err = run([*argv, "--once", "--config", counts.config], seconds=120)
    check_equal(status, 0, "status of %s (%s)" % (argv[-1], err))
    # The kernel names an emulated program after the emulator.
    itself = {os.path.basename(path)[:15] for path in (argv[0], argv[-1])}
    found = {}
    for m in re.finditer(pattern, out, re.M):
        comm, _, user = m.group(1).rpartition(":")
        found["%s:%s" % ("itself" if comm in itself else comm, user)] = int(m.group(2))
    return found


def same(program, pattern):
    name, counts.config = config()
    ours = [os.path.join(BUILD, "plugins", program, "proctally-" + program)]
    theirs = [*emulator, os.path.join(programs, "proctally-" + program)]

    def agree():
        """What is there before and after is there in between; others come and go."""
        before, found, after = (counts(argv, pattern) for argv in (ours, theirs, ours))
        lasting = {k: v for k, v in before.items() if after.get(k) == v}
        wrong = {k: (v, found.get(k)) for k, v in lasting.items() if found.get(k) != v}
        check(not wrong, "expected and found differ", wrong)
        check_equal([found.get("%s:%d" % (name, digit)) for digit in (0, 1)], [10, 10],
                    "processes of the rule")
        check(len(lasting) > len(HOSTILE_NAMES) // 2, "too few groups stayed", sorted(lasting))
        return len(lasting)

    print("      %d groups are the same" % wait_for(agree, "the same groups", 60))


SAMPLE = r'^proctally_processes\{.*groupname="((?:[^"\\]|\\.)*)".*\} (\d+)$'


def case_textfile():
    same("textfile", SAMPLE)


def case_telegraf():
    same("telegraf", r'^proctally,.*groupname=((?:[^,\\ ]|\\.)*).* num_procs=(\d+)i')


def exporter():
    path = os.path.join(programs, "proctally-exporter")
    if not os.path.exists(path):
        raise Skipped("proctally-exporter is not among them")
    return path


def case_exporter():
    exporter()
    same("exporter", SAMPLE)


def case_exporter_serves():
    """Over TLS to those who know the password, behind the filter for system calls."""
    from test_exporter import basic, make_certificates, make_hash
    directory, port = temp_dir(), free_port()
    make_certificates(directory)
    web = write_config(directory + "/web.yml", "tls_server_config: {cert_file: server.pem, "
                       "key_file: server.key}\nbasic_auth_users: {ann: %s}\n" % make_hash("hunter2"))
    process = start([*emulator, exporter(), "--source", "procfs", "--web.listen-address",
                     "127.0.0.1:%d" % port, "--web.config.file", web], stderr=subprocess.PIPE)
    context = ssl.create_default_context(cafile=directory + "/ca.pem")

    def ask(password):
        request = urllib.request.Request("https://127.0.0.1:%d/metrics" % port,
                                         headers=basic("ann", password))
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}),
                                             urllib.request.HTTPSHandler(context=context))
        try:
            return opener.open(request, timeout=30).status
        except urllib.error.HTTPError as e:
            return e.code
        except OSError:
            return 0
    wait_for(lambda: ask("hunter2") == 200, "an answer to the right password", 120)
    check_equal(ask("hunter3"), 401, "status with a wrong password")
    process.terminate()
    status = process.wait(120)
    check_equal(status, 0, "status (%s)" % process.stderr.read().decode())


def case_service():
    """Again and again behind the filter for system calls, with a state, until it is told
    to end: another C library has other calls."""
    directory = temp_dir()
    output, state = directory + "/output.prom", directory + "/state"
    process = start([*emulator, os.path.join(programs, "proctally-textfile"), "--interval", "100ms",
                     "--source", "procfs", "--output", output, "--state-file", state],
                    stderr=subprocess.PIPE)
    written = set()

    def twice():
        written.add(os.stat(output).st_ino)
        return len(written) > 1
    wait_for(twice, "two files, one after the other", 120, 0.01)
    process.terminate()
    status = process.wait(120)
    check_equal(status, 0, "status (%s)" % process.stderr.read().decode())
    check(os.path.getsize(state) > 0, "the state is empty")


if __name__ == "__main__":
    go_alone()
    programs, emulator = sys.argv[1], sys.argv[2:]
    del sys.argv[1:]
    run_cases(sys.modules[__name__])
