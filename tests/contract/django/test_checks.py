"""System checks: what is wrong with the settings, and what to do about it."""

import pytest
from django.core.checks import Error, run_checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.test.utils import override_settings

from holdfast.django.compat import TASKS
from holdfast.django.settings import Options


def found(**tasks):
    with override_settings(TASKS={"default": {"BACKEND": "holdfast.django.HoldfastBackend", **tasks}}):
        return [(each.id, each.msg, each.hint) for each in TASKS["default"].check()]


@pytest.mark.parametrize(
    ("options", "id", "says", "hint"),
    [
        ({"URLS": "http://x"}, "E001", "no option 'URLS'", "Is URL meant?"),
        ({"zzzzz": 1}, "E001", "no option 'zzzzz'", "There are URL, TOKEN"),
        ({"URL": "127.0.0.1:4653"}, "E002", "no address of a server", "http://127.0.0.1:4653"),
        ({"URL": ["http://a", "ftp://b"]}, "E002", "ftp://b", "http"),
        ({"URL": 4653}, "E002", "4653", "http"),
        ({"URL": "http://[::1"}, "E002", "http://[::1", "http"),
        ({"QUEUE_PREFIX": None}, "E006", "QUEUE_PREFIX can't be None", "A text"),
        ({"ENQUEUE": "later"}, "E003", "ENQUEUE can't be 'later'", '"on_commit"'),
        ({"DATABASE": "replica"}, "E004", "'replica' is not in DATABASES", "There are default"),
        ({"ENQUEUE": "transaction"}, "E005", "needs PostgreSQL", "same PostgreSQL database"),
        ({"QUEUE_PREFIX": "a b"}, "E006", "can't be the name of a queue", "A-Z"),
        ({"MAX_ATTEMPTS": 0}, "E007", "MAX_ATTEMPTS can't be 0", "1 is the usual"),
        ({"MAX_ATTEMPTS": True}, "E007", "MAX_ATTEMPTS can't be True", "whole number"),
        ({"DEADLINE": -1}, "E008", "DEADLINE can't be -1", "Seconds"),
        ({"DEADLINE": "5"}, "E008", "DEADLINE can't be '5'", "Seconds"),
    ],
)
def test_each_mistake_is_named_with_what_to_do(options, id, says, hint):
    ((number, message, told),) = found(OPTIONS=options)
    assert number == f"holdfast.{id}"
    assert says in message
    assert hint in told


def test_good_settings_are_not_complained_of():
    assert found() == []
    assert (
        found(
            QUEUES=["a", "b"],
            OPTIONS={"URL": ["http://a", "https://b:1"], "ENQUEUE": "now", "MAX_ATTEMPTS": 3, "DEADLINE": 2.5},
        )
        == []
    )


def test_queues_are_looked_at():
    ((number, message, _),) = found(QUEUES=["good", "bad name"])
    assert (number, "bad name" in message) == ("holdfast.E006", True)
    assert [number for number, *_ in found(QUEUES=["good", 5])] == ["holdfast.E006"]
    assert [number for number, *_ in found(QUEUES=[f"q{n}" for n in range(300)])] == ["holdfast.W002"]


def test_an_app_that_is_missing_is_a_warning():
    with override_settings(INSTALLED_APPS=["django.contrib.contenttypes"]):
        ((number, _, hint),) = found()
    assert (number, "INSTALLED_APPS" in hint) == ("holdfast.W001", True)


def test_the_worker_does_not_begin_with_wrong_settings():
    wrong = {"default": {"BACKEND": "holdfast.django.HoldfastBackend", "OPTIONS": {"ENQUEUE": "later"}}}
    with override_settings(TASKS=wrong):
        assert any(isinstance(each, Error) and each.id == "holdfast.E003" for each in run_checks())
        with pytest.raises(SystemCheckError, match=r"holdfast\.E003"):
            call_command("holdfast_worker", skip_checks=False, until_empty=True)


def test_the_app_itself_is_sound_and_has_no_migrations_to_be_made(capsys):
    with override_settings(TASKS={"default": {"BACKEND": "holdfast.django.HoldfastBackend"}}):
        assert run_checks() == []
    call_command("makemigrations", check_changes=True, dry_run=True)
    assert "No changes detected" in capsys.readouterr().out


def test_no_traceback_that_shows_variables_shows_the_token():
    assert "my-token" not in repr(Options.of({"TOKEN": "my-token"}))
