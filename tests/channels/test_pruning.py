"""What goes, what is left, and what the layers behind make up for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.channels import budget, cutting, dependencies, importance, linear, pruning, repair, second_order
from edgekit.channels.budget import Goal, Ranking
from edgekit.channels.cutting import Rest
from edgekit.channels.dependencies import Dependencies, Family
from edgekit.channels.least_squares import Moments, Ridge, parts, spanned
from edgekit.channels.walking import ActivationWalk, mapped
from edgekit.errors import InputError, Unsupported
from edgekit.waist import cost, graph, run
from edgekit.waist.tensors import sqnr_db
from tests.channels.generated import Layers, drawn, network
from tests.lazy import Lazy

tf: Any = Lazy("tensorflow")


def residual(net: Layers, x: int) -> int:
    """Convolutions of all kinds, with a way around some of them."""
    x = net.conv(x, 24)
    x = net.two("ADD", x, net.conv(net.depthwise(net.conv(x, 32, 1)), 24, 1, activation=0))
    x = net.conv(net.conv(x, 16), 16)
    return net.dense(net.mean(x, 1, 2), 5)


@pytest.fixture(scope="module")
def channels(tmp_path_factory: pytest.TempPathFactory) -> Dependencies:
    return network(residual, tmp_path_factory.mktemp("residual"), 1, 8, 8, 3)


def correlated(found: Dependencies, count: int = 96) -> dict[int, Any]:
    """Smooth images, so that channels tell of one another."""
    random, (index,) = np.random.default_rng(0), found.graph.inputs
    values = random.standard_normal((count, *found.graph.tensors[index].shape)).astype(np.float32)
    return {index: np.cumsum(values, axis=2) / 3}


def goal(found: Dependencies, remove: float, of: str = "macs", floor: float = 0.1, multiple: int = 1) -> Goal:
    whole = budget.spend(found, of)(Rest(found, ()))
    return Goal(of, whole, whole * (1 - remove), floor, multiple)


def pruned(found: Dependencies, wanted: Goal, kind: str = "l2", *, repaired: bool = False) -> bytes:
    samples = correlated(found)
    rankings = pruning.ranked(found, samples, kind, 0)
    made = pruning.pruned(
        found, samples, wanted, rankings=rankings, spend=budget.spend(found, wanted.of), repaired=repaired
    )
    return made.content


def outputs_db(found: Dependencies, content: bytes, folder: Path) -> float:
    """How near a file comes to the whole network on other samples."""
    files = []
    for name, made in (("whole", graph.pack(found.tree)), ("pruned", content)):
        files.append(folder / f"{name}.tflite")
        files[-1].write_bytes(made)
    (index,) = found.graph.inputs
    given_ = {found.graph.tensors[index].name: correlated(found, 128)[index][96:]}
    before, after = (next(iter(run.run(file, given_).values())) for file in files)
    return sqnr_db(before, after)


@pytest.mark.parametrize("of", ["parameters", "bytes"])
def test_a_constant_that_is_no_longer_shared_counts_twice(of: str, tmp_path: Path) -> None:
    """A bias of zeros that a converter stores once, for layers that lose different channels."""

    def build(net: Layers, x: int) -> int:
        x = net.conv(net.conv(net.conv(x, 16), 16), 16)
        first, *others = net.net.subgraph.operators
        buffer = net.net.model.buffers[net.net.subgraph.tensors[first.inputs[2]].buffer]
        buffer.data = np.zeros(64, np.uint8)
        for other in others:
            other.inputs = [*other.inputs[:2], first.inputs[2]]
        return net.conv(x, 3)

    found = network(build, tmp_path, 1, 6, 6, 3)
    gone = {
        channel for family, count in zip(found.families, (3, 5, 0), strict=True) for channel in family.channels[:count]
    }
    path = tmp_path / "cut.tflite"
    path.write_bytes(pruning.finished(cutting.cut(found, gone)))
    spent = budget.spend(found, of)(Rest(found, gone))
    assert spent == pytest.approx(getattr(cost.count(path), of), rel=0.01 if of == "bytes" else 0)  # beside its name


def unrolled(net: Layers, x: int, *, same: bool = True) -> int:
    """A loop of three steps, whose weights are tensors of their own, on one buffer or not: converters write both."""
    x = net.one("TANH", net.dense(x, 12))
    seed = net._seed
    for _ in range(3):
        net._seed = seed
        x = net.two("ADD", x, net.one("TANH", net.dense(x, 12)))
    first, *others = (o for o in net.net.subgraph.operators[2:] if len(o.inputs) == 3)
    tensors = net.net.subgraph.tensors
    for other in others if same else ():
        for slot in (1, 2):
            tensors[other.inputs[slot]].buffer = tensors[first.inputs[slot]].buffer
    return net.dense(x, 5)


@pytest.mark.parametrize("of", ["macs", "parameters", "bytes"])
@pytest.mark.parametrize(("repaired", "same"), [(False, True), (True, True), (True, False)])
def test_the_steps_of_an_unrolled_loop_keep_their_weights_in_common(
    of: str, repaired: bool, same: bool, tmp_path: Path
) -> None:
    found = network(lambda net, x: unrolled(net, x, same=same), tmp_path, 1, 8)
    whole = cost.count(tmp_path / "network.tflite")
    assert whole.parameters == (8 + 1) * 12 + (12 + 1) * 12 + (12 + 1) * 5
    path = tmp_path / "cut.tflite"
    path.write_bytes(pruned(found, goal(found, 0.3, of), repaired=repaired))
    after = cost.count(path)
    tree = graph.load(path)
    main = graph.describe(tree)[0]
    steps = [o for o in main.operators if o.name == "FULLY_CONNECTED"][1:4]
    kernels = [graph.constant(tree, 0, step.inputs[1]) for step in steps]
    assert all(np.array_equal(kernel, kernels[0]) for kernel in kernels)
    assert len({tree.subgraphs[0].tensors[step.inputs[1]].buffer for step in steps}) == 1
    assert getattr(after, of) <= 0.7 * getattr(whole, of) + (16 if of == "bytes" else 0)
    left = main.tensors[steps[0].inputs[1]].shape[0]
    assert left < 12
    assert after.parameters == (8 + 1) * left + (left + 1) * left + (left + 1) * 5


@pytest.mark.parametrize("of", ["macs", "parameters", "bytes"])
def test_a_budget_is_met_and_no_more(channels: Dependencies, of: str, tmp_path: Path) -> None:
    path = tmp_path / "pruned.tflite"
    path.write_bytes(pruned(channels, goal(channels, 0.4, of)))
    whole = tmp_path / "whole.tflite"
    whole.write_bytes(graph.pack(channels.tree))
    before, after = cost.count(whole), cost.count(path)
    share = {
        "macs": after.macs / before.macs,
        "parameters": after.parameters / before.parameters,
        "bytes": after.bytes / before.bytes,
    }[of]
    assert 0.5 < share <= 0.6


@pytest.fixture(scope="module")
def looped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Layers in front of a loop, in which most is computed."""
    random = np.random.default_rng(0)
    first, second, inner = (random.standard_normal(s).astype("f") / 4 for s in ((8, 12), (12, 16), (16, 16)))

    def run(x: Any) -> Any:
        x = tf.matmul(tf.nn.relu(tf.matmul(x, first)), second)
        step = lambda i, y: (i + 1, tf.tanh(tf.matmul(y, inner)))  # noqa: E731
        return tf.while_loop(lambda i, y: i < 9, step, (tf.constant(0), x))[1]

    path = tmp_path_factory.mktemp("looped") / "looped.tflite"
    traced = tf.function(run).get_concrete_function(tf.TensorSpec((1, 8), tf.float32, name="x"))
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([traced]).convert())
    return path


