"""SSH clients that are libraries: ``ssh_clients.py paramiko|libssh HOST PORT USER METHOD SECRET CIPHER MAC``.

Prints ``yes`` or ``no``: whether the login came through.  SECRET is a password or the file of a private key.
"""

import logging
import socket
import sys


def by_paramiko(host: str, port: int, user: str, method: str, secret: str, cipher: str, mac: str) -> bool:
    import paramiko

    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    transport = paramiko.Transport((host, port))
    options = transport.get_security_options()
    if cipher:
        options.ciphers = (cipher,)
    if mac:
        options.digests = (mac,)
    try:
        transport.start_client(timeout=30)
        if method == "password":
            transport.auth_password(user, secret)
        else:
            transport.auth_publickey(user, paramiko.Ed25519Key.from_private_key_file(secret))
        channel = transport.open_session()
        channel.exec_command("seq 1 500")
        channel.recv_exit_status()
        return True
    except paramiko.AuthenticationException:
        return False
    finally:
        transport.close()


def by_libssh(host: str, port: int, user: str, method: str, secret: str, cipher: str, mac: str) -> bool:
    from ssh import options
    from ssh.exceptions import AuthenticationDenied, SSHError
    from ssh.key import import_privkey_file
    from ssh.session import Session

    session = Session()
    wishes = [(options.HOST, host), (options.USER, user)]
    wishes += [(option, cipher) for option in (options.CIPHERS_C_S, options.CIPHERS_S_C)]
    wishes += [(option, mac) for option in (options.HMAC_C_S, options.HMAC_S_C)]
    for option, value in wishes:
        if value:
            session.options_set(option, value)
    session.options_set_port(port)
    session.connect()
    try:
        if method == "password":
            session.userauth_password(user, secret)
        else:
            session.userauth_publickey(import_privkey_file(secret))
        channel = session.channel_new()
        channel.open_session()
        channel.request_exec("seq 1 500")
        while channel.read()[0] > 0:
            pass
        return True
    except (AuthenticationDenied, SSHError):
        return False
    finally:
        session.disconnect()


if __name__ == "__main__":
    socket.setdefaulttimeout(30)
    name, host, port, *rest = sys.argv[1:]
    print("yes" if {"paramiko": by_paramiko, "libssh": by_libssh}[name](host, int(port), *rest) else "no")
