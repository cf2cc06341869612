#!/usr/bin/env python3
"""Builds the GENEVE captures from the inner frames of the recorded ones; this kernel has no GENEVE device.

    .venv/bin/python pcaps/wrap.py

mirror/gwlb-http.pcap: http/nginx-curl.pcap as it would reach a target behind a gateway load balancer endpoint (GENEVE
with the three AWS options, then the mirror's VXLAN).  mirror/gcp-tls.pcap: tls/curl-tls13.pcap as Google's out-of-band
mirroring sends it (GENEVE with Google's options, then bare IP).
"""
import struct
import sys
from pathlib import Path

import dpkt

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from tests.builders import aws_options, geneve, pcap  # noqa: E402

GCP_ENDPOINT = bytes.fromhex("00112233445566778899aabbccddeeff")
SERVER = bytes([10, 20, 0, 20])


def gcp_options(ingress: bool) -> bytes:
    """Network cookie and direction, endpoint, profile (class 0x0132)."""
    network = 0x0ABCDEF << 4 | (0 if ingress else 1)
    return (struct.pack(">HBBI", 0x0132, 1, 1, network) + struct.pack(">HBB", 0x0132, 2, 4) + GCP_ENDPOINT
            + struct.pack(">HBBQ", 0x0132, 3, 2, 42))


def read(name: str) -> list[tuple[float, bytes]]:
    with (HERE / name).open("rb") as file:
        return list(dpkt.pcap.Reader(file))


def write(name: str, frames: list[tuple[float, bytes]]) -> None:
    path = HERE / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(pcap(frames))
    print(f"{name}: {len(frames)} frames")


write("mirror/gwlb-http.pcap",
      [(time, geneve(frame[14:], options=aws_options())) for time, frame in read("http/nginx-curl.pcap")])
inner = [(time, frame[14 + 20 + 8 + 8 + 14:]) for time, frame in read("tls/curl-tls13.pcap")]
write("mirror/gcp-tls.pcap",
      [(time, geneve(packet, options=gcp_options(packet[16:20] == SERVER))) for time, packet in inner])
