"""A mail server for tests on Debian's aiosmtpd: STARTTLS on one port, TLS from the first byte on another, a login needed on both.

smtpd.py DIR PORT TLSPORT; DIR holds cert.pem, key.pem and password; each message becomes DIR/mail/N.eml.
"""

import os
import signal
import ssl
import sys
import threading

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

folder, port, tls_port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
mails = os.path.join(folder, "mail")
os.makedirs(mails, exist_ok=True)
with open(os.path.join(folder, "password"), encoding="ascii") as f:
    password = f.read().strip().encode()
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem"))
lock = threading.Lock()


class Keep:
    """Keeps each message; refuses the recipient nobody@."""

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server, session, envelope):
        with lock:
            n = len(os.listdir(mails)) + 1
            name = os.path.join(mails, f"{n}.eml")
            with open(name + ".tmp", "wb") as out:
                out.write(b"X-Recipients: " + " ".join(envelope.rcpt_tos).encode() + b"\r\n" + envelope.content)
            os.rename(name + ".tmp", name)
        return f"250 2.0.0 Ok: queued as T{n}"


def login(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and data.login == b"outfall" and data.password == password
    return AuthResult(success=good, handled=False)


class StartTLS(Controller):
    def factory(self):
        return SMTP(Keep(), require_starttls=True, tls_context=context, authenticator=login, auth_required=True, hostname="127.0.0.1")


class FromTheFirstByte(Controller):
    def factory(self):
        return SMTP(Keep(), authenticator=login, auth_required=True, auth_require_tls=False, hostname="127.0.0.1")


StartTLS(Keep(), hostname="127.0.0.1", port=port).start()
FromTheFirstByte(Keep(), hostname="127.0.0.1", port=tls_port, ssl_context=context).start()
signal.sigwait({signal.SIGTERM, signal.SIGINT})
