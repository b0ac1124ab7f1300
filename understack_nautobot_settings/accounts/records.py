"""API users and tokens in the database of the Nautobot this runs in."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import check_password
from django.contrib.auth.models import Group
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import DatabaseError
from django.db import OperationalError
from django.db import transaction
from nautobot.users.models import Token as TokenRecord

from understack_nautobot_settings.accounts import plan
from understack_nautobot_settings.accounts.credentials import Credential
from understack_nautobot_settings.accounts.failures import Refused
from understack_nautobot_settings.accounts.failures import Unreachable
from understack_nautobot_settings.accounts.plan import Account
from understack_nautobot_settings.accounts.plan import Policy
from understack_nautobot_settings.accounts.plan import Step
from understack_nautobot_settings.accounts.plan import Token
from understack_nautobot_settings.accounts.secret import Secret


class DatabaseAccounts:
    """Accounts through Django's models."""

    takes_back = True

    def group_names(self) -> Collection[str]:
        """Return the names of all groups."""
        return _names(Group.objects)

    def permission_steps(self, _policy: Policy) -> list[Step]:
        """Return nothing: the database asks for no permission."""
        return []

    def account(self, credential: Credential) -> Account | None:
        """Return the user of a credential, None where there is no such user."""
        user = _user(credential.username)
        if user is None:
            return None
        if credential.password is None:
            matches = not user.has_usable_password()
        else:
            # Not user.check_password: that one may write a new hash.
            matches = check_password(credential.password.reveal(), user.password)
        return _account(user, password_matches=matches)

    def token_in_use(self, credential: Credential) -> bool:
        """Tell whether any user has the token of a credential."""
        key = credential.token.reveal()
        return bool(TokenRecord.objects.filter(key=key).exists())

    def marked_accounts(self, policy: Policy) -> list[Account]:
        """Return every account that carries the mark of the owner."""
        users = get_user_model().objects.filter(groups__name__in=policy.own_groups)
        return [
            _account(user, password_matches=True)
            for user in users.distinct().order_by("username")
        ]

    def apply(self, step: Step, credential: Credential | None, policy: Policy) -> None:
        """Carry out one step."""
        reason = ""
        try:
            _apply(step, credential, policy)
        except ValidationError as error:
            reason = refused_fields(error)
        except DatabaseError as error:
            # Its text may hold the value that is there twice.
            reason = type(error).__name__
        if reason:
            raise Refused(f"{step.verb}: {reason}")

    @contextmanager
    def one_at_a_time(self, policy: Policy) -> Iterator[None]:
        """Hold a transaction, and the owner's group: another run waits for it."""
        with answering(OperationalError), transaction.atomic():
            marks = Group.objects.filter(name=policy.created_group)
            list(marks.select_for_update())
            yield


@contextmanager
def answering(kind: type[DatabaseError] = DatabaseError) -> Iterator[None]:
    """Do what needs a database that answers.

    Raises:
        Unreachable: It does not, and Django raised an error of this kind.
    """
    reason = ""
    try:
        yield
    except kind as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
    if reason:
        raise Unreachable(f"the database does not answer: {reason}")


def answering_accounts() -> DatabaseAccounts:
    """Return the back end; raise `Unreachable` where the database does not answer."""
    with answering():
        Group.objects.exists()
    return DatabaseAccounts()


def _apply(step: Step, credential: Credential | None, policy: Policy) -> None:
    if step.verb == plan.CREATE_GROUP:
        Group.objects.get_or_create(name=step.detail)
        return
    if step.verb == plan.REMOVE_TOKEN:
        TokenRecord.objects.filter(pk=step.key).delete()
        return
    user = _user(step.subject)
    if credential is None:
        _take_back(step, user)
        return
    fields = plan.changed_fields(step, credential, policy)
    if step.verb == plan.CREATE_USER:
        user = get_user_model()(username=step.subject, email=credential.email or "")
        _set_password(user, credential)
        user.groups.add(_group(policy.created_group))
    elif step.verb in (plan.ADOPT_USER, plan.JOIN_GROUP):
        user.groups.add(_group(step.detail or policy.adopted_group))
    elif step.verb in (plan.SET_PASSWORD, plan.TAKE_PASSWORD):
        _set_password(user, credential)
    elif step.verb == plan.CREATE_TOKEN:
        TokenRecord(user=user, **fields).validated_save()
    elif step.key:
        token = TokenRecord.objects.get(pk=step.key)
        # Every one of these steps ends with the credential's key in place, and saying
        # so spares reading a key that newer versions hold back.
        _set(token, {**fields, "key": credential.token.reveal()})
        token.validated_save()
    else:
        _set(user, fields)
        user.save(update_fields=[*fields])


def _take_back(step: Step, user: Any) -> None:
    if user is None:
        return
    if step.verb == plan.REMOVE_USER:
        user.delete()
    else:
        user.groups.remove(_group(step.detail))


def _set(record: Any, fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        setattr(record, name, value)


def _user(username: str) -> Any:
    return get_user_model().objects.filter(username=username).first()


def _group(name: str) -> Any:
    return Group.objects.get(name=name)


def _names(records: Any) -> list[str]:
    return list(records.values_list("name", flat=True))


def _set_password(user: Any, credential: Credential) -> None:
    if credential.password is None:
        user.set_unusable_password()
    else:
        password = credential.password.reveal()
        validate_password(password, user=user)
        user.set_password(password)
    user.full_clean()
    user.save()


def _account(user: Any, *, password_matches: bool) -> Account:
    records = TokenRecord.objects.filter(user=user)
    if hasattr(records, "with_sensitive_fields"):
        records = records.with_sensitive_fields("key")
    return Account(
        user.username,
        user.is_active,
        user.is_superuser,
        frozenset(_names(user.groups)),
        password_matches,
        tuple(
            Token(
                str(record.pk),
                Secret(record.key),
                record.description,
                record.write_enabled and record.expires is None,
            )
            for record in records.order_by("created")
        ),
        user.email,
    )


def refused_fields(error: ValidationError) -> str:
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
