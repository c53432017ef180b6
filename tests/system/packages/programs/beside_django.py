"""A Django view that enqueues a job when its transaction is committed."""

import django
from django.conf import settings
from django.db import connection, transaction
from django.http import JsonResponse
from django.test import Client as Browser
from django.urls import path

from holdfast import Worker
from holdfast.testing import LocalServer

settings.configure(
    ROOT_URLCONF=__name__,
    SECRET_KEY="of a test",
    ALLOWED_HOSTS=["testserver"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()
worker = Worker("mail")


@worker.handler("welcome")
def welcome(job):
    return f"sent to {job.payload['to']}"


def register(request, name):
    jobs = []
    with transaction.atomic():
        connection.cursor().execute("create table people (name text)")
        transaction.on_commit(lambda: jobs.append(queues.client.enqueue("mail", {"to": name}, type="welcome").id))
        assert jobs == []
    return JsonResponse({"job": jobs[0]})


urlpatterns = [path("people/<str:name>", register)]

with LocalServer() as queues:
    print(Browser().post("/people/ada").content.decode())
    print(dict(queues.drain(worker)))
