"""Tasks by name, and the networks that they need."""

import pytest

from chanattn import tasks
from chanattn.errors import UsageError
from chanattn.models import heads
from chanattn.tasks import classification
from configs import base


def test_a_name_is_not_given_to_two_tasks(monkeypatch):
    monkeypatch.setattr(tasks, "_TASKS", dict(tasks._TASKS))
    tasks.register("number", classification.Classification)
    tasks.register("number", classification.Classification)
    assert tasks.names() == ["classification", "number"]
    with pytest.raises(ValueError, match="'number'"):
        tasks.register("number", dict)


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
