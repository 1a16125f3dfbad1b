#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 900
# aside
"""The Python package: a wheel of this build, its own tests on each Python there is, types, an
sdist that needs a compiler and make only, and one over the installed library.

PYTHONS names further interpreters than those on PATH."""
import glob
import sys
import sysconfig

from common import *

TMP = os.environ.get("TMP") or tempfile.mkdtemp()
PACKAGE = os.path.join(SRC, "plugins/python")
TOOLS = ["setuptools>=77", "cffi>=1.17", "pytest", "hypothesis", "mypy", "pandas", "matplotlib",
         "pyarrow"]


def run(*command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", **{"cwd": TMP, "timeout": 600, **options})
    check(done.returncode == 0, "%s: status %d" % (" ".join(command), done.returncode),
          done.stdout[-6000:])
    return done.stdout


def environment(name, python, packages):
    """A virtual environment, and its interpreter."""
    path = os.path.join(TMP, name)
    done = subprocess.run([python, "-m", "venv", path], capture_output=True, text=True)
    if done.returncode != 0:
        raise Skipped("%s makes no virtual environment (Debian: python3-venv)" % python)
    own = os.path.join(path, "bin/python")
    done = subprocess.run([own, "-m", "pip", "install", "-q", "--no-compile", *packages], capture_output=True,
                          text=True)
    if done.returncode != 0:
        raise Skipped("pip gets no packages here: " + done.stderr.strip().splitlines()[-1])
    return own


def copy_of_package(name):
    """setuptools writes beside the sources."""
    path = os.path.join(TMP, name)
    shutil.copytree(PACKAGE, path, ignore=shutil.ignore_patterns(
        "*.egg-info", "bin", "*.so", "__pycache__", ".*", "*.whl"))
    return path


def pythons():
    found = {}
    for one in os.environ.get("PYTHONS", "").split() + sorted(
            path for place in os.environ["PATH"].split(":")
            for path in glob.glob(os.path.join(place, "python3.[0-9]*"))
            if re.search(r"/python3\.[0-9]+$", path)):
        done = subprocess.run([one, "-c", "import sys, venv, ensurepip; print(*sys.version_info[:2])"],
                              capture_output=True, text=True)
        if done.returncode == 0:
            found.setdefault(tuple(map(int, done.stdout.split())), one)
    found.pop(sys.version_info[:2], None)
    return [("venv-%d.%d" % version, found[version]) for version in sorted(found) if version >= (3, 10)]


state = {}


def the_environment():
    if "python" not in state:
        if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
            raise Skipped("Python.h is missing (Debian: python3-dev)")
        if sys.version_info < (3, 10):
            raise Skipped("this Python is older than 3.10")
        state["python"] = environment("venv", sys.executable, TOOLS)
    return state["python"]


def case_wheel():
    python = the_environment()
    env = dict(os.environ, PROCTALLY_BUILD=BUILD, PROCTALLY_SOURCE=SRC)
    run(python, "-m", "pip", "wheel", "-q", "--no-build-isolation", "--no-deps", "-w", TMP,
        copy_of_package("package"), env=env)
    [wheel] = glob.glob(TMP + "/proctally-*-cp310-abi3-*.whl")
    run(python, "-m", "pip", "install", "-q", "--no-deps", wheel)
    state["wheel"] = wheel
    program = os.path.join(os.path.dirname(python), "proctally")
    check_equal(run(program, "--version"), run(COMMAND, "--version"), "the program on PATH")
    check_equal(os.listdir(PACKAGE).count("build"), 0, "nothing is written beside the sources")


def case_own_tests():
    check("wheel" in state, "there is a wheel")
    print(run(state["python"], "-m", "pytest", "-q", "-p", "no:cacheprovider",
              "-o", "faulthandler_timeout=120", PACKAGE + "/tests")[-300:])


def case_types():
    check("wheel" in state, "there is a wheel")
    configuration = PACKAGE + "/pyproject.toml"
    run(state["python"], "-m", "mypy", "--config-file", configuration, "--cache-dir", TMP + "/mypy",
        "-p", "proctally")
    run(os.path.join(os.path.dirname(state["python"]), "stubtest"), "--mypy-config-file",
        configuration, "proctally")
    # and of a program that uses it
    program = os.path.join(TMP, "typed.py")
    with open(program, "w") as file:
        file.write("import proctally\n"
                   "code, monitor = proctally.execute_with_monitoring(['true'])\n"
                   "reveal_type((code, monitor.summary.cpu_s))\n"
                   "@proctally.profile\n"
                   "def work(n: int) -> str: return str(n)\n"
                   "reveal_type(work(3))\n"
                   "reveal_type(proctally.Collector().collect().groups['x']['cpu_user'])\n")
    found = run(state["python"], "-m", "mypy", "--strict", "--cache-dir", TMP + "/mypy", program)
    for type_ in ("tuple[int, float | None]", "tuple[str, list[dict[str, Any]]]", "int | float"):
        check('"%s"' % type_ in found.replace("builtins.", "").replace("typing.", ""), type_, found)


def case_other_pythons():
    """From the same wheel."""
    check("wheel" in state, "there is a wheel")
    others = pythons()
    for name, other in others:
        python = environment(name, other, ["pytest", state["wheel"]])
        run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not 10000 and not 500",
            *(PACKAGE + "/tests/test_%s.py" % n for n in ("collecting", "profiling", "robust")))
        print("ok on", run(python, "--version").strip())
    if not others:
        raise Skipped("there is no other Python from 3.10 on")


