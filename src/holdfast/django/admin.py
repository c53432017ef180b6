"""Pages of the admin to look at tasks: a list with filters, and each task with its arguments, errors and result. Nothing is changed here."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.functional import cached_property
from msgspec import DecodeError

from holdfast.client.contents import UnreadableJson, encode
from holdfast.client.sync.client import Client
from holdfast.client.types import Job
from holdfast.django.backend import HoldfastBackend
from holdfast.django.compat import TASKS
from holdfast.django.models import Task
from holdfast.django.results import id_of, local, result_of, status_of
from holdfast.errors import HoldfastError, JobNotFound, QueueNotFound
from holdfast.limits import PRIORITY_DEFAULT

_STATES = ("scheduled", "ready", "leased", "concluded", "dead", "cancelled")
_PAGE = 50
_PATIENCE_S = 5.0  # a page of the admin does not wait longer for a server


class Row:
    """A job, as the pages show it."""

    def __init__(self, job: Job, backend: HoldfastBackend) -> None:
        self.job = job
        self.id = id_of(job)
        self.queue = job.queue.removeprefix(backend.given.queue_prefix)
        self.status = status_of(job.state)
        self.priority = PRIORITY_DEFAULT - job.priority
        self.enqueued_at = local(job.created_at)
        self.run_after = local(job.ready_at) if job.state == "scheduled" else None
        self.finished_at = local(job.ended_at)
        self._alias = backend.alias

    @cached_property
    def result(self) -> Any:
        """All that is known of it; its task need not be importable here."""
        return result_of(self.job, None, self._alias)

    @property
    def arguments(self) -> str:
        """As it was called."""
        written = [_json(value) for value in self.result.args]
        return ", ".join(written + [f"{name}={_json(value)}" for name, value in self.result.kwargs.items()])

    @property
    def return_value(self) -> str:
        """What it returned."""
        return _json(self.job.result)


@admin.register(Task)
class TaskAdmin(admin.ModelAdmin):
    """Reads from the server of the first of Holdfast's backends, or of `?backend=`."""

    def get_urls(self) -> list[Any]:
        """The list and the page of a task, by the admin's own names."""
        shown = self.admin_site.admin_view
        return [
            path("", shown(self.changelist_view), name="holdfast_task_changelist"),
            path("<path:object_id>/change/", shown(self.change_view), name="holdfast_task_change"),
        ]

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Nobody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Nobody."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Nobody."""
        return False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The list."""
        backend = self._backend(request)
        given = {name: request.GET.get(name, "") for name in ("backend", "queue", "state", "task", "cursor")}
        rows: list[Row] = []
        following = None
        try:
            page = _client(backend).jobs_page(
                queue=backend.given.queue_prefix + given["queue"] if given["queue"] else None,
                state=given["state"] if given["state"] in _STATES else None,
                type=given["task"] or None,
                limit=_PAGE,
                cursor=given["cursor"] or None,
            )
            rows = [Row(job, backend) for job in page.jobs if _is_ours(job, backend)]
            following = page.next_cursor
        except QueueNotFound:
            pass  # it has had no task yet
        except HoldfastError as error:
            self.message_user(request, f"The server can't be asked: {error}", messages.ERROR)
        context = {
            **self.admin_site.each_context(request),
            **(extra_context or {}),
            "title": "Tasks",
            "opts": self.model._meta,  # noqa: SLF001
            "rows": rows,
            "given": given,
            "states": _STATES,
            "queues": sorted(backend.queues),
            "aliases": _aliases(),
            "following": f"?{urlencode({**given, 'cursor': following})}" if following else None,
            "web_url": _page_of(backend),
        }
        return TemplateResponse(request, "admin/holdfast/task/list.html", context)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",  # noqa: ARG002
        extra_context: Any = None,
    ) -> HttpResponse:
        """One task."""
        backend = self._backend(request)
        if not object_id or not object_id.isdecimal():
            raise Http404
        try:
            row = Row(_client(backend).job(int(object_id)), backend)
            shown = {"row": row, "arguments": row.arguments, "result": row.result, "return_value": row.return_value}
        except JobNotFound as error:
            raise Http404(str(error)) from None
        except (UnreadableJson, DecodeError, SuspiciousOperation, TypeError, ValueError) as error:
            raise Http404(f"It can't be read: {error}") from None
        except HoldfastError as error:
            self.message_user(request, f"The server can't be asked: {error}", messages.ERROR)
            return HttpResponseRedirect(reverse("admin:holdfast_task_changelist", current_app=self.admin_site.name))
        if not _is_ours(row.job, backend):
            raise Http404
        context = {
            **self.admin_site.each_context(request),
            **(extra_context or {}),
            "title": row.job.type,
            "opts": self.model._meta,  # noqa: SLF001
            "web_url": _page_of(backend, f"/web/jobs/{row.job.id}"),
            **shown,
        }
        return TemplateResponse(request, "admin/holdfast/task/detail.html", context)

    def _backend(self, request: HttpRequest) -> HoldfastBackend:
        if not self.has_view_permission(request):
            raise PermissionDenied
        aliases = _aliases()
        if not aliases:
            raise Http404("TASKS has no backend of Holdfast.")
        alias = request.GET.get("backend") or aliases[0]
        if alias not in aliases:
            raise Http404(f"TASKS has no such backend of Holdfast: {alias}")
        backend: HoldfastBackend = TASKS[alias]
        return backend


def _aliases() -> list[str]:
    return [alias for alias in TASKS.settings if isinstance(TASKS[alias], HoldfastBackend)]


def _client(backend: HoldfastBackend) -> Client:
    return backend.client(Client).within(backend.given.deadline_s or _PATIENCE_S)


def _is_ours(job: Job, backend: HoldfastBackend) -> bool:
    """Whether it is in one of the backend's queues, and not of another program that uses the server."""
    prefix = backend.given.queue_prefix
    queue = job.queue.removeprefix(prefix)
    return job.queue.startswith(prefix) and (not backend.queues or queue in backend.queues)


def _page_of(backend: HoldfastBackend, place: str = "/web") -> str | None:
    """Where Holdfast's own page is, which can do more."""
    given = backend.given.web_url or backend.client(Client).nodes.urls[0]
    return f"{given.rstrip('/')}{place}" if given.startswith(("http://", "https://")) else None


def _json(value: Any) -> str:
    return encode(value).decode()
