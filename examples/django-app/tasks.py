"""What is done in the background."""

from typing import Any

from django.contrib.auth.models import User

from holdfast.django import Retry, task


@task(queue_name="example-django", unique_key=lambda user_id: user_id, on_conflict="existing")
def welcome(user_id: int) -> str:
    """Mail somebody who has signed up; not twice at a time."""
    user = User.objects.get(pk=user_id)
    return f"welcome, {user.username}"


@task(queue_name="example-django", takes_context=True, max_attempts=5, retry=Retry(base=0.1))
async def tell_crm(context: Any, user_id: int) -> str:
    """Tell another system, which is away at first."""
    if context.attempt == 1:
        raise ConnectionError("503 from the CRM")
    user = await User.objects.aget(pk=user_id)
    return f"{user.username} is known, in attempt {context.attempt}"
