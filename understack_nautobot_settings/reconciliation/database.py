"""The database of the Nautobot this runs in."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.core.exceptions import ValidationError
from django.db import DataError
from django.db import Error
from django.db import IntegrityError
from django.db import transaction

from understack_nautobot_settings.reconciliation.failures import Refused
from understack_nautobot_settings.reconciliation.failures import Unreachable
from understack_nautobot_settings.reconciliation.steps import Backend
from understack_nautobot_settings.reconciliation.steps import Step

# What the database says of these holds values.
_REFUSED = (DataError, IntegrityError, ObjectDoesNotExist)


class Database(Backend):
    """Records through Django's models."""

    takes_back = True

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold a transaction.

        Raises:
            Refused: The database judges some constraints at its end.
            Unreachable: The database fails.
        """
        failure: Exception
        try:
            with transaction.atomic():
                yield
            return
        except _REFUSED as error:
            failure = Refused(f"the database refused it: {type(error).__name__}")
        except Error as error:
            # Further lines may hold values.
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            failure = Unreachable(f"the database failed: {reason}")
        raise failure

    def apply(self, step: Step) -> None:
        """Make one step; raise `Refused` with a reason that holds no values."""
        reason = ""
        try:
            self.make(step)
        except ValidationError as error:
            reason = _refused_fields(error)
        except _REFUSED as error:
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
