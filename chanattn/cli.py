"""What every command-line program of the project shares: flags, the config, exit codes.

Exit codes: 0 done; 2 bad usage or config, one line on stderr and no traceback; 75 preempted, state
saved; 1 anything else, with its traceback (one line for a training that diverged or could not save).
"""

import contextlib
import difflib
import gc
import importlib.metadata
import importlib.util
import inspect
import io
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from absl import flags

from chanattn.errors import (
    NonFinite,
    Preempted,
    RunFailed,
    SaveFailed,
    UsageError,
    did_you_mean,
    needs_laboratory,
    visible,
)
from chanattn.fields import NAMES_OF_KINDS, closest, flatten
from chanattn.paths import to_path
from chanattn.streams import fill_gaps, say

if TYPE_CHECKING:
    from ml_collections import ConfigDict

FAILED, USAGE, PREEMPTED = 1, 2, 75

_Item = TypeVar("_Item")

_OVERRIDE = re.compile(r"--?(?P<no>no)?config\.(?P<path>[^=]*)(?P<value>=.*)?", re.DOTALL)
_LONGEST_REASON = 200  # characters
_EXAMPLE = "configs/digits.py"
_CONFIGS = "configs"  # the package in which the recipes of a clone import one another


flags.disclaim_key_flags()  # a path flag belongs to the module that asks for it


class _PathParser(flags.ArgumentParser[Path]):
    """See `to_path`."""

    syntactic_help = "a path"

    def parse(self, argument: str | Path) -> Path:
        return to_path(argument)

    def flag_type(self) -> str:
        return "path"


def define_path(
    name: str, default: str | None, help: str, flag_values: flags.FlagValues = flags.FLAGS
) -> flags.FlagHolder[Path | None]:
    """Defines a flag whose value is a path, as `chanattn.paths.to_path` understands it.

    Args:
        name: of the flag.
        default: None if there is none; an empty path is refused.
        help: one line.
        flag_values: that the flag is added to.
    """
    return flags.DEFINE(
        _PathParser(),
        name,
        default,
        help,
        flag_values=flag_values,
        serializer=flags.ArgumentSerializer[Path](),
    )


def run(
    main: Callable[..., Any],
    *,
    config: bool = False,
    positionals: bool = False,
    jax: bool = True,
    argv: Sequence[str] | None = None,
    example: str = _EXAMPLE,
) -> NoReturn:
    """Parses the command line, calls `main`, and leaves the program with the project's exit codes.

    Args:
        main: called with the config if `config`, then with the list of positional arguments if
            `positionals`, else with nothing.
        config: the program takes `--config=FILE[:ARGUMENT]` and `--config.FIELD=VALUE`.
        positionals: the program takes arguments without dashes; else they are refused, because
            `config.seed=3` without its dashes would be ignored silently.
        jax: the program uses JAX, and refuses environment variables that JAX does not accept.
        argv: the command line, with the program first; `sys.argv` if None.
        example: a config that the program takes, for who has named none.
    """
    argv = list(sys.argv if argv is None else argv)
    if {"--help", "-h"} & set(argv[1:]):
        print(_help())
        sys.exit(0)
    fill_gaps()
    _adapt_to_surroundings()
    # Imports and traces make objects by the hundred thousand that are no garbage: an eighth of a start.
    gc.set_threshold(50_000, 20, 50)
    try:
        if jax and any(name.startswith("JAX_") for name in os.environ):
            _import_jax()
        loaded, rest = parse(argv, config=config, positionals=positionals, example=example)
        arguments: list[Any] = [loaded] if config else []
        main(*arguments, *([rest] if positionals else []))
    except UsageError as error:
        say(f"error: {visible(str(error))}", *_notes(error))
        sys.exit(USAGE)
    except (NonFinite, RunFailed, SaveFailed) as error:
        say(f"error: {error}", *_notes(error))
        sys.exit(FAILED)
    except Preempted as error:
        say(str(error))
        sys.exit(PREEMPTED)
    except ModuleNotFoundError as error:
        if not _laboratory_lacks():  # then it is a mistake of ours, or of a module of the user's
            raise
        say(f"error: {needs_laboratory('this program', error.name)}")
        sys.exit(USAGE)
    sys.exit(0)


def _laboratory_lacks() -> list[str]:
    """Packages of the extra `lab` that are not installed, of those that every platform needs."""
    try:
        required = importlib.metadata.requires("chanattn") or []
    except importlib.metadata.PackageNotFoundError:
        return ["chanattn"]
    parts = (word.partition(";") for word in required)
    names = {
        re.split(r"[^\w.-]", word, maxsplit=1)[0]
        for word, _, marker in parts
        if re.fullmatch(r"""\s*extra\s*==\s*["']lab["']\s*""", marker)
    }

    def spelt(name: str) -> str:  # as PEP 503 compares names
        return re.sub(r"[-_.]+", "-", name).lower()

    installed = {spelt(each.metadata["Name"] or "") for each in importlib.metadata.distributions()}
    return sorted(name for name in names if spelt(name) not in installed)


