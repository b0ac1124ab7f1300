"""The database of the Nautobot this runs in."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.core.exceptions import ValidationError
from django.db import DatabaseError
from django.db import Error
from django.db import OperationalError
from django.db import transaction

from understack_nautobot_settings.reconciliation.failures import Refused
from understack_nautobot_settings.reconciliation.failures import Unreachable
from understack_nautobot_settings.reconciliation.steps import Backend
from understack_nautobot_settings.reconciliation.steps import Step


class Database(Backend):
    """Records through Django's models."""

    takes_back = True

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold a transaction; raise `Unreachable` where the database fails."""
        reason = ""
        try:
            with transaction.atomic():
                yield
        except Error as error:
            # Further lines may hold values.
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
        if reason:
            raise Unreachable(f"the database failed: {reason}")

    def apply(self, step: Step) -> None:
        """Make one step; raise `Refused` with a reason that holds no values."""
        reason = ""
        try:
            self.make(step)
        except OperationalError:
            raise
        except ValidationError as error:
            reason = _refused_fields(error)
        except (DatabaseError, ObjectDoesNotExist) as error:
            reason = type(error).__name__
        if reason:
            raise Refused(reason)

    def make(self, step: Step) -> None:
        """Make one step, by whatever Django raises."""
        raise NotImplementedError


def save(record: Any, step: Step) -> None:
    """Set the fields of a record that a step names, and have Nautobot judge it."""
    for name, value in step.revealed().items():
        setattr(record, name, value)
    record.validated_save()


def _refused_fields(error: ValidationError) -> str:
    """Return which fields are refused and why, without the values."""
    fields = (
        error.error_dict.items()
        if hasattr(error, "error_dict")
        else [("password", error.error_list)]
    )
    return ", ".join(
        f"{field} ({one.code or 'invalid'})"
        for field, errors in fields
        for one in errors
    )
