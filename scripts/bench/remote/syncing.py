"""Times what is synced: syncing.py DIRECTORY COUNT KIND. Prints milliseconds, a line each.

KIND is `file` (a new file of 4 KiB, written and synced) or `directory` (a name that is made, and its directory synced).
"""
import os
import sys
import time

directory, count, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3]
parent = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
block = b"b" * 4096
for i in range(count):
    name = os.path.join(directory, f"{kind}-{time.monotonic_ns()}")
    if kind == "file":
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(fd, block)
    else:
        os.mkdir(name)
        fd = parent
    before = time.monotonic()
    os.fsync(fd)
    print((time.monotonic() - before) * 1000)
    if fd != parent:
        os.close(fd)
