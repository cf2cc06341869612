"""A second opinion: tshark reads the same capture, and what the two do not agree on is told.

    capture ─┬─ replay ──▶ records ──┐
             └─ tshark ──▶ packets ──┴─▶ values by connection and field ──▶ Disagreement

Both sides are brought to the same shape, a list of values for each connection and field; lists that differ are
compared as diff(1) compares lines.  docs/verify.md says where the two are known to differ.
"""
import asyncio
import difflib
import hashlib
import ipaddress
import os
import subprocess
import sys
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from sensor.engine import replay
from sensor.errors import CaptureError, UnknownName, UsageError

Record = dict[str, Any]
Layer = Any                        # pyshark's, which has no types


class Connection(NamedTuple):
    """Two ends, the lower first, and the network that they are in (a VNI, or nothing)."""

    proto: str
    a: tuple[str, int]
    b: tuple[str, int]
    network: str

    def __str__(self) -> str:
        ends = " – ".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in (self.a, self.b))
        return f"{self.proto} {ends}" + (f" {self.network}" if self.network else "")


class Disagreement(NamedTuple):
    """What each of the two says of a field of a connection, and the packets (from 1) in which tshark saw its part;
    where it saw none, the first and the last of the connection."""

    connection: Connection
    field: str
    cloudmri: list[str]
    tshark: list[str]
    packets: list[int]


class Field(NamedTuple):
    """How a field is read on both sides: from a record, and from tshark's layers of those names."""

    name: str
    layers: tuple[str, ...]
    theirs: Callable[[Layer], list[str]]
    ours: Callable[[Record], list[str]]
    ordered: bool = True           # else what counts is which values there are, not when or how often


Values = dict[tuple[Connection, str], list[tuple[str, int]]]      # with the packet, or 0
Spans = dict[Connection, tuple[int, int]]                          # first and last packet


# ---- reading a record or a layer -----------------------------------------------------------------------------------

def own(*names: str) -> Callable[[Record], list[str]]:
    """The values of those fields that are set, lists taken apart."""
    def read(record: Record) -> list[str]:
        said = [record[name] for name in names if name in record]
        return [str(one) for value in said for one in (value if isinstance(value, list) else [value])]
    return read


def first(*names: str) -> Callable[[Record], list[str]]:
    """The value of the first of those fields that is set."""
    return lambda record: own(*[name for name in names if name in record][:1])(record)


def shown(layer: Layer, name: str) -> list[str]:
    """All values of one of tshark's fields."""
    found = layer.get_field(name)
    return [] if found is None else [str(one.get_default_value()) for one in found.all_fields]


def seen(name: str) -> Callable[[Layer], list[str]]:
    return lambda layer: shown(layer, name)


def asked(layer: Layer) -> list[str]:
    """The text of simple queries; that of a Parse is not in one record but in those of its executions."""
    return shown(layer, "pgsql.query") if shown(layer, "pgsql.type") == ["Simple query"] else []


def failed(layer: Layer) -> list[str]:
    """Codes of errors; notices have some too."""
    return shown(layer, "pgsql.code") if shown(layer, "pgsql.type") == ["Error"] else []


def startup(parameter: str) -> Callable[[Layer], list[str]]:
    def read(layer: Layer) -> list[str]:
        if shown(layer, "pgsql.type") != ["Startup message"]:
            return []
        pairs = zip(shown(layer, "pgsql.parameter_name"), shown(layer, "pgsql.parameter_value"), strict=False)
        return [value for name, value in pairs if name == parameter]
    return read


def hello(name: str) -> Callable[[Layer], list[str]]:
    """A field of a handshake, which DTLS has under a name of its own."""
    return lambda layer: shown(layer, "tls.handshake." + name) or shown(layer, "dtls.handshake." + name)


def fingerprints(layer: Layer) -> list[str]:
    return [hashlib.sha256(bytes.fromhex(der.replace(":", ""))).hexdigest() for der in hello("certificate")(layer)]


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def of_answer(name: str) -> Callable[[Layer], list[str]]:
    """With the number of the message before it."""
    def read(layer: Layer) -> list[str]:
        answers = shown(layer, "dns.flags.response")[:1] in (["1"], ["True"])
        return [f"{int(shown(layer, 'dns.id')[0], 16)} {one}" for one in shown(layer, name)] if answers else []
    return read


