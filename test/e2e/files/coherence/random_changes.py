"""
Random changes by one process, under the looks of another: `random_changes.py change DIRECTORY SEED COUNT` prints what the
other sees in the end, with all that the kernel has kept; `random_changes.py look DIRECTORY` what is there for a kernel
that knows nothing yet.
"""
import mmap
import os
import random
import struct
import sys

from cases import AT_FDCWD, libc, renameat2
from watcher import NAMES, Other, Watcher

MOST_OPEN = 4
TARGETS = ["a", "d", "e", "d/a", "nowhere"]
fds = []


def path():
    return random.choice(NAMES)


def data():
    return bytes([random.randrange(97, 123)]) * random.choice([1, 10, 5000])


def write(name, content, flags=0):
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | flags, random.choice([0o644, 0o666, 0o755]))
    try:
        os.pwrite(fd, content, random.choice([0, 3, 4096]))
    finally:
        os.close(fd)


def hold(name):
    if len(fds) == MOST_OPEN:
        os.close(fds.pop(0))
    fds.append(os.open(name, os.O_RDWR | random.choice([0, os.O_APPEND, os.O_TRUNC])))


def store(name):
    fd = os.open(name, os.O_RDWR)
    try:
        with mmap.mmap(fd, 0) as mapping:
            mapping[random.randrange(len(mapping))] = random.randrange(256)
            if random.random() < 0.5:
                mapping.flush()
    finally:
        os.close(fd)


def nameless(name):
    fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o640)
    try:
        os.write(fd, data())
        libc.linkat(AT_FDCWD, f"/proc/self/fd/{fd}".encode(), AT_FDCWD, name.encode(), 0x400)
        os.write(fd, data())
    finally:
        os.close(fd)


def list_for(permissions):
    entries = [(1, 6, 0xFFFFFFFF), (2, permissions, 1000), (4, 4, 0xFFFFFFFF), (16, 7, 0xFFFFFFFF), (32, 4, 0xFFFFFFFF)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


CHANGES = [
    lambda: write(path(), data()),
    lambda: write(path(), data(), os.O_TRUNC),
    lambda: write(path(), data(), os.O_APPEND),
    lambda: os.truncate(path(), random.choice([0, 1, 5000])),
    lambda: hold(path()),
    lambda: os.pwrite(random.choice(fds), data(), random.choice([0, 5, 9000])),
    lambda: os.ftruncate(random.choice(fds), random.choice([0, 2, 8192])),
    lambda: os.fchmod(random.choice(fds), random.choice([0o600, 0o777, 0o4755])),
    lambda: os.copy_file_range(random.choice(fds), random.choice(fds), 4000, 0, 100),
    lambda: os.posix_fallocate(random.choice(fds), 0, random.choice([1, 6000])),
    lambda: os.close(fds.pop(random.randrange(len(fds)))),
    lambda: store(path()),
    lambda: nameless(path()),
    lambda: os.unlink(path()),
    lambda: os.unlink(path()),
    lambda: os.mkdir(path(), random.choice([0o755, 0o700, 0o2775])),
    lambda: os.rmdir(path()),
    lambda: os.rename(path(), path()),
    lambda: os.rename(path(), path()),
    lambda: renameat2(path(), path(), random.choice([1, 2, 2, 4])),
    lambda: os.link(path(), path()),
    lambda: os.symlink(random.choice(TARGETS), path()),
    lambda: os.mkfifo(path()),
    lambda: os.chmod(path(), random.choice([0o644, 0o600, 0o755, 0o6777, 0o777])),
    lambda: os.chown(path(), random.choice([0, 1000]), random.choice([0, 1000])),
    lambda: os.utime(path(), ns=(0, random.randrange(2**60))),
    lambda: os.setxattr(path(), random.choice(["user.a", "trusted.b"]), data()[:50]),
    lambda: os.removexattr(path(), random.choice(["user.a", "trusted.b", "system.posix_acl_access"])),
    lambda: os.setxattr(path(), "system.posix_acl_access", list_for(random.randrange(8))),
    lambda: os.setxattr(random.choice(["d", "e", "."]), "system.posix_acl_default", list_for(random.randrange(8))),
]


def change(count):
    other = Other()
    other.chdir(os.getcwd())
    for _ in range(count):
        try:
            random.choice(CHANGES)()
        except (OSError, IndexError, ValueError):
            pass
        if random.random() < 0.5:
            other.look()
    for fd in fds:
        os.close(fd)
    other.look()
    return other.look()


command, directory, *arguments = sys.argv[1:]
if command == "change":
    seed, count = map(int, arguments)
    random.seed(seed)
    os.mkdir(directory, 0o755)
    os.chdir(directory)
    facts = change(count)
else:
    os.chdir(directory)
    facts = Watcher().look()
for name, fields in sorted(facts.items()):
    print(name, fields and sorted(fields.items()))
