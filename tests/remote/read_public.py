#!/usr/bin/env python3
"""A second reader of public values, written from remote/FORMAT.md with Python's standard library alone: given an address
and the folder of a dir: network, nothing else.
    read_public.py vectors FILE            addresses and manifests as public_vectors prints them
    read_public.py FOLDER ADDRESS OUTPUT   the value, into a file; exit status 3 if it was taken back"""
import json
import os
import struct
import sys

from read_pad import Refused, key_hash, open_pad, plain_hash

LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
HEAD, NODE, ENTRY = 64, 32, 128


def address_bytes(text):
    text = "".join(c for c in text.lower() if not c.isspace() and c != "-")
    text = text.replace("o", "0").replace("i", "1").replace("l", "1")
    if len(text) != 112 or any(c not in LETTERS for c in text):
        raise Refused("form of the address")
    number = 0
    for c in text:
        number = number << 5 | LETTERS.index(c)
    data = number.to_bytes(70, "big")
    if key_hash(None, b"public/address", b"", data[:65])[:5] != data[65:]:
        raise Refused("check of the address")
    if data[0] != 1:
        raise Refused("version of the address")
    return data[1:33], data[33:65]


def entries_of(data):
    names = "serial name read_key hash counter generation length"
    return [dict(zip(names.split(), struct.unpack("<16s32s32s32sQII", data[at:at + ENTRY])))
            for at in range(0, len(data), ENTRY)]


def divide_up(n, by):
    return (n + by - 1) // by


class Shape:
    """What follows from size and chunk alone."""

    def __init__(self, size, chunk):
        self.size, self.chunk = size, chunk
        self.fan = (chunk - NODE) // ENTRY

    def count(self, level):
        n = divide_up(self.size, self.chunk) if self.size else 0
        for _ in range(level):
            n = divide_up(n, self.fan)
        return n

    def length(self, level, number):
        if level == 0:
            return min(self.chunk, self.size - number * self.chunk)
        return NODE + ENTRY * min(self.fan, self.count(level - 1) - number * self.fan)


def open_manifest(data):
    if len(data) < HEAD:
        raise Refused("length of the manifest")
    magic, form, level, zero, size, content_hash, chunk, count = struct.unpack("<8sIB3sQ32sII", data[:HEAD])
    if magic != b"PSPUBLIC" or form != 1 or zero != bytes(3):
        raise Refused("head of the manifest")
    shape = Shape(size, chunk)
    if (size == 0) != (chunk == 0) or chunk > size or (level > 0 and shape.fan < 2):
        raise Refused("sizes of the manifest")
    if count != shape.count(level) or len(data) != HEAD + ENTRY * count:
        raise Refused("count of the manifest")
    entries = entries_of(data[HEAD:])
    check_entries(shape, level, 0, entries)
    return level, shape, content_hash, entries


def check_entries(shape, level, first, entries):
    for number, entry in enumerate(entries, first):
        if entry["length"] != shape.length(level, number) or not entry["counter"] or not entry["generation"]:
            raise Refused("entry %d of level %d" % (number, level))


def open_node(data, shape, level, first):
    magic, form, its_level, zero, its_first, count, zeros = struct.unpack("<8sIB3sQI4s", data[:NODE])
    if (magic, form, its_level, zero, its_first, zeros) != (b"PSPUBNOD", 1, level, bytes(3), first, bytes(4)):
        raise Refused("head of a node")
    if count != min(shape.fan, shape.count(level) - first) or len(data) != NODE + ENTRY * count:
        raise Refused("count of a node")
    entries = entries_of(data[NODE:])
    check_entries(shape, level, first, entries)
    return entries


# ---- a dir: network ----

def record_of(folder, name):
    with open(os.path.join(folder, name.hex()[:2], name.hex()), "rb") as file:
        data = file.read()
    return data[4096:4096 + struct.unpack("<Q", data[56:64])[0]]


def read_entry(folder, network, entry, chunk):
    header, description, payload = open_pad(record_of(folder, entry["name"]), entry["name"], entry["read_key"])
    if (header["class"], header["role"], header["network"]) != (2, 0, network):
        raise Refused("use of a pad")
    if any(header[k] != entry[k] for k in ("serial", "generation", "counter")) or header["identity"] != entry["hash"]:
        raise Refused("version of a pad")
    if description != b"blob\0\0\0\0" + struct.pack("<Q", chunk) or len(payload) != entry["length"]:
        raise Refused("description of a pad")
    return payload


def read_value(folder, text):
    public_key, read_key = address_bytes(text)
    name = key_hash(None, b"pad/name", b"", public_key)
    header, description, payload = open_pad(record_of(folder, name), name, read_key)
    if header["public_key"] != public_key or (header["class"], header["generation"]) != (1, 1):
        raise Refused("use of the index pad")
    if description != b"public\0\0":
        raise Refused("description of the index pad")
    if header["role"] == 5:
        return None
    if header["role"] != 0:
        raise Refused("role of the index pad")
    level, shape, content_hash, entries = open_manifest(payload)
    while level > 0:
        level -= 1
        before = sum(shape.count(below) for below in range(level + 1))
        below = []
        for number, entry in enumerate(entries):
            node = read_entry(folder, header["network"], entry, before + number)
            below += open_node(node, shape, level, number * shape.fan)
        entries = below
    chunks = [read_entry(folder, header["network"], entry, number) for number, entry in enumerate(entries)]
    if plain_hash(b"".join(plain_hash(chunk) for chunk in chunks)) != content_hash:
        raise Refused("hash of the value")
    return b"".join(chunks)


# ---- vectors ----

def must_refuse(what, call, *arguments):
    try:
        call(*arguments)
    except Refused:
        return
    sys.exit("not refused: " + what)


def check_address(line):
    public_key, read_key = address_bytes(line["address"])
    assert (public_key.hex(), read_key.hex()) == (line["public_key"], line["read_key"])
    assert key_hash(None, b"pad/name", b"", public_key).hex() == line["name"]
    for at, letter in enumerate(line["address"]):
        wrong = LETTERS[(LETTERS.index(letter) + 1 + at % 31) % 32]
        must_refuse("letter %d" % at, address_bytes, line["address"][:at] + wrong + line["address"][at + 1:])


def check_manifest(line):
    data = bytes.fromhex(line["manifest"])
    level, shape, content_hash, entries = open_manifest(data)
    assert (level, shape.size, shape.chunk) == (line["level"], line["size"], line["chunk"])
    assert content_hash.hex() == line["content_hash"]
    assert [{k: v.hex() if isinstance(v, bytes) else v for k, v in e.items()} for e in entries] == line["entries"]
    must_refuse("a byte more", open_manifest, data + b"\0")
    must_refuse("a byte less", open_manifest, data[:-1])


def check_vectors(path):
    count = 0
    with open(path) as lines:
        for line in map(json.loads, lines):
            (check_address if "address" in line else check_manifest)(line)
            count += 1
    if count == 0:
        sys.exit("no vectors")
    print("%d vectors read" % count)


def main():
    if sys.argv[1] == "vectors":
        check_vectors(sys.argv[2])
        return
    value = read_value(sys.argv[1], sys.argv[2])
    if value is None:
        print("taken back")
        sys.exit(3)
    with open(sys.argv[3], "wb") as out:
        out.write(value)
    print("%d bytes read" % len(value))


main()
