"""Each probe finds what is known of networks built for it, and equals a computation in numpy."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from inspected_toys import Tiny, batches_of, measured, noise, reader

from chanattn import attention, inspect
from chanattn.errors import UsageError
from chanattn.inspect import replacement, resampling, sees, units
from chanattn.inspect.importance import numbers_kept
from chanattn.inspect.scored import Scored

CHANNELS, CLASSES, PICTURES = 8, 3, 90
IMAGES, LABELS = noise(PICTURES, CHANNELS, CLASSES)
ECA = Tiny("eca", (("kernel_size", 1),))
SLOPE = 2.0


def eca_variables(channels: int = CHANNELS) -> dict[str, Any]:
    """w_c = sigmoid(SLOPE * mean of channel c), and a classifier that reads all channels alike."""
    shapes = jax.eval_shape(ECA.init, jax.random.key(0), jnp.zeros((1, 2, 2, channels)))
    mechanism = jax.tree.map(
        lambda leaf: jnp.full(leaf.shape, SLOPE), shapes["params"]["attention"]
    )
    told = reader(channels, CLASSES, np.ones(channels))
    return {"params": {"attention": mechanism, "classifier": told}}


def eca_weights(images: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-SLOPE * images.mean(axis=(1, 2))))


def accuracy(weights: np.ndarray) -> float:
    """Of the network above with weights (N, C), in numpy."""
    features = (IMAGES * weights[:, None, None]).mean(axis=(1, 2))
    logits = features @ np.asarray(reader(CHANNELS, CLASSES, np.ones(CHANNELS))["kernel"])
    return float((logits.argmax(axis=1) == LABELS).mean())


def found_on(model: Tiny, variables: Any, **more: Any) -> dict[str, Any]:
    programs, batches, moments = measured(model, variables, IMAGES, LABELS)
    shown = inspect.labels_of(CLASSES)
    return inspect.does_it_matter(
        programs, variables, batches, moments, shown, resamples=50, **more
    )


def test_replacing_weights_does_what_numpy_does() -> None:
    own = eca_weights(IMAGES)
    found = found_on(ECA, eca_variables())
    mean = np.broadcast_to(own.mean(axis=0), own.shape)
    by_class = np.stack([own[k == LABELS].mean(axis=0) for k in range(CLASSES)])[LABELS]
    expected = {"mean": mean, "class_mean": by_class, "one": np.full_like(own, own.mean())}
    assert found["untouched"]["accuracy"]["value"] == pytest.approx(accuracy(own))
    for kind, weights in expected.items():
        of_kind = found["replaced"][kind]
        assert list(of_kind) == ["attention"]  # of a single module, "all" would be the same
        value = of_kind["attention"]["accuracy"]["value"]
        assert value == pytest.approx(accuracy(weights), abs=1e-6), kind
        assert of_kind["attention"]["accuracy"]["difference"] == pytest.approx(
            value - accuracy(own)
        )


def test_exchanged_weights_are_those_of_other_pictures_of_the_batch() -> None:
    programs, batches, _ = measured(ECA, eca_variables(), IMAGES, LABELS)
    batch = next(iter(batches()))
    _, own = programs.untouched(eca_variables(), batch)
    donors = replacement.donors(np.random.default_rng(3), batch["mask"])
    assert (donors != np.arange(16)).all()
    made = programs.another(own, donors)
    np.testing.assert_allclose(
        made["attention/weights"], eca_weights(IMAGES[:16])[donors], rtol=1e-5
    )
    few = replacement.donors(np.random.default_rng(3), np.array([1, 1, 1, 0, 0]))
    assert sorted(few[:3]) == [0, 1, 2]
    assert few[3:].tolist() == [3, 4]


def test_of_a_static_gate_no_exchange_changes_anything() -> None:
    scale = jnp.linspace(0.2, 2, CHANNELS)
    told = reader(CHANNELS, CLASSES, np.ones(CHANNELS))
    variables = {"params": {"attention": {"scale": scale}, "classifier": told}}
    found = found_on(Tiny("static"), variables, draws=2)["replaced"]
    for kind in ("mean", "class_mean", "another"):
        assert found[kind]["attention"]["accuracy"]["difference"] == 0
        assert found[kind]["attention"]["loss"]["difference"] == pytest.approx(0, abs=1e-6)
    assert abs(found["permuted"]["attention"]["loss"]["difference"]) > 1e-3
    _, _, moments = measured(Tiny("static"), variables, IMAGES, LABELS)
    (of_site,) = moments.values()
    summary = of_site.summary(inspect.Classes(("a", "b", "c")))
    assert not summary["varies"]
    assert summary["effective_rank"] is None
    assert summary["deviation"] == pytest.approx(0, abs=1e-6)
    assert summary["deviation_between_units"] == pytest.approx(np.asarray(scale).std(), rel=1e-5)


def test_the_ranking_finds_the_only_channel_that_is_read() -> None:
    strength = np.zeros(CHANNELS)
    strength[[3, 4, 5]] = 4.0  # one channel a class
    scale = jnp.where(jnp.isin(jnp.arange(CHANNELS), jnp.array([3, 4, 5])), 2.0, 0.5)
    variables = {
        "params": {
            "attention": {"scale": scale},
            "classifier": reader(CHANNELS, CLASSES, strength),
        }
    }
    programs, batches, moments = measured(Tiny("static"), variables, IMAGES, LABELS)
    found = inspect.knock_out(programs, variables, batches, moments, resamples=50)["attention"]
    loss = np.array(found["knocked_out"]["loss_increase"])
    assert set(np.argsort(-loss)[:3]) == {3, 4, 5}
    np.testing.assert_allclose(np.delete(loss, [3, 4, 5]), 0, atol=1e-6)
    assert found["knocked_out"]["rank_correlation"]["value"] > 0.8
    np.testing.assert_allclose(found["ablated"]["loss_increase"], 0, atol=1e-6)

    curve = inspect.soft_to_hard(programs, variables, batches, resamples=50)["attention"]
    assert curve["kept"] == numbers_kept(CHANNELS) == [1, 2, 4, 8]
    value = {
        kept: [each["accuracy"]["value"] for each in curve[kept]]
        for kept in ("strongest", "weakest")
    }
    assert value["strongest"][2] == value["strongest"][3] == value["weakest"][3]
    assert value["strongest"][2] > value["weakest"][2] + 0.2


def test_one_program_serves_every_intervention() -> None:
    programs, batches, moments = measured(ECA, eca_variables(), IMAGES, LABELS)
    shown = inspect.labels_of(CLASSES)
    inspect.does_it_matter(programs, eca_variables(), batches, moments, shown, resamples=2)
    inspect.knock_out(programs, eca_variables(), batches, moments, resamples=2)
    inspect.soft_to_hard(programs, eca_variables(), batches, resamples=2)
    assert programs.intervened._cache_size() == 1


def test_what_varies_equals_numpy_however_the_batches_are_cut() -> None:
    w = eca_weights(IMAGES)
    for size in (7, 90):
        _, _, moments = measured(ECA, eca_variables(), IMAGES, LABELS, size=size)
        (of_site,) = moments.values()
        found = of_site.summary(inspect.Classes(("a", "b", "c")))
        spectrum = np.linalg.eigvalsh(np.cov(w.T))
        between = sum(
            (k == LABELS).sum() * (w[k == LABELS].mean(axis=0) - w.mean(axis=0)) ** 2
            for k in range(CLASSES)
        )
        total = ((w - w.mean(axis=0)) ** 2).sum(axis=0)
        expected = {
            "pictures": PICTURES,
            "mean": w.mean(),
            "deviation": np.sqrt(w.var(axis=0, ddof=1).mean()),
            "low": w.min(),
            "high": w.max(),
            "near_one": (w > 0.95).mean(),
            "near_zero": (w < 0.05).mean(),
            "effective_rank": spectrum.sum() ** 2 / (spectrum**2).sum(),
        }
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name
        assert found["between_classes"]["share"] == pytest.approx(
            between.sum() / total.sum(), rel=1e-4
        )
        np.testing.assert_allclose(of_site.between_classes(), between / total, rtol=1e-3)


def test_mutual_information_is_the_entropy_of_what_decides_and_nothing_of_what_does_not() -> None:
    rng = np.random.default_rng(1)
    label = rng.integers(0, 4, 4000)
    bins = np.stack([label, rng.integers(0, 8, 4000)])  # one that tells, one that does not
    counts = np.zeros((2, 4, 8))
    for unit in range(2):
        np.add.at(counts[unit], (label, bins[unit]), 1)
    plugin, bias = inspect.mutual_information(counts)
    p = np.bincount(label) / 4000
    assert plugin[0] == pytest.approx(-(p * np.log2(p)).sum())
    assert bias[1] == pytest.approx((32 - 4 - 8 + 1) / (2 * 4000 * np.log(2)))
    assert abs(plugin[1] - bias[1]) < 0.003 < plugin[1] + 0.003


def test_intervals_are_those_of_a_binomial_and_pairs_cancel() -> None:
    right = np.arange(400) % 4 > 0
    sums = resampling.Sums()
    for rows in np.split(np.arange(400), 10):
        drawn = resampling.poisson_weights(0, rows, 500)
        sums.add({"right": right[rows], "pictures": np.ones(len(rows))}, drawn)
    values = sums.values(lambda s: {"accuracy": s["right"] / s["pictures"]})["accuracy"]
    assert values[0] == 0.75
    low, high = resampling.interval(values[1:]) or (0, 0)
    expected = 2 * 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert high - low == pytest.approx(expected, rel=0.15)
    assert resampling.interval(np.full(500, 0.3) - 0.3) == (0, 0)
    one = resampling.poisson_weights(0, np.arange(5), 30)
    np.testing.assert_array_equal(resampling.poisson_weights(0, np.array([3]), 30)[:, 0], one[:, 3])


def test_rank_correlation_with_ties() -> None:
    assert resampling.ranks(np.array([3.0, 1.0, 3.0])).tolist() == [2.5, 1, 2.5]
    assert resampling.rank_correlation(np.arange(9), np.arange(9) ** 3) == pytest.approx(1)
    assert np.isnan(resampling.rank_correlation(np.arange(9), np.ones(9)))
    low, high = resampling.rank_correlation_interval(0.5, 50) or (0, 0)
    assert low == pytest.approx(0.242, abs=5e-3)
    assert high == pytest.approx(0.692, abs=5e-3)


def hues(pictures: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of one colour each, red, green or blue, which is their class."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, pictures)
    colour = np.eye(3)[labels] * rng.uniform(0.7, 1, (pictures, 1))
    return np.broadcast_to(colour[:, None, None], (pictures, 2, 2, 3)).copy(), labels


def test_where_the_class_is_the_hue_the_tuning_shows_it() -> None:
    images, labels = hues(48)
    variables = eca_variables(3)

    def painted(colours: np.ndarray) -> inspect.Batch:
        image = np.broadcast_to(colours[:, None, None], (len(colours), 2, 2, 3))
        return {"image": image.astype(np.float32), "mask": np.ones(len(colours), np.float32)}

    seen: list[tuple[int, int]] = []
    found = inspect.inspection(
        inspect.Network(ECA),
        variables,
        batches_of(images, labels, 16),
        inspect.Classes(("red", "green", "blue")),
        painted=painted,
        effort=inspect.Effort(resamples=30, draws=1, pictures=2),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1][0] == seen[-1][1]
    (module,) = found["modules"]
    (site,) = module["sites"]
    # Channel c is raised by its own colour: c / 3 of a turn from red.
    for tuned in (site["weight"], module["response"]):
        distance = np.abs(np.array(tuned["hue"]) - np.arange(3) / 3)
        assert np.minimum(distance, 1 - distance).max() < 0.02
    assert min(site["weight"]["selectivity"]) > 0.3
    by_class = np.array(site["shown_units"]["by_class"])
    assert (by_class.argmax(axis=1) == np.arange(3)).all()
    assert site["between_classes"]["share"] > 0.9
    assert site["mutual_information"]["highest"] > 0.8
    for channel in site["strongest"]:
        assert {labels[i] for i in channel["index"]} == {channel["unit"]}
    first = found["single_pictures"][0]
    assert first["answers"]["untouched"][0][0] == first["label"] == labels[first["index"]]


def test_the_strongest_pictures_are_found_in_any_order() -> None:
    values = np.random.default_rng(0).normal(size=(50, 4))
    kept = sees.Strongest(4, 3)
    for rows in np.split(np.random.default_rng(1).permutation(50), 5):
        kept.add(values[rows], rows)
    np.testing.assert_array_equal(kept.index, np.argsort(-values, axis=0)[:3].T)
    few = sees.Strongest(2, 3)
    few.add(values[:1, :2], np.array([7]))
    assert sees.strongest_to_list(few, [1]) == [
        {"unit": 1, "index": [7], "values": [pytest.approx(values[0, 1])]}
    ]


@pytest.mark.parametrize("name", [n for n in attention.names() if n != "identity"])
def test_every_mechanism_has_sites_whose_units_fit_their_weights(name: str) -> None:
    model = Tiny(name)
    x = jax.ShapeDtypeStruct((2, 6, 4, 16), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), x)
    sites = inspect.Network(model).sites(variables, {"image": x})
    assert sites
    for site in sites:
        assert site.module == "attention"
        assert site.mechanism == name
        weights = jax.ShapeDtypeStruct((2, *site.shape), jnp.float32)
        of = jax.eval_shape(lambda w, site=site: units.of(site, w), weights)
        assert of.shape == (2, units.count(site))
        spread = jax.eval_shape(lambda u, site=site: units.spread(site, u), of)
        assert np.broadcast_shapes(spread.shape, weights.shape) == weights.shape
    known = {
        "cbam": "channels",
        "sk": "branches",
        "sse": "positions",
        "danet_pam": "positions",
        "coord": "channels",
    }
    assert known.get(name, sites[0].kind) == sites[0].kind


def test_a_network_without_weights_says_so() -> None:
    model = Tiny("identity")
    variables = model.init(jax.random.key(0), jnp.zeros((1, 2, 2, CHANNELS)))
    with pytest.raises(UsageError, match="no attention that shows its weights"):
        inspect.inspection(
            inspect.Network(model), variables, batches_of(IMAGES, LABELS, 16), inspect.Classes(())
        )


@pytest.mark.parametrize("name", ["cbam", "sk", "gc"])
def test_maps_branches_and_positions_are_inspected_too(name: str) -> None:
    model = Tiny(name)
    variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 2, 2, CHANNELS)))
    batches = batches_of(IMAGES[:20], LABELS[:20], 16)
    effort = inspect.Effort(resamples=20, draws=1, pictures=1)
    found = inspect.inspection(
        inspect.Network(model), variables, batches, inspect.Classes(("a", "b", "c")), effort=effort
    )
    (module,) = found["modules"]
    kinds = [site["kind"] for site in module["sites"]]
    assert (
        kinds
        == {
            "cbam": ["channels", "positions"],
            "sk": ["branches"],
            "gc": ["channels", "positions"],
        }[name]
    )
    width = module["sites"][0]["units"]
    assert width == {"cbam": 8, "sk": 16, "gc": 8}[name]
    assert module["soft_to_hard"]["kept"][-1] == width


def test_means_by_word_equal_numpy_and_leave_out_what_is_no_word() -> None:
    rng = np.random.default_rng(0)
    weights, words = rng.normal(size=(6, 5, 3)), rng.integers(-1, 4, (6, 5))
    mask = np.array([1, 1, 1, 1, 1, 0])
    site = inspect.Site(("head", "channel"), "head", "sca", (5, 3), "channels")
    found = inspect.WordMeans(site, 4)
    for rows in (slice(0, 2), slice(2, 6)):
        found.add(weights[rows], words[rows], mask[rows])
    told = found.summary(("a", "b", "c", "d"), [0, 2])
    w, number = weights[:5].reshape(-1, 3), words[:5].ravel()
    w, number = w[number >= 0], number[number >= 0]
    for word, count, means in zip(told["words"], told["counts"], told["means"], strict=True):
        own = w[number == "abcd".index(word)]
        assert count == len(own)
        np.testing.assert_allclose(means, own.mean(axis=0)[[0, 2]])
    assert told["counts"] == sorted(told["counts"], reverse=True)
    by_word = np.stack([w[number == n].mean(axis=0) for n in number])
    assert told["share"] == pytest.approx(by_word.var(axis=0).sum() / w.var(axis=0).sum())


def test_a_number_made_of_answers_is_that_of_each_resample_of_pictures() -> None:
    """A median is no function of sums: each picture is taken as often as its resample has drawn it."""
    rng = np.random.default_rng(0)
    answers = rng.normal(size=(30, 1))
    drawn = resampling.poisson_weights(0, np.arange(30), 22)
    score = inspect.Score(
        lambda outputs, batch: {"loss": outputs},
        lambda sums: {"loss": float(sums["loss"])},
        "median",
        "median",
        answers=inspect.Answers(lambda outputs, batch: outputs, np.median),
    )
    for resampled in (True, False):
        scored = Scored(score, resampled=resampled)
        for rows in (slice(0, 20), slice(20, 30)):
            scored.add({"loss": np.ones(len(answers[rows]))}, answers[rows], drawn[:, rows])
        values = scored.values()
        expected = [np.median(np.repeat(answers, counts)) for counts in drawn.astype(int)]
        assert list(values) == ["median", "loss"]
        assert values["median"][0] == np.median(answers)
        np.testing.assert_array_equal(
            values["median"][1:], expected if resampled else np.full(22, np.nan)
        )
        np.testing.assert_allclose(values["loss"], [30, *drawn.sum(axis=1)])
