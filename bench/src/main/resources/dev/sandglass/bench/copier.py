# A plain copy over TCP, to measure beside. A connection says what it wants in one line:
#   put PATH SIZE   and sends the file; "done" comes when it is on disk
#   get PATH        and is sent the file
import os
import socket

BLOCK = memoryview(bytearray(1 << 20))


def put(peer, path, left):
    with open(path, "wb", buffering=0) as file:
        while left > 0:
            count = peer.recv_into(BLOCK[: min(left, len(BLOCK))])
            if count == 0:
                raise EOFError
            file.write(BLOCK[:count])
            left -= count
        os.fsync(file.fileno())
    peer.sendall(b"done")


def get(peer, path):
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(BLOCK):
            peer.sendall(BLOCK[:count])


def line(peer):
    text = b""
    while not text.endswith(b"\n"):
        text += peer.recv(1)
    return text.decode().split()


server = socket.create_server(("", 7000))
while True:
    peer, _ = server.accept()
    with peer:
        match line(peer):
            case ["put", path, size]:
                put(peer, path, int(size))
            case ["get", path]:
                get(peer, path)