def test_what_loops_compute_is_a_part_of_the_budget(looped: Path, tmp_path: Path) -> None:
    found, counted = dependencies.find(looped), cost.count(looped)
    for of, whole in (("macs", counted.macs), ("parameters", counted.parameters)):
        assert budget.spend(found, of)(Rest(found, ())) == whole
        gone = drawn(found, 0.5)
        path = tmp_path / "cut.tflite"
        path.write_bytes(pruning.finished(cutting.cut(found, gone)))
        assert budget.spend(found, of)(Rest(found, gone)) == getattr(cost.count(path), of)
    with pytest.raises(InputError, match="30% of the macs cannot go"):
        pruned(found, goal(found, 0.3))


@pytest.mark.parametrize("remove", [0.11, 0.23, 0.37])
def test_a_file_is_no_larger_than_was_asked_for(channels: Dependencies, remove: float) -> None:
    wanted = goal(channels, remove, "bytes")
    assert len(pruned(channels, wanted)) <= wanted.most


def test_bytes_that_cannot_go_are_told_as_they_were_asked_for(channels: Dependencies) -> None:
    """Asking for what the message names as possible is not answered by another such message."""
    least = len(pruning.finished(cutting.cut(channels, everything(channels))))
    whole = budget.spend(channels, "bytes")(Rest(channels, ()))
    for over in (-1, -40, -400):
        wanted = goal(channels, 1 - (least + over) / whole, "bytes")
        with pytest.raises(InputError, match=r"at most \d+\.\d% can") as raised:
            pruned(channels, wanted)
        assert str(raised.value).startswith(f"{100 * (1 - wanted.most / wanted.whole):.4g}% of the bytes")
        share = float(str(raised.value.fix).split()[2])
        assert pruned(channels, goal(channels, share, "bytes"))


