"""The page where access keys are in force, in a real browser: the way in and out, and what a viewer, an operator and an admin are offered."""

import httpx
import pytest
from playwright.sync_api import expect

from tests.contract.doors.servers import serving
from tests.system.browser.conftest import offences

pytestmark = pytest.mark.long(60)
ROLES = {"viewer": ["read"], "operator": ["read", "produce", "manage"], "admin": ["admin"]}


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A server with a key for each role, and a job."""
    with serving(tmp_path_factory.mktemp("roles")) as server:
        api = httpx.Client(base_url=server.url, timeout=30)
        root = api.post("/v1/keys", json={"name": "root", "abilities": ["admin"]}).json()["secret"]
        while httpx.get(f"{server.url}/v1/queues").status_code != 401:
            pass
        api.headers["authorization"] = f"Bearer {root}"
        secrets = {
            role: api.post("/v1/keys", json={"name": role, "abilities": abilities}).json()["secret"]
            for role, abilities in ROLES.items()
        }
        job = api.post("/v1/queues/mail/jobs", json={"payload": {"to": "ada"}}).json()["id"]
        yield server.url, secrets, job, api
        api.close()


def logged_in(look, house, role):
    url, secrets, _, _ = house
    page = look(f"{url}/web/queues/mail")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    page.get_by_label("Access key").fill(secrets[role])
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="mail")).to_be_visible()
    return page


@pytest.mark.parametrize("role", ROLES)
def test_a_role_logs_in_sees_what_it_may_do_and_logs_out(look, house, role):
    url, _, job, api = house
    page = logged_in(look, house, role)
    acts = role != "viewer"
    expect(page.get_by_role("button", name="Pause", exact=True)).to_have_count(int(acts))
    expect(
        page.get_by_role("link", name="Enqueue", exact=True).first
        if acts
        else page.get_by_role("link", name="Enqueue", exact=True)
    ).to_have_count(1 if acts else 0)
    expect(page.locator('nav [data-nav="keys"]')).to_have_count(int(role == "admin"))
    assert not offences(page)
    page.goto(f"{url}/web/jobs/{job}")
    expect(page.get_by_text("ada").first).to_be_visible()
    expect(page.get_by_text("Cancel…")).to_have_count(int(acts))
    if acts:
        page.goto(f"{url}/web/queues/mail")
        page.get_by_role("button", name="Pause", exact=True).click()
        expect(page.get_by_role("button", name="Resume", exact=True)).to_be_visible()
        assert api.get("/v1/queues/mail").json()["paused"]
        page.get_by_role("button", name="Resume", exact=True).click()
        expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    page.goto(f"{url}/web/queues/mail")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_an_admin_makes_a_key_whose_secret_is_shown_once_edits_it_and_revokes_it(look, house):
    url, _, _, api = house
    page = logged_in(look, house, "admin")
    page.locator('nav [data-nav="keys"]').click()
    page.get_by_label("Name", exact=True).fill("made-here")
    page.get_by_label("read", exact=True).check()
    page.get_by_role("button", name="Create key").click()
    secret = page.locator("#secret").inner_text()
    while httpx.get(f"{url}/v1/queues", headers={"authorization": f"Bearer {secret}"}).status_code != 200:
        pass
    assert not offences(page)
    page.goto(f"{url}/web/keys")
    expect(page.locator("#secret")).to_have_count(0)
    row = page.locator("tr", has_text="made-here")
    row.get_by_role("link", name="Edit").click()
    page.get_by_label("manage", exact=True).check()
    page.get_by_label("Queues").fill("mail.*")
    assert not offences(page)
    page.get_by_role("button", name="Save key").click()
    expect(row).to_contain_text("read, manage")
    expect(row).to_contain_text("mail.*")
    row.get_by_text("Revoke…").click()
    row.get_by_role("button", name="Revoke key").click()
    expect(page.locator("tr", has_text="made-here")).to_have_count(0)
    assert api.get("/v1/keys/made-here").status_code == 404


def test_a_page_that_is_open_asks_for_a_key_once_its_key_is_revoked(look, house):
    url, _, _, api = house
    secret = api.post("/v1/keys", json={"name": "brief", "abilities": ["read"]}).json()["secret"]
    while httpx.get(f"{url}/v1/queues", headers={"authorization": f"Bearer {secret}"}).status_code != 200:
        pass
    page = look(f"{url}/web/login")
    page.get_by_label("Access key").fill(secret)
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("#live")).to_have_attribute("data-how", "stream")
    assert api.delete("/v1/keys/brief").status_code == 204
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
