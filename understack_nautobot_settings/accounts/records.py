"""API users and tokens in the database of the Nautobot this runs in."""

from collections.abc import Collection
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import check_password
from django.contrib.auth.models import Group
from django.contrib.auth.password_validation import validate_password
from nautobot.users.models import Token as TokenRecord

from understack_nautobot_settings.accounts import plan
from understack_nautobot_settings.accounts.credentials import Credential
from understack_nautobot_settings.reconciliation.database import Database
from understack_nautobot_settings.reconciliation.database import save
from understack_nautobot_settings.reconciliation.failures import Refused
from understack_nautobot_settings.reconciliation.secret import Secret
from understack_nautobot_settings.reconciliation.steps import Step


class DatabaseAccounts(Database):
    """Accounts through Django's models."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold a transaction, and the groups that mark: another run waits for them."""
        with super().transaction():
            marks = Group.objects.filter(name__startswith=plan.CREATED)
            list(marks.order_by("name").select_for_update())
            yield

    def group_names(self) -> Collection[str]:
        """Return the names of all groups."""
        return _names(Group.objects)

    def permission_steps(self, _policy: plan.Policy) -> list[Step]:
        """Return nothing: the database asks for no permission."""
        return []

    def account(self, credential: Credential) -> plan.Account | None:
        """Return the user of a credential, None where there is no such user."""
        user = _users(credential.username).first()
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

    def marked_accounts(self, policy: plan.Policy) -> list[plan.Account]:
        """Return every account that carries the mark of the owner."""
        users = get_user_model().objects.filter(groups__name__in=policy.own_groups)
        return [_account(user) for user in users.distinct().order_by("username")]

    def make(self, step: Step) -> None:
        """Make one step."""
        users = _users(step.subject)
        if step.verb == plan.CREATE_GROUP:
            Group.objects.get_or_create(**step.fields)
        elif step.verb in plan.TAKEN_BACK:
            for user in users:
                _take_back(user, step)
        elif step.verb == plan.REMOVE_TOKEN:
            TokenRecord.objects.filter(pk=step.key).delete()
        elif step.key:
            save(TokenRecord.objects.get(pk=step.key), step)
        elif step.verb == plan.CREATE_TOKEN:
            save(TokenRecord(user=users.get()), step)
        elif step.verb == plan.CREATE_USER:
            _change(get_user_model()(username=step.subject), step)
        else:
            _change(users.get(), step)


def _change(user: Any, step: Step) -> None:
    fields = {name: value for name, value in step.fields.items() if name != "groups"}
    for name, value in fields.items():
        if name != "password":
            setattr(user, name, value)
        elif value is None:
            user.set_unusable_password()
        else:
            validate_password(value.reveal(), user=user)
            user.set_password(value.reveal())
    if user._state.adding:
        user.full_clean()
        user.save()
    elif fields:
        user.save(update_fields=[*fields])
    user.groups.add(*_groups(step))


def _take_back(user: Any, step: Step) -> None:
    if not {*step.fields["groups"]} <= {*_names(user.groups)}:
        raise Refused(plan.MARK_LOST)
    if step.verb == plan.REMOVE_USER:
        user.delete()
    else:
        user.groups.remove(*_groups(step))


def _users(username: str) -> Any:
    return get_user_model().objects.filter(username=username)


def _groups(step: Step) -> list[Any]:
    return [Group.objects.get(name=name) for name in step.fields.get("groups", ())]


def _names(records: Any) -> list[str]:
    return list(records.values_list("name", flat=True))


def _account(user: Any, *, password_matches: bool = True) -> plan.Account:
    records = TokenRecord.objects.filter(user=user)
    if hasattr(records, "with_sensitive_fields"):
        records = records.with_sensitive_fields("key")
    return plan.Account(
        user.username,
        user.is_active,
        user.is_superuser,
        frozenset(_names(user.groups)),
        password_matches,
        tuple(
            plan.Token(
                str(record.pk),
                Secret(record.key),
                record.description,
                record.write_enabled and record.expires is None,
            )
            for record in records.order_by("created")
        ),
        user.email,
    )
