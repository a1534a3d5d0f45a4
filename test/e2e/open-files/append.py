"""Holds a file open, appends each line that comes, durably, and prints what the file has then."""
import os, sys

fd = os.open(sys.argv[1], os.O_RDWR)
for line in sys.stdin:
    os.pwrite(fd, line.encode(), os.fstat(fd).st_size)
    os.fsync(fd)
    print(*os.pread(fd, 100, 0).decode().split(), flush=True)
