"""Which worker a flow belongs to: a classic BPF program that hashes the *inner* addresses, and ports of TCP.

The kernel's own hash sees the tunnel's addresses, which differ between a flow's directions.  This one is symmetric, so
both directions meet, and a question and its answer.  All but whole TCP segments go by addresses alone: fragments have
no ports.  The tenant takes no part: twins under two VNIs meet, and a change of the tenant map moves no flow.

    IP → UDP ─┬─ VXLAN ──────────────▶ Ethernet ─▶ IP ─▶ hash
              └─ GENEVE ─┬─ Ethernet ─────────────▶ IP ─▶ hash
                         └─ IP ─┬─ UDP → VXLAN → Ethernet → IP ─▶ hash
                                └──────────────────────────────▶ hash

X is the offset of what is looked at.  A load behind the end of a packet ends a program with 0: the first worker.
"""
import socket

from sensor.live.bpf import (
    ADD_K,
    ADD_X,
    AND_K,
    IND_B,
    IND_H,
    IND_W,
    JEQ,
    JSET,
    JUMP,
    LD_IMM,
    LD_MEM,
    LDX_IMM,
    LDX_MEM,
    LSH_K,
    MOD_K,
    MUL_K,
    NET,
    RET_A,
    RET_K,
    RSH_K,
    ST,
    TAX,
    TXA,
    XOR_K,
    XOR_X,
    Op,
    Program,
    assemble,
)

ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_VLAN, ETHERTYPE_BRIDGED = 0x0800, 0x86DD, 0x8100, 0x6558
UDP_HEADER, VXLAN_HEADER = 8, 8
FRAGMENT_BITS = 0x3FFF                                 # more fragments, or an offset (RFC 791, 3.1)
MIX, MIX_AGAIN = 0x9E3779B1, 0x85EBCA6B                # odd, with bits well spread
SRC, DST, SPORT, DPORT, KEPT, PROTO = range(6)         # cells of the scratch memory

Code = list[Op | str]


def ring_program(workers: int, vxlan_ports: tuple[int, ...], geneve_ports: tuple[int, ...]) -> Program:
    """For a fan-out group of AF_PACKET sockets: packet → 0 … workers − 1."""
    outer = if_udp(NET, {**dict.fromkeys(vxlan_ports, "vxlan"), **dict.fromkeys(geneve_ports, "geneve")}, "outer")
    return assemble([Op(LDX_IMM, 0), *outer, Op(LDX_IMM, 0), Op(JUMP, yes="ip"),
                     *geneve(NET, vxlan_ports), *vxlan(NET), *ip(NET, workers)])


def socket_program(workers: int, kind: str, vxlan_ports: tuple[int, ...]) -> Program:
    """For a reuseport group of UDP sockets, which sees a packet from its UDP payload; ``kind`` is vxlan or geneve."""
    start = [Op(LDX_IMM, 0xFFFFFFFF - UDP_HEADER + 1)]                # X is where the UDP header would be
    rest = geneve(0, vxlan_ports) if kind == "geneve" else []
    return assemble([*start, Op(JUMP, yes=kind), *rest, *vxlan(0), *ip(0, workers)])


def forward(k: int) -> Code:
    """X += k."""
    return [Op(TXA), Op(ADD_K, k), Op(TAX)]


def if_udp(base: int, ports: dict[int, str], name: str) -> Code:
    """With X at an IP header: goes to a port's label, with X at the UDP header; else falls through, X lost."""
    jumps = [Op(JEQ, port, label) for port, label in ports.items()]
    found: Code = []
    for label in dict.fromkeys(ports.values()):
        found += [f"{name} {label}", Op(JUMP, yes=label)]
    near = [Op(JEQ, op.k, f"{name} {op.yes}") for op in jumps]
    return [
        Op(IND_B, base), Op(RSH_K, 4), Op(JEQ, 6, f"{name} v6"), Op(JEQ, 4, None, f"{name} none"),
        Op(IND_B, base + 9), Op(JEQ, socket.IPPROTO_UDP, None, f"{name} none"),
        Op(IND_H, base + 6), Op(JSET, FRAGMENT_BITS, f"{name} none"),
        Op(IND_B, base), Op(AND_K, 0x0F), Op(LSH_K, 2), Op(ADD_X), Op(TAX), Op(JUMP, yes=f"{name} udp"),
        f"{name} v6",
        Op(IND_B, base + 6), Op(JEQ, socket.IPPROTO_UDP, None, f"{name} none"),
        *forward(40),
        f"{name} udp",
        Op(IND_H, base + 2), *near, Op(JUMP, yes=f"{name} none"),
        *found,
        f"{name} none",
    ]


