"""Makes files, opens and unlinks them, and holds them: orphans.py DIRECTORY COUNT. Says so, and stays until it is killed.

One in some has content, an extended attribute or a second name; one in some never had a name. Besides them it leaves files
with names: kept-N, with a line that is N.
"""
import os
import resource
import signal
import sys

WRITTEN, MARKED, LINKED, UNNAMED, KEPT = 5, 7, 11, 13, 50

# Also when nobody ends it.
signal.alarm(600)
directory, count = sys.argv[1], int(sys.argv[2])
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (count + 50, max(most, count + 50)))
os.mkdir(directory)
os.chdir(directory)
for i in range(count):
    if i % UNNAMED == 0:
        fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600)
    else:
        name = f"orphan-{i}"
        fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        if i % MARKED == 0:
            os.setxattr(name, "user.k", b"v" * 100)
        if i % LINKED == 0:
            os.link(name, "second")
            os.unlink("second")
        os.unlink(name)
    if i % WRITTEN == 0:
        os.pwrite(fd, b"content", 0)
    if i % KEPT == 0:
        with open(f"kept-{i}", "w") as file:
            file.write(f"{i}\n")
os.chdir("/")
print("open", flush=True)
signal.pause()
