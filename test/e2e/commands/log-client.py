"""A client that does calls of all kinds in a directory, and records them: usage: log-client.py DIRECTORY RECORD UID SEED COUNT.

It does them as the user UID. Each line of the record is [name of the call, arguments in hex, result]; the result is the errno's name or "ok".
"""

import errno
import json
import os
import random
import sys

directory, record = sys.argv[1:3]
uid, seed, count = map(int, sys.argv[3:])
out = open(record, "w")
os.chdir(directory)
os.setgroups([])
os.setgid(uid)
os.setuid(uid)
chance = random.Random(seed)
lines = []


def names(*last):
    return [f"d{d}/".encode() + name for d in range(3) for name in last]


DIRECTORIES = [b"d0", b"d1", b"d2"] + names(b"e")
FILES = names(b"f", b"caf\xe9", b"a b\n\"c\\")
# Of what has several names the log tells one, so with these nothing is done but making and removing names.
LINKED = names(b"linked")
LINKS = names(b"link")
SYMLINKS = names(b"symlink")


def create(path):
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))


def fsync(path):
    fd = os.open(path, os.O_RDWR)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def one(call, *paths):
    try:
        call(*paths)
        result = "ok"
    except OSError as error:
        result = errno.errorcode[error.errno]
    lines.append([call.__name__, [path.hex() for path in paths], result])


def setxattr(path):
    os.setxattr(path, "user.x", b"value")


def removexattr(path):
    os.removexattr(path, "user.x")


def chmod(path):
    os.chmod(path, 0o740)


def truncate(path):
    os.truncate(path, 3)


def symlink(path):
    os.symlink("somewhere", path)


def pick(*pools):
    return chance.choice([path for pool in pools for path in pool])


for _ in range(count):
    kind = chance.randrange(13)
    if kind == 0:
        one(os.mkdir, pick(DIRECTORIES))
    elif kind == 1:
        one(os.rmdir, pick(DIRECTORIES, FILES))
    elif kind in (2, 3):
        one(create, pick(FILES, LINKED))
    elif kind == 4:
        one(os.unlink, pick(FILES, LINKED, LINKS, SYMLINKS, DIRECTORIES))
    elif kind == 5:
        source, target = pick(FILES, DIRECTORIES[3:]), pick(FILES, DIRECTORIES[3:])
        if source != target:
            one(os.rename, source, target)
    elif kind == 6:
        one(os.link, pick(LINKED), pick(LINKS))
    elif kind == 7:
        one(symlink, pick(SYMLINKS))
    elif kind == 8:
        one(chmod, pick(FILES, DIRECTORIES))
    elif kind == 9:
        one(truncate, pick(FILES))
    elif kind == 10:
        one(setxattr, pick(FILES))
    elif kind == 11:
        one(removexattr, pick(FILES))
    else:
        one(fsync, pick(FILES))

for line in lines:
    print(json.dumps(line), file=out)
out.close()
