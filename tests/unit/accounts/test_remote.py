"""The REST back end against a client that answers from a list; see also e2e."""

import sys
import traceback
from types import SimpleNamespace

import pytest

from understack_nautobot_settings.accounts import plan
from understack_nautobot_settings.accounts.credentials import Credential
from understack_nautobot_settings.accounts.credentials import Secret
from understack_nautobot_settings.accounts.plan import Policy
from understack_nautobot_settings.accounts.plan import Step
from understack_nautobot_settings.accounts.reconcile import Refused
from understack_nautobot_settings.accounts.reconcile import Unreachable
from understack_nautobot_settings.accounts.remote import RemoteAccounts

CANARY = "canary-never-to-be-seen"
SVC = Credential("/s", "", "svc", Secret(CANARY), Secret("t" * 40))


class RequestError(Exception):
    """Like pynautobot's: it holds the whole request."""

    def __init__(self, status, content):
        super().__init__(f"{status}: {content} {CANARY}")
        self.req = SimpleNamespace(status_code=status, json=lambda: _json(content))
        self.request_body = CANARY


def _json(content):
    if isinstance(content, Exception):
        raise content
    return content


class Timeout(Exception):
    pass


class SSLError(Exception):
    pass


class RequestException(OSError):
    """Like that of requests, of which everything there is one."""


class MissingSchema(RequestException, ValueError):
    pass


class ConnectTimeout(ConnectionError, Timeout):
    pass


def client(answer):
    """A connect function whose every call answers by ``answer(name)``."""

    def call(name):
        def answered(*args, **kwargs):
            result = answer(name, *args, **kwargs)
            if isinstance(result, Exception):
                raise result
            return result

        return answered

    def endpoint(name):
        verbs = ("all", "filter", "create", "update", "delete")
        return SimpleNamespace(
            url=f"https://nautobot/api/users/{name}",
            **{verb: call(f"{name}.{verb}") for verb in verbs},
        )

    def connect(url, *, token, verify, exclude_m2m):
        assert (token, exclude_m2m) == (None, False)
        session = SimpleNamespace(
            cookies=SimpleNamespace(clear=lambda: None),
            request=call("request"),
            options=call("options"),
            close=call("close"),
            verify=verify,
        )
        users = SimpleNamespace(
            **{name: endpoint(name) for name in ("users", "groups", "tokens")},
            permissions=endpoint("permissions"),
        )
        return SimpleNamespace(http_session=session, users=users, token=None)

    return connect


def remote(answer, **options):
    return RemoteAccounts(
        "https://nautobot", Secret("b" * 40), connect=client(answer), **options
    )


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (RequestError(403, {"detail": "no"}), Refused, "HTTP 403"),
        (
            RequestError(400, {"password": [CANARY], "username": ["taken"]}),
            Refused,
            "HTTP 400 for password, username",
        ),
        (RequestError(400, [CANARY]), Refused, "HTTP 400"),
        (RequestError(400, ValueError(CANARY)), Refused, "HTTP 400"),
        (RequestError(503, ""), Unreachable, "Nautobot answers HTTP 503"),
        (RequestError(429, ""), Unreachable, "Nautobot answers HTTP 429"),
        (
            RequestError(404, ""),
            Unreachable,
            "there is no Nautobot API at this URL (HTTP 404)",
        ),
        (
            RequestError(200, ValueError()),
            Unreachable,
            "what answers at this URL is no Nautobot",
        ),
        (
            ConnectTimeout(CANARY),
            Unreachable,
            "Nautobot does not answer within 30 seconds",
        ),
        (ConnectionError(CANARY), Unreachable, "no connection to Nautobot"),
        (
            SSLError(CANARY),
            Unreachable,
            "the server's certificate is not trusted; name its CA with --ca-file",
        ),
        (OSError(CANARY), Unreachable, "the CA file cannot be read"),
        (
            MissingSchema(CANARY),
            Unreachable,
            "there is no such URL; it has to be https://HOST",
        ),
        (
            RequestException(CANARY),
            Unreachable,
            "the request failed with RequestException",
        ),
        (KeyError(CANARY), Unreachable, "the request failed with KeyError"),
    ],
)
def test_what_the_client_raises_becomes_words_without_any_content(error, kind, text):
    """No cause, no context, no frame of ours holds what was sent."""
    nautobot = remote(lambda *_args, **_kwargs: error)
    with pytest.raises(kind) as raised:
        nautobot.missing_groups(Policy(groups=("readers",)))
    assert str(raised.value) == text
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None
    assert CANARY not in "".join(traceback.format_exception(raised.value))


