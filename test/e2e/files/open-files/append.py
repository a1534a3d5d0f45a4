"""Holds a file open, appends each line that comes, durably, and prints what the file has then; until "end"."""
import os, signal, sys

# Also when nobody ends it.
signal.alarm(300)
fd = os.open(sys.argv[1], os.O_RDWR)
for line in sys.stdin:
    if line == "end\n":
        break
    os.pwrite(fd, line.encode(), os.fstat(fd).st_size)
    os.fsync(fd)
    print(" ".join(os.pread(fd, 100, 0).decode().split()) + "\n", end="", flush=True)
