"""Makes directories and files that are synced, until the file STOP is there: old_writer.py MOUNT LOG STOP.

Each line of LOG is a list of JSON: when it was known what came of a call, by CLOCK_MONOTONIC, the name, and 0 or the name of the error.
An error ends nothing: the next call is made a moment later. A file is told of when it was synced, with a line that is its name.
"""
import errno
import json
import os
import sys
import time

mount, path, stop = sys.argv[1:]
log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def make(name):
    path = os.path.join(mount, name)
    if not name.startswith("file"):
        os.mkdir(path)
        return
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(fd, name.encode())
        os.fsync(fd)
    finally:
        os.close(fd)


number = 0
while not os.path.exists(stop):
    name = f"{'file' if number % 4 == 0 else 'directory'}-{number}"
    number += 1
    try:
        make(name)
        result = 0
    except OSError as error:
        result = errno.errorcode[error.errno]
    os.write(log, json.dumps([time.monotonic(), name, result]).encode() + b"\n")
    if result != 0:
        time.sleep(0.02)
