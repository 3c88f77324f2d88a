"""What every test shares: the CPU platform and where the reference data lies, if it is there."""

import contextlib
import gc
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# The workers of pytest share the cores: threads that wait for each other would wait for those of the others.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import jax
import pytest
from hypothesis import settings

from chanattn.layers import kernels
from chanattn.training import compilation_cache, variables
from tests.support.skips import pytest_sessionfinish, pytest_terminal_summary  # noqa: F401 - hooks

# Compilation makes the first example slow, and a test must give the same verdict every time.
settings.register_profile("chanattn", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("chanattn")

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Long tests run alone, by `make soak`; each has a short form among the others."""
    parser.addoption("--soak", action="store_true", help="run the tests marked soak, and no others")
    parser.addoption(
        "--optimised", action="store_true", help="compile as users do, which takes long"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Compiles quickly, for here programs run once; long tests and the guard of the speed optimise."""
    # Traces and the collection of tests make millions of objects that are no garbage.
    gc.set_threshold(20_000, 10, 10)
    if not (config.getoption("--soak") or config.getoption("--optimised")):
        _set("jax_disable_most_optimizations", True)
        _have_xla_compile_quickly()
    # Compiled programs serve all workers, all processes that tests start, which inherit these settings, and
    # the next run of the tests.
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        for name, value in compilation_cache.settings(cache_of_tests()).items():
            _set(name, value)
    _set("jax_persistent_cache_min_compile_time_secs", 0.0)
    # A program that another process is just writing is compiled instead, see pyproject.toml; also elsewhere.
    os.environ["PYTHONWARNINGS"] = "ignore:Error reading persistent compilation cache entry"
    # What a shell starts in the background, or `nohup` starts, ignores signals that tests send.
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


QUICK_COMPILATION = ("JAX_DISABLE_MOST_OPTIMIZATIONS", "XLA_FLAGS", variables.TAKEN)
"""Variables that the programs inherit which tests start."""


def _have_xla_compile_quickly() -> None:
    """A third of the time: XLA reads its flags once, when it first compiles; programs inherit them."""
    flags = os.environ.get("XLA_FLAGS", "").split()
    quick = ["--xla_cpu_parallel_codegen_split_count=1"]
    # Later versions may not know it, and XLA ends a process for that.
    if jax.__version_info__ < (0, 11):
        quick.append("--xla_cpu_use_fusion_emitters=false")
    os.environ["XLA_FLAGS"] = " ".join(dict.fromkeys([*flags, *quick]))
    jax.jit(lambda: 0).lower().compile()
    # Else each program that a test starts would ask yet another process whether XLA takes these flags.
    os.environ[variables.TAKEN] = os.environ["XLA_FLAGS"]


def cache_of_tests() -> Path:
    """The user's folder for programs that tests compile, without those that have grown old."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(home) / "chanattn" / "tests"
    long_ago = time.time() - 14 * 24 * 3600
    for path in folder.rglob("*-cache"):
        with contextlib.suppress(FileNotFoundError):  # another run may do the same
            if path.stat().st_mtime < long_ago:
                path.unlink()
    return folder


def _set(name: str, value: str | float) -> None:
    """A setting of JAX for this process and for those that it starts."""
    os.environ[name.upper()] = str(value)
    jax.config.update(name, value)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out the long tests, or all others."""
    wanted = config.getoption("--soak")
    chosen: list[pytest.Item] = []
    others: list[pytest.Item] = []
    for item in items:
        long = item.get_closest_marker("soak") is not None
        (chosen if long == wanted else others).append(item)
    config.hook.pytest_deselected(items=others)
    items[:] = chosen


def pytest_collection_finish() -> None:
    """Modules and thousands of tests stay to the end; the collector need not go through them."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def kernels_as_before() -> Iterator[None]:
    """What a test chooses for its process, as a training does, is not chosen for the tests behind it."""
    with kernels.chosen(kernels.choice()):
        yield


@pytest.fixture(autouse=True)
def no_process_left_behind() -> Iterator[None]:
    """Fails the test that leaves a data worker running, and not a later one that meets it."""
    before = set(multiprocessing.active_children())
    yield
    left = set(multiprocessing.active_children()) - before
    for process in left:
        process.kill()
        process.join()
    assert not left, "close the data that the test has opened"


@pytest.fixture(scope="session")
def golden() -> Path:
    """Committed numeric fixtures."""
    return ROOT / "tests" / "golden"


@pytest.fixture(scope="session")
def tfds_dir() -> Path:
    """Directory of real TFDS sets; tests that need it are skipped where it is absent."""
    path = Path(os.environ.get("TFDS_DATA_DIR") or SHARED / "data" / "tfds")
    if not path.is_dir():
        pytest.skip(f"no real data sets in {path}")
    return path
