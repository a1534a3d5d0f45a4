"""
Runs sequences of system calls and tells what they did. Each line on stdin is a JSON object
{ dir, calls, grain, anew }; each line on stdout is the answer { results, tree, inodes }. Without `calls` it only looks.

- Every sequence runs in a process of its own, in the directory `dir`, which is made if need be, as root with umask 022,
  until an `as` says otherwise; with `anew` the directory is emptied before. Calls are at least `grain` nanoseconds
  apart, so that the filesystem's times tell them apart, by the clock that gives the time.
- A call is [name, argument, ...]; its result is { "value": ..., "changed": { path: "mcb" } }: a value or
  { "error": "ENOENT" }, and which of mtime, ctime and btime the call changed in what was there before and after, by
  path (or "fd:NAME").
- `tree` is what is left: each path with its attributes, contents and extended attributes, and the type that its
  directory lists, and whether the number there is its own; `inodes` has the numbers.
- Bytes are latin-1 strings. An open file is named by the string that `open` was given.
"""
import ctypes
import hashlib
import json
import os
import select
import shutil
import signal
import stat
import struct
import sys
import time

from calls import (
    AT_FDCWD,
    as_root,
    become_root,
    checked,
    children,
    decode,
    encode,
    fds,
    libc,
    run,
    status,
    statx,
)

SEQUENCE_SECONDS = 60
DT_DIR = 4
CLOCK_REALTIME_COARSE = 5


def listing(fd):
    """Name, inode number and type of each entry, as getdents64 tells them."""
    buffer = ctypes.create_string_buffer(1 << 16)
    while True:
        length = checked(libc.getdents64(fd, buffer, len(buffer)))
        if length == 0:
            return
        raw = buffer.raw[:length]
        at = 0
        while at < length:
            ino, _, size, kind = struct.unpack_from("<QqHB", raw, at)
            name = raw[at + 19 : raw.index(b"\0", at + 19)]
            if name not in (b".", b".."):
                yield name, ino, kind
            at += size


def walk(top, look):
    """
    By path, relative and in order, what `look` says of each entry: it gets its directory's descriptor, its name, and the
    inode number and the type that the listing tells. By descriptors, since each part of a path costs a request where
    the kernel may not keep attributes.
    """
    found = {b".": look(AT_FDCWD, top, None, DT_DIR)}

    def descend(fd, directory):
        try:
            for name, ino, kind in listing(fd):
                path = os.path.join(directory, name)
                found[path] = look(fd, name, ino, kind)
                if kind == DT_DIR:
                    descend(os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd), path)
        finally:
            os.close(fd)

    descend(os.open(top, os.O_RDONLY | os.O_DIRECTORY), b"")
    return {decode(path): found[path] for path in sorted(found)}


def marks(top):
    """Identity and times of all that is reachable, by path and by open file."""
    seen = walk(top, lambda fd, name, _ino, _kind: mark(fd, name, 0x100))
    for name, fd in fds.items():
        try:
            seen["fd:" + name] = mark(fd, b"", 0x1000)
        except OSError:
            pass
    return seen


def mark(fd, path, flags):
    raw = statx(fd, path, flags)
    ino = struct.unpack_from("<Q", raw, 32)[0]
    return [ino] + [struct.unpack_from("<qI", raw, at) for at in (112, 96, 80)]


def changes(before, after):
    old = {}
    for value in before.values():
        old[value[0]] = value
    told = {}
    for path, now in after.items():
        was = old.get(now[0])
        if was is None:
            continue
        letters = "".join(letter for i, letter in enumerate("mcb", 1) if was[i] != now[i])
        if letters:
            told[path] = letters
    return told


def described(fd, name, ino, kind):
    """An entry as `tree` tells it, with its inode number as it is."""
    full = b"/proc/self/fd/%d/%s" % (fd, name) if fd != AT_FDCWD else name
    st = os.lstat(full)
    entry = status(st)
    entry["listed"] = [kind, ino in (None, st.st_ino)]
    entry["ino"] = st.st_ino
    if stat.S_ISLNK(st.st_mode):
        entry["target"] = decode(os.readlink(full))
    elif stat.S_ISREG(st.st_mode) and st.st_size <= 1 << 24:
        with open(full, "rb") as file:
            data = file.read()
        entry["content"] = decode(data) if len(data) <= 64 else hashlib.sha1(data).hexdigest()
    names = sorted(os.listxattr(full, follow_symlinks=False))
    if names:
        entry["xattrs"] = {n: decode(os.getxattr(full, n, follow_symlinks=False))[:64] for n in names}
    return entry


def tree(top):
    numbers = {}
    inodes = {}
    # libfuse hides an open file that is removed, and removes it in its own time after the last close.
    while any(".fuse_hidden" in path for path in walk(top, lambda *_: None)):
        pass
    told = walk(top, described)
    for path, entry in told.items():
        inodes[path] = entry["ino"]
        entry["ino"] = numbers.setdefault(entry["ino"], len(numbers))
    return {"tree": told, "inodes": inodes}


def sequence(top, calls, grain):
    os.umask(0o022)
    os.chdir(top)
    results = []
    before = marks(top)
    ended = time.time_ns()
    for call in calls:
        # The "now" of utimensat is the kernel's own, of its last tick, even where a daemon has a finer one.
        clock = CLOCK_REALTIME_COARSE if "now" in call else time.CLOCK_REALTIME
        while grain and time.clock_gettime_ns(clock) - ended <= grain:
            pass
        value = run(call)
        ended = time.time_ns()
        after = as_root(lambda: marks(top))
        results.append({"value": value, "changed": changes(before, after)})
        before = after
    become_root()
    for child in children.values():
        child.kill()
        child.wait()
    for fd in fds.values():
        os.close(fd)
    return {"results": results, **tree(top)}


def perform(request):
    """Runs one sequence in a process of its own, and ends that one if it hangs."""
    top = encode(request["dir"])
    if "calls" not in request:
        return {"results": [], **tree(top)}
    if request.get("anew"):
        shutil.rmtree(top)
    if not os.path.isdir(top):
        os.mkdir(top)
        os.chmod(top, 0o777)
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read_end)
        try:
            answer = sequence(top, request["calls"], request["grain"])
        except BaseException as error:  # Told, not lost: the test shows it.
            answer = {"results": [], "tree": {}, "failure": repr(error)}
        with os.fdopen(write_end, "w") as pipe:
            json.dump(answer, pipe)
        os._exit(0)
    os.close(write_end)
    text = b""
    deadline = time.monotonic() + SEQUENCE_SECONDS
    while True:
        ready, _, _ = select.select([read_end], [], [], max(0, deadline - time.monotonic()))
        chunk = os.read(read_end, 1 << 16) if ready else b""
        text += chunk
        if not chunk:
            break
    os.close(read_end)
    if not ready:
        os.kill(pid, signal.SIGKILL)
        return {"results": [], "tree": {}, "failure": "the sequence hangs"}
    os.waitpid(pid, 0)
    return json.loads(text)


for line in sys.stdin:
    print(json.dumps(perform(json.loads(line))), flush=True)
