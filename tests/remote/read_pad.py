#!/usr/bin/env python3
"""A second reader of pads, written from remote/FORMAT.md with Python's standard library alone: Ed25519, HChaCha20 and
ChaCha20-Poly1305 are here, slow and short. Reads pads as pad_vectors prints them, one a line, derives everything from the
user key, opens the record, and compares; then damages it here and there, which must not go unseen.
    read_pad.py FILE"""
import hashlib
import hmac
import json
import random
import struct
import sys


class Refused(Exception):
    pass


# ---- BLAKE2b as the format uses it ----

def key_hash(key, label, store, fields):
    state = hashlib.blake2b(key=key or b"", digest_size=32)
    for field in (b"padstone/1", label, store, fields):
        state.update(struct.pack("<I", len(field)) + field)
    return state.digest()


def plain_hash(data):
    return hashlib.blake2b(data, digest_size=32).digest()


# ---- Ed25519 (RFC 8032) ----

P = 2 ** 255 - 19
L = 2 ** 252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def add(a, b):
    m = (a[1] - a[0]) * (b[1] - b[0]) % P
    n = (a[1] + a[0]) * (b[1] + b[0]) % P
    t = 2 * a[3] * b[3] * D % P
    z = 2 * a[2] * b[2] % P
    e, f, g, h = n - m, z - t, z + t, n + m
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(n, point):
    total = (0, 1, 1, 0)
    while n:
        if n & 1:
            total = add(total, point)
        point, n = add(point, point), n >> 1
    return total


def x_of(y, odd):
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and odd):
        return None
    return P - x if x & 1 != odd else x


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE_X = x_of(BASE_Y, 0)
BASE = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)


