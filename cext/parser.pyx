"""The contract of a parser, the registry, and the adapter for parsers written in Python.

A protocol registers itself with one line at the end of its file.  The engine probes, feeds and ends parsers; see
dispatch.pyx.  What a parser may rely on:

* bytes come in order, each once; what the cursor leaves is carried and shown again with more behind it;
* a parser that says DONE, or skips, is not called;
* nothing that it is given outlives the call.
"""
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport uint8_t
from libc.string cimport memcpy, strcmp

from cext.pool cimport give_block, take_block
from cext.record cimport Record, fill

import logging

from cext.cursor cimport left, move

LOG = logging.getLogger("cloudmri.parser")

cdef extern from "Python.h":
    void Py_SET_REFCNT(void* o, Py_ssize_t n) noexcept nogil

cdef Protocol protocols[MOST_PROTOCOLS]
cdef int count = 0
cdef set told = set()              # (class, place) of exceptions that were logged
cdef list alive = []               # names and classes that the table points at
cdef list alive_parsers = []       # … and prototypes


cdef class Parser:
    cdef Match probe(self, bint is_orig, Cursor c) noexcept nogil:
        """Is this mine?  ``c`` shows all that this side has said so far.  Must keep nothing."""
        return Match.NO

    cdef Verdict feed(self, Conn* conn, bint is_orig, Cursor* c) noexcept nogil:
        """Bytes, in order, without gaps.  Move the cursor past what you have used."""
        return Verdict.REJECT

    cdef Verdict gap(self, Conn* conn, bint is_orig, uint64_t n) noexcept nogil:
        """``n`` bytes are lost; what was carried is gone."""
        return Verdict.DONE

    cdef Verdict skipped(self, Conn* conn, bint is_orig, uint64_t seen, uint64_t missed) noexcept nogil:
        """A skip has ended, by its bytes, by a gap or by the end of the stream."""
        return Verdict.MORE

    cdef Verdict eof(self, Conn* conn, bint is_orig) noexcept nogil:
        """The FIN of this side was reached in order."""
        return Verdict.MORE

    cdef void end(self, Conn* conn, Reason why) noexcept nogil:
        """The last call, and always made: log what is pending, free what is kept."""
        pass


cdef class Sink:
    cdef void write(self, Conn* conn, const Layout* layout, Record* r) noexcept nogil:
        pass

    cdef void weird(self, Conn* conn, const char* name) noexcept nogil:
        pass

    cdef uint32_t ask(self, const char* kind, const uint8_t* p, uint32_t n, uint8_t* answer,
                      uint32_t room) noexcept nogil:
        return 0

    cdef bint is_local(self, const uint8_t* addr) noexcept nogil:
        return False

    cdef bint is_news(self, const uint8_t* key, uint32_t n, Time ts) noexcept nogil:
        return True

    cdef void write_alone(self, const Layout* layout, Record* r) noexcept nogil:
        pass


cdef Protocol* protocol(int number) noexcept nogil:
    return &protocols[number]


cdef int protocol_count() noexcept nogil:
    return count


cdef int find_protocol(const char* name) noexcept nogil:
    """The number of a protocol, or NOBODY."""
    cdef int i
    for i in range(count):
        if strcmp(protocols[i].name, name) == 0:
            return i
    return NOBODY


# ---- one for each flow ----------------------------------------------------------------------------------------------

cdef void* take_parser(int number, bint datagrams) noexcept nogil:
    """A new parser, for give_parser; NULL where there is none.

    Trick "copied parser": one that holds no Python object is a copy of its prototype, which nobody ever feeds.  The
    interpreter, and its lock, are not asked.
    """
    cdef Protocol* known = &protocols[number]
    cdef void* parser
    if not known.size[datagrams]:
        return call_class(known.kind[datagrams])
    parser = take_block(known.size[datagrams])
    if parser != NULL:
        memcpy(parser, known.prototype[datagrams], known.size[datagrams])
        Py_SET_REFCNT(parser, 1)
    return parser


cdef void give_parser(void* parser, int number, bint datagrams) noexcept nogil:
    if protocols[number].size[datagrams]:
        give_block(parser, protocols[number].size[datagrams])
    else:
        release(parser)


cdef void* call_class(void* kind) noexcept with gil:
    try:
        parser = (<object>kind)()
    except Exception:              # a Python parser's constructor; its flow is left alone
        return NULL
    Py_INCREF(parser)
    return <void*>parser


cdef void release(void* parser) noexcept with gil:
    Py_DECREF(<object>parser)


# ---- the registry ----------------------------------------------------------------------------------------------------

