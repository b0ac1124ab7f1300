"""The alert rules ask for metrics and labels that exist."""

import re
from pathlib import Path

import pytest
import yaml

from tests.contract.exported_metrics import LABELS

ALERTS = Path(__file__).parents[2] / "examples" / "kubernetes" / "alerts.yaml"
RULES = [
    rule
    for group in yaml.safe_load(ALERTS.read_text())["spec"]["groups"]
    for rule in group["rules"]
]
# Prometheus adds these to whatever it scrapes.
SCRAPED = {"pod", "namespace", "job", "instance"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_alert_rule_names_an_existing_metric_and_its_labels(rule):
    names = re.findall(r"understack_\w+", rule["expr"])
    assert len(names) == 1
    labels = LABELS[names[0]]
    assert {*re.findall(r"(\w+)!?=~?\"", rule["expr"])} <= labels
    texts = " ".join(rule["annotations"].values())
    assert {*re.findall(r"\$labels\.(\w+)", texts)} <= labels | SCRAPED
    assert rule["labels"]["severity"] in ("warning", "critical")


def test_every_metric_has_an_alert():
    asked = {
        name for rule in RULES for name in re.findall(r"understack_\w+", rule["expr"])
    }
    assert asked == set(LABELS)
