"""The Grafana dashboard asks for what ``/metrics`` emits."""

import json
import re
from pathlib import Path

import pytest

from tests.contract import exported_metrics

DASHBOARD = json.loads(
    (Path(__file__).parents[2] / "examples/grafana/nautobot-mtls.json").read_text()
)
# What Prometheus adds to every series of a pod.
ADDED = {"namespace", "pod"}
LABELS = {name: ADDED | labels for name, labels in exported_metrics.LABELS.items()}
PANELS = [
    pytest.param(panel, target["expr"], id=panel["title"])
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
]


@pytest.mark.parametrize(("panel", "expression"), PANELS)
def test_panel_query_names_metrics_and_labels_that_exist(panel, expression):
    names = set(re.findall(r"understack_\w+", expression))
    selected = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expression))
    grouped = re.findall(r"by \(([^)]*)\)", expression)
    legend = re.findall(r"{{(\w+)}}", panel["targets"][0].get("legendFormat", ""))

    assert names
    assert names <= set(LABELS)
    labels = set.intersection(*(LABELS[name] for name in names))
    assert selected <= labels
    assert {one.strip() for group in grouped for one in group.split(",")} <= labels
    assert {*legend} <= labels


def test_dashboard_shows_every_metric():
    shown = {
        name
        for panel in PANELS
        for name in re.findall(r"understack_\w+", panel.values[1])
    }

    assert shown == set(LABELS)
