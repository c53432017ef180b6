"""Ada signs up, and Bob almost: what is enqueued in a transaction that is rolled back is never sent."""

import os
import time
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.db import transaction  # noqa: E402
from tasks import tell_crm, welcome  # noqa: E402

PATIENCE_S = float(os.environ.get("PATIENCE_S", "30"))


def sign_up(name: str, pays: bool) -> list[Any]:
    """Store a user and enqueue what follows, or neither."""
    with transaction.atomic():
        user = User.objects.create_user(name)
        results = [welcome.enqueue(user.pk), tell_crm.enqueue(user.pk)]
        transaction.set_rollback(not pays)
    return results


def ended(result: Any) -> Any:
    """The result, once it has ended."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and not result.is_finished:
        time.sleep(0.1)
        result.refresh()
    return result


ada, bob = sign_up("ada", pays=True), sign_up("bob", pays=False)
print(f"enqueued: {sum(result.enqueued_at is not None for result in ada + bob)}, users: {User.objects.count()}")
for each in map(ended, ada):
    print(f"{each.task.name}: {each.return_value}")
    for error in each.errors:
        print(f"  before that: {error.traceback.splitlines()[-1]}")
