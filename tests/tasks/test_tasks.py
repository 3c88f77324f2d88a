"""Tasks by name, and the networks that they need."""

import re

import pytest

from chanattn import tasks
from chanattn.errors import UsageError
from chanattn.models import heads
from chanattn.runs.metric import Metric
from chanattn.tasks import classification
from configs import base


def test_a_name_is_not_given_to_two_tasks(monkeypatch):
    monkeypatch.setattr(tasks, "_TASKS", dict(tasks._TASKS))
    tasks.register("number", classification.Classification)
    tasks.register("number", classification.Classification)
    assert tasks.names() == ["captioning", "classification", "detection", "number", "segmentation"]
    with pytest.raises(ValueError, match="'number'"):
        tasks.register("number", dict)


@pytest.mark.parametrize(
    ("declared", "mistake"),
    [
        ({"metrics": ()}, "metrics must name one"),
        ({"heads": ()}, "heads must name one"),
        ({"fields": ("depth",)}, "no field 'depth' of data; there are: label, label_map"),
        ({"metrics": (Metric("step", "", "", True),)}, "cannot have the name 'step'"),
        ({"details": (Metric("corrupt_examples", "", "", True),)}, "name 'corrupt_examples'"),
        ({"details": (Metric("top1", "", "", True),)}, "have the name 'top1' twice"),
        ({"terms": ("loss", "aux")}, "terms cannot have the name 'loss'"),
        ({"monitored": ("learning_rate",)}, "cannot have the name 'learning_rate'"),
    ],
)
def test_what_a_task_declares_is_checked_when_it_is_registered(declared, mistake, monkeypatch):
    monkeypatch.setattr(tasks, "_TASKS", dict(tasks._TASKS))
    task = type("Own", (classification.Classification,), declared)
    with pytest.raises(ValueError, match=rf"task 'own': .*{re.escape(mistake)}"):
        tasks.register("own", task)
    assert "own" not in tasks.names()


def test_the_tasks_of_the_project_declare_what_can_be():
    for task in tasks._TASKS.values():
        assert list(tasks._mistakes(task)) == []


def test_the_head_of_a_network_is_the_first_of_its_task_or_one_that_the_task_takes(monkeypatch):
    config = base.get_config()
    assert tasks.network(config, 3).head == "classifier"
    monkeypatch.setitem(heads._HEADS, "other", heads.Classifier)
    config.model.head = "other"
    with pytest.raises(UsageError, match=r"model\.head=other .* classification, which takes class"):
        tasks.network(config, 3)
    monkeypatch.setattr(classification.Classification, "heads", ("classifier", "other"))
    assert tasks.network(config, 3).head == "other"
    config.model.head = "othr"
    with pytest.raises(UsageError, match=r"unknown head 'othr'.*mean 'other'"):
        tasks.network(config, 3)


def test_a_mechanism_that_learns_what_is_in_a_picture_needs_a_task_that_can_say_it(monkeypatch):
    config = base.get_config()
    config.model.attention.update(name="encnet", se_loss=True)
    tasks.network(config, 3)
    monkeypatch.setattr(classification.Classification, "presence_loss", None)
    with pytest.raises(UsageError, match=r"'encnet'.*classification cannot tell.*se_loss=False"):
        tasks.network(config, 3)
    config.model.attention.se_loss = False
    tasks.network(config, 3)
