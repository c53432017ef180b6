"""The worker command by its name and with those of its options that mean something: Holdfast's worker."""

import logging

from django.core.management.base import BaseCommand, CommandError
from holdfast_suite.backends import Suite

from holdfast.django.compat import TASKS
from holdfast.django.worker import DjangoWorker


class Command(BaseCommand):
    def add_arguments(self, parser):
        parser.add_argument("--queue-name", default="default")
        parser.add_argument("--exclude-queues", default="")
        parser.add_argument("--interval", type=float, default=1)
        parser.add_argument("--batch", action="store_true")
        parser.add_argument("--reload", action="store_true")
        parser.add_argument("--backend", default="default", dest="backend_name")
        parser.add_argument("--no-startup-delay", action="store_false", dest="startup_delay")
        parser.add_argument("--worker-id")

    def handle(self, *, queue_name, exclude_queues, batch, backend_name, worker_id, verbosity, **_):
        logger = logging.getLogger("django.tasks")
        if verbosity > 1:
            for name in ("django.tasks", "django_tasks"):
                logging.getLogger(name).addHandler(logging.StreamHandler(self.stdout))
                logging.getLogger(name).setLevel(logging.INFO)
        backend = TASKS[backend_name]
        if not isinstance(backend, Suite):
            return
        if exclude_queues and queue_name != "*":
            raise CommandError("--exclude-queues can only be used with --queue-name=*")
        queues = sorted(backend.queues) if queue_name == "*" else queue_name.split(",")
        queues = [name for name in queues if name not in exclude_queues.split(",")]
        DjangoWorker(backend, queues, name=worker_id, concurrency=1).run(until_empty=batch)
        logger.info("exiting gracefully")
