"""One client of a mixed load: client.py MOUNT LOG CLIENT SEED FIRST COUNT. `client.py MOUNT prepare CLIENTS` makes the scene.

Before each call it appends to LOG, which is outside of the mount, what it is about to do, and afterwards what came of it:

    [17,4711.5,"rename","c0/a","shared/c0-b"]
    [17,4711.6,0]                              or the name of the error

The second number is when, in seconds of CLOCK_MONOTONIC.

One byte on the standard output is one line of the second kind. A call that fails because the daemon is gone has no second
line: nobody knows what became of it. The client ends then, with DOWN.

Calls are numbered from FIRST on, over all processes of a client. A client has names of its own, in its directory and in the one
that all share, so what is there afterwards follows from its own log. What clients really share either commutes (links
and attributes of `hub`, records that are appended to `log`) or has one winner (`claim-N`).
"""
import ctypes
import errno
import json
import mmap
import os
import random
import stat
import sys
import time

DOWN = 3
GONE = {errno.ENOTCONN, errno.ECONNABORTED, errno.ECONNREFUSED}

NAMES = ["a", "b", "c", "d", "e!", "x" * 200]
OFFSETS = [0, 0, 0, 100, 4090, 4096, 10_000, 60_000]
LENGTHS = [1, 10, 500, 4096, 5000, 20_000, 65_536]
SIZES = [0, 1, 4095, 4096, 5000, 100_000]
VALUES = [0, 10, 300, 3000, 20_000, 65_536]
MODES = [0o600, 0o644, 0o700, 0o755]
HANDLES = ["h0", "h1", "h2", "h3"]
CLAIMS = 200
RENAME_EXCHANGE = 2
AT_FDCWD = -100

libc = ctypes.CDLL(None, use_errno=True)


def is_gone(error):
    """Whether a call failed because the daemon is gone. What could not be written back is EIO, whatever the reason."""
    if error.errno in GONE or error.errno != errno.EIO:
        return error.errno in GONE
    try:
        os.statvfs(".")
    except OSError as other:
        return other.errno in GONE
    return False


def exchange(a, b):
    if libc.renameat2(AT_FDCWD, os.fsencode(a), AT_FDCWD, os.fsencode(b), RENAME_EXCHANGE) != 0:
        raise OSError(ctypes.get_errno(), "renameat2")