def register(kind, *, str name, Schema schema=None, str transport="tcp", over_tcp=None, ports=(),
             uint32_t carry_max=CARRY_MAX, uint64_t idle_seconds=0, bint late=False, bint confirms=False):
    """Makes a protocol known: the last line of its file.  One without a ``schema`` is recognised and not read.

    ``over_tcp``: the class that reads it there, where ``kind`` reads datagrams.  ``ports`` say whom to ask first; over
    datagrams a MAYBE is enough there.  ``idle_seconds`` is how long a recognised flow may be silent.  ``late``:
    it may begin behind the greeting of a protocol that nobody here knows (STARTTLS, SOCKS); its probe must be strict.
    ``confirms``: the flow is of this service only when its parser has called ``confirm``.
    """
    global count
    cdef Protocol* new = &protocols[count]
    if transport not in ("tcp", "udp"):
        raise ValueError(f"transport of {name!r} is 'tcp' or 'udp', not {transport!r}")
    if count == MOST_PROTOCOLS:
        raise ValueError(f"at most {MOST_PROTOCOLS} protocols")
    if any(known["name"] == name for known in registered()):
        raise ValueError(f"there is a protocol {name!r} already")
    if len(ports) > 16:
        raise ValueError(f"protocol {name!r} has more than 16 ports")
    text = name.encode()
    new.name, new.carry_max, new.late, new.confirms = text, carry_max, late, confirms
    for datagrams, one in ((transport == "udp", kind), (False, over_tcp)):
        if one is None:
            continue
        prototype = one.__new__(one) if not issubclass(one, PyParser) else one()
        alive_parsers.append(prototype)
        new.prototype[<int>datagrams], new.kind[<int>datagrams] = <void*>prototype, <void*>one
        if is_all_zero(<const uint8_t*><void*>prototype, Parser.__basicsize__, one.__basicsize__):
            new.size[<int>datagrams] = one.__basicsize__
    new.idle[transport == "udp"] = idle_seconds
    alive.append((text, kind, over_tcp, schema))
    new.port_count = len(ports)
    for i, port in enumerate(ports):
        new.ports[i] = port
    count += 1


cdef bint is_all_zero(const uint8_t* p, size_t begin, size_t end):
    """True when a parser's own fields are no objects, for those begin as None, and nothing has set one."""
    while begin < end and p[begin] == 0:
        begin += 1
    return begin == end


def registered():
    """The protocols, as dicts with name, transport, ports, the kind of record and whether it is written in Python."""
    return [{"name": text.decode(),
             "transport": ",".join(transport for j, transport in enumerate(("tcp", "udp")) if protocols[i].kind[j]),
             "ports": tuple(protocols[i].ports[j] for j in range(protocols[i].port_count)),
             "schema": schema.name if schema else None, "doc": (kind.__doc__ or "").strip().split("\n")[0],
             "python": issubclass(kind, PyParser)}
            for i, (text, kind, _, schema) in enumerate(alive)]


cdef class PyParser(Parser):
    """A parser written in Python, as the engine sees it.  An exception in it rejects the flow and is logged once."""

    cdef object plugin             # of the class that ``make`` gives, one for each flow
    make = None                    # set by sensor.plugin on a subclass: callable() → plugin

    def __init__(self):
        self.plugin = type(self).make()

    cdef Match probe(self, bint is_orig, Cursor c) noexcept with gil:
        try:
            answer = self.plugin.probe(bool(is_orig), (<const char*>c.p)[:left(&c)])
        except Exception:
            self.complain("probe")
            return Match.NO
        return Match.MAYBE if answer is None else Match.YES if answer else Match.NO

    cdef Verdict feed(self, Conn* conn, bint is_orig, Cursor* c) noexcept with gil:
        cdef Py_ssize_t used
        cdef Verdict verdict
        try:
            used = self.plugin.feed(bool(is_orig), (<const char*>c.p)[:left(c)])
            if used < 0 or used > left(c):
                raise ValueError(f"feed used {used} of {left(c)} bytes")
            move(c, <uint32_t>used)
            verdict = self.answer(conn)
        except Exception:
            self.complain("feed")
            return Verdict.REJECT
        return verdict

    cdef Verdict gap(self, Conn* conn, bint is_orig, uint64_t n) noexcept with gil:
        cdef Verdict verdict
        try:
            self.plugin.gap(bool(is_orig), n)
            verdict = self.answer(conn)
        except Exception:
            self.complain("gap")
            return Verdict.REJECT
        return verdict

    cdef void end(self, Conn* conn, Reason why) noexcept with gil:
        try:
            self.plugin.end()
            self.answer(conn)
        except Exception:
            self.complain("end")

    cdef Verdict answer(self, Conn* conn) except Verdict.REJECT:
        """Writes what the plug-in has emitted; tells what it wants."""
        for schema, fields in self.plugin.take_emitted():
            self.write(conn, schema, fields)
        return Verdict.DONE if self.plugin.done else Verdict.MORE

    cdef write(self, Conn* conn, Schema schema, dict fields):
        cdef Record r
        kept = fill(&r, schema, fields)
        emit(conn, schema, &r)
        kept.clear()

    cdef complain(self, str where):
        """The traceback, once for each class and place."""
        key = (type(self), where)
        if key not in told:
            told.add(key)
            LOG.exception("parser %s failed in %s; its flow goes on without it", type(self).__name__, where)
