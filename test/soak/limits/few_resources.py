"""
A client of a daemon that is short of something: few_resources.py load DIRECTORY LOG SEED OPERATIONS, until the directory answers
no more. LOG gets a line for each change of a name that is begun, and one when it was acknowledged.
few_resources.py check DIRECTORY LOG: what was acknowledged is there, what was not is as before, or done; prints how many.
"""
import errno
import os
import random
import sys

NAMES = 40
HELD = 200
# What a daemon says that has no descriptor, no memory or no space to do it.
REFUSED = {errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EAGAIN}
# What the kernel says of a mount whose daemon is gone.
GONE = {errno.ENOTCONN, errno.ECONNABORTED, errno.ENODEV, errno.EIO}


def content(number):
    return (b"%d," % number) * (1 + number * 7919 % 3000)


def write(path, number):
    with open(path, "wb", buffering=0) as file:
        data = content(number)
        while data:
            data = data[file.write(data):]
        if number % 3 == 0:
            os.fsync(file.fileno())


def load(root, log_path, seed, operations):
    pick = random.Random(seed)
    held = []
    done = refused = 0
    with open(log_path, "a", buffering=1) as log:
        for number in range(1, operations + 1):
            name = f"f{pick.randrange(NAMES)}"
            path = os.path.join(root, name)
            kind = pick.random()
            try:
                if kind < 0.5:
                    log.write(f"begin {name} {number}\n")
                    # A new file in the place of the old one: a change is whole, or not there.
                    write(f"{path}.new", number)
                    os.rename(f"{path}.new", path)
                    log.write(f"done {name} {number}\n")
                elif kind < 0.6:
                    log.write(f"begin {name} 0\n")
                    try:
                        os.unlink(path)
                    except FileNotFoundError:
                        pass
                    log.write(f"done {name} 0\n")
                elif kind < 0.8:
                    held.append(os.open(f"{path}.held{len(held)}", os.O_CREAT | os.O_RDWR, 0o600))
                    os.write(held[-1], b"held")
                    if len(held) > HELD:
                        os.close(held.pop(pick.randrange(len(held))))
                elif kind < 0.97:
                    os.setxattr(root, f"user.{name}", b"x" * pick.randrange(3000))
                else:
                    for entry in os.scandir(root):
                        entry.stat()
                done += 1
            except OSError as error:
                if error.errno in GONE:
                    print(f"operation {number} on {path}: {error}", file=sys.stderr)
                    break
                if error.errno not in REFUSED and error.errno != errno.ENOENT:
                    raise
                refused += 1
    print(done, refused)


def check(root, log_path):
    known, possible = {}, {}
    for line in open(log_path):
        step, name, number = line.split()
        if step == "begin":
            possible.setdefault(name, {known.get(name, 0)}).add(int(number))
        else:
            known[name] = int(number)
            possible.pop(name, None)
    for name in set(known) | set(possible):
        try:
            with open(os.path.join(root, name), "rb") as file:
                found = file.read()
        except FileNotFoundError:
            found = None
        allowed = possible.get(name, {known.get(name)})
        if not any(found == (None if number == 0 else content(number)) for number in allowed):
            told = "missing" if found is None else f"{len(found)} bytes, {found[:20]!r}"
            sys.exit(f"{name} is {told}, and should be one of {sorted(allowed)}")
    print(len(known))


if sys.argv[1] == "load":
    load(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
else:
    check(sys.argv[2], sys.argv[3])
