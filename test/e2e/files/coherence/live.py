"""
Files that are being written when the daemon is killed. `live.py write` writes in the working directory, prints what it
sees as JSON, and waits with all open until its input ends; `live.py look` prints what is there.
"""
import json
import mmap
import os
import sys

PAGE = mmap.PAGESIZE
LONG_AGO = 1_000_000_000 * 10**9
NAMES = ["appended", "overwritten", "emptied", "truncated", "grown", "mapped", "made", "linked", "other", "renamed"]


def look():
    told = {}
    for name in NAMES:
        first = os.stat(name)
        with open(name, "rb") as file:
            data = file.read()
        st = os.stat(name)
        assert (st.st_mtime_ns, st.st_ctime_ns, st.st_size) == (first.st_mtime_ns, first.st_ctime_ns, first.st_size)
        told[name] = {
            "size": st.st_size, "read": len(data), "sum": sum(data), "nlink": st.st_nlink,
            "mtime": st.st_mtime_ns, "ctime": st.st_ctime_ns,
        }
    return told


def old_file(name, length):
    with open(name, "wb") as file:
        file.write(b"o" * length)
    os.utime(name, ns=(LONG_AGO, LONG_AGO))
    os.stat(name)
    return os.open(name, os.O_RDWR)


def write():
    fd = old_file("appended", 10)
    os.pwrite(fd, b"n" * 5000, 10)
    fd = old_file("overwritten", 5000)
    os.pwrite(fd, b"n" * 100, 1000)
    old_file("emptied", 5000)
    os.open("emptied", os.O_WRONLY | os.O_TRUNC)
    fd = old_file("truncated", 5000)
    os.ftruncate(fd, 1234)
    fd = old_file("grown", 100)
    os.posix_fallocate(fd, 0, 10_000)
    fd = old_file("mapped", 2 * PAGE)
    mapping = mmap.mmap(fd, 2 * PAGE)
    os.close(fd)
    mapping[PAGE : PAGE + 3] = b"new"
    mapping.flush()
    fd = os.open("made", os.O_CREAT | os.O_WRONLY, 0o644)
    os.write(fd, b"n" * 777)
    fd = old_file("linked", 10)
    os.link("linked", "other")
    os.pwrite(fd, b"n" * 20, 0)
    fd = old_file("before", 10)
    os.pwrite(fd, b"n" * 30, 0)
    os.rename("before", "renamed")
    print(json.dumps(look()), flush=True)
    sys.stdin.read()


if sys.argv[1] == "write":
    write()
else:
    print(json.dumps(look()))
