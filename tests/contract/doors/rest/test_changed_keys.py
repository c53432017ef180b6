"""A change of an access key applies to the next request to the same server, also for the first key of a server."""

import httpx
import pytest

ROUNDS = 40


@pytest.mark.parametrize("flags", [("--store", "memory"), (), ("--fronts", "2")], ids=" ".join)
def test_a_change_of_a_key_applies_to_the_next_request(serve, flags):
    _, api = serve(*flags)
    with httpx.Client(base_url=api.url, timeout=20, trust_env=False) as http:
        made = http.post("/v1/keys", json={"name": "root", "abilities": ["admin"]})
        http.headers["authorization"] = f"Bearer {made.json()['secret']}"
        for n in range(ROUNDS):
            made = http.post("/v1/keys", json={"name": f"k{n}", "abilities": ["read"]})
            assert made.status_code == 201, (n, made.text)
            mine = {"authorization": f"Bearer {made.json()['secret']}"}
            assert http.get("/v1/queues", headers=mine).status_code == 200, n
            assert http.patch(f"/v1/keys/k{n}", json={"abilities": ["produce"]}).status_code == 200
            assert http.get("/v1/queues", headers=mine).status_code == 403, n
            rotated = http.post(f"/v1/keys/k{n}/rotate", json={"old_ms": 0}).json()["secret"]
            assert http.get("/v1/queues", headers=mine).status_code in (401, 429), n  # 429 after too many of them in a minute
            assert http.get("/v1/queues", headers={"authorization": f"Bearer {rotated}"}).status_code == 403, n
            assert http.delete(f"/v1/keys/k{n}").status_code == 204
            assert http.get("/v1/queues", headers={"authorization": f"Bearer {rotated}"}).status_code in (401, 429), (
                n
            )  # 429 after too many of them in a minute


def test_the_audit_log_names_a_key_that_was_changed_by_its_id(serve):
    """Nobody can look its id up once it is revoked."""
    _, api = serve("--store", "memory")
    with httpx.Client(base_url=api.url, timeout=20, trust_env=False) as http:
        made = http.post("/v1/keys", json={"name": "root", "abilities": ["admin"]})
        http.headers["authorization"] = f"Bearer {made.json()['secret']}"
        path = f"/v1/keys/{http.post('/v1/keys', json={'name': 'ci', 'abilities': ['read']}).json()['id']}"
        assert http.patch(path, json={"note": "x"}).status_code == 200
        assert http.post(f"{path}/rotate").status_code == 200
        assert http.delete(path).status_code == 204
        entries = http.get("/v1/audit", params={"action": "key", "limit": 3}).json()["entries"]
        assert [(entry["action"], entry["target"]) for entry in entries] == [
            ("key.revoke", "ci"),
            ("key.rotate", "ci"),
            ("key.edit", "ci"),
        ]
