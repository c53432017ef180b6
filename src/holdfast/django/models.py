"""A model without a table, so that the admin has a place for tasks, and users a permission to see them: `holdfast.view_task`."""

from typing import ClassVar

from django.db import models


class Task(models.Model):
    """A task on the server."""

    class Meta:
        """Nothing is stored by Django."""

        managed = False
        default_permissions = ("view",)
        verbose_name = "task"
        verbose_name_plural = "tasks"
        app_label = "holdfast"
        ordering: ClassVar[list[str]] = ["pk"]
