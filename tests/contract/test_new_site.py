"""new-site writes the directory of a site from the template, with quoted names."""

import subprocess
import sys

import pytest
import yaml

from tests.kubernetes_examples import EXAMPLES
from tests.kubernetes_examples import SITE


def new_site(*arguments, cwd):
    return subprocess.run(
        [sys.executable, str(EXAMPLES / "new-site"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )


def written(directory):
    """Return the text of each file by its path below the directory."""
    return {
        str(path.relative_to(directory)): path.read_text()
        for path in directory.rglob("*.yaml")
    }


def shape(value):
    """Return the value with each scalar replaced by its type."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    if isinstance(value, list):
        return [shape(one) for one in value]
    return type(value).__name__


TEMPLATE = written(SITE)


def test_new_site_files_have_the_site_names_everywhere(tmp_path):
    done = new_site("rxdb-lab", "rxdb.lab", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    files = written(tmp_path / "rxdb-lab")
    assert sorted(files) == sorted(
        name.replace("example-site", "rxdb-lab") for name in TEMPLATE
    )
    assert not any("example-site" in text for text in files.values())
    assert not any("example-partition" in text for text in files.values())
    chart = yaml.safe_load(files["nautobot-worker/values.yaml"])
    env = {entry["name"]: entry["value"] for entry in chart["nautobot"]["extraVars"]}
    assert env["UNDERSTACK_SITE"] == "rxdb-lab"
    assert env["UNDERSTACK_PARTITION"] == "rxdb.lab"
    assert chart["workers"]["default"]["taskQueues"] == "rxdb.lab"
    for path in [path for path in files if path.endswith("kustomization.yaml")]:
        directory = (tmp_path / "rxdb-lab" / path).parent
        for resource in yaml.safe_load(files[path])["resources"]:
            assert (directory / resource).is_file()


def test_new_site_options_replace_every_other_placeholder(tmp_path):
    done = new_site(
        *("dfw3", "dfw3-1", "sites/dfw3", "--queue=dfw3", "--domain=rack.example.net"),
        *("--organization=rack", "--secret-store=vault", "--gateway=10.1.2.3/32"),
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Placeholders" not in done.stdout
    files = written(tmp_path / "sites" / "dfw3")
    whole = "".join(files.values())
    for word in ("example.com", "example-org", "secrets-provider", "192.0.2.10"):
        assert word not in whole
    chart = yaml.safe_load(files["nautobot-worker/values.yaml"])
    assert chart["nautobot"]["db"]["host"] == "nautobot-db.rack.example.net"
    assert chart["nautobot"]["image"]["repository"] == "rack/nautobot"
    assert chart["workers"]["default"]["taskQueues"] == "dfw3"
    policy = yaml.safe_load(files["nautobot-worker/networkpolicy-nautobot-worker.yaml"])
    (gateway,) = policy["spec"]["egress"][1]["to"]
    assert gateway == {"ipBlock": {"cidr": "10.1.2.3/32"}}


def test_new_site_names_that_hold_another_placeholder_stay_whole(tmp_path):
    done = new_site(
        *("my-example-org", "example.com", "site", "--queue=example-org"),
        *("--domain=example-org.net", "--organization=rack"),
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")
    chart = yaml.safe_load(written(tmp_path / "site")["nautobot-worker/values.yaml"])
    env = {entry["name"]: entry["value"] for entry in chart["nautobot"]["extraVars"]}
    assert env["UNDERSTACK_SITE"] == "my-example-org"
    assert env["UNDERSTACK_PARTITION"] == "example.com"
    assert chart["workers"]["default"]["taskQueues"] == "example-org"
    assert chart["nautobot"]["db"]["host"] == "nautobot-db.example-org.net"
    assert chart["nautobot"]["image"]["repository"] == "rack/nautobot"


def test_new_site_with_placeholders_left_names_their_options(tmp_path):
    done = new_site("dfw3", "dfw3", "--domain=example.net", cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == (
        "Placeholders are left. See --organization, --secret-store, --gateway in "
        "new-site --help."
    )


@pytest.mark.parametrize("partition", ["1.10", "0x1f", "1e3", "1_0", "010", "."])
@pytest.mark.parametrize("site", ["s3", "1", "1e3", "true", "null", "no", "2026-01-01"])
def test_new_site_values_that_look_like_numbers_stay_strings(tmp_path, site, partition):
    done = new_site(
        *(site, partition, "site", f"--secret-store={site}", f"--domain={site}"),
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")
    files = written(tmp_path / "site")
    for name, text in TEMPLATE.items():
        found = list(yaml.safe_load_all(files[name.replace("example-site", site)]))
        assert shape(found) == shape(list(yaml.safe_load_all(text)))
    chart = yaml.safe_load(files["nautobot-worker/values.yaml"])
    assert chart["workers"]["default"]["taskQueues"] == partition


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("Rxdb_Lab", "rxdb"), "'Rxdb_Lab' cannot be part of a Kubernetes name\n"),
        (("rxdb-lab", "rxdb lab"), "'rxdb lab' cannot be the name of a queue\n"),
        (
            ("rxdb-lab", "rxdb", "--queue=a,b"),
            "'a,b' cannot be the name of a queue\n",
        ),
        (("rxdb-lab", "rxdb", "--domain=a b"), "'a b' cannot be a domain\n"),
        (("rxdb-lab", "rxdb", "--gateway=a"), "'a' cannot be a network\n"),
        (("taken", "rxdb"), "taken exists already\n"),
    ],
    ids=["site", "partition", "queue", "domain", "gateway", "exists"],
)
def test_new_site_with_invalid_arguments_is_refused_in_words(tmp_path, arguments, said):
    (tmp_path / "taken").mkdir()
    done = new_site(*arguments, cwd=tmp_path)
    assert (done.stderr, done.returncode, done.stdout) == (said, 1, "")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_new_site_without_partition_shows_usage(tmp_path):
    done = new_site("rxdb-lab", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.endswith(
        "error: the following arguments are required: partition\n"
    )


def test_new_site_is_a_program_with_help(tmp_path):
    program = EXAMPLES / "new-site"
    assert program.stat().st_mode & 0o111
    assert program.read_text().startswith("#!/usr/bin/env python3\n")
    done = new_site("--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("--queue", "example.com", "example-org", "secrets-provider"):
        assert word in done.stdout