def asked_name(layer: Layer) -> list[str]:
    return [f"{int(shown(layer, 'dns.id')[0], 16)} {name.lower().rstrip('.')}" for name in shown(layer, "dns.qry.name")]


def answered(layer: Layer) -> list[str]:
    """Addresses of the answer section; tshark lists those of the other sections behind them."""
    types = shown(layer, "dns.resp.type")[:int((shown(layer, "dns.count.answers") or ["0"])[0])]
    return shown(layer, "dns.a")[:types.count("1")] + shown(layer, "dns.aaaa")[:types.count("28")]


def numbered(name: str) -> Callable[[Record], list[str]]:
    return lambda record: [f"{record.get('trans_id', 0)} {one}" for one in own(name)(record) if is_dns(record)]


def is_dns(record: Record) -> bool:
    """Neither a NetBIOS name nor multicast DNS, which tshark shows as protocols of their own."""
    return record.get("id.resp_p") not in (137, 5353)


# ---- HTTP/1 in order, HTTP/2 by stream -----------------------------------------------------------------------------

def version_1(read: Callable[[Record], list[str]]) -> Callable[[Record], list[str]]:
    return lambda record: [] if record.get("version") == "2" else read(record)


def codes(record: Record) -> list[str]:
    """The interim answer, where there was one (of an upgrade it is the answer itself), and the answer."""
    return [str(code) for code in dict.fromkeys([record.get("info_code"), record.get("status_code")]) if code]


def our_stream(name: str) -> Callable[[Record], list[str]]:
    return lambda record: [f"{record['stream_id']}: {one}" for one in first(*name.split())(record)
                           if record.get("version") == "2"]


def their_stream(name: str) -> Callable[[Layer], list[str]]:
    return lambda layer: [f"{shown(layer, 'http2.streamid')[0]}: {one}" for one in shown(layer, name)]


DNS = ("dns", "llmnr")
HELLO = ("tls", "dtls", "quic")
FIELDS = [
    Field("http.method", ("http",), seen("http.request.method"), version_1(own("method"))),
    Field("http.uri", ("http",), seen("http.request.uri"), version_1(first("original_uri", "uri"))),
    Field("http.host", ("http",), seen("http.host"), version_1(own("host"))),
    Field("http.user_agent", ("http",), seen("http.user_agent"), version_1(own("user_agent"))),
    Field("http.status_code", ("http",), seen("http.response.code"), version_1(codes)),
    Field("http.method of HTTP/2", ("http2",), their_stream("http2.headers.method"), our_stream("method"), False),
    Field("http.uri of HTTP/2", ("http2",), their_stream("http2.headers.path"), our_stream("original_uri uri"), False),
    Field("http.host of HTTP/2", ("http2",), their_stream("http2.headers.authority"), our_stream("host"), False),
    Field("http.status_code of HTTP/2", ("http2",), their_stream("http2.headers.status"), our_stream("status_code"),
          False),
    Field("ssl.server_name", HELLO, hello("extensions_server_name"), own("server_name"), ordered=False),
    Field("ssl.ja3", HELLO, hello("ja3"), own("ja3"), ordered=False),
    Field("ssl.ja3s", HELLO, hello("ja3s"), own("ja3s"), ordered=False),
    Field("ssl.cert_chain_fps", HELLO, fingerprints, own("cert_chain_fps", "client_cert_chain_fps"), ordered=False),
    Field("ssh.banners", ("ssh",), seen("ssh.protocol"), own("client", "server"), ordered=False),
    Field("ssh.hassh", ("ssh",), seen("ssh.kex.hassh"), own("hassh")),
    Field("ssh.hasshServer", ("ssh",), seen("ssh.kex.hasshserver"), own("hasshServer")),
    Field("postgresql.user", ("pgsql",), startup("user"),
          lambda record: own("user")(record) if record.get("frontend") == "startup" else []),
    Field("postgresql.database", ("pgsql",), startup("database"),
          lambda record: own("database")(record) if record.get("frontend") == "startup" else []),
    Field("postgresql.frontend_arg", ("pgsql",), asked,
          lambda record: first("unmasked_arg", "frontend_arg")(record) if record.get("frontend") == "simple_query"
          else []),
    Field("postgresql.sqlstate", ("pgsql",), failed, own("sqlstate")),
    Field("dns.query", DNS, asked_name, numbered("query"), ordered=False),
    Field("dns.rcode", DNS, of_answer("dns.flags.rcode"), numbered("rcode"), ordered=False),
    Field("dns.answers", DNS, answered,
          lambda record: [one for one in own("answers")(record) if is_dns(record) and is_address(one)], ordered=False),
]
PACKETS = "conn.packets"           # of an end; counted, where the others are read
KINDS = sorted({field.name.partition(".")[0] for field in FIELDS} | {"conn"})


