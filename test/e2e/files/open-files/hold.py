"""Opens files, says so, and holds them until a line comes; then looks whether each has its own content.

hold.py <directory> <first> <count> <one in how many is written, which costs more than opening>
"""
import os, resource, signal, sys

# Also when nobody ends it.
signal.alarm(390)
directory = sys.argv[1]
first, count, WRITTEN = map(int, sys.argv[2:])
resource.setrlimit(resource.RLIMIT_NOFILE, (count + 50, count + 50))
os.makedirs(directory, exist_ok=True)
files = []
for i in range(first, first + count):
    fd = os.open(f"{directory}/{i}", os.O_RDWR | os.O_CREAT)
    files.append((i, fd))
    if i % WRITTEN == 0:
        os.pwrite(fd, b"begin", 0)
print("open", flush=True)
sys.stdin.readline()
for i, fd in files:
    if i % WRITTEN == 0:
        text = b"content of %d" % i
        assert os.pread(fd, 100, 0) == b"begin", i
        assert os.pwrite(fd, text, 0) == len(text), i
        assert os.fstat(fd).st_size == len(text), i
        if i % (50 * WRITTEN) == 0:
            os.fsync(fd)
            os.ftruncate(fd, len(text) + 1)
            assert os.pread(fd, 100, 0) == text + b"\0", i
            os.ftruncate(fd, len(text))
for i, fd in files:
    if i % WRITTEN == 0:
        assert os.pread(fd, 100, 0) == b"content of %d" % i, i
    os.close(fd)
for i in range(first, first + count):
    if i % WRITTEN == 0:
        with open(f"{directory}/{i}", "rb") as file:
            assert file.read() == b"content of %d" % i, i
print("held", flush=True)
