"""What the layouts of folders with captions share: the captions of every picture of a split.

Captions are kept as they are written, in the order of the file. A picture without any stays, and so do
captions without words: both are counted where the vocabulary is (`chanattn.data.captions`).
"""

import reprlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chanattn.data.captions import FIELD, Captions
from chanattn.data.fields import Field
from chanattn.data.sources import folder
from chanattn.errors import UsageError


class CaptionsFolder(folder.Files):
    """One split of such a folder."""

    note = ""
    class_names: tuple[str, ...] = ()

    def __init__(
        self,
        place: Path,
        pictures: Sequence[str],
        links: Collection[str],
        captions: Sequence[Sequence[str]],
    ):
        """Takes what was found.

        Args:
            place: The folder of the pictures.
            pictures: Their paths in it.
            links: Those of them that are links.
            captions: Of each.
        """
        super().__init__(place, pictures, links)
        self.fields: Mapping[str, Field] = {FIELD: Captions()}
        self.labels = np.zeros(len(pictures), np.int32)  # so that a part is a random one
        self._captions = captions

    def captions_of(self, index: int) -> Sequence[str]:
        """See `chanattn.data.captions.Described`."""
        return self._captions[index]

    def fields_of(self, index: int) -> dict[str, Any]:
        """See `Files.fields_of`."""
        return {FIELD: self._captions[index]}


def caption(which: str, value: Any) -> str:
    """A caption as it is written.

    Args:
        which: What has it, for the message.
        value: What should be it.

    Raises:
        UsageError: It is no text, or has halves of characters, which cannot be written anywhere.
    """
    try:
        if isinstance(value, str) and value.encode() is not None:
            return value
    except UnicodeEncodeError:
        pass
    raise UsageError(f"{which} has a caption that is no text ({reprlib.repr(value)}): mend it")
