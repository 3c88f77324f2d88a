"""Environment variables that would end a program later, with less to say, or without its own words."""

import functools
import os
import re
import subprocess
import sys

import jax

from chanattn.errors import UsageError
from chanattn.paths import to_path

TAKEN = "CHANATTN_XLA_FLAGS_TAKEN"
"""Environment variable with flags that XLA is known to take: who starts many processes asks once."""

_SECONDS = 60  # that the question about XLA's flags may take
_LOG_LINE = re.compile(r"^[EF]\d{4} .*?\] (.*)")  # of an error in XLA's log


def check() -> None:
    """Refuses variables of JAX that a training or an evaluation cannot work with.

    Raises:
        UsageError: `JAX_DISABLE_JIT` is set, or the folder of `JAX_COMPILATION_CACHE_DIR` cannot be made.
    """
    if jax.config.values["jax_disable_jit"]:
        raise UsageError("JAX_DISABLE_JIT is set, and steps are compiled programs here; unset it")
    folder = jax.config.values["jax_compilation_cache_dir"]
    if folder and "://" not in folder:  # JAX keeps programs in buckets, too
        path = to_path(folder)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"JAX_COMPILATION_CACHE_DIR={folder} cannot be made: {error.strerror}; mend or unset it"
            ) from error
        if str(path) != folder:
            jax.config.update("jax_compilation_cache_dir", str(path))


@functools.cache
def check_xla_flags(flags: str) -> None:
    """Asks another process whether XLA takes these flags: it ends the process that starts it with others.

    Args:
        flags: the value of `XLA_FLAGS`; what `TAKEN` names is not asked again.

    Raises:
        UsageError: it does not take them.
    """
    if not flags.strip() or flags == os.environ.get(TAKEN):
        return
    try:
        answer = subprocess.run(
            [sys.executable, "-c", "import jax; jax.devices()"],
            env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return  # a machine that cannot answer now
    if answer.returncode:
        said = (_LOG_LINE.match(line) for line in answer.stderr.splitlines())
        reason = next((match[1] for match in said if match), f"exit code {answer.returncode}")
        raise UsageError(f"XLA does not take XLA_FLAGS={flags!r} ({reason}); mend or unset it")
