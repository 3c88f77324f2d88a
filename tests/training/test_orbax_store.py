"""What `chanattn.training.orbax_store` knows of Orbax beyond its documentation."""

import logging
import threading

import jax.numpy as jnp
import orbax.checkpoint as ocp
import pytest
from absl import logging as absl_logging

from chanattn.training import orbax_store
from chanattn.training.orbax_store import OrbaxStore, threads_of_a_save


def test_the_threads_that_write_a_save_are_known(tmp_path, monkeypatch):
    """Should Orbax write in other threads, a failed save would no longer be waited for."""
    go_on = threading.Event()

    async def write(*args, **kwargs):
        go_on.wait(60)

    monkeypatch.setattr(ocp.JsonCheckpointHandler, "_save_fn", write)
    before = threading.enumerate()
    store = OrbaxStore(tmp_path, lambda steps: steps, read_only=False)
    store.save(1, {"weights": {"a": jnp.zeros(3)}}, {"progress": {}})
    writing = threads_of_a_save(before)
    go_on.set()
    store.let_writes_end()
    assert writing
    assert not threads_of_a_save(before)
    store.wait()
    store.close()


@pytest.mark.parametrize(("file", "passes"), [("checkpoint_manager.py", False), ("", True)])
def test_lines_of_orbax_alone_are_kept_out_of_the_log(file, passes):
    logger, lines = absl_logging.get_absl_logger(), []
    handler = logging.Handler()
    handler.emit = lines.append
    logger.addHandler(handler)
    path = str(orbax_store._PACKAGE / file) if file else "/home/me/orbax/grain.py"
    record = logger.makeRecord("absl", logging.ERROR, path, 1, "failed", (), None)
    try:
        with orbax_store.log_hushed():
            logger.handle(record)
        assert bool(lines) == passes
        logger.handle(record)
        assert record in lines
    finally:
        logger.removeHandler(handler)