# ---- the two readers -----------------------------------------------------------------------------------------------

def connect(proto: str, one: tuple[str, int], other: tuple[str, int], network: str) -> Connection:
    return Connection(proto, min(one, other), max(one, other), network)


def sent(end: tuple[str, int]) -> str:
    return f"{PACKETS} from {end[0]}:{end[1]}"


def our_values(path: str, kinds: set[str]) -> Values:
    """What the records of a capture say."""
    values: Values = defaultdict(list)
    records = list(replay(path, only=kinds | {"conn"}, secrets=True))
    connections, packets = {}, defaultdict[tuple[Connection, str], int](int)
    for record in records:
        if record["_path"] != "conn" or record["proto"] not in ("tcp", "udp"):
            continue
        ends = {side: (record[f"id.{side}_h"], record[f"id.{side}_p"]) for side in ("orig", "resp")}
        network = record.get("id.ctx.vxlan_vni", record.get("id.ctx.geneve_vni"))
        known = connect(record["proto"], ends["orig"], ends["resp"], "" if network is None else f"VNI {network}")
        connections[record["uid"]] = known
        for side, end in ends.items():
            if "conn" in kinds and record[f"{side}_pkts"]:
                packets[known, sent(end)] += record[f"{side}_pkts"]
    for record in sorted(records, key=lambda record: float(record["ts"])):
        for field in FIELDS:
            if field.name.startswith(record["_path"] + ".") and record.get("uid") in connections:
                values[connections[record["uid"]], field.name] += [(value, 0) for value in field.ours(record)]
    return values | {key: [(str(count), 0)] for key, count in packets.items()}


def their_values(path: str, kinds: set[str], decode_as: dict[str, str]) -> tuple[Values, Spans]:
    """What tshark says, and the first and last packet of each connection."""
    values: Values = defaultdict(list)
    counts: dict[tuple[Connection, str], int] = defaultdict(int)
    span: Spans = {}
    for packet in packets_of(path, decode_as):
        number = int(packet.number)
        found = connection_of(packet.layers)
        if found is None:
            continue
        connection, sender = found
        span[connection] = (span.get(connection, (number, 0))[0], number)
        if "conn" in kinds:
            counts[connection, sent(sender)] += 1
        for layer in packet.layers:
            for field in FIELDS:
                if layer.layer_name in field.layers and field.name.partition(".")[0] in kinds:
                    values[connection, field.name] += [(value, number) for value in field.theirs(layer)]
    return values | {key: [(str(count), 0)] for key, count in counts.items()}, span


