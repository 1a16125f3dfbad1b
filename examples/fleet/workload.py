# SPDX-License-Identifier: MIT
"""Uses a known amount: WORKERS processes, each of SECONDS of CPU time. Says "done" when that
is used, and stays until SIGTERM. The program's name is what it was started as.

    nginx workload.py WORKERS SECONDS
"""
import os
import resource
import signal
import sys


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


# before there is any child that it could miss
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
workers, seconds = int(sys.argv[1]), float(sys.argv[2])
reader, writer = os.pipe()
pids = []
for _ in range(workers):
    pid = os.fork()
    if pid == 0:
        while cpu() < seconds:
            sum(range(2000))
        os.write(writer, b"x")
        signal.sigwait({signal.SIGTERM})
        os._exit(0)
    pids.append(pid)
for _ in pids:
    os.read(reader, 1)
print("done", flush=True)
signal.sigwait({signal.SIGTERM})
for pid in pids:
    os.kill(pid, signal.SIGTERM)
    os.waitpid(pid, 0)
