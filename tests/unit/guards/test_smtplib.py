"""Claim: no mail of a bullet leaves, by whichever of smtplib's ways it is sent."""

from __future__ import annotations

import smtplib
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from typing import Any, ClassVar

import pytest

from tests.servers.mail import MailServer
from tests.unit.guards.conftest import Telemetry
from tests.unit.guards.contract import GuardContract
from tests.unit.guards.peers import bullet
from tracer_bullet.guards import Armed, Policy, Rule, Sink, WriteRefused

Arm = Callable[..., Armed]
_METHODS = ("sendmail", "mail", "rcpt", "data", "send")


@pytest.fixture(scope="module")
def server() -> Iterator[MailServer]:
    with MailServer() as found:
        yield found


@pytest.fixture(autouse=True)
def empty(server: MailServer) -> None:
    server.mails.clear()
    server.commands.clear()


def connect(server: MailServer) -> smtplib.SMTP:
    return smtplib.SMTP("127.0.0.1", server.port, local_hostname="tests", timeout=60)


def by_message(smtp: smtplib.SMTP, value: str) -> Any:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "shop@shop.test", "Ann <ann@example.com>", "your order"
    message.set_content(value)
    return smtp.send_message(message)


def by_steps(smtp: smtplib.SMTP, value: str) -> Any:
    smtp.ehlo()
    assert smtp.mail("shop@shop.test")[0] == 250
    assert smtp.rcpt("ann@example.com")[0] == 250
    assert smtp.data(f"Subject: your order\r\n\r\n{value}")[0] == 250
    return {}


class MailSubject:
    name = "smtplib"
    sink = Sink.MAIL
    operation = "SEND example.com"
    policies = (Policy.NOOP, Policy.DENY, Policy.ALLOW)
    patched = tuple((smtplib.SMTP, name) for name in _METHODS)
    settings: ClassVar[dict[str, Any]] = {}
    instrumentor = None

    def __init__(self, server: MailServer, send: Callable[[smtplib.SMTP, str], Any]) -> None:
        self._server = server
        self._send = send

    def write(self, value: str) -> Any:
        with connect(self._server) as smtp:
            return self._send(smtp, value)

    def read(self) -> Any:
        with connect(self._server) as smtp:
            return smtp.noop()

    def check(self, answer: Any) -> None:
        assert answer == {}

    def stored(self) -> list[str]:
        return sorted(mail.text for mail in self._server.mails)

    def shadowed(self) -> list[str]:
        return []


class TestSmtplib(GuardContract):
    @pytest.fixture(params=[by_message, by_steps])
    def subject(self, request: pytest.FixtureRequest, server: MailServer) -> MailSubject:
        return MailSubject(server, request.param)


@pytest.mark.parametrize("send", [by_message, by_steps])
def test_not_even_the_envelope_is_sent(send: Any, server: MailServer, arm_service: Arm) -> None:
    with bullet(arm_service()), connect(server) as smtp:
        send(smtp, "bullet")
        send(smtp, "bullet")
    assert server.commands == []


def test_a_connection_that_a_bullet_used_serves_customers(server: MailServer, arm_service: Arm) -> None:
    armed = arm_service()
    with connect(server) as smtp:
        with bullet(armed):
            by_message(smtp, "bullet")
            smtp.mail("shop@shop.test")
        by_message(smtp, "customer")
    assert [mail.text for mail in server.mails] == ["customer"]


def test_a_server_that_is_away_is_seen(arm_service: Arm) -> None:
    with bullet(arm_service()), pytest.raises(smtplib.SMTPServerDisconnected):
        smtplib.SMTP(local_hostname="tests").sendmail("a@a.test", "b@b.test", "text")


def test_nobody_to_send_to_is_an_error_as_ever(server: MailServer, arm_service: Arm) -> None:
    with bullet(arm_service()), connect(server) as smtp, pytest.raises(smtplib.SMTPRecipientsRefused):
        smtp.sendmail("a@a.test", [], "text")


def test_a_raw_data_command_is_refused(server: MailServer, arm_service: Arm, telemetry: Telemetry) -> None:
    with bullet(arm_service()), connect(server) as smtp:
        smtp.ehlo()
        smtp.docmd("MAIL", "FROM:<a@a.test>")
        smtp.docmd("RCPT", "TO:<b@b.test>")
        with pytest.raises(WriteRefused, match="raw DATA"):
            smtp.docmd("data")
    assert server.mails == []
    assert telemetry.decisions == [("denied", "SEND")]


def test_a_message_goes_to_all_of_its_recipients_or_none(server: MailServer, arm_service: Arm) -> None:
    rule = Rule(sink="mail", operation="SEND shop.test", policy="allow")
    with bullet(arm_service(rules=(rule,))), connect(server) as smtp:
        smtp.sendmail("a@a.test", ["own@shop.test"], "Subject: x\r\n\r\nown")
        with pytest.raises(WriteRefused, match="different policies"):
            smtp.sendmail("a@a.test", ["own@shop.test", "ann@example.com"], "Subject: x\r\n\r\nboth")
        assert smtp.sendmail("a@a.test", ["ann@example.com"], "Subject: x\r\n\r\ntheirs") == {}
    assert [mail.text for mail in server.mails] == ["own"]


def test_what_is_allowed_is_sent_as_it_was_given(server: MailServer, arm_service: Arm) -> None:
    with bullet(arm_service(mail="allow")), connect(server) as smtp:
        refused = smtp.sendmail("a@a.test", ["refused@b.test", "ann@b.test"], "Subject: x\r\n\r\none")
        assert list(refused) == ["refused@b.test"]
        smtp.mail("a@a.test")
        smtp.rcpt("refused@b.test")
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            smtp.data("two")
        by_steps(smtp, "three")
    assert [(mail.recipients, mail.text) for mail in server.mails] == [
        (("ann@b.test",), "one"),
        (("ann@example.com",), "three"),
    ]


@pytest.mark.parametrize("raw", ["DATA\r\n", b"data\r\n", "NOOP\r\nDATA\r\n"])
def test_bytes_sent_by_hand_are_refused(raw: Any, server: MailServer, arm_service: Arm, telemetry: Telemetry) -> None:
    with connect(server) as smtp:
        with bullet(arm_service()), pytest.raises(WriteRefused, match="raw DATA"):
            smtp.send(raw)
        assert smtp.noop()[0] == 250
    assert telemetry.decisions == [("denied", "SEND")]
    assert server.mails == []
