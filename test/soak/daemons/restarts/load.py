"""One client of a mount whose daemon is killed and replaced meanwhile: it must not notice.

load.py DIRECTORY CLIENT SEED STEPS. What it does depends on these alone, so the same in a directory of any other filesystem
comes to the same end. Writes a byte to its standard output with each step, and at the end a line with the longest step in
milliseconds. Ends with a traceback where a call fails or gives what it should not.
"""
import errno
import fcntl
import hashlib
import mmap
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time

SIZE = 1 << 18
# Steps from which on a listing is one of 100,000 names.
LONG = 500
longest = 0.0
last = 0.0


def tick():
    global longest, last
    now = time.monotonic()
    if last:
        longest = max(longest, now - last)
    last = now
    os.write(1, b".")


def expect(found, wanted, what):
    if found != wanted:
        raise AssertionError(f"{what}: {found!r}, not {wanted!r}")


def run(*command, **options):
    environment = {
        **os.environ,
        "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z",
        "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@b",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@b",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise AssertionError(f"{command} ended with {done.returncode}: {done.stderr}{done.stdout}")
    return done.stdout


def writes(steps):
    """Random reads, writes and truncations of one open file, beside what must be in it."""
    fd = os.open("file", os.O_RDWR | os.O_CREAT)
    model = bytearray()
    for _ in range(steps):
        kind = random.random()
        at = random.randrange(SIZE)
        length = random.randrange(1, 20_000)
        if kind < 0.45:
            data = random.randbytes(length)
            expect(os.pwrite(fd, data, at), length, "a write")
            if len(model) < at:
                model.extend(bytes(at - len(model)))
            model[at : at + length] = data
        elif kind < 0.8:
            expect(os.pread(fd, length, at), bytes(model[at : at + length]), f"bytes from {at} on")
        elif kind < 0.9:
            os.ftruncate(fd, at)
            del model[at:]
            model.extend(bytes(at - len(model)))
        elif kind < 0.95:
            os.fsync(fd)
        else:
            expect(os.fstat(fd).st_size, len(model), "a size")
        tick()
    os.close(fd)
    with open("file", "rb") as file:
        expect(file.read(), bytes(model), "the file")


def renames(steps):
    """Files and directories are made, moved, linked and removed, beside what must be there."""
    model = {}
    directories = [""]
    number = 0
    for _ in range(steps):
        kind = random.random()
        if kind < 0.4 or not model:
            path = os.path.join(random.choice(directories), f"f{number}")
            number += 1
            with open(path, "x") as file:
                file.write(path)
            model[path] = path
        elif kind < 0.5:
            path = os.path.join(random.choice(directories), f"d{number}")
            number += 1
            os.mkdir(path)
            directories.append(path)
        elif kind < 0.7:
            path = random.choice(sorted(model))
            to = os.path.join(random.choice(directories), f"m{number}")
            number += 1
            os.rename(path, to)
            model[to] = model.pop(path)
        elif kind < 0.8 and len(directories) > 2:
            path = random.choice(directories[1:])
            targets = [d for d in directories if d != path and not d.startswith(path + "/")]
            to = os.path.join(random.choice(targets), f"e{number}")
            number += 1
            os.rename(path, to)
            moved = lambda p: to + p[len(path) :] if p == path or p.startswith(path + "/") else p
            directories = [moved(d) for d in directories]
            model = {moved(p): text for p, text in model.items()}
        elif kind < 0.9:
            path = random.choice(sorted(model))
            os.unlink(path)
            del model[path]
        else:
            path = random.choice(sorted(model))
            try:
                os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
                raise AssertionError(f"{path} was made twice")
            except FileExistsError:
                pass
            with open(path) as file:
                expect(file.read(), model[path], path)
        tick()
    found = {os.path.relpath(os.path.join(place, name)) for place, _, names in os.walk(".") for name in names}
    expect(found, set(model), "the files")


def database(steps):
    """Transactions with a write-ahead log, which has a shared mapping, and then with a journal."""
    with sqlite3.connect("data", timeout=60) as connection:
        connection.execute("pragma journal_mode = wal")
        connection.execute("create table t (k integer primary key, v text)")
        for step in range(steps):
            if step == steps // 2:
                connection.execute("pragma journal_mode = delete")
            with connection:
                for _ in range(3):
                    key = random.randrange(500)
                    connection.execute("insert or replace into t values (?, ?)", (key, str(key) * random.randrange(200)))
            tick()
        expect(connection.execute("pragma integrity_check").fetchone()[0], "ok", "the database")
        dump = "\n".join(connection.iterdump())
    connection.close()
    os.unlink("data")
    with open("dump", "w") as file:
        file.write(hashlib.sha256(dump.encode()).hexdigest())


def repository(steps):
    """Commits, branches and a check of all objects."""
    run("git", "init", "-q", "-b", "main", ".")
    for step in range(max(1, steps // 20)):
        for _ in range(5):
            with open(f"f{random.randrange(30)}", "w") as file:
                file.write(str(random.random()))
            tick()
        run("git", "add", "-A")
        run("git", "commit", "-q", "-m", str(step))
        if step % 3 == 0:
            run("git", "checkout", "-q", "-b", f"b{step}")
        tick()
    run("git", "fsck", "--strict")
    expect(run("git", "status", "--porcelain"), "", "the status")
    # It has times and inode numbers.
    os.unlink(".git/index")


def archives(steps):
    """Trees that are packed, unpacked, compared and removed."""
    for step in range(max(1, steps // 50)):
        for number in range(30):
            os.makedirs(f"tree/{number % 5}", exist_ok=True)
            with open(f"tree/{number % 5}/f{number}", "wb") as file:
                file.write(random.randbytes(random.randrange(3000)))
            tick()
        run("tar", "cf", "packed.tar", "tree")
        os.mkdir("out")
        run("tar", "xf", "packed.tar", "-C", "out")
        tick()
        run("diff", "-r", "tree", "out/tree")
        run("rm", "-rf", "tree", "packed.tar")
        expect(os.path.exists("tree"), False, "what was removed")
        os.rename("out", f"kept{step}")
        tick()


def mapping(steps):
    """A mapping that lives through it all."""
    fd = os.open("mapped", os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, SIZE)
    model = bytearray(SIZE)
    with mmap.mmap(fd, SIZE) as mapped:
        for _ in range(steps):
            at = random.randrange(SIZE - 1000)
            if random.random() < 0.6:
                data = random.randbytes(random.randrange(1, 1000))
                mapped[at : at + len(data)] = data
                model[at : at + len(data)] = data
            elif random.random() < 0.2:
                mapped.flush()
            else:
                expect(bytes(mapped[at : at + 1000]), bytes(model[at : at + 1000]), f"what is mapped at {at}")
            tick()
        mapped.flush()
    os.close(fd)
    with open("mapped", "rb") as file:
        expect(file.read(), bytes(model), "what was mapped")


def locks(steps):
    """Locks that nobody else gets as long as they are held."""
    held = open("flock", "w")
    fcntl.flock(held, fcntl.LOCK_EX)
    record = open("record", "w+")
    fcntl.lockf(record, fcntl.LOCK_EX, 10, 5)
    for _ in range(steps):
        child = os.fork()
        if child == 0:
            try:
                refused(lambda: fcntl.flock(open("flock", "w"), fcntl.LOCK_EX | fcntl.LOCK_NB))
                refused(lambda: fcntl.lockf(open("record", "r+"), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 8))
                fcntl.lockf(open("record", "r+"), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 20)
                os._exit(0)
            except BaseException as error:
                print(f"{error!r}", file=sys.stderr, flush=True)
                os._exit(1)
        expect(os.waitpid(child, 0)[1], 0, "who tries the locks")
        tick()
    fcntl.flock(held, fcntl.LOCK_UN)
    other = open("flock", "w")
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def refused(lock):
    try:
        lock()
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return
        raise
    raise AssertionError("a lock was given twice")


def deleted(steps):
    """A file without a name, and a directory that it stands in."""
    os.mkdir("place")
    os.chdir("place")
    fd = os.open("gone", os.O_RDWR | os.O_CREAT)
    os.unlink("gone")
    model = bytearray()
    for step in range(steps):
        data = random.randbytes(random.randrange(1, 3000))
        expect(os.pwrite(fd, data, len(model)), len(data), "a write")
        model.extend(data)
        at = random.randrange(len(model))
        expect(os.pread(fd, 4000, at), bytes(model[at : at + 4000]), f"bytes from {at} on")
        expect(os.fstat(fd).st_nlink, 0, "the links")
        with open(f"here{step % 10}", "w") as file:
            file.write(str(step))
        tick()
    os.close(fd)
    os.chdir("..")


def listing(steps):
    """A long directory that is read over all the time, while names come and go elsewhere in it."""
    os.mkdir("long")
    entries = 100_000 if steps >= LONG else max(2000, steps * 10)
    for number in range(entries):
        open(f"long/entry-{number:08}-{'x' * 40}", "w").close()
        if number % 100 == 0:
            tick()
    found = []
    with os.scandir("long") as names:
        for position, entry in enumerate(names):
            found.append(entry.name)
            if position % max(1, entries // steps) == 0:
                os.stat(f"long/{entry.name}")
                tick()
    expect(len(found), entries, "the names")
    expect(len(set(found)), entries, "the names, each once")


def attributes(steps):
    """Modes, times, links and extended attributes."""
    for step in range(steps):
        name = f"a{step % 20}"
        if not os.path.exists(name):
            open(name, "x").close()
            os.symlink(name, f"{name}.soft")
            os.link(name, f"{name}.hard")
        mode = random.choice([0o600, 0o640, 0o755])
        os.chmod(name, mode)
        os.utime(name, ns=(step * 10**9, step * 10**9 + 1))
        os.setxattr(name, "user.step", str(step).encode())
        status = os.stat(f"{name}.hard")
        expect((status.st_mode & 0o777, status.st_mtime_ns, status.st_nlink), (mode, step * 10**9 + 1, 2), name)
        expect(os.getxattr(f"{name}.soft", "user.step"), str(step).encode(), name)
        with open("log", "a") as file:
            file.write(f"{step}\n")
        tick()
    with open("log") as file:
        expect(file.read(), "".join(f"{step}\n" for step in range(steps)), "the log")


CLIENTS = {
    client.__name__: client
    for client in (writes, renames, database, repository, archives, mapping, locks, deleted, listing, attributes)
}


def main():
    directory, client, seed, steps = sys.argv[1:]
    if client == "list":
        print(" ".join(CLIENTS))
        return
    random.seed(f"{client} {seed}")
    place = os.path.join(directory, client)
    shutil.rmtree(place, ignore_errors=True)
    os.mkdir(place)
    os.chdir(place)
    CLIENTS[client](int(steps))
    os.write(1, f"\n{longest * 1000:.0f}\n".encode())


main()
