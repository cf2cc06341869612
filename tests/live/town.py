"""Real servers of all kinds in the lab, and clients that keep them busy for a moment."""

import socket
import subprocess
import sys
from pathlib import Path

import dpkt

from tests.conftest import ROOT
from tests.truth import nginx, test_postgresql, test_ssh, test_tls
from tests.truth.lab import MIRRORED, SENSOR, SERVER, Lab, need_lab
from tests.truth.test_ssh import Login

GENEVE_CAPTURES = ("mirror/gwlb-http.pcap", "mirror/gcp-tls.pcap")


def need_town() -> None:
    need_lab("nginx", "curl", "psql", "openssl", "su", "sshd", "ssh", "dropbear", "ssh-keygen")


def serve(lab: Lab) -> None:
    nginx.serve(lab)
    test_tls.make_certificates(lab.work)
    for name in ("key", "crt"):
        (lab.work / f"server.{name}").write_bytes((lab.work / f"{test_tls.NAME}.{name}").read_bytes())
    test_postgresql.Database(lab)
    test_ssh.prepare(lab.work)
    test_ssh.serve(lab)
    certificate = ["-cert", f"{lab.work}/{test_tls.NAME}.crt", "-key", f"{lab.work}/{test_tls.NAME}.key"]
    lab.server("openssl", "s_server", "-accept", "443", *certificate, "-www", ready=443)


def keep_busy(lab: Lab) -> None:
    """Some hundred flows of HTTP, TLS, PostgreSQL and SSH through VXLAN, and what bundled captures hold in GENEVE."""
    each = [word for name in nginx.FILES for word in ("-o", "/dev/null", f"http://{SERVER}/{name}")]
    lab.client("curl", "-sS", "-Z", "--parallel-max", "20", *each * 20)
    for _ in range(30):
        lab.client("curl", "-sS", *each)
    for version in ("-tls1_2", "-tls1_3") * 3:
        test_tls.visit(lab, 443, version, "-servername", "shop.test")
    for number in range(6):
        test_postgresql.psql(
            lab, f"app {number}", "disable", "select 1 as one", "select nope", "select count(*) from x"
        )
    for good in (True, False):
        assert test_ssh.attempt(lab, Login("openssh", "openssh", "password", good, "", "")) == good
    send_geneve(lab)


def send_geneve(lab: Lab) -> None:
    """Sends the payloads of the GENEVE captures from the mirror's address: this kernel has no such device."""
    lab_script = [sys.executable, "-m", "tests.live.town", SENSOR]
    subprocess.run(lab.inside("server", lab_script), check=True, cwd=ROOT)


def main(target: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((MIRRORED, 0))
        for name in GENEVE_CAPTURES:
            with Path(ROOT / "pcaps" / name).open("rb") as file:
                for _, frame in dpkt.pcap.Reader(file):
                    sender.sendto(bytes(dpkt.ethernet.Ethernet(frame).data.data.data), (target, 6081))


if __name__ == "__main__":
    main(sys.argv[1])