def point_bytes(p):
    inverse = pow(p[2], P - 2, P)
    x, y = p[0] * inverse % P, p[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def point_from(data):
    y = int.from_bytes(data, "little")
    odd, y = y >> 255, y & (1 << 255) - 1
    x = x_of(y, odd)
    return None if x is None else (x, y, 1, x * y % P)


def public_key(seed):
    a = int.from_bytes(hashlib.sha512(seed).digest()[:32], "little")
    return point_bytes(times(a & (1 << 254) - 8 | 1 << 254, BASE))


def signed_by(key, message, signature):
    a, s = point_from(key), int.from_bytes(signature[32:], "little")
    if a is None or s >= L:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    minus_a = (P - a[0], a[1], 1, P - a[3])
    return point_bytes(add(times(s, BASE), times(k, minus_a))) == signature[:32]


# ---- XChaCha20-Poly1305 ----

def rounds(state):
    x = list(state)
    mask = 0xffffffff

    def quarter(a, b, c, d):
        for one, two, three, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[one] = x[one] + x[two] & mask
            v = x[three] ^ x[one]
            x[three] = (v << bits | v >> 32 - bits) & mask

    for _ in range(10):
        for i in range(4):
            quarter(i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return x


CONSTANTS = struct.unpack("<4I", b"expand 32-byte k")


def hchacha20(key, nonce):
    x = rounds(CONSTANTS + struct.unpack("<8I", key) + struct.unpack("<4I", nonce))
    return struct.pack("<8I", *x[:4], *x[12:])


def chacha20(key, nonce, counter, data):
    fixed = CONSTANTS + struct.unpack("<8I", key)
    tail = struct.unpack("<3I", nonce)
    stream = bytearray()
    for block in range((len(data) + 63) // 64):
        state = fixed + (counter + block,) + tail
        stream += struct.pack("<16I", *(a + b & 0xffffffff for a, b in zip(state, rounds(state))))
    size = len(data)
    return (int.from_bytes(data, "little") ^ int.from_bytes(stream[:size], "little")).to_bytes(size, "little")


def poly1305(key, data):
    r = int.from_bytes(key[:16], "little") & 0x0ffffffc0ffffffc0ffffffc0fffffff
    total = 0
    for at in range(0, len(data), 16):
        total = (total + int.from_bytes(data[at:at + 16] + b"\1", "little")) * r % (2 ** 130 - 5)
    return (total + int.from_bytes(key[16:], "little") & (1 << 128) - 1).to_bytes(16, "little")


def padded16(data):
    return data + bytes(-len(data) % 16)


def unseal(key, nonce, associated, sealed):
    key, nonce = hchacha20(key, nonce[:16]), bytes(4) + nonce[16:]
    body, tag = sealed[:-16], sealed[-16:]
    mac_key = chacha20(key, nonce, 0, bytes(32))
    lengths = struct.pack("<QQ", len(associated), len(body))
    if not hmac.compare_digest(tag, poly1305(mac_key, padded16(associated) + padded16(body) + lengths)):
        raise Refused("seal")
    return chacha20(key, nonce, 1, body)


# ---- the record ----

def open_header(record, name):
    """Returns the fields, the fixed bytes, the hashes and where segment 0 begins; needs no key."""
    if len(record) < 128:
        raise Refused("length")
    fixed = record[:128]
    names = "magic suite class role generation network serial public_key counter epoch payload nonce reserved"
    h = dict(zip(names.split(), struct.unpack("<8sHBBI16s16s32sQQI20s8s", fixed)))
    if h["magic"] != b"PADRECRD" or h["suite"] != 1 or h["reserved"] != bytes(8):
        raise Refused("fixed fields")
    if h["class"] > 2 or h["role"] > 5 or h["generation"] == 0 or h["counter"] == 0:
        raise Refused("fixed fields")
    if h["payload"] not in [4096 << k for k in range(12)]:
        raise Refused("payload")
    segments = (h["payload"] + 65535) // 65536
    end = 128 + 32 * segments
    if len(record) != end + 64 + 128 + h["payload"] + 16 * segments:
        raise Refused("length")
    if key_hash(None, b"pad/name", b"", h["public_key"]) != name:
        raise Refused("name")
    if not signed_by(h["public_key"], b"padstone/1 pad header" + record[:end], record[end:end + 64]):
        raise Refused("signature")
    h["identity"] = plain_hash(record[:end + 64])
    return h, fixed, [record[128 + 32 * i:160 + 32 * i] for i in range(segments)], end + 64


def open_pad(record, name, content_key):
    h, fixed, hashes, at = open_header(record, name)
    plain = b""
    for number, expected in enumerate(hashes):
        size = min(65536, h["payload"] - 65536 * number) + 16 + (128 if number == 0 else 0)
        sealed, at = record[at:at + size], at + size
        if plain_hash(sealed) != expected:
            raise Refused("hash of segment %d" % number)
        nonce = h["nonce"] + struct.pack("<I", number)
        plain += unseal(content_key, nonce, fixed + struct.pack("<I", number), sealed)
    length, described = struct.unpack("<IH", plain[:6])
    payload = plain[128:]
    if plain[6:32] != bytes(26) or described > 96 or plain[32 + described:128] != bytes(96 - described):
        raise Refused("preamble")
    if max(4096, 1 << max(length - 1, 0).bit_length()) != h["payload"] or any(payload[length:]):
        raise Refused("padding")
    return h, plain[32:32 + described], payload[:length]


# ---- a line of the vectors ----

def check(pad):
    hexed = {k: bytes.fromhex(v) for k, v in pad.items() if isinstance(v, str) and k != "store"}
    store = pad["store"].encode()
    write_root = key_hash(hexed["user_key"], b"root/write", store, b"")
    read_root = key_hash(hexed["user_key"], b"root/read", store, b"")
    public = public_key(key_hash(write_root, b"pad/sign", store, hexed["serial"]))
    name = key_hash(None, b"pad/name", b"", public)
    content_key = key_hash(read_root, b"pad/content", store,
                           hexed["serial"] + struct.pack("<I", pad["generation"]))
    header, description, payload = open_pad(hexed["record"], name, content_key)
    mine = dict(header, read_root=read_root, public_key=public, name=name, content_key=content_key,
                description=description, payload=payload)
    for key, value in pad.items():
        if key not in ("store", "user_key", "record"):
            assert mine[key] == hexed.get(key, value), key
    return name, content_key


def must_refuse(record, name, content_key, what):
    try:
        open_pad(record, name, content_key)
    except Refused:
        return
    sys.exit("not refused: " + what)


def damage(pad, name, content_key, dice):
    record = bytes.fromhex(pad["record"])
    for _ in range(4):
        at = dice.randrange(len(record))
        changed = record[:at] + bytes([record[at] ^ 1 << dice.randrange(8)]) + record[at + 1:]
        must_refuse(changed, name, content_key, "a flipped bit in byte %d" % at)
    must_refuse(record[:-1], name, content_key, "a byte less")
    must_refuse(record + b"\0", name, content_key, "a byte more")
    must_refuse(record, bytes(32), content_key, "another name")
    if len(record) < 6000:
        must_refuse(record, name, bytes(32), "another key")


def main():
    dice = random.Random(20261121)
    count = 0
    with open(sys.argv[1]) as lines:
        for line in lines:
            pad = json.loads(line)
            damage(pad, *check(pad), dice)
            count += 1
    if count == 0:
        sys.exit("no pads")
    print("%d pads read" % count)


if __name__ == "__main__":
    main()
