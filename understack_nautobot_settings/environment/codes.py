"""What can be wrong with the value of a variable."""

from understack_nautobot_settings.problems import Code
from understack_nautobot_settings.problems import WarningCode

# --- reading variables ------------------------------------------------------

VALUE_QUOTED = Code(
    "value-quoted",
    "The value is wrapped in quotes, usually by one layer of YAML or shell too many.",
    "Remove the quotes; they are part of the value that reaches the process.",
)
VALUE_INVALID = Code(
    "value-invalid",
    "The variable does not accept the value.",
    "Use one of the values that the message lists.",
)
VALUE_LINE_BREAK = WarningCode(
    "value-line-break",
    "A password or a key ends with a line break, which `echo` and editors add to a "
    "Secret. It counts as a character of the value, so a server that was given the "
    "password without it refuses the login. One line break at the end of a mounted "
    "file does not count.",
    "Store the value without it: `printf %s` in place of `echo`.",
)
VALUE_NOT_UTF8 = Code(
    "value-not-utf8",
    "The value holds bytes that are not UTF-8, or a NUL byte.",
    "Store the value as UTF-8 text.",
)
PATH_IS_PEM = Code(
    "path-is-pem",
    "A variable that takes a path holds the certificate, key or JSON itself.",
    "Mount the file and set the variable to its path.",
)
PATH_IS_TOKEN = Code(
    "path-is-token",
    "A path names a certificate or key in a token (`pkcs11:`). Python's TLS, which "
    "Redis connections use and this library checks with, takes files only.",
    "Use a key and a certificate in files.",
)
DB_HOST_INVALID = Code(
    "db-host-invalid",
    "The host of PostgreSQL holds more than a host, such as a port, a path or a "
    "password, brackets around an address, or characters that no host name has.",
    "Set `NAUTOBOT_DB_HOST` to the host alone, or to hosts separated by commas, and "
    "`NAUTOBOT_DB_PORT` to the port.",
)
REDIS_HOST_INVALID = Code(
    "redis-host-invalid",
    "The host of Redis holds more than a host, such as a port, a path or a password, "
    "or characters that no host name has.",
    "Set `NAUTOBOT_REDIS_HOST` to the host alone, and `NAUTOBOT_REDIS_PORT` to the "
    "port.",
)
FILE_AND_VALUE = Code(
    "file-and-value",
    "A secret is given twice: as a variable and as a file.",
    "Unset one of the two.",
)
SECRET_FILE_UNREADABLE = Code(
    "secret-file-unreadable",
    "The file that holds a secret is missing or cannot be read.",
    "Mount the secret, correct the path, or check what the Secret has under its key.",
)

# --- JSON -------------------------------------------------------------------

JSON_MALFORMED = Code(
    "json-malformed",
    "The text is not JSON; templates often leave a comma too many or single quotes.",
    "Correct the JSON at the line and column of the message.",
)
JSON_BYTE_ORDER_MARK = Code(
    "json-byte-order-mark",
    "The JSON begins with a byte order mark, which some editors write.",
    "Save it as UTF-8 without a byte order mark.",
)
JSON_NOT_OBJECT = Code(
    "json-not-object",
    "The JSON is an array, a string, a number, a boolean or null.",
    "Write one object: braces around names and values.",
)
JSON_DUPLICATE_NAME = Code(
    "json-duplicate-name",
    "One JSON object has the same name twice, and only the last would count.",
    "Remove one of the two.",
)
JSON_NUMBER_INVALID = Code(
    "json-number-invalid",
    "NaN and Infinity are not JSON, and a number too large for a double would become "
    "Infinity.",
    "Write a finite number, or a string.",
)
JSON_HALF_CHARACTER = Code(
    "json-half-character",
    "A string has half of a surrogate pair, which cannot be stored or sent as UTF-8.",
    "Write the character itself, or both of its escapes.",
)
JSON_TOO_DEEP = Code(
    "json-too-deep",
    "The JSON is nested deeper than Python's parser accepts.",
    "Flatten it.",
)

# --- expansion --------------------------------------------------------------

REFERENCE_UNSET = Code(
    "reference-unset",
    "A `${NAME}` in the plugin configuration names a variable that is unset or empty.",
    "Set the variable, or give a default, as in `${NAME:-text}`.",
)
REFERENCE_MALFORMED = Code(
    "reference-malformed",
    "A `${` in the plugin configuration is not a reference: the brace is not closed, "
    "the name has characters that names of variables cannot have, or the type is "
    "unknown.",
    "Write `${NAME}`, `${NAME:-default}` or, with a type (bool, int, float or json), "
    "`${NAME|int}`; `$${` for `${` itself.",
)
REFERENCE_TYPE = Code(
    "reference-type",
    "The value of a reference with a type (`${NAME|int}`) has another type, or the "
    "reference is part of a longer text.",
    "Correct the value, make the reference the whole string, or write a default with "
    "braces in it as `$<NAME|json:-{}>`.",
)
REFERENCE_UNTYPED = WarningCode(
    "reference-untyped",
    "A reference alone in its string becomes true, false or digits as text. The text "
    "`false` counts as true in Python.",
    "Add the type that the plugin takes: `${NAME|bool}`, `|int`, `|float` or `|json`.",
)
REFERENCE_LINE_BREAK = WarningCode(
    "reference-line-break",
    "A variable that the plugin configuration refers to ends with a line break, which "
    "`echo` and editors add to a Secret. A server would refuse the password.",
    "Store the value without it: `printf %s` in place of `echo`.",
)
REFERENCE_NOT_UTF8 = Code(
    "reference-not-utf8",
    "A variable that the plugin configuration refers to holds bytes that are not "
    "UTF-8.",
    "Store the value as UTF-8 text.",
)
TEMPLATE_LEFTOVER = WarningCode(
    "template-leftover",
    "A string of the plugin configuration looks like what a template or Kubernetes "
    "left behind: Kubernetes leaves `$(NAME)` if no variable of this name is listed "
    "before, and Go prints a map as `map[…]`.",
    "Write `${NAME}` in place of `$(NAME)`; use `toJson` in a Helm template.",
)
EXPANSION_TOO_LARGE = Code(
    "expansion-too-large",
    "References insert more than 16 Mi characters into the plugin configuration.",
    "Refer to shorter values, or less often.",
)

# --- the settings file ------------------------------------------------------

SETTING_TYPE = Code(
    "setting-type",
    "The settings file assigns a value of a type that Django, Celery or a driver does "
    "not accept.",
    "Correct the assignment in the settings file.",
)
