"""Filter expressions: compiled by the system's libpcap, run by it on the packet path (see cext.filter)."""
import ctypes
import ctypes.util
from functools import cache
from typing import Any

from cext.filter import Filter
from sensor.errors import FilterError, SensorError

LINKTYPE_ETHERNET, LINKTYPE_RAW = 1, 12      # as pcap_open_dead wants them: DLT_EN10MB, DLT_RAW
SNAP = 262144
NETMASK_UNKNOWN = 0xFFFFFFFF


class Program(ctypes.Structure):
    """struct bpf_program."""

    _fields_ = (("length", ctypes.c_uint), ("instructions", ctypes.c_void_p))


@cache
def libpcap() -> Any:
    """The library.  Raises SensorError where there is none."""
    for name in filter(None, (ctypes.util.find_library("pcap"), "libpcap.so.0.8", "libpcap.so.1")):
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.pcap_open_dead.restype = ctypes.c_void_p
        library.pcap_geterr.restype = ctypes.c_char_p
        library.pcap_geterr.argtypes = library.pcap_close.argtypes = (ctypes.c_void_p,)
        library.pcap_compile.argtypes = (ctypes.c_void_p, ctypes.POINTER(Program), ctypes.c_char_p, ctypes.c_int,
                                         ctypes.c_uint32)
        return library
    raise SensorError("a filter needs libpcap: install libpcap0.8 (Debian, Ubuntu) or libpcap (elsewhere)")


def compile_for(link: int, expression: str) -> tuple[Program | None, str]:
    """The program for a link type, or None and libpcap's reason."""
    handle = libpcap().pcap_open_dead(link, SNAP)
    program = Program()
    try:
        if libpcap().pcap_compile(handle, ctypes.byref(program), expression.encode(), 1, NETMASK_UNKNOWN) == 0:
            return program, ""
        return None, libpcap().pcap_geterr(handle).decode(errors="replace")
    finally:
        libpcap().pcap_close(handle)


def compile_filter(expression: str) -> Filter:
    """A filter for inner packets.  Raises FilterError with libpcap's words."""
    on_ip, _ = compile_for(LINKTYPE_RAW, expression)
    on_frame, why = compile_for(LINKTYPE_ETHERNET, expression)
    if on_ip is None and on_frame is None:
        raise FilterError(f"filter {expression!r}: {why}; see the manual page pcap-filter(7)")
    run = ctypes.cast(libpcap().pcap_offline_filter, ctypes.c_void_p).value or 0
    return Filter(run, ctypes.addressof(on_ip) if on_ip else 0, ctypes.addressof(on_frame) if on_frame else 0,
                  (on_ip, on_frame))
