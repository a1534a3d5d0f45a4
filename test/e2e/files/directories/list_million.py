"""
Lists a directory of files named as fill.mjs does. Arguments: directory, their number, pid of the daemon. Prints, as JSON:
names missing, given again, and others; the daemon's resident KiB before, after a fifth and at the end; and whether
places are found again, in this handle and in one that has not read.
"""
import json
import os
import re
import sys

from getdents import Directory

top, count, pid = sys.argv[1], int(sys.argv[2]), sys.argv[3]


def resident():
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))


seen = bytearray(count)
others = again = given = 0
told = []
before, early = resident(), None
directory = Directory(top)
while entries := directory.some():
    told.append((entries[-1][1], entries[-1][0]))
    for name, _ in entries:
        if re.fullmatch(r"f\d{7}", name) is None or int(name[1:]) >= count:
            others += name not in (".", "..")
            continue
        again += seen[int(name[1:])]
        seen[int(name[1:])] = 1
        given += 1
    if early is None and given >= count // 5:
        early = resident()
late = resident()

# The kernel must not answer from what it keeps: the directory changes, and is read anew by another.
os.mkdir(f"{top}/new")
Directory(top).some()
fresh = Directory(top)
found = []
for handle in (directory, fresh):
    for at in (len(told) // 2, len(told) - 2, 3):
        offset, name = told[at]
        handle.seek(offset)
        following = [n for n, _ in handle.some()]
        found.append(following[:1] == [f"f{int(name[1:]) + 1:07}"])
os.rmdir(f"{top}/new")

print(json.dumps({
    "missing": count - sum(seen), "again": again, "others": others,
    "resident": [before, early, late], "found": found,
}))
