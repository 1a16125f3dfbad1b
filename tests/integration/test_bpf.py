#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 500
"""The source bpf: what it says about processes whose use is known from wait4(2),
and about those that were over before anybody looked.

Where the kernel drops events, what was lost is made up for some seconds later. So
what a case expects need not be there at once, but soon. PROCESSES in the environment:
how many there are in the case truth, 1000 if not given."""
import contextlib
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import time

from common import *

PROCESSES = int(os.environ.get("PROCESSES") or 1000)
SOON = 15 # seconds
UID = 61000 + os.getpid() % 4000 # of nobody else


_steps = []


def steps_program():
    """steps.c, compiled once."""
    if not _steps or not os.path.exists(_steps[-1]):
        cc = need_program(os.environ.get("CC", "cc"), "gcc", "clang")
        path = os.path.join(temp_dir(), "steps")
        status, out, err = run([cc, "-O1", "-pthread", "-o", path,
                                os.path.join(SRC, "tests/integration/steps.c")])
        check_equal(status, 0, "status of the compiler (%s)" % err)
        _steps.append(path)
    return _steps[-1]


def steps(directory, word="p"):
    """The path of it under a name of its own."""
    return linked(directory, unique(word), steps_program())


def name_of(path):
    return os.path.basename(path)


class Spawner:
    """Runs count children, at_once at the same time, and knows what they and it used."""

    def __init__(self, argv, count=1, at_once=1, uid=None, program=None, before=()):
        how = "spawn:%d:%d" % (count, at_once) + (":%d" % uid if uid is not None else "")
        self.process = start([program or steps_program(), *before, how, *argv],
                             stdout=subprocess.PIPE)

    def collect(self, *drivers, every=1.0):
        """Until it ends."""
        while not select.select([self.process.stdout], [], [], every)[0]:
            for d in drivers:
                d.collect()

    def truth(self):
        text = self.process.stdout.read()
        check_equal(self.process.wait(60), 0, "status of the spawner")
        truth = json.loads(text)
        check_equal(truth["failed"], 0, "children that failed")
        return truth


def spawn(*how, **more):
    return Spawner(*how, **more).truth()


def cost_of_start():
    """CPU seconds of a child that does nothing: part of that is charged to whoever it was before
    it executed its program. In emulation it is a hundred times what it is elsewhere."""
    return spawn([steps_program(), "burn:0"], 4)["cpu"] / 4


def configured(directory, text):
    return "--config", write_text(os.path.join(directory, unique("conf")), text)


def soon(d, look, every=1.0):
    """Collects until look(points) does not fail; the points."""
    end = time.monotonic() + SOON * PATIENCE
    while True:
        points = d.collect()
        try:
            look(points)
            return points
        except Failed:
            if time.monotonic() > end:
                raise
        time.sleep(every)


def get(points, group, field):
    return points[group].fields.get(field, 0) if group in points else 0


def check_group(points, group, cpu, processes=None, absolute=CPU_ROOM):
    """What the group's counters say of processes that are over. Where the kernel dropped
    an event, the end of a run is known to a clock tick only."""
    what = " of %s" % group
    check_near(points.cpu(group), cpu, "CPU seconds" + what, relative=CPU_ROOM, absolute=absolute)
    if processes is not None:
        check_equal(get(points, group, "starts"), processes, "starts" + what)
        check_equal(get(points, group, "exits"), processes, "exits" + what)


# ---- Truth ------------------------------------------------------------------------

class Kind:
    """Many short processes of one kind, made by a process of the same group: what they
    use before they execute their program is counted as their parent's."""

    def __init__(self, argv, count, at_once=1, each=1):
        self.argv, self.count, self.at_once = argv, count, at_once
        self.processes = count * each + 1

    def start(self, spawner, uid):
        return Spawner(self.argv, self.count, self.at_once, program=spawner,
                       before=["user:%d" % uid])


