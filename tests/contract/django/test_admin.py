"""The pages of the admin: who sees them, what is on them, and that nothing can be changed there."""

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client as Browser
from msgspec import Raw

from tests.contract.django import jobs


@pytest.fixture
def staff():
    """A browser of somebody of the staff, with these permissions."""
    users = []

    def log_in(*permissions):
        user = User.objects.create_user(f"u{User.objects.count()}", password="x", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        users.append(user)
        browser = Browser()
        browser.force_login(user)
        return browser

    yield log_in
    for user in users:
        user.delete()


def test_who_may_see_tasks_sees_them(backend, drain, staff):
    first, second = jobs.add.enqueue("<b>", b=2), jobs.add.using(queue_name="other").enqueue(1)
    failed = jobs.fail.enqueue()
    browser = staff("view_task")
    page = browser.get("/admin/holdfast/task/").content.decode()
    assert first.id in page
    assert second.id in page
    other = browser.get("/admin/holdfast/task/", {"queue": "other", "state": "ready", "task": "tests.contract.django.jobs.add"})
    assert second.id in other.content.decode()
    assert first.id not in other.content.decode()
    drain(backend)
    page = browser.get("/admin/holdfast/task/", {"state": "dead", "task": "tests.contract.django.jobs.fail"}).content.decode()
    assert failed.id in page
    place = page.partition('<th><a href="')[2].partition('"')[0]
    detail = browser.get(place).content.decode()
    assert "builtins.KeyError" in detail
    assert "Traceback" in detail
    assert "Open in Holdfast" in detail


def test_markup_in_arguments_is_text(backend, staff, witness):
    result = jobs.add.enqueue("<script>", b={"x": "<b>"})
    (receipt,) = witness.receipts(result.id)
    detail = staff("view_task").get(f"/admin/holdfast/task/{receipt.id}/change/").content.decode()
    assert "<script>&quot;" not in detail
    assert "&lt;script&gt;" in detail


def test_others_do_not(backend, staff, witness):
    result = jobs.add.enqueue(1)
    (receipt,) = witness.receipts(result.id)
    for path in ("/admin/holdfast/task/", f"/admin/holdfast/task/{receipt.id}/change/"):
        assert staff().get(path).status_code == 403
        assert Browser().get(path).status_code == 302


def test_nothing_is_made_or_deleted_there(backend, staff, witness):
    (receipt,) = witness.receipts(jobs.add.enqueue(1).id)
    browser = staff("view_task", "add_task", "delete_task", "change_task")
    assert browser.get("/admin/holdfast/task/add/").status_code in (403, 404)
    assert browser.post(f"/admin/holdfast/task/{receipt.id}/delete/", {"post": "yes"}).status_code in (302, 403, 404)
    assert witness.job(receipt.id).state == "ready"


def test_tasks_of_other_queues_and_missing_ones_are_not_found(backend, staff, witness):
    job = witness.enqueue("somebody-elses", {"args": []}, type="x")
    browser = staff("view_task")
    for number in (job.id, 987654321, "x"):
        assert browser.get(f"/admin/holdfast/task/{number}/change/").status_code == 404
    assert "somebody-elses" not in browser.get("/admin/holdfast/task/").content.decode()
    assert browser.get("/admin/holdfast/task/", {"backend": "none"}).status_code == 404


def test_a_server_that_is_away_is_said(configured, staff):
    with configured(URL="http://127.0.0.1:9", DEADLINE=0.1):
        for path in ("/admin/holdfast/task/", "/admin/holdfast/task/7/change/"):
            page = staff("view_task").get(path, follow=True)
            assert page.status_code == 200
            assert "The server can&#x27;t be asked" in page.content.decode()


def test_a_payload_that_python_can_not_read_hides_no_other_task(backend, staff, witness, prefix):
    result = jobs.add.enqueue(1)
    job = witness.enqueue(f"{prefix}default", Raw(b"1e999"), type="x")
    page = staff("view_task").get("/admin/holdfast/task/").content.decode()
    assert result.id in page
    assert f"job-{job.id}" in page
