"""The worker of a sweep, whose runs train a tiny network and draw no pictures: both take long to begin."""

from chanattn import cli, models
from chanattn.prediction import samples
from chanattn.report import run_pictures
from chanattn.sweep import worker
from tests.training.conftest import TinyNet

models.from_config = lambda *_: TinyNet(dropout=0.2)
run_pictures.draw_run = samples.draw_samples_of_run = lambda *_: None

if __name__ == "__main__":
    worker._define_flags()
    cli.run(worker.main)
