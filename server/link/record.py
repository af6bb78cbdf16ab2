#!/usr/bin/env python3
"""Records which functions exporters run, for the layout of the binary (server/build.rs).

usage: server/link/record.py PATH-OF-A-RELEASE-BINARY > server/link/exporters.txt

Each exporter is started under valgrind and scraped; every function that ran is listed. Needs
valgrind, nm, and servers to scrape: REDIS_ADDR (host:port) and DATA_SOURCE_NAME say where. A list
of another version of the program does no harm: names that are gone match nothing.
"""

import bisect
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

PORT = 19300
SCRAPES = 4
EXPORTERS = {
    # rustix reads the auxiliary vector in a way that valgrind cannot show it.
    "node-exporter": [f"--web.listen-address=127.0.0.1:{PORT}", "--no-collector.sockstat"],
    "redis-exporter": [f"-web.listen-address=127.0.0.1:{PORT}"],
    "postgres-exporter": [f"--web.listen-address=127.0.0.1:{PORT}"],
}
# What valgrind does not see: the collector left out above, and what runs only when threads meet.
BESIDE = [
    "*exporters7metrics4node8sockstat*",
    "*rustix7backend5param4auxv*",
    "*std3sys4sync5mutex5futexNtB*_5Mutex14lock_contended",
    "_rjem_je_arena_migrate",
    "_rjem_je_arena_do_deferred_work",
    "_rjem_je_malloc_mutex_lock_slow",
]


def symbols(binary):
    """Addresses, sizes and names of functions, by address. One piece of code may have several
    names: equal functions are merged, and only the linker knows by which it goes."""
    listed = subprocess.run(
        ["nm", "-S", "--defined-only", binary], capture_output=True, text=True, check=True
    )
    rows = (line.split() for line in listed.stdout.splitlines())
    found = {}
    for r in rows:
        if len(r) == 4 and r[2] in "tTwW":
            size, names = found.setdefault(int(r[0], 16), (int(r[1], 16), []))
            names.append(r[3])
    return sorted((address, size, names) for address, (size, names) in found.items())


def addresses(profile, binary):
    """Addresses of instructions of `binary` that a callgrind profile holds."""
    objects, current, last, found = {}, None, 0, set()
    for line in open(profile):
        if m := re.match(r"(c?)ob=\((\d+)\)(?: (.*))?", line.strip()):
            if m.group(3):
                objects[m.group(2)] = m.group(3)
            if not m.group(1):
                current = objects[m.group(2)]
        elif m := re.match(r"(0x[0-9a-f]+|[+-]\d+|\*) ", line):
            word = m.group(1)
            if word != "*":
                last = int(word, 16) if word.startswith("0x") else last + int(word)
            if current and os.path.realpath(current) == binary:
                found.add(last)
    return found


def pattern(name):
    """The symbol without what changes with the compiler and the versions of crates."""
    name = re.sub(r"Cs[0-9A-Za-z]{6,14}_(?=\d)", "Cs*_", name)
    return re.sub(r"\.llvm\.\d+$", ".llvm.*", name)


def run(binary, verb, flags, profile):
    """Starts an exporter under valgrind, scrapes it, stops it."""
    tool = ["valgrind", "--tool=callgrind", "--dump-instr=yes", f"--callgrind-out-file={profile}"]
    child = subprocess.Popen(tool + [binary, verb] + flags, stderr=subprocess.DEVNULL)
    try:
        done, deadline = 0, time.monotonic() + 120
        while done < SCRAPES:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{PORT}/metrics", timeout=60).read()
                done += 1
            except OSError:
                if child.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"{verb} did not answer under valgrind")
                time.sleep(0.5)
    finally:
        child.terminate()
        child.wait()


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for needed in ("REDIS_ADDR", "DATA_SOURCE_NAME"):
        if not os.environ.get(needed):
            sys.exit(f"{needed} is not set: both servers are needed for a whole list")
    binary = os.path.realpath(sys.argv[1])
    table = symbols(binary)
    starts = [row[0] for row in table]
    users = {name: set(EXPORTERS) for name in BESIDE}
    for verb, flags in EXPORTERS.items():
        with tempfile.TemporaryDirectory() as folder:
            profile = os.path.join(folder, "profile")
            run(binary, verb, flags, profile)
            seen = addresses(profile, binary)
        inside = 0
        for a in seen:
            i = bisect.bisect_right(starts, a) - 1
            if i >= 0 and a < starts[i] + table[i][1]:
                inside += 1
                for name in map(pattern, table[i][2]):
                    users.setdefault(name, set()).add(verb)
        print(f"{verb}: {len(seen)} instructions, {inside} in known functions", file=sys.stderr)
    print("# Functions that exporters run, as patterns of symbols. Written by server/link/record.py.")
    # What all of them run first, then what each runs alone: none has the others' code in between.
    print("\n".join(sorted(users, key=lambda name: (-len(users[name]), sorted(users[name]), name))))


if __name__ == "__main__":
    main()
