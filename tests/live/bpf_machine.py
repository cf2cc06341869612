"""The kernel's machine for classic BPF, as networking/filter.rst describes it: what a program answers to a packet."""

import operator

from sensor.live.bpf import NET, Program

SIZES = {0x00: 4, 0x08: 2, 0x10: 1}
SUMS = {
    0x00: operator.add,
    0x20: operator.mul,
    0x50: operator.and_,
    0x60: operator.lshift,
    0x70: operator.rshift,
    0x90: operator.mod,
    0xA0: operator.xor,
}


def load(packet: bytes, k: int, x: int, size: int) -> int | None:
    """Bytes as a number; None behind the end, where a program ends."""
    start = (k + x) & 0xFFFFFFFF
    return int.from_bytes(packet[start : start + size]) if start + size <= len(packet) else None


def answer(program: Program, packet: bytes, network: int = 0) -> int:
    """What the program returns; ``network`` is where the network header begins, for loads that count from there."""
    a = x = at = 0
    cells = [0] * 16
    while True:
        code, yes, no, k = program[at]
        at += 1
        kind, operand = code & 7, x if code & 8 else k
        if kind == 0 and code & 0xE0 in (0x20, 0x40):
            loaded = load(packet, k - NET + network if k >= NET else k, x if code & 0x40 else 0, SIZES[code & 0x18])
            if loaded is None:
                return 0
            a = loaded
        elif kind == 0:
            a = k if code & 0xE0 == 0 else cells[k]
        elif kind == 1:
            x = k if code & 0xE0 == 0 else cells[k]
        elif kind == 2:
            cells[k] = a
        elif kind == 4:
            a = SUMS[code & 0xF0](a, operand) & 0xFFFFFFFF
        elif kind == 5:
            taken = {0x00: True, 0x10: a == operand, 0x40: bool(a & operand)}[code & 0xF0]
            at += k if code & 0xF0 == 0 else yes if taken else no
        elif kind == 6:
            return a if code & 0x10 else k
        else:
            a, x = (x, x) if code & 0x80 else (a, a)