def _notes(error: Exception) -> list[str]:
    """What was added to an error on its way up, but for JAX's remark on how it shortens tracebacks."""
    notes: list[str] = getattr(error, "__notes__", [])
    return [note for note in notes if "JAX_TRACEBACK_FILTERING" not in note]


def _adapt_to_surroundings() -> None:
    """What a terminal cannot show, it shows escaped; and no variable chooses a backend of matplotlib.

    Pictures go to files only, and a program started from a notebook inherits the notebook's backend, which
    may not be installed for it.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    os.environ["MPLBACKEND"] = "agg"


def _import_jax() -> None:
    try:
        import jax  # noqa: F401
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise UsageError(
            f"JAX does not accept an environment variable ({reason}); mend or unset it"
        ) from error


def tracked(items: Iterable[_Item], what: str, total: int) -> Iterable[_Item]:
    """The items, with a bar on a terminal while they come, and one line in a log before them; both on stderr.

    Args:
        items: what takes its time.
        what: is done, in words, e.g. "measuring 56 mechanisms".
        total: number of the items.
    """
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    if not console.is_terminal:  # the bar would be invisible
        console.print(f"{what}, which takes a minute or so", highlight=False)
    return track(items, what, total, console=console, transient=True)


def parse(
    argv: Sequence[str],
    *,
    config: bool,
    positionals: bool,
    flag_values: flags.FlagValues = flags.FLAGS,
    example: str = _EXAMPLE,
) -> "tuple[ConfigDict | None, list[str]]":
    """Sets the flags, and returns the config with its overrides and the positional arguments.

    Raises:
        UsageError: anything on the command line that is not understood.
    """
    argv = list(argv)
    loaded = None
    if config:
        file, argv = take_config_flag(argv, example)
        loaded = load_config(file)
        _check_overrides(argv, loaded)
        from ml_collections import config_flags  # of no use to --help

        config_flags.DEFINE_config_dict("config", loaded, flag_values=flag_values, sys_argv=argv)
    try:
        rest = flag_values(argv)[1:]
    except flags.UnrecognizedFlagError as error:
        if error.flagname.startswith("config."):
            raise UsageError(
                f"--{error.flagname} changes a field of --config=FILE, and there is none"
            ) from error
        names = [name for name in flag_values if not name.startswith("config.")]
        raise UsageError(
            f"unknown flag --{error.flagname}.{did_you_mean(error.flagname, names)}"
            " --help lists the flags"
        ) from error
    except flags.Error as error:
        raise UsageError(_illegal_value(str(error), loaded)) from error
    if rest and not positionals:
        raise UsageError(_stray(rest[0], config))
    return loaded, rest


def load_config(file: str, module: ModuleType | None = None) -> "ConfigDict":
    """Runs `get_config` of a recipe; `FILE:ARGUMENT` gives it an argument.

    Args:
        file: of the recipe.
        module: what `load_module` has made of the file; None: it is run for this.

    Raises:
        UsageError: there is no such file, it defines no `get_config`, or it refuses the argument.
    """
    from ml_collections import ConfigDict

    loaded = call(file, "get_config", module)
    if not isinstance(loaded, ConfigDict):
        raise UsageError(f"get_config() of {file.partition(':')[0]} returned no ConfigDict")
    return loaded.lock()


def call(file: str, function: str, module: ModuleType | None = None) -> Any:
    """What a function of a recipe returns; `FILE:ARGUMENT` gives it an argument.

    Args:
        file: of the recipe.
        function: its name.
        module: what `load_module` has made of the file; None: it is run for this.

    Raises:
        UsageError: the file has no such function, or it refuses the argument or fails.
    """
    name, colon, argument = file.partition(":")
    called = getattr(module or load_module(name), function, None)
    if not callable(called):
        raise UsageError(f"{function} of {name} is no function")
    arguments = [argument] if colon else []
    try:
        inspect.signature(called).bind(*arguments)
    except TypeError:
        wanted = "takes no argument: leave out" if colon else "needs an argument: write"
        raise UsageError(
            f"{function}() of {name} {wanted} the part {':' + argument if colon else ':ARGUMENT'}"
            f" behind the file's name"
        ) from None
    with _mistakes_in(name):
        return called(*arguments)


def load_module(name: str) -> ModuleType:
    """Runs a recipe file.

    Raises:
        UsageError: there is no such file, it fails, or it defines no `get_config`.
    """
    path = to_path(name) if name else Path()
    if path.is_dir():
        raise UsageError(f"config file {name or '.'} is a folder; name a file in it")
    if not path.is_file():
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.py")], 1)
        hint = f" Did you mean {path.parent / near[0]}?" if near else _where_else(path)
        raise UsageError(f"config file {name} does not exist.{hint}")
    spec = importlib.util.spec_from_file_location(f"config_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"config file {name} is not a Python file")
    recipe = importlib.util.module_from_spec(spec)
    with _mistakes_in(name):
        spec.loader.exec_module(recipe)
    if not hasattr(recipe, "get_config"):
        raise UsageError(f"config file {name} defines no get_config()")
    return recipe


def _where_else(path: Path) -> str:
    """What to do about a recipe of the clone that is named as from there, in another folder."""
    if path.is_absolute() or path.parts[:1] != (_CONFIGS,) or Path(_CONFIGS).is_dir():
        return ""
    there = Path(__file__).resolve().parents[1] / path
    whole = f", {there}" if there.is_file() else ""
    return f" Run this in the clone of chanattn, or give the file's whole path{whole}."


@contextlib.contextmanager
def _recipes_importable(name: str) -> Iterator[None]:
    """A recipe finds those of its clone, else of the one that chanattn runs from, as `configs.OTHER`."""
    own = (folder.parent for folder in to_path(name).resolve().parents if folder.name == _CONFIGS)
    clone = Path(__file__).resolve().parents[1]
    root = next(map(str, own), str(clone) if (clone / _CONFIGS).is_dir() else None)
    if root is None or importlib.util.find_spec(_CONFIGS) is not None:
        yield
        return
    sys.path.append(root)
    try:
        yield
    finally:
        sys.path.remove(root)


@contextlib.contextmanager
def _mistakes_in(name: str) -> Iterator[None]:
    """Turns what a recipe raises into one line with the place in the file."""
    try:
        with _recipes_importable(name):
            yield
    except UsageError:
        raise
    except SystemExit as error:
        raise UsageError(f"config file {name} ends the program itself ({error!r})") from error
    except OSError as error:
        raise UsageError(f"config file {name} cannot be read: {error.strerror}") from error
    except Exception as error:  # a recipe is code, which may raise anything
        lines = [
            frame.lineno
            for frame in traceback.extract_tb(error.__traceback__)
            if Path(frame.filename).name == Path(name).name
        ]
        line = error.lineno if isinstance(error, SyntaxError) else next(reversed(lines), None)
        what = error.msg if isinstance(error, SyntaxError) else str(error)
        place = f", line {line}" if line else ""
        raise UsageError(
            f"config file {name}{place}: {type(error).__name__}: {_shortened(what)}"
        ) from error


def _shortened(text: str) -> str:
    """One line of bounded length: the message of a locked ConfigDict lists all of its fields."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON].rstrip()} ..."