def case_sdist():
    """Needs neither autoconf nor uthash nor pkg-config."""
    python = the_environment()
    source = os.path.join(TMP, "source")
    run("sh", os.path.join(SRC, "tests/copy-sources.sh"), source, env=dict(os.environ, TMPDIR=TMP))
    run(python, "setup.py", "-q", "sdist", "-d", TMP, cwd=os.path.join(source, "plugins/python"))
    [sdist] = glob.glob(TMP + "/proctally-*.tar.gz")
    names = run("tar", "-tzf", sdist)
    for name in ("c/configure", "c/bundled/uthash.h", "c/core/proctally.h", "tests/data/run.jsonl"):
        check("/%s\n" % name in names, name + " is in the sdist")
    check("/bin/" not in names and "/c/tests/" not in names, "and nothing else", names)
    few = os.path.join(TMP, "few")
    os.mkdir(few)
    for tool in ("sh cc gcc make ar ld as nm strip objcopy ranlib sed grep egrep awk gawk mawk cat rm mv cp "
                 "ln mkdir rmdir chmod touch sort tr uname expr ls test install basename dirname "
                 "date sleep od head tail wc cmp diff hostname env true false printf echo file cut "
                 "uniq mktemp find xargs tar gzip").split():
        if shutil.which(tool):
            os.symlink(shutil.which(tool), os.path.join(few, tool))
    target = os.path.join(TMP, "from-sdist")
    run(python, "-m", "pip", "install", "-q", "--no-build-isolation", "--no-deps", "--target",
        target, sdist, env={"PATH": few, "HOME": TMP})
    print(run(python, "-c", "import proctally as p\n"
              "assert %r in p.__file__\n" % target +
              "code, m = p.execute_with_monitoring(['sh', '-c', 'exit 3'])\n"
              "assert code == 3 and m.summary.exit_code == 3\n"
              "rules = [{'name': 'pythons', 'comm': ['python', 'python3', 'python3.%d']}]\n"
              "assert p.Collector(rules=rules, source='procfs').collect().groups\n"
              % sys.version_info[1], env=dict(os.environ, PYTHONPATH=target)))


def case_installed_library():
    """PROCTALLY_USE_SYSTEM=1: nothing is built but the module."""
    python = the_environment()
    prefix = os.path.join(TMP, "prefix")
    for place in ("lib/pkgconfig", "include", "bin"):
        os.makedirs(os.path.join(prefix, place))
    for library in glob.glob(BUILD + "/core/.libs/libproctally.so*"):
        shutil.copy2(library, prefix + "/lib", follow_symlinks=False)
    shutil.copy2(SRC + "/core/proctally.h", prefix + "/include")
    shutil.copy2(COMMAND, prefix + "/bin")
    with open(BUILD + "/core/proctally.pc") as pc:
        text = re.sub(r"(?m)^(prefix|exec_prefix|libdir|includedir)=.*$", lambda m: "%s=%s" % (
            m.group(1), {"libdir": prefix + "/lib", "includedir": prefix + "/include"}.get(
                m.group(1), prefix)), pc.read())
    with open(prefix + "/lib/pkgconfig/proctally.pc", "w") as pc:
        pc.write(text)
    target = os.path.join(TMP, "over-installed")
    run(python, "-m", "pip", "install", "-q", "--no-build-isolation", "--no-deps", "--target",
        target, copy_of_package("package-system"),
        env=dict(os.environ, PROCTALLY_USE_SYSTEM="1", PROCTALLY_SOURCE=SRC,
                 PKG_CONFIG_PATH=prefix + "/lib/pkgconfig"))
    found = run(python, "-c", "import proctally, proctally._program as p\n"
                "print(p.path(), proctally.execute_with_monitoring('true')[0])\n"
                "print(open('/proc/self/maps').read())\n",
                env=dict(os.environ, PYTHONPATH=target))
    check_equal(found.split()[:2], [prefix + "/bin/proctally", "0"], "the program")
    check(prefix + "/lib/libproctally.so" in found, "the library is the installed one", found)
    check(not os.path.exists(target + "/bin/proctally"), "no second program")


if __name__ == "__main__":
    if sys.platform != "linux":
        skip_all("Linux only")
    run_cases(sys.modules[__name__])
