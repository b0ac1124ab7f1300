"""The database of the Nautobot this runs in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.core.exceptions import ValidationError
from django.db import DatabaseError
from django.db import InterfaceError
from django.db import OperationalError
from django.db import transaction

from understack_nautobot_settings.reconciliation.failures import Refused
from understack_nautobot_settings.reconciliation.failures import Unreachable
from understack_nautobot_settings.reconciliation.steps import Step


class Database:
    """Records through Django's models."""

    takes_back = True

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold a transaction; raise `Unreachable` if the database does not answer."""
        with answering(OperationalError, InterfaceError), transaction.atomic():
            yield

    def apply(self, step: Step) -> None:
        """Make one step.

        Raises:
            Refused: Nautobot does not take it; the reason holds no values, which may
                be secrets.
        """
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


@contextmanager
def answering(*kinds: type[Exception]) -> Iterator[None]:
    """Do what needs a database that answers.

    Raises:
        Unreachable: It does not, and Django raised an error of one of these kinds.
    """
    reason = ""
    try:
        yield
    except kinds as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
    if reason:
        raise Unreachable(f"the database does not answer: {reason}")


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
