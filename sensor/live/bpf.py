"""Classic BPF programs, from instructions with labels to what the kernel takes (linux/filter.h, linux/bpf_common.h)."""
import ctypes
import socket
import struct
from typing import NamedTuple

LD_W, LD_H, LD_B = 0x20, 0x28, 0x30                    # A = packet[k]
IND_W, IND_H, IND_B = 0x40, 0x48, 0x50                 # A = packet[X + k]
LD_IMM, LD_MEM, ST, LDX_IMM = 0x00, 0x60, 0x02, 0x01
ADD_K, MUL_K, AND_K, LSH_K, RSH_K, MOD_K, XOR_K = 0x04, 0x24, 0x54, 0x64, 0x74, 0x94, 0xA4
ADD_X, XOR_X = 0x0C, 0xAC
JUMP, JEQ, JSET = 0x05, 0x15, 0x45
RET_K, RET_A = 0x06, 0x16
TAX, TXA, LDX_MEM = 0x07, 0x87, 0x61
NET = 0xFFF00000                                       # SKF_NET_OFF: offsets count from the network header
LONGEST_JUMP, LONGEST_PROGRAM = 255, 4096
SO_ATTACH_FILTER = 26
V6_EXTENSIONS = (0, 43, 44, 60)                        # hop-by-hop, routing, fragment, destination (RFC 8200, 4.1)


class Op(NamedTuple):
    """An instruction; jumps name the labels where they go, or None for the next instruction."""

    code: int
    k: int = 0
    yes: str | None = None
    no: str | None = None


Program = list[tuple[int, int, int, int]]              # code, jump if true, jump if false, k


def assemble(source: list[Op | str]) -> Program:
    """Instructions and labels → a program.  Raises ValueError for a jump that is too far or backwards."""
    places: dict[str, int] = {}
    ops: list[Op] = []
    for item in source:
        if isinstance(item, str):
            places[item] = len(ops)
        else:
            ops.append(item)

    def distance(at: int, label: str | None) -> int:
        return 0 if label is None else places[label] - at - 1

    program = []
    for at, op in enumerate(ops):
        yes, no, k = distance(at, op.yes), distance(at, op.no), op.k
        if op.code == JUMP:
            yes, no, k = 0, 0, yes
        if not (0 <= yes <= LONGEST_JUMP and 0 <= no <= LONGEST_JUMP and k >= 0):
            raise ValueError(f"instruction {at} jumps {yes} or {no} further")
        program.append((op.code, yes, no, k & 0xFFFFFFFF))
    if len(program) > LONGEST_PROGRAM:
        raise ValueError(f"{len(program)} instructions are too many")
    return program


def packed(program: Program) -> bytes:
    """struct sock_filter[]."""
    return b"".join(struct.pack("=HBBI", *op) for op in program)


def attach(sock: socket.socket, level: int, option: int, program: Program) -> None:
    """Gives a socket a program: struct sock_fprog points to it for the length of the call."""
    code = ctypes.create_string_buffer(packed(program))
    sock.setsockopt(level, option, struct.pack("@HP", len(program), ctypes.addressof(code)))


NOTHING = assemble([Op(RET_K, 0)])                     # as filters: no packet, each packet
EVERYTHING = assemble([Op(RET_K, 0xFFFFFFFF)])


def tunnel_filter(ports: tuple[int, ...]) -> Program:
    """Lets UDP to the tunnel's ports through, and outer fragments: whose they are, the sensor will tell.

    So it does with UDP behind an extension header, or behind several; what else has one, such as MLD, stays out.
    """
    take = [Op(JEQ, port, "take") for port in ports]
    return assemble([
        Op(LD_B, NET), Op(RSH_K, 4), Op(JEQ, 4, "v4"), Op(JEQ, 6, "v6", "leave"),
        "v4",
        Op(LD_B, NET + 9), Op(JEQ, socket.IPPROTO_UDP, None, "leave"),
        Op(LD_H, NET + 6), Op(JSET, 0x1FFF, "take"),
        Op(LD_B, NET), Op(AND_K, 0x0F), Op(LSH_K, 2), Op(TAX),
        Op(IND_H, NET + 2), *take, Op(JUMP, yes="leave"),
        "v6",
        Op(LD_B, NET + 6), *(Op(JEQ, kind, "extended") for kind in V6_EXTENSIONS),
        Op(JEQ, socket.IPPROTO_UDP, None, "leave"),
        Op(LD_H, NET + 42), *take, Op(JUMP, yes="leave"),
        "extended",
        Op(LD_B, NET + 40), *(Op(JEQ, kind, "take") for kind in (socket.IPPROTO_UDP, *V6_EXTENSIONS)),
        "leave", Op(RET_K, 0),
        "take", Op(RET_K, 0xFFFFFFFF),
    ])