def everything(channels: Dependencies) -> set[int]:
    """All channels but those of the least share that stays."""
    return {
        channel
        for ranking in pruning.ranked(channels, {}, "l1", 0)
        for channel in ranking.order[: len(ranking.order) - budget.counts(ranking.family, 0.1, 1)[-1]]
    }


def test_the_bytes_are_those_of_the_file(channels: Dependencies, tmp_path: Path) -> None:
    spend = budget.spend(channels, "bytes")
    for share in (0.2, 0.5):
        gone = drawn(channels, share)
        path = tmp_path / "cut.tflite"
        path.write_bytes(pruning.finished(cutting.cut(channels, gone)))
        assert spend(Rest(channels, gone)) == pytest.approx(path.stat().st_size, rel=0.01)


def test_a_budget_that_cannot_be_met_says_what_can(channels: Dependencies) -> None:
    with pytest.raises(InputError, match=r"at most \d+\.\d% can") as raised:
        pruned(channels, goal(channels, 0.9, floor=0.5))
    share = float(str(raised.value.fix).split()[2])
    assert pruned(channels, goal(channels, share, floor=0.5))


def test_a_network_of_one_layer_has_nothing_to_lose(tmp_path: Path) -> None:
    layers = Layers(1, 4, 4, 3)
    path = layers.save(tmp_path / "one.tflite", layers.conv(layers.x, 4))
    with pytest.raises(Unsupported, match="output of the network"):
        pruning.found(path)


@given(st.integers(2, 300), st.integers(1, 8), st.floats(0, 1), st.sampled_from([1, 4, 8, 16, 32]))
def test_counts_are_multiples_above_the_floor(size: int, width: int, floor: float, multiple: int) -> None:
    family = Family("", tuple(range(size)), {(0, 1, 0): width}, ((0, 1, 0),), ())
    first, *others = budget.counts(family, floor, multiple)
    assert first == size
    for count in others:
        assert max(1, floor * size) <= count < size
        assert count * width % multiple == 0 or size * width < budget.LEVELS * multiple