def packets_of(path: str, decode_as: dict[str, str]) -> Iterator[Any]:
    """pyshark's packets; its trouble in our words."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")        # pyshark uses what asyncio will drop
            import pyshark
            from pyshark.capture.capture import TSharkCrashException
            from pyshark.tshark.tshark import TSharkNotFoundException, get_process_path
    except ImportError as error:
        raise UsageError("verify needs pyshark: pip install 'cloudmri[verify]'") from error
    packets = None
    loop = asyncio.new_event_loop()                # pyshark's own would leave a signal handler behind
    if sys.version_info < (3, 12):                 # later ones do so themselves; other watchers lose exit codes
        watcher = asyncio.PidfdChildWatcher()
        watcher.attach_loop(loop)
        asyncio.set_child_watcher(watcher)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            packets = pyshark.FileCapture(path, keep_packets=False, decode_as=decode_as, eventloop=loop,
                                          override_prefs={"tcp.reassemble_out_of_order": "TRUE"})
            yield from packets
            packets.close()
            packets = None
    except TSharkNotFoundException as error:
        raise UsageError("verify needs tshark, Wireshark's command line (Debian: apt install tshark)") from error
    except TSharkCrashException as error:
        words = [word for port, protocol in decode_as.items() for word in ("-d", f"{port},{protocol}")] + ["-r", path]
        # asyncio may lose the exit status of a program that ends while it is told to (python/cpython#127049): 255
        if "retcode: 255" not in str(error) or not succeeds([get_process_path(), *words]):
            raise CaptureError(f"tshark cannot read it to the end; see: tshark {' '.join(words)}") from error
    finally:
        if packets is not None:
            packets._running_processes.clear()     # else it complains once more when it is collected
        loop.close()


def succeeds(command: list[str]) -> bool:
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def connection_of(layers: list[Layer]) -> tuple[Connection, tuple[str, int]] | None:
    """The innermost connection that a packet belongs to, and which end sent it; not one that an ICMP error quotes, and
    none where a header is cut short."""
    proto, hosts, ports, vnis = "", ("", ""), (0, 0), dict[str, str]()
    for layer in layers:
        name = layer.layer_name
        if name in ("ip", "ipv6"):
            ends, proto = shown(layer, name + ".src") + shown(layer, name + ".dst"), ""
            if len(ends) != 2:
                return None
            hosts = (ends[0], ends[1])
        elif name in ("tcp", "udp"):
            numbers = shown(layer, name + ".srcport") + shown(layer, name + ".dstport")
            if len(numbers) != 2:
                return None
            proto, ports = name, (int(numbers[0]), int(numbers[1]))
        elif name in ("icmp", "icmpv6"):
            return None
        elif name in ("vxlan", "geneve"):          # the outermost is the mirror session's
            for number in shown(layer, name + ".vni"):
                vnis.setdefault(name, number)
    if not proto:
        return None
    sender, other = (hosts[0], ports[0]), (hosts[1], ports[1])
    vni = vnis.get("vxlan", vnis.get("geneve"))
    return connect(proto, sender, other, "" if vni is None else f"VNI {int(vni, 0)}"), sender


# ---- the comparison ------------------------------------------------------------------------------------------------

def compare(ours: Values, theirs: Values, span: Spans) -> Iterator[Disagreement]:
    ordered = {field.name: field.ordered for field in FIELDS}
    for connection, field in sorted({**ours, **theirs}):
        a, b = ours.get((connection, field), []), theirs.get((connection, field), [])
        if not ordered.get(field, True):
            a, b = sorted(set(a)), sorted(dict(reversed(b)).items())
        matcher = difflib.SequenceMatcher(None, [value for value, _ in a], [value for value, _ in b], autojunk=False)
        for change, i, j, k, m in matcher.get_opcodes():
            if change != "equal":
                packets = [number for _, number in b[k:m] if number] or list(span.get(connection, ()))
                yield Disagreement(connection, field, [v for v, _ in a[i:j]], [v for v, _ in b[k:m]], packets)


def verify(path: str, kinds: set[str] | None = None,
           decode_as: dict[str, str] | None = None) -> tuple[list[Disagreement], int]:
    """The disagreements on a capture, and how many values were compared.

    ``decode_as`` is tshark's: {"udp.port==4433": "dtls"}.  Raises CaptureError and UsageError.
    """
    for kind in sorted(kinds or ()):
        if kind not in KINDS:
            raise UnknownName("kind of record that tshark is asked for", kind, KINDS)
    kinds = set(kinds or KINDS)
    if not os.path.isfile(path):
        raise UsageError(f"{path} is no file; verify reads one capture at a time")
    ours = our_values(path, kinds)
    theirs, span = their_values(path, kinds, decode_as or {})
    count = sum(max(len(ours.get(key, ())), len(theirs.get(key, ()))) for key in {**ours, **theirs})
    return list(compare(ours, theirs, span)), count
