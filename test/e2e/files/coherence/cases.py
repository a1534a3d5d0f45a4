"""
Runs cases of coherence: one process changes something, and another, which has seen everything and holds it in the
kernel's caches, must see exactly that change at once, and nothing else changed.

A case is a generator, decorated with `case`. Up to its first `yield` it sets the scene; each further `yield` gives what
the other process must see changed since the one before: { path: fields }, GONE for a path that is no more; for a path
that is new, some of its fields. A field's value may be a predicate of the value before and after.
"""
import ctypes
import os
import sys

from watcher import Other

GONE = object()
# Key of a change whose times come later.
UNSETTLED = object()
libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100
all_cases = []


def NEWER(before, after):
    return after > before


TOUCHED = {"mtime": NEWER, "ctime": NEWER}
CHANGED = {"ctime": NEWER}
# What the making or removing of a name changes in the directory.
TOP = {".": TOUCHED}


def case(title, hold=(), maps=()):
    def register(generator):
        all_cases.append((title, generator, hold, maps))
        return generator

    return register


def write(path, data, mode=0o644):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, mode)
    os.write(fd, data)
    os.close(fd)


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def renameat2(old, new, flags):
    checked(libc.renameat2(AT_FDCWD, old.encode(), AT_FDCWD, new.encode(), flags))


def as_user(action, uid=2000):
    """Runs an action in a process of an ordinary user, which must succeed."""
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            action()
            os._exit(0)
        except BaseException as error:
            print(error, file=sys.stderr)
            os._exit(1)
    if os.waitpid(pid, 0)[1] != 0:
        raise Exception("an action of another user failed")


def differences(before, after, expected):
    """What is wrong with the change from one look to the next, a line each."""
    for path in after:
        old, new, wanted = before[path], after[path], expected.get(path, {})
        if wanted is GONE or new is None or old is None:
            if wanted is GONE and new is not None:
                yield f"{path} is still there"
            if wanted is not GONE and new is None and old is not None:
                yield f"{path} is gone"
            if new is None and wanted is not GONE and wanted != {}:
                yield f"{path} is not there"
            if old is None and new is not None and path not in expected:
                yield f"{path} is there"
            if old is not None or new is None:
                continue
        for field, value in new.items():
            if field in wanted:
                want = wanted[field]
                if not (want(old and old[field], value) if callable(want) else want == value):
                    yield f"{path}: {field} is {value!r}, before {old and old.get(field)!r}"
            elif old is not None and old.get(field) != value:
                yield f"{path}: {field} has changed to {value!r} from {old.get(field)!r}"
        for field in wanted:
            if field not in new:
                yield f"{path} has no {field}"


def run(top):
    other = Other()
    failures = []
    for number, (title, generator, hold, maps) in enumerate(all_cases):
        directory = f"{top}/{number}"
        os.mkdir(directory, 0o755)
        os.chdir(directory)
        other.chdir(directory)
        try:
            steps = generator()
            next(steps)
            other.hold(hold, maps)
            before = other.look()
            for step, expected in enumerate(steps, 1):
                after = other.look()
                failures += [f"{title}, step {step}: {line}" for line in differences(before, after, expected)]
                # It stays so.
                before = other.look()
                if UNSETTLED in expected:
                    continue
                failures += [f"{title}, after step {step}: {line}" for line in differences(after, before, {})]
        except BaseException as error:
            failures.append(f"{title}: {error!r}")
        other.forget()
    print("\n".join(failures) or f"{len(all_cases)} held")