def geneve(base: int, vxlan_ports: tuple[int, ...]) -> Code:
    """With X at the UDP header (RFC 8926, 3.4): options have a length, and need not be walked."""
    return [
        "geneve",
        Op(IND_H, base + UDP_HEADER + 2), Op(ST, KEPT),
        Op(IND_B, base + UDP_HEADER), Op(AND_K, 0x3F), Op(LSH_K, 2), Op(ADD_K, UDP_HEADER + 8), Op(ADD_X), Op(TAX),
        Op(LD_MEM, KEPT), Op(JEQ, ETHERTYPE_BRIDGED, None, "bare"), Op(JUMP, yes="ethernet"),
        "bare",
        Op(TXA), Op(ST, KEPT),
        *if_udp(base, dict.fromkeys(vxlan_ports, "vxlan"), "inner"),
        Op(LDX_MEM, KEPT), Op(JUMP, yes="ip"),
    ]


def vxlan(base: int) -> Code:
    """With X at the UDP header (RFC 7348, 5); the inner frame may have one tag."""
    return [
        "vxlan", *forward(UDP_HEADER + VXLAN_HEADER),
        "ethernet",
        Op(IND_H, base + 12), Op(JEQ, ETHERTYPE_VLAN, None, "untagged"),
        *forward(4), Op(IND_H, base + 12),
        "untagged",
        Op(JEQ, ETHERTYPE_IPV4, "carries ip"), Op(JEQ, ETHERTYPE_IPV6, "carries ip"), Op(RET_K, 0),
        "carries ip", *forward(14),
    ]


def ip(base: int, workers: int) -> Code:
    """With X at an IP header: addresses, ports where they are, hash, end."""
    v6_words = [(SRC, 8), (DST, 24)]
    fold: Code = []
    for cell, at in v6_words:
        fold += [Op(IND_W, base + at), Op(ST, cell)]
        for more in (4, 8, 12):
            fold += [Op(IND_W, base + at + more), *xor_cell(cell)]
    extension = [
        Op(IND_B, base + 1), Op(LSH_K, 3), Op(ADD_K, 8), Op(ST, KEPT), Op(IND_B, base), Op(ST, PROTO),
        Op(LD_MEM, KEPT), Op(ADD_X), Op(TAX), Op(LD_MEM, PROTO),
    ]
    return [
        "ip", Op(LD_IMM, 0), Op(ST, SPORT), Op(ST, DPORT),
        Op(IND_B, base), Op(RSH_K, 4), Op(JEQ, 6, "v6"), Op(JEQ, 4, "v4"), Op(RET_K, 0),
        "v4",
        Op(IND_W, base + 12), Op(ST, SRC), Op(IND_W, base + 16), Op(ST, DST),
        Op(IND_B, base + 9), Op(JEQ, socket.IPPROTO_TCP, None, "far mix"),
        Op(IND_H, base + 6), Op(JSET, FRAGMENT_BITS, "far mix"),
        Op(IND_B, base), Op(AND_K, 0x0F), Op(LSH_K, 2), Op(ADD_X), Op(TAX), Op(JUMP, yes="tcp"),
        "far mix", Op(JUMP, yes="mix"),
        "v6", *fold,
        Op(IND_B, base + 6), Op(ST, PROTO), *forward(40), Op(LD_MEM, PROTO),
        Op(JEQ, 0, "extension"), Op(JEQ, 60, "extension"), Op(JEQ, 43, None, "no extension"),
        "extension", *extension,                       # one of them may stand before TCP
        "no extension", Op(JEQ, socket.IPPROTO_TCP, None, "mix"),
        "tcp",
        Op(IND_H, base), Op(ST, SPORT), Op(IND_H, base + 2), Op(ST, DPORT),
        "mix",
        *one_end(DST, DPORT), Op(ST, KEPT), *one_end(SRC, SPORT),
        Op(TAX), Op(LD_MEM, KEPT), Op(ADD_X),          # the sum is the same from both sides
        Op(MUL_K, MIX_AGAIN), Op(ST, KEPT), Op(RSH_K, 16), Op(TAX), Op(LD_MEM, KEPT), Op(XOR_X),
        Op(MOD_K, workers), Op(RET_A),
    ]


def xor_cell(cell: int) -> Code:
    """cell ^= A; X stays as it is, for it is an offset."""
    return [Op(ST, KEPT), Op(TXA), Op(ST, PROTO), Op(LDX_MEM, cell), Op(LD_MEM, KEPT), Op(XOR_X), Op(ST, cell),
            Op(LDX_MEM, PROTO)]


def one_end(address: int, port: int) -> Code:
    """A = address and port of one end, mixed."""
    return [Op(LD_MEM, port), Op(MUL_K, MIX_AGAIN), Op(TAX), Op(LD_MEM, address), Op(XOR_X), Op(MUL_K, MIX),
            Op(ST, PROTO), Op(RSH_K, 15), Op(TAX), Op(LD_MEM, PROTO), Op(XOR_X), Op(XOR_K, MIX)]
