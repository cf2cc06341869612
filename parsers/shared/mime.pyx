"""Kinds of files by their first bytes, with the names that Zeek gives them (its file magic), else IANA's.

Out on purpose: what a name or a header claims, and what takes more than the first bytes to tell.
"""
from libc.stdint cimport uint8_t, uint32_t

from cext.cursor cimport byte_at, equals, equals_nocase, is_text, part
from cext.types cimport span

cdef enum:
    MOST_MAGICS = 96

cdef struct Magic:
    uint32_t at                    # bytes before it
    Span mark
    Span name

cdef Magic magics[MOST_MAGICS]
cdef int magic_count = 0
cdef uint8_t begins[256]           # 1 + the first magic that begins with that byte; those are in a row
cdef list alive = []               # what the table points into

MAGICS = {
    "image/png": [b"\x89PNG\r\n\x1a\n"], "image/jpeg": [b"\xff\xd8\xff"], "image/gif": [b"GIF87a", b"GIF89a"],
    "image/x-icon": [b"\0\0\1\0"], "image/tiff": [b"II*\0", b"MM\0*"],
    "application/pdf": [b"%PDF-"], "application/postscript": [b"%!PS"], "text/rtf": [b"{\\rtf"],
    "application/zip": [b"PK\3\4", b"PK\5\6"], "application/x-gzip": [b"\x1f\x8b"],
    "application/x-bzip2": [b"BZh"], "application/x-xz": [b"\xfd7zXZ\0"], "application/zstd": [b"(\xb5/\xfd"],
    "application/x-7z-compressed": [b"7z\xbc\xaf\x27\x1c"], "application/x-rar": [b"Rar!\x1a\7"],
    "application/vnd.ms-cab-compressed": [b"MSCF"], "application/x-archive": [b"!<arch>\n"],
    "application/x-rpm": [b"\xed\xab\xee\xdb"],
    "application/x-dosexec": [b"MZ"], "application/x-executable": [b"\x7fELF"],
    "application/x-mach-o-executable": [b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xfe\xed\xfa\xce",
                                        b"\xfe\xed\xfa\xcf"],
    "application/x-java-applet": [b"\xca\xfe\xba\xbe"], "application/wasm": [b"\0asm"],
    "application/x-shockwave-flash": [b"FWS", b"CWS", b"ZWS"], "application/x-lua-bytecode": [b"\x1bLua"],
    "application/msword": [b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"], "application/x-sqlite3": [b"SQLite format 3\0"],
    "application/vnd.ms-tnef": [b"x\x9f>\""],
    "application/vnd.tcpdump.pcap": [b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4"],
    "application/x-pcapng": [b"\x0a\x0d\x0d\x0a"],
    "application/pgp-signature": [b"-----BEGIN PGP SIGNATURE"], "application/pgp-keys": [b"-----BEGIN PGP PUBLIC KEY"],
    "application/pgp": [b"-----BEGIN PGP MESSAGE"], "application/x-pem": [b"-----BEGIN "],
    "text/x-shellscript": [b"#!/bin/sh", b"#!/bin/bash", b"#! /bin/sh", b"#! /bin/bash", b"#!/usr/bin/env bash"],
    "text/x-perl": [b"#!/usr/bin/perl", b"#!/usr/bin/env perl"],
    "text/x-python": [b"#!/usr/bin/python", b"#!/usr/bin/env python"], "text/x-php": [b"<?php"],
    "video/webm": [b"\x1aE\xdf\xa3"], "video/mpeg": [b"\0\0\1\xba", b"\0\0\1\xb3"], "video/x-flv": [b"FLV\1"],
    "audio/mpeg": [b"ID3", b"\xff\xfb"], "application/ogg": [b"OggS"], "audio/x-flac": [b"fLaC"],
    "audio/midi": [b"MThd"], "font/woff": [b"wOFF"], "font/woff2": [b"wOF2"], "application/x-font-ttf": [b"\0\1\0\0\0"],
}
FORMS = [                          # with a second mark of four bytes, after so many
    (b"RIFF", "image/webp", 8, b"WEBP"), (b"RIFF", "audio/x-wav", 8, b"WAVE"), (b"RIFF", "video/x-msvideo", 8, b"AVI "),
    (b"BM", "image/x-ms-bmp", 6, b"\0\0\0\0"),
]


cdef Span mime_of(Span head) noexcept nogil:
    """The name of the kind; empty where nothing tells it.  Text is what has no byte that text has not."""
    cdef int i = begins[byte_at(head, 0)]
    if head.n == 0:
        return head
    if i:
        i -= 1
        while i < magic_count and byte_at(magics[i].mark, 0) == byte_at(head, 0):
            if bears(head, &magics[i]):
                return magics[i].name
            i += 1
    if equals(part(head, 257, 5), b"ustar", 5):
        return word(b"application/x-tar", 17)
    if equals(part(head, 4, 4), b"ftyp", 4):
        return word(b"video/quicktime", 15) if equals(part(head, 8, 2), b"qt", 2) else word(b"video/mp4", 9)
    return text_kind(head) if is_text(head) else part(head, 0, 0)


cdef inline bint bears(Span head, const Magic* m) noexcept nogil:
    return equals(part(head, 0, m.mark.n), <const char*>m.mark.p, m.mark.n) and (
        m.at == 0 or equals(part(head, m.at, 4), <const char*>m.mark.p + m.mark.n, 4))


cdef inline Span word(const char* text, uint32_t n) noexcept nogil:
    return span(<const uint8_t*>text, n)


cdef Span text_kind(Span head) noexcept nogil:
    cdef uint32_t at = 3 if equals(part(head, 0, 3), b"\xef\xbb\xbf", 3) else 0
    cdef uint8_t next
    at = blank_end(head, at)
    if byte_at(head, at) == c'<':
        return markup(part(head, at, head.n))
    next = byte_at(head, blank_end(head, at + 1))
    if byte_at(head, at) == c'{' and (next == c'"' or next == c'}'):
        return word(b"text/json", 9)
    if byte_at(head, at) == c'[' and (next in (c'{', c'[', c'"', c']', c'-') or c'0' <= next <= c'9'):
        return word(b"text/json", 9)
    return word(b"text/plain", 10)


cdef uint32_t blank_end(Span head, uint32_t at) noexcept nogil:
    while byte_at(head, at) == c' ' or 9 <= byte_at(head, at) <= 13:
        at += 1
    return at


cdef Span markup(Span head) noexcept nogil:
    """HTML by its first tag, XML by its declaration or a tag of what is written in it."""
    if is_tag(head, b"<!doctype html", 14) or is_tag(head, b"<html", 5) or is_tag(head, b"<head", 5) or (
            is_tag(head, b"<title", 6) or is_tag(head, b"<body", 5) or is_tag(head, b"<script", 7)
            or is_tag(head, b"<table", 6) or is_tag(head, b"<a", 2) or is_tag(head, b"<h1", 3)):
        return word(b"text/html", 9)
    if is_tag(head, b"<svg", 4):
        return word(b"image/svg+xml", 13)
    if is_tag(head, b"<?xml", 5) or is_tag(head, b"<rss", 4) or is_tag(head, b"<feed", 5):
        return word(b"application/xml", 15)
    return word(b"text/plain", 10)


cdef bint is_tag(Span head, const char* tag, uint32_t n) noexcept nogil:
    """The tag, and no letter behind it."""
    return equals_nocase(part(head, 0, n), tag, n) and not c'a' <= (byte_at(head, n) | 0x20) <= c'z'


cdef add_magic(str name, bytes mark, uint32_t at, bytes behind):
    global magic_count
    cdef bytes kind = name.encode(), both = mark + behind
    cdef Magic* m = &magics[magic_count]
    if magic_count == MOST_MAGICS:
        raise ValueError("too many magics for their table")
    alive.extend((kind, both))
    m.at, m.mark = at, span(<const uint8_t*>(<const char*>both), <uint32_t>len(mark))
    m.name = span(<const uint8_t*>(<const char*>kind), <uint32_t>len(kind))
    magic_count += 1
    if not begins[mark[0]]:
        begins[mark[0]] = <uint8_t>magic_count


rows = [(mark, name, 0, b"") for name, marks in MAGICS.items() for mark in marks]
for mark, name, at, form in sorted(rows + FORMS, key=lambda row: (row[0][0], -len(row[0]))):      # the longest first
    add_magic(name, mark, at, form)
