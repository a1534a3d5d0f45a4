"""
Runs sequences of system calls and tells what they did. Each line on stdin is a JSON object
{ dir, calls }; each line on stdout is the answer { results, tree, inodes }. Without `calls` it only looks.

- Every sequence runs in a process of its own, in the directory `dir`, which is made if need be, as root with umask 022,
  until an `as` says otherwise. A call is [name, argument, ...]; its result is { "value": ..., "changed": { path: "mcb" } }: a value or
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
import signal
import stat
import struct
import sys
import time

from calls import (
    AT_FDCWD,
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


def as_root(action):
    """The caller's identity is set aside for the watcher's own looks, which must not fail."""
    uid, gid, groups = os.geteuid(), os.getegid(), os.getgroups()
    become_root()
    try:
        return action()
    finally:
        if uid != 0:
            os.setgroups(groups)
            os.setresgid(gid, gid, 0)
            os.setresuid(uid, uid, 0)


DT_DIR = 4


def listing(directory):
    """Name, inode number and type of each entry, as getdents64 tells them."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        buffer = ctypes.create_string_buffer(1 << 16)
        while True:
            length = checked(libc.getdents64(fd, buffer, len(buffer)))
            if length == 0:
                return
            raw = buffer.raw[:length]
            at = 0
            while at < length:
                ino, _, size, kind = struct.unpack_from("<QqHB", raw, at)
                yield raw[at + 19 : raw.index(b"\0", at + 19)], ino, kind
                at += size
    finally:
        os.close(fd)


def walk(top):
    """Paths below, relative, in order, with the inode number and the type that the listing tells."""
    found = [(b".", os.lstat(top).st_ino, DT_DIR)]
    pending = [b"."]
    while pending:
        directory = pending.pop()
        for name, ino, kind in listing(os.path.join(top, directory)):
            if name in (b".", b".."):
                continue
            path = name if directory == b"." else os.path.join(directory, name)
            found.append((path, ino, kind))
            if kind == DT_DIR:
                pending.append(path)
    return sorted(found)


def marks(top):
    """Identity and times of all that is reachable, by path and by open file."""
    seen = {}
    for path, _, _ in walk(top):
        seen[decode(path)] = mark(AT_FDCWD, os.path.join(top, path), 0x100)
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


def tree(top):
    numbers = {}
    told = {}
    inodes = {}
    for path, ino, kind in walk(top):
        full = os.path.join(top, path)
        st = os.lstat(full)
        entry = status(st)
        entry["listed"] = [kind, ino == st.st_ino]
        entry["ino"] = numbers.setdefault(st.st_ino, len(numbers))
        if stat.S_ISLNK(st.st_mode):
            entry["target"] = decode(os.readlink(full))
        elif stat.S_ISREG(st.st_mode) and st.st_size <= 1 << 24:
            with open(full, "rb") as file:
                data = file.read()
            entry["content"] = decode(data) if len(data) <= 64 else hashlib.sha1(data).hexdigest()
        names = sorted(os.listxattr(full, follow_symlinks=False))
        if names:
            entry["xattrs"] = {n: decode(os.getxattr(full, n, follow_symlinks=False))[:64] for n in names}
        told[decode(path)] = entry
        inodes[decode(path)] = st.st_ino
    return {"tree": told, "inodes": inodes}


def sequence(top, calls):
    os.umask(0o022)
    os.chdir(top)
    results = []
    before = marks(top)
    for call in calls:
        value = run(call)
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
    if not os.path.isdir(top):
        os.mkdir(top)
        os.chmod(top, 0o777)
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read_end)
        try:
            answer = sequence(top, request["calls"])
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
