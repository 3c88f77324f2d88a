"""Parts and layers of networks, by the names of their outermost modules."""

import jax
import jax.numpy as jnp
import pytest

from chanattn import models
from chanattn.models import parts


def modules(name: str, **options: object) -> list[str]:
    model = models.create(name, num_classes=3, **options)  # type: ignore[arg-type]
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    return list(jax.eval_shape(model.init, jax.random.key(0), image)["params"])


@pytest.mark.parametrize(
    "name", ["resnet8", "resnetrs50", "preact_resnet20", "efficientnet_b0", "vovnet39a"]
)
def test_every_parameter_is_of_a_part_and_of_a_layer(name: str) -> None:
    found = modules(name)
    model = models.create(name)
    stages = [f"stage{number}" for number in range(1, len(model.depths) + 1)]
    assert {"stem", "head", *stages} <= set(map(parts.part, found))
    assert set(map(parts.part, found)) <= {"stem", "final", "head", *stages}
    depth = parts.layers(found)
    blocks = [f"stage{s}_block{b}" for s, n in enumerate(model.depths, 1) for b in range(1, n + 1)]
    assert [depth[block] for block in blocks] == list(range(1, len(blocks) + 1))
    assert depth["classifier"] == parts.number_of_layers(found) == len(blocks) + 1
    assert {depth[m] for m in found if parts.part(m) == "stem"} == {0}
    assert {depth[m] for m in found if parts.part(m) == "final"} <= {len(blocks)}
    assert sorted(found, key=lambda m: parts.order(parts.part(m)))[-1] == "classifier"


def test_what_lies_between_stages_is_as_deep_as_the_block_before_it() -> None:
    found = modules("resnet14", attention={"name": "bam", "placement": "stage_end"})
    depth = parts.layers(found)
    assert parts.part("stage2_attention") == "stage2"
    assert depth["stage1_attention"] == depth["stage1_block2"] == 2
    assert depth["stage2_attention"] == depth["stage2_block2"] == 4
