"""The worker: it takes jobs of type `mail` from the queue and sends each by SMTP, to the server that SMTP_HOST and SMTP_PORT name."""

import os
import smtplib
from dataclasses import dataclass
from email.message import EmailMessage

import msgspec

from holdfast import Client, DoNotRetry, HeldJob, Worker
from holdfast.client import Retry
from holdfast.client.worker import Failed

QUEUE = "example-mail"
HOST, PORT = os.environ["SMTP_HOST"], int(os.environ["SMTP_PORT"])
worker = Worker(QUEUE, concurrency=4, register=True)  # registered: the page lists it, with the jobs that it runs


@dataclass
class Mail:
    """The payload of a job."""

    message_id: str
    to: str
    subject: str
    text: str


@worker.handler("mail", timeout_s=60)
def send(job: HeldJob) -> str:
    """Send it. An answer 4xx, or none, is worth another try; 5xx is final."""
    try:
        mail = job.payload_as(Mail)
        message = rendered(mail)
    except (
        msgspec.ValidationError,
        ValueError,
    ) as error:  # no mail, or an address with a line break: the next try would not help
        raise DoNotRetry(str(error)) from error
    try:
        with smtplib.SMTP(HOST, PORT, timeout=20) as server:
            server.send_message(message, to_addrs=[mail.to])  # one job, one recipient: it is refused or it is not
    except smtplib.SMTPRecipientsRefused as error:
        ((code, reason),) = error.recipients.values()
        raise refused(code, reason) from error
    except smtplib.SMTPResponseException as error:
        raise refused(error.smtp_code, error.smtp_error) from error
    except OSError as error:  # nobody listens, a broken connection, no answer in time
        raise Failed(f"{HOST}:{PORT}: {error}") from error
    return f"sent to {mail.to}"


def rendered(mail: Mail) -> EmailMessage:
    """The message. Its id comes with the job and not from here.

    A worker can be killed after the mail server took a message and before the job is concluded. The job runs again, and the
    message comes again, under the same id, by which mail systems know that they have it.
    """
    message = EmailMessage()
    message["Message-ID"] = f"<{mail.message_id}>"
    message["From"] = "shop@example.org"
    message["To"] = mail.to
    message["Subject"] = mail.subject
    message.set_content(mail.text)
    return message


def refused(code: int, reason: bytes | str) -> Exception:
    """What to raise for a refusal: `DoNotRetry` makes the job dead at once, `Failed` leaves it to the queue's retry policy."""
    text = reason.decode(errors="replace") if isinstance(reason, bytes) else reason
    return (DoNotRetry if code >= 500 else Failed)(f"{code} {text}")


if __name__ == "__main__":
    with Client() as client:  # half a second after the first failure, then 1, 2, 4 s and so on, up to an hour: 20 tries in all
        client.set_queue(QUEUE, max_attempts=20, retry=Retry(base_ms=500, factor=2, max_ms=3_600_000))
    worker.run()  # until SIGTERM or Ctrl-C
