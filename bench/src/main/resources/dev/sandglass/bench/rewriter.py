"""Keeps 64 MB. For each line of /tmp/rewriter.in, a number of MB, it checks all that it has written so far, in memory
and in a file, writes so many MB anew with random bytes, and answers in /tmp/rewriter.out with how often it has done so."""
import hashlib
import os

MB = 1_000_000
CHUNK = 65536
buffer = memoryview(bytearray(64 * MB))
written = 0
memory = hashlib.sha256().digest()
log = hashlib.sha256()
count = 0


def verdict():
    if hashlib.sha256(buffer[:written]).digest() != memory:
        return "wrong memory"
    with open("/root/rewriter.log", "rb") as file:
        return "ok" if hashlib.sha256(file.read()).digest() == log.digest() else "wrong file"


with open("/dev/urandom", "rb", buffering=0) as random, open("/root/rewriter.log", "wb", buffering=0) as file:
    with open("/tmp/rewriter.in", "r+b", buffering=0) as orders:
        while True:
            order = b""
            while not order.endswith(b"\n"):
                order += orders.read(1)
            answer = verdict()
            at, end = 0, int(order) * MB
            while at < end:
                at += random.readinto(buffer[at : min(at + CHUNK, end)])
            written = max(written, end)
            memory = hashlib.sha256(buffer[:written]).digest()
            file.write(memory)
            os.fsync(file.fileno())
            log.update(memory)
            count += 1
            with open("/tmp/rewriter.out", "w") as out:
                print(count, answer, file=out)