def gives_config(argv: Sequence[str]) -> bool:
    """Whether a command line names a config."""
    return any(re.match(r"--?config(=|$)", argument) for argument in argv[1:])


def take_config_flag(argv: list[str], example: str = _EXAMPLE) -> tuple[str, list[str]]:
    """The value of `--config`, and the command line without it.

    Raises:
        UsageError: there is none; the message names the example.
    """
    for i, argument in enumerate(argv):
        if re.match(r"--?config=", argument):
            file = argument.split("=", 1)[1]
            if not file:
                break
            return file, argv[:i] + argv[i + 1 :]
        if re.fullmatch(r"--?config", argument):
            if i + 1 == len(argv):
                break
            return argv[i + 1], argv[:i] + argv[i + 2 :]
    raise UsageError(f"--config=FILE is required, for instance --config={example}")


def _check_overrides(argv: Sequence[str], config: "ConfigDict") -> None:
    """Refuses `--config.FIELD` of a field that does not exist."""
    paths = list(flatten(config))
    for argument in argv[1:]:
        match = _OVERRIDE.fullmatch(argument)
        if match is None or match["path"] in paths:
            continue
        path = match["path"]
        below = [p for p in paths if p.startswith(path + ".")]
        if below:
            raise UsageError(
                f"--config.{path} is a group of fields; set one of them: --config.{below[0]}"
            )
        raise UsageError(f"unknown config field {path!r}.{closest(path, paths)}")


def _illegal_value(message: str, config: "ConfigDict | None") -> str:
    """The message of absl in one line; for a config field it names the type wanted."""
    match = re.match(r"flag --config\.(?P<path>[^=]+)=(?P<value>.*?): ", message, re.DOTALL)
    if match is None or config is None:
        no_truth = r"\('Non-boolean argument to boolean flag', (.*)\)"  # a tuple in place of a text
        return " ".join(re.sub(no_truth, r"\1 is neither true nor false", message).split())
    group, _, name = match["path"].rpartition(".")
    kind = (config[group] if group else config).get_type(name)
    return f"--config.{match['path']} must be {NAMES_OF_KINDS[kind]}, not {match['value']!r}"


def _stray(argument: str, config: bool) -> str:
    hint = ""
    if config and argument.startswith("config"):
        hint = f" Flags begin with two dashes: --{argument}"
    elif "=" in argument:
        hint = " Flags begin with two dashes."
    else:
        hint = " This program takes flags alone; --help lists them."
    return f"unexpected argument {argument!r}.{hint}"


def _help() -> str:
    main = sys.modules["__main__"]
    return f"{(main.__doc__ or '').strip()}\n\n{flags.FLAGS.main_module_help()}"