class Client:
    def __init__(self, log, client, seed, first):
        self.log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self.client = client
        self.pick = random.Random(seed)
        self.number = first
        self.fds = {}
        self.records = None
        self.queue = []

    # What to do next.

    def path(self):
        pick = self.pick
        if pick.random() < 0.75:
            return "/".join([f"c{self.client}"] + [pick.choice(NAMES) for _ in range(pick.choice([1, 1, 1, 2, 2, 3]))])
        top = f"shared/c{self.client}-{pick.choice(NAMES)}"
        return top if pick.random() < 0.7 else f"{top}/{pick.choice(NAMES)}"

    def hub(self):
        return f"shared/c{self.client}-hub{self.pick.randrange(4)}"

    def user(self):
        return f"user.{self.pick.choice('abcdef')}"

    def handle(self):
        """A handle that is free; its file is closed first where there is one."""
        name = self.pick.choice(HANDLES)
        return name, ([["close", name]] if name in self.fds else [])

    def steps(self):
        pick = self.pick
        roll = pick.randrange(100)
        if roll < 8:
            return [["mkdir", self.path(), pick.choice(MODES)]]
        if roll < 12:
            return [["rmdir", self.path()]]
        if roll < 18:
            return [["unlink", self.path()]]
        if roll < 27:
            return [["rename", self.path(), self.path()]]
        if roll < 29:
            return [["exchange", self.path(), self.path()]]
        if roll < 34:
            return [["link", self.path(), self.path()]]
        if roll < 37:
            return [["symlink", f"nowhere-{self.number}", self.path()]]
        if roll < 38:
            return [["mknod", self.path()]]
        if roll < 46:
            return [["setxattr", self.path(), self.user(), pick.choice(VALUES)]]
        if roll < 48:
            return [["removexattr", self.path(), self.user()]]
        if roll < 50:
            return [["chmod", self.path(), pick.choice(MODES)]]
        if roll < 52:
            return [["utime", self.path(), pick.randrange(2**33), pick.randrange(10**9)]]
        if roll < 54:
            return [["truncate", self.path(), pick.choice(SIZES)]]
        if roll < 55:
            return [["fsyncdir", self.path()]]
        if roll < 66:
            return self.shared_steps()
        return self.file_steps()

    def shared_steps(self):
        roll = self.pick.randrange(11)
        if roll < 2:
            return [["link", "shared/hub", self.hub()]]
        if roll < 3:
            return [["unlink", self.hub()]]
        if roll < 4:
            return [["rename", self.hub(), self.hub()]]
        if roll < 6:
            return [["setxattr", "shared/hub", f"user.c{self.client}-{self.pick.choice('ab')}", self.pick.choice(VALUES)]]
        if roll < 7:
            return [["removexattr", "shared/hub", f"user.c{self.client}-{self.pick.choice('ab')}"]]
        if roll < 10:
            return [["append"]]
        return [["claim", f"shared/claim-{self.pick.randrange(CLAIMS)}"]]

    def file_steps(self):
        pick = self.pick
        name, closing = self.handle()
        roll = pick.randrange(12)
        if roll < 2:
            return closing + [["create", name, self.path(), pick.choice(MODES)], self.write(name)]
        if roll < 3:
            return closing + [["open", name, self.path(), pick.random() < 0.3]]
        if roll < 4:
            # How editors save.
            beside, target = self.path(), self.path()
            save = [["create", name, beside, 0o600], self.write(name), ["fsync", name], ["close", name]]
            return closing + save + [["rename", beside, target]]
        if roll < 5:
            short = [["create", name, self.path(), 0o644], self.write(name), ["close", name]]
            return closing + short
        if roll < 6:
            unnamed = [["tmpfile", name, f"c{self.client}"], self.write(name), ["linkfd", name, self.path()]]
            return closing + unnamed
        name = pick.choice(HANDLES)
        if roll < 8:
            return [self.write(name)]
        if roll < 9:
            return [["ftruncate", name, pick.choice(SIZES)]]
        if roll < 10:
            return [["store", name, pick.choice([0, 100, 4090]), pick.choice([1, 10, 4096])]]
        if roll < 11:
            return [["fsync", name]]
        return [["close", name]]

    def write(self, name):
        return ["write", name, self.pick.choice(OFFSETS), self.pick.choice(LENGTHS)]

    # Doing it.

    def bytes(self, length):
        """As `pattern` in model.ts."""
        return (b"%02d%06d" % (self.client, self.number) * (length // 8 + 1))[:length]

    def perform(self, name, *args):
        if name == "create":
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            self.fds[args[0]] = os.open(args[1], flags, args[2])
        elif name == "open":
            self.fds[args[0]] = os.open(args[1], os.O_RDWR | os.O_NOFOLLOW | (os.O_TRUNC if args[2] else 0))
        elif name == "tmpfile":
            self.fds[args[0]] = os.open(args[1], os.O_RDWR | os.O_TMPFILE, 0o600)
        elif name == "linkfd":
            fd = self.fds[args[0]]
            # Without a directory Python calls link(2), which does not follow.
            os.link(f"/proc/self/fd/{fd}", args[1], src_dir_fd=fd, follow_symlinks=True)
        elif name == "close":
            os.close(self.fds.pop(args[0]))
        elif name == "write":
            if os.pwrite(self.fds[args[0]], self.bytes(args[2]), args[1]) != args[2]:
                # As it may be only where the daemon goes away in between.
                raise OSError(errno.EIO, "a write was cut short")
        elif name == "ftruncate":
            os.ftruncate(self.fds[args[0]], args[1])
        elif name == "store":
            with mmap.mmap(self.fds[args[0]], args[1] + args[2]) as mapping:
                mapping[args[1] : args[1] + args[2]] = self.bytes(args[2])
                mapping.flush()
        elif name == "fsync":
            os.fsync(self.fds[args[0]])
        elif name == "fsyncdir":
            fd = os.open(args[0], os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        elif name == "mknod":
            os.mknod(args[0], stat.S_IFSOCK | 0o600)
        elif name == "symlink":
            os.symlink(args[0], args[1])
        elif name == "link":
            os.link(args[0], args[1], follow_symlinks=False)
        elif name == "exchange":
            exchange(*args)
        elif name == "setxattr":
            os.setxattr(args[0], args[1], self.bytes(args[2]), follow_symlinks=False)
        elif name == "removexattr":
            os.removexattr(args[0], args[1], follow_symlinks=False)
        elif name == "utime":
            os.utime(args[0], ns=(0, args[1] * 10**9 + args[2]), follow_symlinks=False)
        elif name == "append":
            if self.records is None:
                self.records = os.open("shared/log", os.O_WRONLY | os.O_APPEND)
            os.write(self.records, self.bytes(8))
        elif name == "claim":
            os.mkdir(args[0])
        else:
            {"mkdir": os.mkdir, "rmdir": os.rmdir, "unlink": os.unlink, "rename": os.rename, "chmod": os.chmod,
             "truncate": os.truncate}[name](*args)

    def is_possible(self, name, *args):
        """Whether a step on a handle has its file: the open before it may have failed."""
        if name not in {"write", "ftruncate", "store", "fsync", "close", "linkfd"}:
            return True
        if args[0] not in self.fds:
            return False
        # A store behind the end would be a signal.
        return name != "store" or os.fstat(self.fds[args[0]]).st_size >= args[1] + args[2]

    def note(self, *what):
        os.write(self.log, json.dumps([self.number, round(time.monotonic(), 6), *what], separators=(",", ":")).encode() + b"\n")

    def run(self, count):
        """Returns whether the daemon is still there."""
        self.note("begin")
        for _ in range(count):
            try:
                while not self.queue or not self.is_possible(*self.queue[0]):
                    self.queue = self.queue[1:] or self.steps()
                step = self.queue.pop(0)
                self.number += 1
                self.note(*step)
                self.perform(*step)
                self.note(0)
            except OSError as error:
                if is_gone(error):
                    return False
                self.note(errno.errorcode[error.errno])
            os.write(1, b".")
        return True


def prepare(clients):
    for client in range(clients):
        os.mkdir(f"c{client}")
    os.mkdir("shared")
    for name in ["hub", "log"]:
        os.close(os.open(f"shared/{name}", os.O_CREAT | os.O_WRONLY, 0o644))


os.umask(0)
try:
    os.chdir(sys.argv[1])
    if sys.argv[2] == "prepare":
        prepare(int(sys.argv[3]))
        sys.exit()
    # Where the mount is gone there is an empty directory.
    os.lstat("shared")
    client, seed, first, count = map(int, sys.argv[3:])
    sys.exit(0 if Client(sys.argv[2], client, seed, first).run(count) else DOWN)
except OSError as error:
    if error.errno not in GONE | {errno.ENOENT}:
        raise
    sys.exit(DOWN)