def test_floors_are_of_what_a_first_round_began_with(channels: Dependencies) -> None:
    family = channels.families[0]
    whole = len(family.channels)
    assert budget.counts(family, 0.5, 1, begun=whole * 3 // 2)[-1] == -(-whole * 3 // 4)
    assert budget.counts(family, 0.9, 1, begun=whole * 2) == [whole]


def test_a_family_is_known_again_in_the_file_of_the_next_round(channels: Dependencies, tmp_path: Path) -> None:
    path = tmp_path / "cut.tflite"
    path.write_bytes(pruned(channels, goal(channels, 0.3)))
    assert [family.key for family in pruning.found(path).families] == [family.key for family in channels.families]


def test_a_coarse_step_goes_only_if_nothing_finer_is_enough(channels: Dependencies) -> None:
    """One family can only lose half of all at once; what it saves beyond the budget is worth nothing."""
    coarse = Ranking(Family("coarse", (0, 1), {(0, 1, 0): 1}, ((0, 1, 0),), ()), (0, 1), np.array([0.0, 0.2, 1.0]))
    fine = Ranking(
        Family("fine", tuple(range(2, 12)), {(1, 1, 0): 1}, ((1, 1, 0),), ()), tuple(range(2, 12)), np.arange(11) / 60
    )

    def spend(rest: Rest) -> float:
        kept = rest.kept(np.arange(12))
        return 50.0 * float(kept[:2].sum()) + 5.0 * float(kept[2:].sum())

    wanted = Goal("macs", 150.0, 140.0, 0.0, 1)
    assert budget.chosen(channels, [coarse, fine], spend, wanted) == {2, 3}
    assert budget.chosen(channels, [coarse, fine], spend, Goal("macs", 150.0, 100.0, 0.0, 1)) == {0}


def test_counts_are_what_kernels_like(channels: Dependencies) -> None:
    rankings = pruning.ranked(channels, {}, "l1", 0)
    gone = budget.chosen(channels, rankings, budget.spend(channels, "macs"), goal(channels, 0.4, multiple=8))
    assert gone
    left = [len(set(family.channels) - gone) for family in channels.families]
    assert all(count % 4 == 0 for count in left)


def test_least_squares_is_repaired_exactly_if_channels_depend_on_others(tmp_path: Path) -> None:
    """Channels of which half are copies: what is left tells all."""

    def build(net: Layers, x: int) -> int:
        x = net.conv(x, 4)
        return net.conv(net.concat(x, net.gather(x, 2, 0, 3, 1)), 3, activation=0)

    found = network(build, tmp_path, 1, 6, 6, 3)
    assert len(found.families) == 1

    def doubled(net: Layers, x: int) -> int:
        made = net.conv(x, 8)
        kernel = next(i for i, t in enumerate(net.net.subgraph.tensors) if t.name == b"w1")
        buffer = net.net.model.buffers[net.net.subgraph.tensors[kernel].buffer]
        values = np.frombuffer(buffer.data.tobytes(), np.float32).reshape(8, 3, 3, 3).copy()
        values[4:] = 2 * values[:4]
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        bias = net.net.model.buffers[net.net.subgraph.tensors[kernel + 1].buffer]
        offsets = np.frombuffer(bias.data.tobytes(), np.float32).copy()
        offsets[4:] = 2 * offsets[:4]
        bias.data = np.frombuffer(offsets.tobytes(), np.uint8)
        return net.conv(made, 3, activation=0)

    found = network(doubled, tmp_path, 1, 6, 6, 3)
    (family,) = found.families
    gone = set(family.channels[4:])
    tree = cutting.cut(found, gone)
    assert outputs_db(found, pruning.finished(cutting.cut(found, gone)), tmp_path) < 20
    assert repair.repair(Rest(found, gone), tree, correlated(found)) == 1
    assert outputs_db(found, pruning.finished(tree), tmp_path) > 50
    samples = correlated(found)
    (ranking,) = pruning.ranked(found, samples, "error", 0)
    assert sorted(found.families[0].channels.index(channel) % 4 for channel in ranking.order[:4]) == [0, 1, 2, 3]


def test_repair_gains(channels: Dependencies, tmp_path: Path) -> None:
    wanted = goal(channels, 0.25)
    bare, repaired = (
        outputs_db(channels, pruned(channels, wanted, "error", repaired=mend), tmp_path) for mend in (False, True)
    )
    assert repaired > bare + 10
    assert (tmp_path / "pruned.tflite").stat().st_size < 0.9 * (tmp_path / "whole.tflite").stat().st_size


def test_layers_without_a_bias_are_repaired(tmp_path: Path) -> None:
    """Its operand is absent, not the last tensor of the file."""

    def build(net: Layers, x: int) -> int:
        x = net.dense(net.dense(x, 16), 5)
        (last,) = net.net.subgraph.operators[-1:]
        last.inputs = [*last.inputs[:2], -1]
        return x

    found = network(build, tmp_path, 1, 4, 6, 3)
    bare, repaired = (
        outputs_db(found, pruned(found, goal(found, 0.4), repaired=mend), tmp_path) for mend in (False, True)
    )
    assert repaired > bare + 10


@pytest.mark.parametrize("kind", ["dense", "matmul"])
def test_layers_that_have_lost_rows_are_repaired(kind: str, tmp_path: Path) -> None:
    """What is a channel to one layer is a row to the next, as in an MLP-Mixer."""

    def build(net: Layers, x: int) -> int:
        x = net.transpose(net.dense(x, 24), 0, 2, 1)
        x = net.matmul(x, net.drawn(6, 6)) if kind == "matmul" else net.dense(x, 6)
        return net.dense(net.transpose(x, 0, 2, 1), 5)

    found = network(build, tmp_path, 1, 6, 8)
    bare, repaired = (
        outputs_db(found, pruned(found, goal(found, 0.3), repaired=mend), tmp_path) for mend in (False, True)
    )
    assert repaired > bare + 5


def flattened(net: Layers, x: int) -> int:
    """Far more features than there are samples."""
    x = net.conv(x, 16)
    return net.dense(net.dense(net.reshape(x, 1, 12 * 12 * 16), 24), 5)


@pytest.mark.parametrize("most", [repair.MOST_FEATURES, 8])
def test_wide_layers_are_solved_in_the_span_of_what_they_read(
    most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As well as for all features at once, which takes the cube of their number; also of rows that are left out."""
    found = network(flattened, tmp_path, 1, 12, 12, 3)
    gone, made = drawn(found, 0.3), list[float]()
    monkeypatch.setattr(repair, "MOST_FEATURES", most)
    monkeypatch.setattr(repair, "MOST_ROWS", 96 if most > 8 else 80)
    for spans in (lambda rows: np.eye(rows.shape[1], dtype=np.float32), repair.spanned):
        monkeypatch.setattr(repair, "spanned", spans)
        tree = cutting.cut(found, gone)
        assert repair.repair(Rest(found, gone), tree, correlated(found)) >= 1
        made.append(outputs_db(found, pruning.finished(tree), tmp_path))
    assert made[1] > made[0] - 1
    assert made[1] > outputs_db(found, pruning.finished(cutting.cut(found, gone)), tmp_path) + 5


def test_a_basis_is_orthonormal_and_spans_what_was_read() -> None:
    rows = np.random.default_rng(0).standard_normal((7, 40)).astype(np.float32)
    rows[6] = rows[0] + rows[1]
    basis = spanned(rows)
    assert basis.shape == (40, 6)
    assert np.allclose(basis.T @ basis, np.eye(6), atol=1e-5)
    assert np.allclose(rows @ basis @ basis.T, rows, atol=1e-4)


def test_rows_of_zeros_or_of_no_numbers_span_nothing() -> None:
    rows = np.random.default_rng(0).standard_normal((4, 9)).astype(np.float32)
    rows[2, 1] = np.nan
    assert np.array_equal(spanned(rows), spanned(rows[[0, 1, 3]]))
    for value in (0, np.nan, np.inf):
        assert np.array_equal(spanned(np.full((3, 5), value, np.float32)), np.zeros((5, 1)))


@pytest.mark.parametrize("kind", ["conv", "depthwise"])
def test_several_images_of_a_sample_are_repaired(kind: str, tmp_path: Path) -> None:
    """Frames of a video that a converter took for a batch."""

    def build(net: Layers, x: int) -> int:
        x = net.conv(net.reshape(x, 4, 6, 6, 3), 24)
        x = net.conv(net.depthwise(x) if kind == "depthwise" else x, 8, activation=0)
        return net.reshape(x, 1, 4 * 6 * 6 * 8)

    found = network(build, tmp_path, 1, 4, 6, 6, 3)
    bare, repaired = (
        outputs_db(found, pruned(found, goal(found, 0.3), "error", repaired=mend), tmp_path) for mend in (False, True)
    )
    assert repaired > bare + 5


@pytest.fixture(scope="module")
def read_on(tmp_path_factory: pytest.TempPathFactory) -> Dependencies:
    """An output of the network that its other layers read, and a long way around some of them."""
    layers = Layers(1, 8, 8, 3)
    middle = layers.conv(layers.x, 32)
    end = layers.conv(layers.conv(layers.conv(middle, 16), 16), 16)
    end = layers.conv(layers.two("ADD", layers.conv(middle, 16), end), 4)
    return dependencies.find(layers.save(tmp_path_factory.mktemp("read on") / "network.tflite", middle, end))


def test_a_walk_holds_what_is_still_read_and_no_more(read_on: Dependencies) -> None:
    walk = ActivationWalk(read_on.tree, correlated(read_on, 2))
    for operator in walk.through("walking"):
        later = {tensor for other in read_on.graph.operators[operator.index :] for tensor in other.inputs}
        made = {tensor for other in read_on.graph.operators[: operator.index] for tensor in other.outputs}
        assert set(walk.values) == later & {*made, *read_on.graph.inputs}
    assert not walk.values


@pytest.mark.parametrize("kind", ["activations", "error"])
def test_outputs_may_be_read_on(read_on: Dependencies, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "pruned.tflite"
    path.write_bytes(pruned(read_on, goal(read_on, 0.2), kind, repaired=True))
    (index,) = read_on.graph.inputs
    made = run.run(path, {"x": correlated(read_on, 2)[index]})
    assert sorted(values.shape[1:] for values in made.values()) == [(1, 8, 8, 4), (1, 8, 8, 32)]


def test_samples_are_as_many_as_there_is_room_for(read_on: Dependencies, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "ROOM_BYTES", 1 << 20)
    chosen = pruning.enough(read_on, 10_000)
    assert 8 < len(chosen) < 100
    walk, most = ActivationWalk(read_on.tree, correlated(read_on, len(chosen))), 0
    for _ in walk.through("walking"):
        most = max(most, sum(values.nbytes for values in walk.values.values()))
    assert 2 * most <= pruning.ROOM_BYTES


@pytest.mark.parametrize("kind", ["l1", "l2", "activations", "error"])
def test_each_importance_orders_all_channels(channels: Dependencies, kind: str) -> None:
    rankings = pruning.ranked(channels, correlated(channels), kind, 0)
    for ranking, family in zip(rankings, channels.families, strict=True):
        assert sorted(ranking.order) == sorted(family.channels)
        assert len(ranking.losses) == len(family.channels) + 1
        assert np.all(np.diff(ranking.losses) >= 0)


READERS: dict[str, Any] = {
    "conv": lambda net, x: net.conv(x, 8),
    "groups": lambda net, x: net.conv(x, 8, groups=2),
    "transposed": lambda net, x: net.transposed(x, 4),
    "matrix": lambda net, x: net.matmul(net.reshape(x, 1, 16, 16), net.drawn(16, 8)),
    "two": lambda net, x: net.two("ADD", net.conv(x, 6), net.conv(x, 6, groups=2)),
}


@pytest.mark.parametrize("most", [second_order.MOST_FEATURES, 1])
@pytest.mark.parametrize("reader", READERS)
def test_channels_that_nobody_reads_cost_nothing(
    reader: str, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever reads them, and if it is too wide for a closed form."""
    monkeypatch.setattr(second_order, "MOST_FEATURES", most)
    whole = network(lambda net, x: READERS[reader](net, net.conv(x, 16)), tmp_path, 1, 4, 4, 3)
    gone = drawn(whole, 0.4)
    path = tmp_path / "masked.tflite"
    path.write_bytes(graph.pack(cutting.masked(whole, gone)))
    found = dependencies.find(path)
    (ranking,) = pruning.ranked(found, correlated(found), "error", 0)
    assert set(ranking.order[: len(gone)]) == gone
    assert ranking.losses[len(gone)] < 1e-6 < ranking.losses[len(gone) + 1]


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("name", ["conv", "depthwise", "dense"])
def test_rows_times_matrix_are_what_a_layer_makes(name: str, images: int, tmp_path: Path) -> None:
    layers = {
        "conv": lambda net, x: net.conv(x, 4, activation=0),
        "depthwise": lambda net, x: net.depthwise(x),
        "dense": lambda net, x: net.dense(x, 4),
    }
    found = network(layers[name], tmp_path, images, 5, 7, 3)
    (operator,) = found.graph.operators
    layer = linear.described(operator, found.graph.tensors)
    assert layer is not None
    values, weights = correlated(found, 3), found.values((0, 1))
    made = run.run(tmp_path / "network.tflite", {"x": next(iter(values.values()))})
    result = (images, 5, 7, weights.shape[0])
    places = layer.picked(3, 9 * layer.matrix(weights).shape[0], result)
    assert len(places) == 35 * images
    rows = layer.rows(next(iter(values.values())), weights.shape, result, places)
    right = layer.made(next(iter(made.values())) - found.values((0, 2)), places)
    assert np.allclose(rows @ layer.grouped(layer.matrix(weights)), right, atol=1e-4)
    assert np.array_equal(layer.together(layer.grouped(layer.matrix(weights))), layer.matrix(weights))


def test_an_operator_without_its_activation_is_as_before_afterwards(channels: Dependencies) -> None:
    walk = ActivationWalk(channels.tree, correlated(channels, 2))
    first = channels.graph.operators[0]
    bare = walk.linear(first.index)
    walk.run(first.index)
    (made,) = (walk.values[tensor] for tensor in first.outputs)
    assert bare.min() < 0
    assert np.array_equal(np.maximum(bare, 0), made)


def test_large_activations_lie_in_files(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).standard_normal((3, 4, 5)).astype(np.float32)
    assert mapped(values) is values
    monkeypatch.setattr("edgekit.channels.walking.LARGE_BYTES", 8)
    held = mapped(values)
    assert isinstance(held, np.memmap)
    assert np.array_equal(held, values)


@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 3), st.booleans(), st.integers(0, 99))
def test_least_squares_in_pieces_find_what_is_there(
    groups: int, features: int, outputs: int, centered: bool, seed: int
) -> None:
    random = np.random.default_rng(seed)
    rows = random.standard_normal((groups, 80, features)).astype(np.float32) + centered
    right, offset = random.standard_normal((groups, features, outputs)), random.standard_normal((groups, outputs))
    wanted = (rows @ right + centered * offset[:, None]).astype(np.float32)
    sums = {judging: Moments() for judging in (False, True)}
    pieces = parts(80, 7, 4)
    assert sorted(np.concatenate([numbers for _, numbers in pieces]).tolist()) == list(range(80))
    for judging, numbers in pieces:
        sums[judging].add(rows[:, numbers], wanted[:, numbers])
    ridge = Ridge(sums[False], sums[True], centered=centered)
    found, shift = ridge.solved(sums[False] + sums[True])
    assert np.allclose(found, right, atol=1e-2)
    assert np.allclose(shift, centered * offset, atol=1e-1)


