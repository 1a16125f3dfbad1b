# SPDX-License-Identifier: MIT
"""The first process of one host of the fleet: makes the host, then does what fleet.py says.

    unshare --net --pid --mount --uts --ipc --fork --mount-proc python3 host.py NAME DISK

DISK outlives the host, as a disk does: what the host writes below /etc, /var and /usr/local
is there and not on the machine. When this process ends, the kernel ends all others of the
host. An order is a line of JSON on standard input, and so is the answer.
"""
import json
import os
import signal
import socket
import subprocess
import sys
import uuid

running = {}  # name of a program -> its pid
ended = {}    # pid -> (status, seconds of CPU time with those of the children it waited for)


def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)


def boot(name, disk):
    socket.sethostname(name)
    for directory in ("/etc", "/var", "/usr/local"):
        upper, work = disk + directory, disk + "/.work" + directory
        os.makedirs(upper, exist_ok=True)
        os.makedirs(work, exist_ok=True)
        mount("-t", "overlay", "-o", "lowerdir=%s,upperdir=%s,workdir=%s" % (
            directory, upper, work), "fleet", directory)
    mount("-t", "tmpfs", "fleet", "/run")
    # The kernel is the machine's. A host that starts again must not look as if it had not.
    with open(disk + "/boot_id", "w") as f:
        f.write("%s\n" % uuid.uuid4())
    mount("--bind", disk + "/boot_id", "/proc/sys/kernel/random/boot_id")


def reap(*_):
    while True:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        ended[pid] = os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime


def start(name, argv, log, environment):
    """Not by subprocess, which would wait for the program itself."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    running[name] = os.posix_spawnp(
        argv[0], argv, {**os.environ, **environment},
        file_actions=[(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                      (os.POSIX_SPAWN_DUP2, output, 1), (os.POSIX_SPAWN_DUP2, output, 2)],
        setsigdef=(signal.SIGCHLD, signal.SIGPIPE), setpgroup=0)
    os.close(output)


def run(argv):
    """To the end, of which the handler must not hear first."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    p = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    return p.returncode, p.stdout.decode()


def obey(order):
    name = order.get("name")
    if order["do"] == "start":
        start(name, order["argv"], order["log"], order["environment"])
    elif order["do"] == "signal" and running[name] not in ended:
        os.kill(running[name], order["signal"])
    elif order["do"] == "runs":
        return name in running and running[name] not in ended
    elif order["do"] == "ended":
        return ended.get(running[name])
    elif order["do"] == "run":
        return run(order["argv"])
    return None


if __name__ == "__main__":
    boot(*sys.argv[1:])
    signal.signal(signal.SIGCHLD, reap)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print(json.dumps("up"), flush=True)
    for line in sys.stdin:
        try:
            answer = obey(json.loads(line))
        except (OSError, KeyError) as e:
            answer = {"error": repr(e)}
        print(json.dumps(answer), flush=True)
