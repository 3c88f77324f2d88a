"""Which rows of a batch a process holds, and how they become global arrays on the mesh."""

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from chanattn.errors import UsageError

#: The one axis of a run's mesh, over which every batch is split.
AXIS = "data"


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The first dimension split over the devices."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def replicated(mesh: Mesh) -> NamedSharding:
    """A full copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def check_divisible(batch_size: int, mesh: Mesh) -> None:
    """Raises UsageError unless every device gets the same number of rows."""
    devices = mesh.shape[AXIS]
    if batch_size % devices:
        raise UsageError(
            f"config.batch_size={batch_size} does not divide over {devices} devices: choose a multiple of "
            f"{devices}"
        )


def local_rows(batch_size: int, mesh: Mesh) -> np.ndarray:
    """The rows of a global batch that lie on this process's devices, ascending."""
    places = batch_sharding(mesh).addressable_devices_indices_map((batch_size,))
    rows = [np.arange(batch_size)[index] for index in places.values() if index is not None]
    return np.unique(np.concatenate(rows))


def put_batch(local: dict[str, np.ndarray], batch_size: int, mesh: Mesh) -> dict[str, jax.Array]:
    """Global arrays (batch_size, ...) from this process's rows of them."""
    sharding = batch_sharding(mesh)
    return {
        name: jax.make_array_from_process_local_data(sharding, rows, (batch_size, *rows.shape[1:]))
        for name, rows in local.items()
    }


def put_copies(array: np.ndarray, mesh: Mesh) -> jax.Array:
    """A full copy on every device; every process passes the same array."""
    return jax.make_array_from_process_local_data(replicated(mesh), array, array.shape)
