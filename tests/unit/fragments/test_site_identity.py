import pytest

from tests.refusals import sentences
from understack_nautobot_settings import SettingsError
from understack_nautobot_settings import site_settings


@pytest.mark.parametrize(
    ("env", "partition", "site"),
    [
        ({}, "", ""),
        ({"UNDERSTACK_PARTITION": "", "UNDERSTACK_SITE": ""}, "", ""),
        ({"UNDERSTACK_PARTITION": "dfw3-staging"}, "dfw3-staging", ""),
        ({"UNDERSTACK_PARTITION": " dfw3\n"}, "dfw3", ""),
        (
            {"UNDERSTACK_PARTITION": "a.b_C-1", "UNDERSTACK_SITE": "dfw3"},
            "a.b_C-1",
            "dfw3",
        ),
    ],
    ids=["unset", "empty", "partition", "blanks around it", "both"],
)
def test_site_identity_becomes_settings(env, partition, site):
    assert site_settings({}, env) == {
        "UNDERSTACK_PARTITION": partition,
        "UNDERSTACK_SITE": site,
    }


@pytest.mark.parametrize(
    ("value", "shown", "foreign"),
    [
        ("dfw3\nstaging", r"'dfw3\nstaging'", r"'\n'"),
        ("dfw3 staging", "'dfw3 staging'", "' '"),
        ("dfw3:staging/x", "'dfw3:staging/x'", "'/', ':'"),
        ("dfẃ", "'dfẃ'", "'ẃ'"),
    ],
    ids=["line end inside", "blank inside", "URN separators", "accent"],
)
@pytest.mark.parametrize("name", ["UNDERSTACK_PARTITION", "UNDERSTACK_SITE"])
def test_site_identity_with_invalid_character_is_refused(name, value, shown, foreign):
    with pytest.raises(SettingsError) as caught:
        site_settings({}, {name: value})

    assert sentences(caught.value) == (
        f"{name}: {shown} has characters that a name cannot have: {foreign}. Use "
        "letters, digits, '.', '_' and '-' only."
    )


@pytest.mark.parametrize("value", ["s3cret!", "my own s3cret", "dfw3/" + "s3cret" * 10])
def test_site_identity_that_may_be_a_secret_is_refused_without_it(value):
    with pytest.raises(SettingsError) as caught:
        site_settings({}, {"UNDERSTACK_SITE": value})

    assert sentences(caught.value) == (
        "UNDERSTACK_SITE: the value has characters that a name cannot have. Use "
        "letters, digits, '.', '_' and '-' only."
    )
