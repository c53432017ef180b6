"""What an attempt raised: bounded, and with the place by which failures are grouped."""

import traceback

import pytest

from holdfast import error_text
from holdfast.limits import ERROR_BYTES, ERROR_CLASS_CHARS

OWN = 'File "/srv/app/mail.py", line 42, in send'
PACKAGE = 'File "/venv/lib/python3.12/site-packages/requests/api.py", line 59, in get'
STANDARD = 'File "/usr/lib/python3.11/socket.py", line 851, in create_connection'


def _text(*frames):
    body = "\n".join(f"  {frame}\n    source()" for frame in frames)
    return f"Traceback (most recent call last):\n{body}\nConnectionError: no"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (_text('File "/srv/app/main.py", line 7, in run', OWN), "/srv/app/mail.py in send"),
        (_text(OWN, PACKAGE, STANDARD), "/srv/app/mail.py in send"),
        (_text(PACKAGE, STANDARD), "/usr/lib/python3.11/socket.py in create_connection"),
        (_text('File "<frozen importlib._bootstrap>", line 1, in _find'), "<frozen importlib._bootstrap> in _find"),
        (_text(OWN) + "\n\nDuring handling of the above exception, another exception occurred:\n\n" + _text(PACKAGE), "/srv/app/mail.py in send"),
        ('  | Traceback (most recent call last):\n  |   File "/srv/app/a.py", line 3, in group\n  |     x()', "/srv/app/a.py in group"),
        ('  File "C:\\\\app\\\\mail.py", line 4, in send', "C:\\\\app\\\\mail.py in send"),
        ('  File "/srv/app/broken.py", line 4\n    x = = 1\nSyntaxError: no', "/srv/app/broken.py"),
        ("Error: no\n    at get (/app/node_modules/x/i.js:5:1)\n    at send (/app/mail.js:12:7)\n    at run (/app/main.js:3:1)", "send (/app/mail.js)"),
        ("Error: no\n    at node:internal/a:12:7", "node:internal/a"),
        (
            "java.io.IOException: no\n\tat java.net.Socket.connect(Socket.java:600)\n\tat com.acme.Mail.send(Mail.java:12)",
            "com.acme.Mail.send(Mail.java)",
        ),
        ("no traceback at all", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_the_place_is_the_last_frame_of_the_user_s_own_code(text, place):
    assert error_text.place_of(text) == place


def test_the_place_of_what_python_raises_is_this_function():
    try:
        {}["no"]
    except KeyError as error:
        place = error_text.place_of("".join(traceback.format_exception(error)))
    assert place == f"{__file__} in test_the_place_of_what_python_raises_is_this_function"


def test_the_line_does_not_divide_a_place():
    assert error_text.place_of(_text(OWN)) == error_text.place_of(_text(OWN.replace("42", "43")))


def test_what_fits_is_left_as_it_is():
    assert error_text.bounded("E", "m" * 100, "t" * 100) == ("E", "m" * 100, "t" * 100)


@pytest.mark.parametrize(
    ("message", "trace"),
    [("m" * 10, "t" * 10**6), ("m" * 10**6, "t" * 10), ("m" * 10**6, "t" * 10**6), ("ü" * 10**5, "ü€" * 10**5)],
)
def test_what_is_too_long_is_cut_from_its_middle_and_says_so(message, trace):
    kind, cut_message, cut_trace = error_text.bounded("E" * 10_000, message, trace)
    size = sum(len(part.encode()) for part in (kind, cut_message, cut_trace))
    assert ERROR_BYTES - 200 < size <= ERROR_BYTES
    assert len(kind.encode()) <= ERROR_CLASS_CHARS
    for before, after in ((message, cut_message), (trace, cut_trace)):
        if before != after:
            assert (after[0], after[-1]) == (before[0], before[-1])
            assert f"[{len(before.encode())} bytes, cut]" in after
    assert cut_message == message or len(message) > 10


def test_a_sentence_of_class_and_message():
    assert error_text.sentence("E", "no") == "E: no"
    assert (error_text.sentence("E", ""), error_text.sentence("", "no"), error_text.sentence("", "")) == ("E", "no", "")