def kinds_of(directory, count):
    """About count processes in all, and the rules that tell them apart: also from those of
    others, who may run the same programs, or even this test."""
    spawner, threads = steps(directory, "make"), steps(directory, "t")
    sh, awk, true = (linked(directory, unique(w), shutil.which(w)) for w in ("sh", "awk", "true"))
    pipe_mark = unique("pipe")
    pipe = "%s -- 'BEGIN { for (i = 0; i < 2000; i++) print i }' | " \
           "%s '/7/ { n++ } END { print n }' >/dev/null; : %s" % (awk, awk, pipe_mark)
    some = count // 5
    kinds = {
        "all true": Kind([true], some),
        "all awk": Kind([awk, "BEGIN { for (i = 0; i < 10000; i++) x += i } # some-awk"], some, 2),
        "all pipe": Kind([sh, "-c", pipe], some // 3, 1, 3),
        "all burst": Kind([steps(directory, "cc"), "burn:2", "as:file-%d.c"], some, 16),
        "all threads": Kind([threads, "threads:3:1", "burn:1"], some, 2),
    }
    rules = """
children: true
process_names:
  - {name: all true, cmdline: ['^%s( |$)', '%s$']}
  - {name: all threads, exe: [%s]}
  - {name: all threads, cmdline: [' %s ']}
  - {name: all awk, exe: [%s, %s], cmdline: [some-awk]}
  - {name: "all {{.Matches.Kind}}", cmdline: ['%s_(?P<Kind>pipe)']}
  - {name: all burst, cmdline: ['(^| )%s burn:2 as:file-([0-9]+|%%d)\\.c$']}
""" % ("(%s|%s)" % (true, spawner), true, name_of(threads), threads, awk, name_of(spawner),
       pipe_mark.rpartition("_")[0], kinds["all burst"].argv[0])
    return spawner, kinds, rules


def check_kind(points, group, kind, truth):
    check_group(points, group, truth["cpu"], kind.processes)
    fields, what = points[group].fields, " of " + group
    check_near(fields["minor_faults"], truth["minor"], "page faults" + what, relative=0.01,
               absolute=200)
    check_near(fields["involuntary_context_switches"], truth["involuntary"],
               "involuntary context switches" + what, relative=0.02, absolute=20)
    # the last switch of a thread that ends is in nobody's rusage, unless it is the main thread
    ends = 3 * kind.count if group == "all threads" else 0
    check_near(fields["voluntary_context_switches"], truth["voluntary"] + ends,
               "voluntary context switches" + what, relative=0.02, absolute=20)


def case_truth():
    """Short processes of several kinds, sorted by rules and by their user: what each group
    used is what wait4(2) says."""
    directory = temp_dir()
    spawner, kinds, rules = kinds_of(directory, PROCESSES)
    by_rules = Driver(*configured(directory, rules), source="bpf")
    by_user = Driver("--group-by", "user", source="bpf")
    truths = {}
    for name, kind in kinds.items():
        s = kind.start(spawner, UID)
        s.collect(by_rules, by_user)
        truths[name] = s.truth()
    total = sum(t["cpu"] for t in truths.values())

    def kinds_are_right(points):
        for name, kind in kinds.items():
            check_kind(points, name, kind, truths[name])
        check_near(points.cpu(*kinds), total, "CPU seconds of all", relative=CPU_ROOM)

    def user_is_right(points):
        check_group(points, str(UID), total, sum(k.processes for k in kinds.values()))

    points = soon(by_rules, kinds_are_right)
    print("      %d processes: %.3f CPU seconds, %.3f found; %d events were lost" % (
        sum(k.processes for k in kinds.values()), total, points.cpu(*kinds),
        points.self_point.fields["lost_events"]))
    soon(by_user, user_is_right)
    # nothing comes twice: from an event that was late, and as made up
    time.sleep(6)
    kinds_are_right(by_rules.collect())
    user_is_right(by_user.collect())


def case_listed_at_once():
    """One listing after the other: some processes are listed before the kernel says that
    they began, while they execute a program, while they end. Each counts once."""
    group, count, go = str(UID), 3 * PROCESSES, os.path.join(temp_dir(), "go")
    d = Driver("--group-by", "user", source="bpf")
    s = Spawner([shutil.which("true")], count, before=["user:%d" % UID, "wait:" + go])
    before = soon(d, lambda points: check(group in points, "the spawner is not seen"))
    write_text(go, "")
    s.collect(d, every=0)
    s.truth()

    def each_counts_once(points):
        check_equal(get(points, group, "starts") - get(before, group, "starts"), count, "starts")
        check_equal(get(points, group, "exits"), count + 1, "exits")
    soon(d, each_counts_once)
    # what was listed, but is taken for another in the end, is forgotten only now
    time.sleep(16)
    each_counts_once(d.collect())


def case_failed_collections():
    """Calls fail now and then for want of memory: nothing is lost of what the programs have
    told by then, or have taken for known."""
    directory, group, count = temp_dir(), str(UID), 200
    output, go = (os.path.join(directory, n) for n in ("out.prom", "go"))
    with open(os.path.join(directory, "errors"), "w") as errors:
        service = start([TEXTFILE, "--source", "bpf", "--group-by", "user", "--interval", "100ms",
                         "--output", output], stderr=errors)

    def counted(what):
        return Metrics(read_text(output)).get("proctally_process_%s_total" % what, groupname=group) or 0
    wait_for(lambda: os.path.exists(output), "the first file")
    s = Spawner([shutil.which("sleep"), "0.03"], count, 2, before=["user:%d" % UID, "wait:" + go])
    wait_for(lambda: group in Metrics(read_text(output)).labels_of(), "the spawner to be seen")
    before = counted("starts")
    tracer = inject(service.pid, "bpf", "error=ENOMEM:when=1+31")
    write_text(go, "")
    s.truth()
    stop(tracer)
    check("Cannot allocate memory" in read_text(errors.name), "no collection failed")

    def each_counts():
        check_equal((counted("starts") - before, counted("exits")), (count, count + 1),
                    "starts and exits")
        return True
    wait_for(each_counts, "all of the processes", SOON + 5)


def case_coverage():
    """Of what the host was busy with the groups explain all."""
    if CPU_ROOM > 0.1:
        raise Skipped("in emulation the host's own CPU time is not exact")
    program = steps(temp_dir())
    d = Driver("--group-by", "user", source="bpf")

    def is_covered():
        d.collect()
        spawn([program, "burn:10"], 600, 2)
        ratio = d.collect().self_point.fields["cpu_coverage_ratio"]
        check_near(ratio, 1, "coverage", relative=0.02)
        return True
    # what others do right at an edge, and events that are lost, belong to another interval
    wait_for(is_covered, "an interval that is covered", 40)


MIB = 1 << 20


def case_io():
    """Bytes read and written, to the byte."""
    directory = temp_dir()
    names = writer, reader, nothing = [steps(directory, w) for w in ("w", "r", "n")]
    file = os.path.join(directory, "file-%d")
    count, size = 5, 10 * MIB
    calls = count * size // 65536
    d = Driver(source="bpf")
    # what reading the program itself takes
    spawn([nothing], count)
    written = spawn([writer, "write:%d:%s" % (size, file)], count)
    read = spawn([reader, "read:%d:%s" % (size, file)], count)
    if not written["disk_written"]:
        print("      no storage behind %s" % directory)

    def is_right(points):
        for n in names:
            check_equal(get(points, name_of(n), "exits"), count, "exits of " + name_of(n))
        def more(name, field):
            return get(points, name_of(name), field) - get(points, name_of(nothing), field)
        check_equal(more(writer, "write_bytes"), count * size, "bytes written")
        check_equal(more(writer, "write_count"), calls, "calls of write(2)")
        check_equal(more(reader, "read_bytes"), count * size, "bytes read")
        check_equal(more(reader, "read_count"), calls, "calls of read(2)")
        check_equal(more(writer, "read_bytes"), 0, "bytes read by the writers")
        check_equal(more(reader, "write_bytes"), 0, "bytes written by the readers")
        for name, truth in (writer, written), (reader, read):
            for field, key in ("disk_read_bytes", "disk_read"), ("disk_write_bytes",
                                                                 "disk_written"):
                check_near(get(points, name_of(name), field), truth[key],
                           "%s of %s" % (field, name_of(name)), absolute=65536)
    soon(d, is_right)


# ---- Identity ----------------------------------------------------------------------

def cgroup_root():
    for line in read_text("/proc/self/mounts").splitlines():
        if line.split(" ")[2] == "cgroup2":
            return line.split(" ")[1]
    raise Skipped("there is no unified cgroup hierarchy")


def remove_cgroup(path):
    """As soon as its processes are gone for good."""
    def removed():
        try:
            os.rmdir(path)
        except FileNotFoundError:
            pass
        return True
    wait_for(removed, "the removal of %s" % path)


def make_cgroup(word):
    path = os.path.join(cgroup_root(), unique(word))
    try:
        os.mkdir(path)
    except OSError as e:
        raise Skipped("no right to make a control group: %s" % e)
    later(remove_cgroup, path)
    return path


def check_each(d, truths, count):
    """Each group has the CPU time of its children, of which each burns 50 ms; what a child used
    until it executed its program is not its group's, and in wait4()'s figure."""
    least, room = 0.05 * count, 0.2 * CPU_ROOM * count

    def is_right(points):
        for group, truth in truths.items():
            for what in "starts", "exits":
                check_equal(get(points, group, what), count, "%s of %s" % (what, group))
            found, most = points.cpu(group), truth["cpu"]
            check(least - room <= found <= most + max(room, CPU_ROOM * most), "CPU seconds of %s: "
                  "found %s, of which %s is burnt, expected at most %s" % (group, found, least, most))
    soon(d, is_right)


def case_identity():
    """Who a process was that lived and died between two collections."""
    need_own_root()
    directory = temp_dir()
    x, y, z = (steps(directory, w) for w in "xyz")
    d = Driver(*configured(directory, """
process_names:
  - {name: by-exe, exe: [%s]}
  - {name: by-path, exe: [%s]}
  - {name: by-cmdline, cmdline: ['^%s burn:50 as:(some|thing) with "blanks"$']}
  - {name: "by-{{.Username}}", user: ["%d"]}
  - name: "{{.Comm}} {{.ExeBase}} {{.ExeFull}} {{.Matches.Word}}"
    cmdline: ['as:(?P<Word>[a-z]+)-template$']
group-by: [exe]
""" % (name_of(x), y, z, UID)), source="bpf")
    rest, named = steps(directory), steps(directory, "w")
    truths = {
        "by-exe": spawn([x, "burn:50"], 4),
        "by-path": spawn([y, "burn:50"], 4),
        "by-cmdline": spawn([z, "burn:50", "as:some with \"blanks\""], 4),
        "by-%d" % UID: spawn([rest, "burn:50"], 4, uid=UID),
        "%s %s %s word" % (name_of(named), name_of(named), named):
            spawn([named, "burn:50", "as:word-template"], 4),
    }
    check_each(d, truths, 4)
    # the file itself, not the link
    check(os.path.realpath(rest) in d.points, "no group by file", sorted(d.points))


def case_cgroup():
    """The same by control group and unit, though the group may be gone as well."""
    directory = temp_dir()
    program = steps(directory)
    before, unit, slice_ = make_cgroup("b"), make_cgroup("u") + ".service", make_cgroup("s")
    os.mkdir(unit)
    later(remove_cgroup, unit)
    gone, gone_before = unit.replace(".service", "-gone.service"), make_cgroup("g")
    d = Driver(*configured(directory, """
process_names:
  - {name: by-cgroup, cgroup: [%s]}
  - {name: by-slice, cgroup: ["/%s/*"]}
  - {name: by-unit, unit: [%s]}
  - {name: by-gone, unit: [%s]}
  - {name: by-gone-before, cgroup: [/%s]}
""" % ("/" + name_of(before), name_of(slice_), name_of(unit), name_of(gone),
       name_of(gone_before))), source="bpf")
    truths = {}
    for group, path in (("by-cgroup", before), ("by-slice", os.path.join(slice_, "deep")),
                        ("by-unit", unit), ("by-gone", gone), ("by-gone-before", gone_before)):
        if not os.path.exists(path):
            os.mkdir(path)
            later(remove_cgroup, path)
        truths[group] = spawn([program, "join:" + path, "burn:50"], 4)
        if "gone" in group:
            remove_cgroup(path)
    check_each(d, truths, 4)


def child_of(*command):
    return ["sh", "-c", "%s; :" % " ".join(command)]


def case_children():
    """What a rule took passes on to children that no rule takes, though neither they nor
    who they have it from were ever listed, or are there when it is asked for."""
    directory = temp_dir()
    make = {n: steps(directory, n) for n in ("never", "deep", "orphan", "listed", "forked")}
    child = steps(directory, "c")
    go_on, done = (os.path.join(directory, n) for n in ("go-on", "done-%d"))
    rules = "".join("  - {name: %s, exe: [%s]}\n" % (n, name_of(p)) for n, p in make.items())
    d = Driver(*configured(directory, "children: true\ngroup-by: [user]\nprocess_names:\n" + rules),
               source="bpf")
    # parents that wait until they have been listed
    listed = Spawner([child, "burn:50"], 3, program=make["listed"], before=["wait:" + go_on])
    forked = start([make["forked"], "wait:" + go_on, "orphan", "burn:50",
                    "write:1:" + done.replace("%d", "forked")])
    wait_for(lambda: all(name_of(p) in read_text("/proc/%d/comm" % q.pid) for p, q in (
        (make["listed"], listed.process), (make["forked"], forked))), "the parents")
    d.collect()
    for group in "listed", "forked":
        check_equal(get(d.points, group, "num_procs"), 1, "processes of " + group)

    # at once: their looking whether they may go on is use, too
    write_text(go_on, "")
    truths = {
        "listed": listed.truth(),
        "never": spawn([child, "burn:50"], 3, program=make["never"]),
        "deep": spawn(child_of(child, "burn:50"), 3, program=make["deep"]),
    }
    spawn([child, "orphan", "burn:50", "write:1:" + done], 3, program=make["orphan"])
    for i in (0, 1, 2, "forked"):
        wait_for(lambda: os.path.exists(done.replace("%d", str(i))), "the orphans' ends")
    check_equal(forked.wait(20), 0, "status")
    each = max(0.4 * CPU_ROOM, 2 * cost_of_start())
    processes = {"never": 4, "deep": 7, "listed": 4, "orphan": 7, "forked": 2}

    def is_right(points):
        for group, count in processes.items():
            check_equal(get(points, group, "starts"), count, "starts of " + group)
            check_equal(get(points, group, "exits"), count, "exits of " + group)
        # the start of each program is in wait4()'s figure in part only
        room = {group: each * count for group, count in processes.items()}
        for group, truth in truths.items():
            check_group(points, group, truth["cpu"], absolute=room[group])
        check_near(points.cpu("orphan"), 0.15, "CPU seconds of orphans", absolute=room["orphan"])
        check_near(points.cpu("forked"), 0.05, "CPU seconds of the forked",
                   absolute=room["forked"] + 0.005)
    soon(d, is_right)


class Chain:
    """A process that becomes one program after another, each of a group of its own. Between
    two, it waits until it is told to go on. Each says what has been used when it begins and
    when it is done."""

    def __init__(self, directory, parts, how="exec"):
        self.programs = [steps(directory, "abcdef"[i]) for i in range(len(parts))]
        self.names = [name_of(p) for p in self.programs]
        self.said = os.path.join(directory, unique("cpu"))
        argv, say = [], "cpu:" + self.said
        for program, part in zip(self.programs, parts):
            argv += [how] * bool(argv) + [program, say, *part, say]
        self.process = start(argv)

    def bounds(self):
        """Of each program (least, most) CPU seconds: what the kernel does for an exec may be of
        the one before or the one after. To be called once."""
        _, self.process.returncode, used = os.wait4(self.process.pid, 0)
        check_equal(self.process.returncode, 0, "status of a chain")
        times = [int(line) / 1e9 for line in read_text(self.said).splitlines()]
        begun, done = times[::2], times[1::2]
        ends = begun[1:] + [max(used.ru_utime + used.ru_stime, done[-1])]
        return [(d - b, end - before) for b, d, before, end in zip(begun, done, [0] + done, ends)]


def case_exec():
    """What was used before an exec belongs to the group of before, in all orders of
    executing, collecting and ending."""
    directory = temp_dir()
    d = Driver(source="bpf")
    files = [os.path.join(directory, "go-on-%d" % i) for i in range(3)]
    ready = os.path.join(directory, "ready-%s-%d")
    ms = 200
    burn = "burn:%d" % ms

    def stop_at(i, name):
        return ["write:1:" + ready % (name, i), "wait:" + files[i]]
    chains = {
        "unlisted": Chain(directory, [[burn], [burn], [burn]]),
        "listed first": Chain(directory, [[burn, *stop_at(0, "first"), burn], [burn]]),
        "listed last": Chain(directory, [[burn], [burn, *stop_at(0, "last")]]),
        "listed twice": Chain(directory, [[burn, *stop_at(0, "twice"), burn],
                                          [burn, *stop_at(1, "twice"), burn]]),
        "double": Chain(directory, [[burn, *stop_at(0, "double"), burn], [burn],
                                    [burn, *stop_at(1, "double"), burn]]),
        "by thread": Chain(directory, [[burn], [burn]], "thread-exec"),
        "with threads": Chain(directory, [["threads:2:%d" % (ms // 2), burn], [burn]],
                              "thread-exec"),
        "by thread, listed": Chain(directory, [[burn, *stop_at(0, "thread"), burn],
                                               [burn, *stop_at(1, "thread"), burn]],
                                   "thread-exec"),
    }
    for i, names in enumerate((("first", "last", "twice", "double", "thread"),
                               ("twice", "double", "thread"))):
        for name in names:
            wait_for(lambda: os.path.exists(ready % (name, i)), "%s to be ready" % name)
        d.collect()
        write_text(files[i], "")
    bounds = {name: chain.bounds() for name, chain in chains.items()}
    room = 0.01 + 0.1 * CPU_ROOM

    def is_right(points):
        wrong = []
        for name, chain in chains.items():
            found = [points.cpu(n) for n in chain.names]
            if not all(low - room <= f <= high + room
                       for f, (low, high) in zip(found, bounds[name])):
                wrong.append("%s: found %s, expected %s" % (name, found, bounds[name]))
            for field in "starts", "exits":
                if sum(get(points, n, field) for n in chain.names) != 1:
                    wrong.append("%s: not one of %s: %s" % (name, field, [
                        get(points, n, field) for n in chain.names]))
        check(not wrong, "use before and after an exec", *wrong)
    soon(d, is_right)


LARGE = """
kept = bytearray(b"x") * (150 << 20)
say(ready=True)
wait()
for i in range(%d):
    if os.fork() == 0:
        os.execv(sys.argv[1], [sys.argv[1], "burn:20", sys.argv[2]])
    time.sleep(0.03)
for i in range(%d):
    os.wait()
say(done=True)
wait()
"""


def case_in_exec():
    """Seen in the middle of execve(2), where it has a new name and no arguments yet: it is
    what it was, or not shown yet, and its start is not lost. Giving up the large memory of
    whoever forked it makes that middle last some milliseconds."""
    count, directory = 40, temp_dir()
    child, mark = linked(directory, unique("x"), steps_program()), unique("mark")
    w = Workload(LARGE % (count, count), args=[child, "as:" + mark])
    w.hear()
    rules = """
process_names:
  - {name: parent, cmdline: ['kept = .*%s']}
  - {name: child, cmdline: ['%s$']}
group-by: [%%s]
""" % (mark, mark)
    drivers = [Driver(*configured(directory, rules % keys), source="bpf") for keys in ("name", "")]
    strays = set()
    w.go_on()
    while not w.ready(0.02):
        for d in drivers:
            strays |= {w.name, name_of(child)} & set(d.collect())
    w.hear()

    def each_is_there(points):
        # one that was listed before it executed anything counts where its parent does
        for field in "starts", "exits":
            check_equal(get(points, "child", field) + get(points, "parent", field), count,
                        "%s (strays: %s; %s)" % (field, sorted(strays), points.self_point.fields))
    for d in drivers:
        soon(d, each_is_there)
    check(not strays, "groups that nobody is of", strays)
    w.end()


FILLED = """
say(ready=True)
wait()
for i in range(300):
    if os.fork() == 0:
        os.close(0); os.close(1)
        time.sleep(600)
say(done=True)
wait()
os.kill(0, signal.SIGKILL)
"""


def case_full():
    """What there is no room for is listed all the same, and counts once: its use, its start
    and its end; also one that has never been listed."""
    directory = temp_dir()
    program, short = steps(directory), steps(directory, "s")
    d = Driver("--max-processes", "256", source="bpf")
    w = Workload("import signal" + FILLED)
    w.hear()
    w.go_on()
    w.hear()
    d.collect()
    burner = Spawner([program, "burn:3500"])
    burner.collect(d)
    check(d.points.cpu(name_of(program)) > 1, "nothing of it while it lives", d.points.text)
    truths = {program: burner.truth(), short: spawn([short, "burn:50"], 4)}

    def counts_once(points):
        check_group(points, name_of(program), truths[program]["cpu"], 1, absolute=0.02)
        check_group(points, name_of(short), truths[short]["cpu"], 4, absolute=0.02)
    soon(d, counts_once)
    # it would be taken for gone only now
    time.sleep(16)
    counts_once(d.collect())


def case_more_than_recent():
    """More processes than the programs keep beside the large table, which are listed at any
    moment of their lives: wherever what is known of one is kept, it counts once."""
    directory = temp_dir()
    d = Driver("--max-processes", "1500", source="bpf")
    w = Workload("import signal" + FILLED)
    w.hear()
    truths = {}
    for way in "empty", "filled":
        if way == "filled":
            w.go_on()
            w.hear()
        program = steps(directory, way)
        spawner = Spawner([program, "burn:5"], 200, 4, program=program)
        spawner.collect(d, every=0.005)
        truths[name_of(program)] = spawner.truth()

    def count_once(points):
        for name, truth in truths.items():
            check_group(points, name, truth["cpu"], 201)
            check(get(points, name, "num_procs") == 0, "one of %s is still there" % name)
    soon(d, count_once)
    time.sleep(6)
    count_once(d.collect())


REUSED = """
class Args(ctypes.Structure):
    _fields_ = [(n, ctypes.c_uint64) for n in (
        "flags", "pidfd", "child", "parent", "signal", "stack", "stack_size", "tls", "tids",
        "tid_count", "cgroup")]
def clone(pid):
    wanted = (ctypes.c_int * 1)(pid)
    args = Args(signal=17, tids=ctypes.addressof(wanted), tid_count=1)
    return LIBC.syscall(ctypes.c_long(435), ctypes.byref(args), ctypes.c_size_t(88))
LIBC = ctypes.CDLL(None, use_errno=True)
pid = os.fork()
if pid == 0:
    os._exit(0)
os.waitpid(pid, 0)
time.sleep(0.5)
before = cpu(resource.RUSAGE_CHILDREN)
say(ready=True)
wait()
for i in range(4):
    found = clone(pid)
    if found == 0:
        burn(0.6)
        os._exit(0)
    if found < 0:
        break
    os.waitpid(pid, 0)
say(runs=i + (found >= 0), cpu=cpu(resource.RUSAGE_CHILDREN) - before)
wait()
"""


# Threads that burn at the same time, and then wait until all end at once. sys.argv[1]: how many;
# [2]: with a worker of io_uring beside them, whose start no tracepoint tells. (SQPOLL: it looks
# for work by itself, for a millisecond.)
CROWD = """
count, uring = int(sys.argv[1]), sys.argv[2] == "uring"
done = threading.Barrier(count + 1)
go = threading.Event()
def life():
    go.wait()
    end = time.thread_time() + 0.04
    while time.thread_time() < end:
        pass
    done.wait()
    wait()
for _ in range(count):
    threading.Thread(target=life, daemon=True).start()
if uring:
    params = (ctypes.c_uint32 * 30)()
    params[2], params[4] = 2, 1
    uring = ctypes.CDLL(None).syscall(425, 16, params) >= 0
say(uring=uring, cpu=time.process_time())
wait()
go.set()
done.wait()
say(cpu=time.process_time())
os._exit(0)
"""


def ends_of_crowds(are_older, worker):
    d = None if are_older else Driver(source="bpf")
    crowds = [Workload(CROWD, unique("c"), args=["6", worker]) for _ in range(12)]
    said = {c.name: c.hear() for c in crowds}
    if worker == "uring" and not all(s["uring"] for s in said.values()):
        raise Skipped("no io_uring")
    d = d or Driver(source="bpf")
    d.collect()
    truth, most = {}, {} # most: with what it took to end
    for c in crowds:
        before = said[c.name]["cpu"] if are_older else 0
        c.go_on()
        truth[c.name] = c.hear()["cpu"] - before
        _, c.process.returncode, usage = os.wait4(c.pid, 0)
        most[c.name] = usage.ru_utime + usage.ru_stime - before
        check_equal(c.process.returncode, 0, "status of a crowd")

    def all_is_found():
        d.collect()
        return all(d.points.cpu(n) > t * 0.97 - 0.01 for n, t in truth.items())

    with contextlib.suppress(Failed):
        wait_for(all_is_found, "the CPU time of all", seconds=15, every=0.3)
    check_equal({n: (t, d.points.cpu(n), most[n]) for n, t in truth.items()
                 if not t * 0.97 - 0.01 < d.points.cpu(n) < most[n] * 1.05 + 0.02}, {},
                "crowds whose CPU time is not the truth")
    d.end()


def case_crowds_that_end():
    """The main thread of a process that was there before may be freed before its others."""
    ends_of_crowds(True, "none")


def case_crowds_with_workers():
    """Some threads are not told of when they start."""
    ends_of_crowds(False, "uring")


def case_thread_ends_after_first_listing():
    """What it used is in the listing, and stays in the process."""
    works = [Workload("""
event = threading.Event()
def life():
    burn(0.3)
    say(burnt=True)
    event.wait()
t = threading.Thread(target=life)
t.start()
wait()
event.set()
t.join()
say(ended=True)
wait()
before = cpu()
burn(0.25)
say(cpu=cpu() - before)
wait()
""", unique("t")) for _ in range(4)]
    for w in works:
        w.hear()
    d = Driver(source="bpf")
    for w in works:
        w.go_on()
    for w in works:
        w.hear()
    time.sleep(1)
    before = {w.name: d.collect().cpu(w.name) for w in works}
    for w in works:
        w.go_on()
    truth = {w.name: w.hear()["cpu"] for w in works}
    d.collect()
    for n, t in truth.items():
        check_near(d.points.cpu(n) - before[n], t, "CPU time of the main thread", absolute=0.03)
    d.end()


def case_reused_pid():
    """A process gets the pid of one that has only just ended, whose task may not have been
    freed yet: never does that one count twice."""
    d = Driver(source="bpf")
    w = Workload(REUSED)
    w.hear()
    before = soon(d, lambda points: check(w.name in points, "the workload is not seen"))
    w.go_on()
    while not w.ready(0.1):
        d.collect()
    truth = w.hear()
    if truth["runs"] != 4:
        raise Skipped("no process can be given a pid")

    def each_counts_once(points):
        check_near(points.cpu(w.name) - before.cpu(w.name), truth["cpu"], "CPU seconds",
                   relative=CPU_ROOM, absolute=0.05)
        for field in "starts", "exits":
            check_equal(get(points, w.name, field) - get(before, w.name, field), 4, field)
    soon(d, each_counts_once)
    time.sleep(16)
    each_counts_once(d.collect())
    w.end()


def case_frozen():
    """A frozen process does not run: it is shown as /proc shows it, at once."""
    root = "/sys/fs/cgroup/freezer"
    if not os.path.exists(root + "/cgroup.procs"):
        raise Skipped("there is no freezer of the first version")
    group = os.path.join(root, unique("f"))
    os.mkdir(group)
    later(remove_cgroup, group)
    d, w = Driver(source="bpf"), Workload(SLEEPER)
    w.hear()
    state = os.path.join(group, "freezer.state")
    write_text(os.path.join(group, "cgroup.procs"), str(w.pid))
    for _ in range(3):
        d.collect()
    write_text(state, "FROZEN")
    later(write_text, state, "THAWED")
    wait_for(lambda: "FROZEN\n" == read_text(state), "it to be frozen")
    letter = read_text("/proc/%d/stat" % w.pid).rpartition(")")[2].split()[0]
    fields = d.collect()[w.name].fields
    check_equal((letter, fields["disk_sleep"], fields["running"], fields["sleeping"]),
                ("D", 1, 0, 0), "the state in /proc, and counts of disk_sleep, running, sleeping")
    write_text(state, "THAWED")
    soon(d, lambda points: check_equal(points[w.name].fields["sleeping"], 1, "sleeping"))
    w.end()


def case_done_to_a_sleeper():
    """What others do to a process that sleeps shows in the next collection."""
    d, grouped = Driver(source="bpf"), Driver("--group-by", "cgroup", source="bpf")
    w, group = Workload(SLEEPER), make_cgroup("moved")
    w.hear()
    for _ in range(3):
        d.collect()
        grouped.collect()
    nice = d.points[w.name].fields["nice"]
    name = "/" + os.path.relpath(group, cgroup_root())
    check(name not in grouped.points, "the empty control group is there")
    os.setpriority(os.PRIO_PROCESS, w.pid, nice + 3)
    check_equal(d.collect()[w.name].fields["nice"], nice + 3, "its nice value")
    write_text(os.path.join(group, "cgroup.procs"), str(w.pid))
    check_equal(get(grouped.collect(), name, "num_procs"), 1, "processes in %s" % name)
    w.end()


def case_time_namespace():
    """Where the time since boot is shifted, a process began when ps says it did, and nothing
    else is different."""
    unshare = [need_program("unshare"), "-T", "--boottime", "86400", "--fork", "--kill-child", "--"]
    if run([*unshare, "true"])[0] != 0:
        raise Skipped("no time namespaces")
    program, w = steps(temp_dir()), Workload(SLEEPER)
    w.hear()
    drivers = [Driver(source=s, prefix=unshare) for s in ("bpf", "procfs")]
    began = [d.collect()[w.name].fields["created_at"] for d in drivers]
    check_near(began[0], began[1], "start time", absolute=2e9 * TICK)
    truth = spawn([program, "burn:50"], 4)
    check_each(drivers[0], {name_of(program): truth}, 4)
    for d in drivers:
        d.end()
    w.end()


def case_long_arguments():
    """Of a short process the programs keep 1024 bytes of arguments: if a rule may have asked
    for more, that is counted."""
    program = steps(temp_dir())
    d = Driver(*configured(temp_dir(), """
process_names:
  - {name: last, cmdline: ['^%s as:(x+ as:)?last$']}
""" % program), source="bpf")
    for tries in range(1, 6):
        before = d.points.self_point.fields["cmdlines_cut"]
        spawn([program, "as:" + "x" * 2000, "as:last"], 3)
        spawn([program, "as:last"], 3)

        def are_counted(points):
            check_equal(get(points, "last", "exits"), 3 * tries, "recognized")
            check(points.self_point.fields["cmdlines_cut"] - before >= 3, "cmdlines_cut",
                  points.self_point.fields)
        soon(d, are_counted)
        # that of who spawns them is longer still, and theirs until they execute their own
        if d.points.self_point.fields["cmdlines_cut"] - before <= 5:
            return
    raise Skipped("others with long arguments come and go all the time")


# ---- Beside procfs ---------------------------------------------------------------------

STATE = """
import mmap, signal
def read(path, size):
    with open(path, "rb") as f:
        f.read(size)
def fds(count):
    for i in range(count): os.dup(0)
def threads(stay, end):
    for i in range(end):
        t = threading.Thread(target=burn, args=(0.01,)); t.start(); t.join()
    for i in range(stay):
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
def memory(anon, file, shared):
    global kept
    kept = [bytearray(b"x") * anon, mmap.mmap(-1, shared)]
    kept[1].write(b"x" * shared)
    with open(sys.argv[2], "w+b") as f:
        f.truncate(file)
        kept.append(mmap.mmap(f.fileno(), file, mmap.MAP_PRIVATE, mmap.PROT_READ))
    sum(kept[2][i] for i in range(0, file, 4096))
def zombie():
    if os.fork() == 0:
        set_name(sys.argv[2].encode())
        burn(0.05)
        os._exit(0)
def fork(count):
    for i in range(count):
        if os.fork() == 0:
            os.close(0); os.close(1)
            time.sleep(600)
# Where huge pages are for all, as in Debian's kernels, khugepaged turns what fills three quarters
# of one into a whole one, and a process that sleeps is larger by half a MiB: both sources look
# at that after a minute, each at its own moment.
if ctypes.CDLL(None).prctl(41, 1, 0, 0, 0): # PR_SET_THP_DISABLE
    sys.exit("huge pages can't be kept out")
say(ready=True)
wait()
eval(sys.argv[1])
say(done=True)
wait()
os.kill(0, signal.SIGKILL)
"""

# About the source itself, or what /proc does not have
OF_BPF = ("proctally_lost_events", "proctally_network_")


def of_groups(metrics, groups):
    """The series of these groups: (metric, group, further labels) -> value."""
    found = {}
    for (name, labels), value in metrics.series.items():
        labels = dict(labels)
        if labels.get("name") in groups and not name.startswith(OF_BPF):
            check_equal(labels.pop("groupname"), "%s:%s" % (labels["name"], labels["user"]),
                        "group")
            found[name, labels.pop("name"), tuple(sorted(labels.items()))] = value
    return found


# How much the two may differ. The others are read tick by tick, thread by thread (whose last
# switch is nobody's), or at different moments.
ROOM = {
    "proctally_run_queue_wait_seconds_total": 0.005,
    "proctally_context_switches_total": 8,
    "proctally_start_time_seconds": 2 * TICK,
    "proctally_cpu_usage_ratio": 1,
}


def room_of(series, name, group):
    """For CPU time a tick for each process, when counting begins and when it ends; and a thread
    runs on for a moment after the kernel has added it to its process, which the programs see. An
    emulator may wait in that moment, which counts as use."""
    if name != "proctally_cpu_seconds_total":
        return ROOM.get(name, 0)

    def of_group(metric):
        return sum(v for k, v in series.items() if k[:2] == (metric, group))
    return 2 * TICK * of_group("proctally_processes") + CPU_ROOM * of_group(name)


# of one that was never seen alive
NOT_OF_ZOMBIES = ("proctally_context_switches_total", "proctally_run_queue_wait_seconds_total")


def case_beside_procfs():
    """The same processes, read from /proc and by the programs: all metrics are there in
    both, and are equal."""
    directory = temp_dir()
    proms = [os.path.join(directory, s + ".prom") for s in ("procfs", "bpf")]
    for source, prom in zip(("procfs", "bpf"), proms):
        start([TEXTFILE, "--interval", "1s", "--source", source, "--group-by", "name,user",
               "--output", prom])
    for prom in proms:
        wait_for(lambda: os.path.exists(prom), "the first file")
    read = os.path.join(directory, "some-file")
    write_text(read, "x" * MIB)
    zombie = unique("zombie")
    states = {
        "fds": "fds(300)", "many fds": "fds(9000)", "threads": "threads(8, 5)",
        "memory": "memory(64 << 20, 32 << 20, 16 << 20)", "nice": "os.nice(7)",
        "favoured": "os.nice(-5)", "real time": "os.sched_setscheduler(0, os.SCHED_FIFO, "
                                                "os.sched_param(7))",
        "stopped": "0", "zombie": "zombie()", "several": "fork(3)", "busy": "burn(0.5)",
        "user": "os.setuid(%d)" % UID, "io": "[read(sys.argv[2], 1 << 20) for i in range(20)]",
    }
    workloads = {}
    # before they begin: a limit that was read once is not read again for a while
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limits[1] < 9500:
        raise Skipped("no more than %d descriptors" % limits[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (9500, limits[1]))
    later(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
    for name, what in states.items():
        argument = {"zombie": zombie, "memory": read + "-2"}.get(name, read)
        workloads[name] = Workload(STATE, args=[what, argument])
        workloads[name].hear()
    mine = {w.name for w in workloads.values()}
    kernel = {"kthreadd", "ksoftirqd/0", "migration/0", "rcu_preempt"}
    # What a process used before it executed its program is its parent's here, and its own
    # there: counters are compared from here on.
    begun = [{}, {}]

    def look():
        return [Metrics(read_text(prom)) for prom in proms]

    def note_begin():
        for i, m in enumerate(look()):
            check(mine <= m.labels_of("name"), "not all are there")
            begun[i] = {k: v for k, v in of_groups(m, mine).items() if m.type[k[0]] == "counter"}
        return True

    wait_for(note_begin, "all workloads")
    time.sleep(1.5) # a last look at how they began
    note_begin()
    for w in workloads.values():
        w.go_on()
        w.hear()
    workloads["stopped"].process.send_signal(signal.SIGSTOP)
    later(workloads["stopped"].process.send_signal, signal.SIGCONT)
    seen = {}

    def is_same():
        both = look()
        names = [{n for n in m.type if not n.startswith(OF_BPF)} for m in both]
        check_equal(names[0], names[1], "names of metrics")
        series = [of_groups(m, mine | {zombie} | kernel) for m in both]
        check(zombie in {k[1] for k in series[1]}, "no zombie")
        check(all(one["proctally_states", workloads["stopped"].name,
                      (("state", "stopped"), ("user", "root"))] == 1 for one in series),
              "it has not stopped yet")
        differ = {k for k in set(series[0]) ^ set(series[1])
                  if not (k[1] == zombie and k[0] in NOT_OF_ZOMBIES)}
        check(not differ, "only one of both has", repr(sorted(differ)))
        wrong = []
        for key in sorted(set(series[0]) & set(series[1])):
            name, group, labels = key
            # a kernel thread was there before, and goes on
            if group in kernel and both[0].type[name] == "counter" or \
               group == zombie and name in NOT_OF_ZOMBIES:
                continue
            values = [one[key] - before.get(key, 0) for one, before in zip(series, begun)]
            # what ended threads did since the last look is lost to procfs there
            may_lack = KERNEL < TASKSTATS_IS_WHOLE and group == workloads["threads"].name and \
                name == "proctally_context_switches_total" and values[0] < values[1]
            if abs(values[0] - values[1]) > room_of(series[1], name, group) and not may_lack:
                wrong.append("%s of %s %s: %s, %s" % (
                    name, [n for n, w in workloads.items() if w.name == group] or group, labels,
                    *values))
        check(not wrong, "procfs and bpf differ", *wrong)
        seen.update(series[1])
        return True
    wait_for(is_same, "equal metrics", 30, every=0.5)

    def value(metric, name, **labels):
        group = workloads[name].name if name in workloads else name
        return seen["proctally_" + metric, group, tuple(sorted({**labels, "user": "root"}.items()))]
    # and it is what was to be seen
    check(value("open_fds", "many fds") > 9000, "descriptors")
    check_equal(value("threads", "threads"), 9, "threads")
    check_equal(value("processes", "several"), 4, "processes")
    check_equal(value("nice", "nice"), os.nice(0) + 7, "nice")
    check_equal(value("priority", "real time"), -8, "priority")
    check_equal(value("states", "stopped", state="stopped"), 1, "stopped")
    check_equal(value("states", zombie, state="zombie"), 1, "zombies")
    check_near(value("memory_rss_bytes", "memory"), 120 * MIB, "memory", absolute=16 * MIB)
    check_near(value("memory_footprint_bytes", "memory"), 70 * MIB, "footprint", absolute=8 * MIB)


# ---- Restart ----------------------------------------------------------------------------

RESTARTED = """
say(cpu=cpu(), children=cpu(resource.RUSAGE_CHILDREN))
while wait():
    burn(0.3)
    for i in range(3):
        if os.fork() == 0:
            burn(0.05)
            open("/dev/zero", "rb", buffering=0).read(1 << 20)
            os._exit(0)
        os.wait()
    say(cpu=cpu(), children=cpu(resource.RUSAGE_CHILDREN))
"""


def case_restart():
    """Killed, and started again with its state, by the same source or the other one:
    nothing falls, nothing is counted twice."""
    directory = temp_dir()
    for i, (before, after) in enumerate((("bpf", "bpf"), ("bpf", "procfs"), ("procfs", "bpf"))):
        what = "%s, then %s: " % (before, after)
        state = os.path.join(directory, "state-%d" % i)
        d = Driver("--state-file", state, source=before)
        w = Workload(RESTARTED)
        w.hear()

        def work():
            w.go_on()
            used = w.hear()
            return used["cpu"], used["children"]

        def check_use(points, least, most, rounds):
            found = points.cpu(w.name)
            # /proc cuts four sums to ticks: user, system, and both of the children
            check(least * 0.99 - 4 * TICK <= found <= most * 1.01 + 4 * TICK, what +
                  "CPU seconds: found %s, expected from %s to %s" % (found, least, most))
            found = get(points, w.name, "read_bytes")
            check(found < rounds * 3 * MIB + MIB, what + "bytes read: %d" % found)
        work()
        own, children = work()
        points = soon(d, lambda p: check_use(p, own + children, own + children, 2))
        check(get(points, w.name, "read_bytes") >= 6 * MIB, what + "bytes read", points.text)
        d.process.kill()
        d.process.wait()
        own_between, children_between = work() # nobody looks
        d = Driver("--state-file", state, source=after)
        check_never_falls(points.counters(), d.points.counters(), what)
        # what short children did meanwhile can't be known by the programs, which were gone
        check_use(d.points, own_between + children, own_between + children_between, 3)
        lost = own_between + children_between - d.points.cpu(w.name)
        own, children = work()
        points = soon(d, lambda p: check_use(p, own + children - lost, own + children - lost, 4))
        w.end()
        soon(d, lambda p: check_equal(get(p, w.name, "num_procs"), 0, what + "processes"))
        points = soon(d, lambda p: check_near(
            get(p, w.name, "exits"), get(p, w.name, "starts"), what + "exits, starts"))
        # the three children of each round but those that nobody saw
        check_near(get(points, w.name, "starts"), 10 if "bpf" == before == after else 1,
                   what + "starts", absolute=0 if "bpf" == before == after else 9)
        d.end()


CHURN = """i=0
while [ -e "$1" ]; do "$2"; i=$((i + 1)); done
echo $i"""


def case_reload():
    """What comes and goes while the programs are loaded anew is counted, and once. (Before the
    old ones looked once more when the new ones were there, nothing of that time was.)"""
    directory = temp_dir()
    conf = write_text(os.path.join(directory, "conf"), "# none\n")
    going_on = write_text(os.path.join(directory, "going-on"), "")
    short = linked(directory, unique("short"), steps_program())
    d = Driver("--config", conf, source="bpf")
    write_text(conf, "collect: [thread-names]\n")
    os.utime(conf, (1, 1)) # nobody is writing it any more
    churn = start(["sh", "-c", CHURN, "sh", going_on, short], stdout=subprocess.PIPE)
    d.collect()
    check("has been read again" in d.errors(), "no reload", d.errors())
    os.unlink(going_on)
    count = int(churn.stdout.read())

    def check_count(points):
        for what in ("starts", "exits"):
            found = get(points, name_of(short), what)
            check(count * 0.7 <= found <= count, "%s: found %d of %d" % (what, found, count))
    soon(d, check_count)
    time.sleep(1)
    check_count(d.collect())
    print("      %d of %d, lost_events is %d" % (get(d.points, name_of(short), "exits"), count,
                                                 d.points.self_point.fields["lost_events"]))
    d.end()


# ---- Without it ---------------------------------------------------------------------------

WITHOUT = ["--bounding-set=-bpf,-perfmon,-sys_admin", "--inh-caps=-bpf,-perfmon,-sys_admin", "--"]


def fallbacks():
    setpriv = need_program("setpriv")
    yield "without rights", [setpriv, *WITHOUT], "CAP_BPF and CAP_PERFMON"
    yield "as nobody", as_nobody(), "CAP_BPF and CAP_PERFMON"
    yield "in a pid namespace", ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"], \
        "this is not the host's pid namespace"
    yield "root of a user namespace", ["unshare", "--user", "--map-root-user"], \
        "this is not the host's user namespace"
    if not can_mount():
        return
    mounted = ["unshare", "-m", "sh", "-c"]
    yield "without type information", \
        [*mounted, 'mount -t tmpfs none /sys/kernel/btf && exec "$@"', "-"], \
        "the kernel has no type information"
    cut = os.path.join(temp_dir(), "cut")
    with open("/sys/kernel/btf/vmlinux", "rb") as types, open(cut, "wb") as f:
        f.write(types.read(1000000))
    yield "with cut type information", \
        [*mounted, 'mount --bind %s /sys/kernel/btf/vmlinux && exec "$@"' % cut, "-"], \
        "is damaged"


def check_holds_nothing(driver, what):
    """Neither something in the kernel, nor more descriptors with each collection."""
    before = os.listdir("/proc/%d/fd" % driver.process.pid)
    for _ in range(3):
        driver.collect()
    check_equal(os.listdir("/proc/%d/fd" % driver.process.pid), before, what + ": descriptors")
    check_equal(bpf_ids(driver.process.pid), set(), what + ": what it holds in the kernel")


BURNER = """
say(pid=os.getpid())
wait()
before = cpu()
burn(0.3)
say(used=cpu() - before)
wait()
"""


def case_fallback():
    """Where it can't be used, auto reads /proc and says so once; if nothing else will do,
    that is an error, and it goes on trying."""
    need_own_root()
    directory = temp_dir()
    binary = shutil.copy(TELEGRAF, directory)
    w = Workload(SLEEPER)
    w.hear()
    for what, prefix, why in fallbacks():
        d = Driver(source="auto", prefix=prefix, binary=binary)
        for _ in range(2):
            d.collect()
        fields = d.points.self_point.fields
        check_equal((fields["source_procfs"], fields["source_bpf"]), (1, 0), what + ": source")
        check("lost_events" not in fields, what + ": lost_events", fields)
        lines = [l for l in d.errors().splitlines() if "bpf" in l.lower()]
        check(len(lines) == 1 and why in lines[0] and lines[0].startswith("W! "), what +
              ": expected one line that says why", d.errors())
        if "pid" in what:
            check(w.name not in d.points, what + ": sees the host's processes")
        else:
            check_equal(get(d.points, w.name, "num_procs"), 1, what + ": processes")
            check_holds_nothing(d, what)
            burner = Workload(BURNER)
            burner.hear()
            before = d.collect().cpu(burner.name)
            burner.go_on()
            used = burner.hear()["used"]
            check_near(d.collect().cpu(burner.name) - before, used, what + ": CPU seconds",
                       relative=CPU_ROOM, absolute=3 * TICK)
            burner.end()
        d.end()

        d = Driver(source="bpf", prefix=prefix, binary=binary, first=False)
        for _ in range(3):
            d.process.stdin.write(b"\n")
            d.process.stdin.flush()
            time.sleep(0.1)
        wait_for(lambda: d.errors().count("\n") > 0, "an error")
        check(d.process.poll() is None, what + ": it gave up", d.errors())
        lines = [l for l in d.errors().splitlines() if not l.startswith("W! ")]
        check(len(lines) == 1 and lines[0].startswith("E! source bpf can't be used: ") and
              why in lines[0], what + ": expected one error that says why", d.errors())
        d.end()
    w.end()
    status, out, err = run([*next(fallbacks())[1], binary, "--once", "--source", "bpf"])
    check_equal((status, out, err.count("\n")), (1, "", 1), "--once (%s)" % err)


def case_protect_proc():
    """/proc as systemd's ProtectProc=invisible has it: without the rights for the programs what
    can be seen is counted, and what not is said; with them nobody is hidden."""
    need_mounts()
    hidden = ["unshare", "-m", "sh", "-c",
              'mount -t proc -o hidepid=invisible proc /proc && exec "$@"', "-"]
    binary = shutil.copy(TELEGRAF, temp_dir())
    own, roots = Workload(BURNER, prefix=as_nobody()), Workload(BURNER)
    own.hear(), roots.hear()
    poor = Driver(source="auto", prefix=[*hidden, *as_nobody()], binary=binary)
    caps = "-all,+bpf,+perfmon,+net_admin,+dac_read_search"
    rich = Driver(source="auto", binary=binary, prefix=[
        *hidden, need_program("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups",
        "--inh-caps=" + caps, "--ambient-caps=" + caps, "--bounding-set=" + caps, "--"])
    before = {(d, w): d.collect().cpu(w.name) for d in (poor, rich) for w in (own, roots)}
    used = {}
    for w in (own, roots):
        w.go_on()
        used[w] = w.hear()["used"]
    for d, w in ((poor, own), (rich, own), (rich, roots)):
        check_near(d.collect().cpu(w.name) - before[d, w], used[w], "CPU seconds of %s" % w.name,
                   relative=CPU_ROOM, absolute=3 * TICK)
        check_equal(get(d.points, w.name, "num_procs"), 1, "processes")
        check(get(d.points, w.name, "memory_rss") > 1 << 20, "no memory")
    check(roots.name not in poor.points, "a hidden process is counted")
    fields = poor.points.self_point.fields
    check_equal((fields["source_procfs"], fields["partial_visibility"]), (1, 1),
                "source, and what it says of itself")
    fields = rich.points.self_point.fields
    check_equal((fields["source_bpf"], fields["partial_visibility"]), (1, 0),
                "source, and what it says of itself, with the rights")
    check_holds_nothing(poor, "ProtectProc")
    lines = poor.errors().splitlines()
    check_equal((len(lines), sum("not source bpf: it needs root, or CAP_BPF and CAP_PERFMON" in l
                                 for l in lines), sum("hidepid" in l for l in lines)), (2, 1, 1),
                "lines that it said (%s)" % lines)
    check("source bpf" not in rich.errors() and "hidepid" not in rich.errors(),
          "what it says with the rights", rich.errors())
    for one in (poor, rich, own, roots):
        one.end()


def case_only_v1():
    """Without a unified hierarchy all but the traffic is there, and a line says why."""
    need_mounts()
    alone = ["unshare", "-m", "sh", "-c",
             "while m=$(awk '$3 == \"cgroup2\" { print $2; exit }' /proc/self/mounts) && "
             '[ "$m" ]; do umount -l "$m" || exit; done; exec "$@"', "-"]
    w = Workload(BURNER)
    w.hear()
    d = Driver("--group-by", "name,cgroup", source="auto", prefix=alone)
    every = Driver("--group-by", "name,cgroup", source="procfs", prefix=alone)
    name = [g for g in every.points if g.startswith(w.name + ":")]
    check_equal([g for g in d.points if g.startswith(w.name + ":")], name, "its group")
    before = d.points.cpu(*name)
    w.go_on()
    used = w.hear()["used"]
    check_near(d.collect().cpu(*name) - before, used, "CPU seconds", relative=CPU_ROOM,
               absolute=3 * TICK)
    check_equal(d.points.self_point.fields["source_bpf"], 1, "source bpf")
    check(not [f for f in d.points[name[0]].fields if f.startswith("net_")], "there is traffic",
          d.points[name[0]].fields)
    check_equal(d.errors(), "W! network traffic is not counted: there is no unified cgroup "
                "hierarchy\n", "what it says")
    for one in (d, every, w):
        one.end()


def bpf_ids(pid):
    """(kind, id) of what the process holds in the kernel."""
    ids = set()
    for fd in os.listdir("/proc/%d/fdinfo" % pid):
        with contextlib.suppress(OSError):
            for line in read_text("/proc/%d/fdinfo/%s" % (pid, fd)).splitlines():
                kind, _, value = line.partition(":")
                if kind in ("prog_id", "map_id", "link_id"):
                    ids.add((kind[:-3], int(value)))
    return ids


def case_nothing_stays():
    """Killed, it leaves nothing in the kernel."""
    bpftool = need_program("bpftool")

    def in_kernel():
        found = set()
        for kind in "prog", "map", "link":
            status, out, err = run([bpftool, "-j", kind, "list"])
            check_equal(status, 0, "status of bpftool (%s)" % err)
            found |= {(kind, one["id"]) for one in json.loads(out)}
        return found
    d = Driver(source="bpf")
    ids = bpf_ids(d.process.pid)
    check({kind for kind, _ in ids} == {"prog", "map", "link"}, "what it holds", repr(ids))
    check(ids <= in_kernel(), "what it holds is not listed")
    d.process.kill()
    d.process.wait()
    wait_for(lambda: not ids & in_kernel(), "the end of all that it had", 20)


def anonymous_memory(pid):
    for line in read_text("/proc/%d/status" % pid).splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) << 10
    raise Failed("no RssAnon")


def without_huge_pages():
    """For a process to come: how much it has is what it asked for. Where they are for all, as in
    Debian's kernels, the heap is larger by up to 2 MiB as soon as it was that large once."""
    LIBC.prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)


def case_memory_is_given_back():
    """What loading takes, and what a listing in full takes, is not kept."""
    fork = "for _ in range(2000):\n if os.fork() == 0: wait(); os._exit(0)\nsay()\nwait()"
    w = Workload(fork)
    w.hear()
    used = {}
    for source in "procfs", "bpf":
        d = Driver(source=source, preexec_fn=without_huge_pages)
        for _ in range(3):
            d.collect()
        used[source] = anonymous_memory(d.process.pid)
        if source == "bpf":
            held = [os.readlink("/proc/%d/fd/%s" % (d.process.pid, fd))
                    for fd in os.listdir("/proc/%d/fd" % d.process.pid)]
            check(held.count("anon_inode:bpf-prog") <= 2, "programs held by themselves", held)
        d.end()
    w.end()
    print("      %d KB with procfs, %d with bpf" % (used["procfs"] >> 10, used["bpf"] >> 10))
    check(used["bpf"] - used["procfs"] < 1000 << 10, "memory with source bpf", used)


def case_failed_collection():
    """What the kernel refuses is said once, without blaming /proc; then it goes on."""
    d = Driver(source="bpf")
    tracer = inject(d.process.pid, "bpf", "error=EMFILE")
    for _ in range(2):
        d.process.stdin.write(b"\n")
        d.process.stdin.flush()
        time.sleep(0.2)
    wait_for(lambda: "collect" in d.errors(), "an error", 20)
    stop(tracer)
    d.collect()
    lines = [l for l in d.errors().splitlines() if not l.startswith("W! ")]
    check_equal(lines, ["E! cannot collect: Too many open files", "I! collecting works again"],
                "what it says")
    d.end()


# ---- Bounds -------------------------------------------------------------------------------

UNIQUE = int(os.environ.get("UNIQUE") or 20000)


def memory_of(pid):
    for line in read_text("/proc/%d/status" % pid).splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    return 0


def case_bounded():
    """More command lines between two collections than there is room for: their use is
    counted all the same, and how many were not recognized is told."""
    directory = temp_dir()
    program = steps(directory, "u")
    name = name_of(program)
    d = Driver(*configured(directory, """
process_names:
  - {name: recognized, cmdline: ['^%s as:u-[0-9]+-u$']}
""" % program), source="bpf")
    truth = spawn([program, "as:u-%d-u"], UNIQUE, 2, program=program)

    def is_right(points):
        for field in "starts", "exits":
            check_equal(get(points, "recognized", field) + get(points, name, field), UNIQUE + 1,
                        field)
        check_near(points.cpu("recognized", name), truth["cpu"], "CPU seconds", relative=CPU_ROOM)
        missed = get(points, name, "exits") - 1
        lost = points.self_point.fields["lost_events"]
        check(missed <= lost, "%d were not recognized, of which only %d are told" % (missed, lost))
    points = soon(d, is_right)
    print("      %d of %d recognized, lost_events is %d, proctally took %d KiB" % (
        get(points, "recognized", "exits"), UNIQUE, points.self_point.fields["lost_events"],
        memory_of(d.process.pid) >> 10))
    check(memory_of(d.process.pid) < 64 * MIB, "memory", memory_of(d.process.pid))


def can_be_used():
    """Why it can't, if so."""
    if not is_root():
        return "not root"
    status, out, err = run([TELEGRAF, "--once", "--source", "bpf"])
    return None if status == 0 else err.strip() or "it fails"


if __name__ == "__main__":
    why_not = can_be_used()
    if why_not:
        skip_all(why_not)
    run_cases(sys.modules[__name__])