def test_a_network_is_narrowed(channels: Dependencies, tmp_path: Path) -> None:
    whole, half = tmp_path / "whole.tflite", tmp_path / "half.tflite"
    whole.write_bytes(graph.pack(channels.tree))
    half.write_bytes(pruning.narrowed(channels, 0.5))
    before, after = cost.count(whole), cost.count(half)
    assert 0.25 < after.macs / before.macs < 0.5
    assert [t.shape for t in map(graph.read(half)[0].tensors.__getitem__, graph.read(half)[0].outputs)] == [
        (1, 1, 1, 5)
    ]


def test_narrowed_networks_are_pruned_again(channels: Dependencies, tmp_path: Path) -> None:
    path = tmp_path / "again.tflite"
    path.write_bytes(pruned(channels, goal(channels, 0.3)))
    again = dependencies.find(path)
    assert [family.name for family in again.families] == [family.name for family in channels.families]


def test_outputs_are_measured_behind_what_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes before runs once, an output among that; each family loses what it loses if all runs again."""
    net = Layers(1, 8, 8, 3)
    x = net.conv(net.x, 16)
    x = net.concat(net.conv(x, 24), net.conv(x, 12, 1))
    early = net.dense(net.mean(x, 1, 2), 4)
    late = net.dense(net.mean(net.conv(net.conv(x, 16), 24), 1, 2), 5)
    found = dependencies.find(net.save(tmp_path / "two.tflite", early, late))
    made = pruning.ranked(found, correlated(found), "error", 0)
    monkeypatch.setattr(importance, "_first", lambda _: 0)
    for one, other in zip(made, pruning.ranked(found, correlated(found), "error", 0), strict=True):
        assert one.order == other.order
        assert np.allclose(one.losses, other.losses, rtol=1e-4, atol=1e-9)
