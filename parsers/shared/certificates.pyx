"""Certificates seen on the wire → x509 records, one for each certificate and day as Zeek writes them (RFC 5280)."""
from cext.parser cimport Conn, emit_alone, is_news, weird
from cext.record cimport Record, Schema, fill
from cext.types cimport span
from libc.stdint cimport uint8_t

cdef Schema X509 = Schema("x509", "Certificates, once a day each; ssl records name them by their fingerprint.")
X509.text("fingerprint", "SHA-256 of the certificate, in hex.", max=64, source="FIPS 180-4")
X509.text("fingerprint_sha1", "SHA-1 of the certificate, in hex.", max=40, source="FIPS 180-4")
X509.count("certificate.version", "Version of the format.", source="RFC 5280, 4.1.2.1")
X509.text("certificate.serial", "Serial number, in hex.", max=128, source="RFC 5280, 4.1.2.2")
X509.text("certificate.subject", "Who the certificate is for.", max=2048, source="RFC 5280, 4.1.2.6")
X509.text("certificate.issuer", "Who signed it.", max=2048, source="RFC 5280, 4.1.2.4")
X509.time("certificate.not_valid_before", "Valid from.", source="RFC 5280, 4.1.2.5")
X509.time("certificate.not_valid_after", "Valid until; 2262-04-11 stands for all later times.",
          source="RFC 5280, 4.1.2.5")
X509.text("certificate.key_alg", "Algorithm of the key; where it has no name, its number.", max=64,
          source="RFC 5280, 4.1.2.7")
X509.text("certificate.sig_alg", "Algorithm of the signature.", max=64, source="RFC 5280, 4.1.2.3")
X509.text("certificate.key_type", "Kind of the key: rsa, ecdsa or dsa.", max=16, source="RFC 5280, 4.1.2.7")
X509.count("certificate.key_length", "Bits of the key.", source="RFC 5280, 4.1.2.7")
X509.text("certificate.exponent", "Exponent of an RSA key.", max=64, source="RFC 5280, 4.1.2.7")
X509.text("certificate.curve", "Curve of an elliptic key.", max=64, source="RFC 5280, 4.1.2.7")
X509.texts("san.dns", "Host names it is for.", max=256, source="RFC 5280, 4.2.1.6")
X509.texts("san.uri", "URIs it is for.", max=256, source="RFC 5280, 4.2.1.6")
X509.texts("san.email", "Mail addresses it is for.", max=256, source="RFC 5280, 4.2.1.6")
X509.texts("san.ip", "Addresses it is for.", max=256, source="RFC 5280, 4.2.1.6")
X509.bool("basic_constraints.ca", "It may sign others.", source="RFC 5280, 4.2.1.9")
X509.count("basic_constraints.path_len", "How many may stand between it and a leaf.", source="RFC 5280, 4.2.1.9")
X509.bool("host_cert", "It was the first of its chain.", source="RFC 8446, 4.4.2")
X509.bool("client_cert", "The client sent it.", source="RFC 8446, 4.4.2")


cdef object read_certificate(Conn* conn, Span der, bint leaf, bint client):
    """The certificate (parsers.shared.x509.Certificate); its record is written when it is news."""
    cdef Record r
    cdef bytes key
    from parsers.shared.x509 import describe   # heavy: read when the first certificate comes
    certificate = describe((<const char*>der.p)[:der.n])
    key = certificate.fingerprint.encode()
    if not is_news(conn, span(<const uint8_t*>(<const char*>key), 64)):
        return certificate
    if certificate.odd == "x509_unreadable":
        weird(conn, b"x509_unreadable")
    elif certificate.odd:
        weird(conn, b"x509_unreadable_part")
    always = {"fingerprint": certificate.fingerprint, "fingerprint_sha1": certificate.sha1, "host_cert": leaf,
              "client_cert": client}
    try:
        kept = fill(&r, X509, certificate.fields | always)
    except (OverflowError, TypeError, ValueError):     # a value that no field can hold
        kept = fill(&r, X509, always)
    emit_alone(conn, X509, &r)
    kept.clear()
    return certificate