def statuses(**by_name):
    def answer(name, /, *args, **kwargs):
        found = by_name[name.replace(".", "_")]
        return found(*args, **kwargs) if callable(found) else found

    return answer


def answering(status):
    return statuses(options=lambda url, headers: SimpleNamespace(status_code=status))


@pytest.mark.parametrize(
    ("status", "in_use"), [(200, True), (403, False), (401, False)]
)
def test_being_somebody_is_enough_to_tell_whether_a_token_is_in_use(status, in_use):
    nautobot = remote(answering(status))
    assert nautobot.token_in_use(SVC) is in_use


def test_a_server_in_trouble_says_nothing_about_a_token():
    nautobot = remote(answering(502))
    with pytest.raises(Unreachable) as raised:
        nautobot.token_in_use(SVC)
    assert str(raised.value) == "Nautobot answers HTTP 502"


USER = {
    "id": "u1",
    "username": "svc",
    "is_active": True,
    "is_superuser": False,
    "groups": [{"id": 7}],
}
GROUPS = [SimpleNamespace(id=7, name="readers"), SimpleNamespace(id=8, name="x")]


def test_a_user_whose_tokens_are_refused_has_unknown_tokens():
    nautobot = remote(
        statuses(
            users_filter=lambda username: [{**USER, "username": "SVC"}, USER],
            groups_all=GROUPS,
            options=lambda url, headers: SimpleNamespace(status_code=200),
            tokens_all=RequestError(403, {}),
        )
    )
    assert nautobot.account(SVC) == plan.Account(
        "svc", True, False, frozenset({"readers"}), True, None
    )


def test_a_user_of_another_case_is_another_user():
    nautobot = remote(
        statuses(users_filter=lambda username: [{**USER, "username": "SVC"}])
    )
    assert nautobot.account(SVC) is None


def test_without_the_groups_nobody_carries_the_mark():
    nautobot = remote(statuses(groups_all=GROUPS))
    assert nautobot.marked_accounts(Policy()) == []


def test_a_user_that_is_gone_needs_no_removal():
    nautobot = remote(statuses(users_filter=lambda username: []))
    nautobot.apply(Step(plan.REMOVE_USER, "svc"), None, Policy())


def test_a_permission_that_was_changed_is_set_right():
    """Somebody widened it; the owner's groups stay in it."""
    changes = []
    policy = Policy()
    record = {
        "object_types": ["users.token"],
        "actions": ["view", "add", "change", "delete"],
        "constraints": None,
        "enabled": True,
        "groups": [{"id": 1}, {"id": 2}],
    }

    class Record(dict):
        id = "p1"

    nautobot = remote(
        statuses(
            groups_all=[
                SimpleNamespace(id=number, name=name)
                for number, name in enumerate(policy.own_groups, 1)
            ],
            permissions_filter=[Record(record)],
            permissions_update=lambda *args: changes.append(args),
        )
    )
    (step,) = nautobot.shared_steps(policy)
    assert str(step) == "create permission 'own tokens of accounts of understack'"
    nautobot.apply(step, None, policy)
    assert changes == [
        (
            "p1",
            {
                "object_types": ["users.token"],
                "actions": ["view", "add", "change", "delete"],
                "constraints": {"user": "$user"},
                "enabled": True,
                "name": "own tokens of accounts of understack",
                "description": "Lets these accounts change their own API tokens.",
                "groups": [1, 2],
            },
        )
    ]


def test_without_pynautobot_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynautobot", None)
    with pytest.raises(Unreachable) as raised:
        RemoteAccounts("https://nautobot", Secret("b" * 40))
    assert str(raised.value) == (
        "a remote Nautobot needs pynautobot: install "
        "'understack-nautobot-settings[remote]'"
    )


def test_every_request_has_a_time_limit_and_a_connection_of_its_own():
    """uWSGI closes a connection after each answer, and does not say so.

    And the CA is part of it: what the session has, REQUESTS_CA_BUNDLE beats.
    """
    sent = []
    made = []

    def connect(*args, **kwargs):
        answers = {
            "request": lambda *_, **kw: sent.append(kw),
            "close": lambda: sent.append("close"),
        }
        api = client(statuses(**answers))(*args, **kwargs)
        made.append(api)
        return api

    RemoteAccounts(
        "https://nautobot", Secret("b" * 40), ca_file="/ca.crt", connect=connect
    )
    made[0].http_session.request("GET", "https://nautobot", json=1)
    assert sent == ["close", {"json": 1, "timeout": 30.0, "verify": "/ca.crt"}]
    # What stands in for netrc leaves a request as it is.
    assert made[0].http_session.auth(sent) is sent
