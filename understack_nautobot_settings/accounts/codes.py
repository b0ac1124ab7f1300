"""What can be wrong with API accounts and their secrets."""

from understack_nautobot_settings.problems import Code
from understack_nautobot_settings.problems import WarningCode

CREDENTIAL_UNREADABLE = Code(
    "credential-unreadable",
    "The secret of an API user is not mounted, or the process may not read it.",
    "Mount the secret, or correct the path.",
)
CREDENTIAL_INCOMPLETE = Code(
    "credential-incomplete",
    "The secret of an API user lacks its username, password or token.",
    "Complete the entry in the secret backend, or the template of the ExternalSecret.",
)
CREDENTIAL_INVALID = Code(
    "credential-invalid",
    "The secret of an API user has a form, or a value, that Nautobot does not accept; "
    "tokens have exactly 40 characters.",
    "Correct the entry in the secret backend.",
)
CREDENTIAL_CONFLICT = Code(
    "credential-conflict",
    "Two secrets contradict each other: one user twice, or one token for two users.",
    "Give every user one secret and a token of its own.",
)
CREDENTIAL_WEAK = WarningCode(
    "credential-weak",
    "A token or password has few different characters, repeats itself, is short, or "
    "holds the username.",
    "Store a random one, such as `openssl rand -hex 20` prints.",
)
ACCOUNT_FOREIGN = Code(
    "account-foreign",
    "The user exists and carries no mark, or the mark of another owner.",
    "Take it over once with `--adopt`, or choose another username.",
)
ACCOUNT_DISABLED = Code(
    "account-disabled",
    "Somebody disabled the user in Nautobot. A secret cannot enable it, so the user is "
    "not changed.",
    "Enable the user in Nautobot, or take its secret away.",
)
ACCOUNT_GROUP_MISSING = Code(
    "account-group-missing",
    "A group that accounts should join does not exist.",
    "Create the group with the permissions that the accounts need.",
)
ACCOUNT_REFUSED = Code(
    "account-refused",
    "Nautobot refused to list or to change accounts.",
    "Correct the secret, or the permissions of the user that makes the changes.",
)
TOKEN_TAKEN = Code(
    "token-taken",
    "The API token in a secret already belongs to another user.",
    "Store a new token in the secret.",
)
TOKEN_LEFT = WarningCode(
    "token-left",
    "The token of a released user is still there: over the REST API only its own user "
    "may remove it.",
    "Remove the token inside Nautobot.",
)
PRUNE_WITHHELD = Code(
    "prune-withheld",
    "Nothing was removed, because something else is wrong. An unusable secret, for "
    "example, makes its account look stale.",
    "Correct the other problems and run again.",
)
