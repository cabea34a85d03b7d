"""The verdict on a device, and the first operator that differs, with this host playing both sides."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import Unsupported
from edgekit.measure import agreement
from edgekit.nouns.profile import DeviceVerification
from edgekit.waist import graph, run
from edgekit.waist.tensors import Array
from tests.drivers import integer_network
from tests.networks import Network, classifier, element_wise

Change = Callable[[Array], Array]


def tampering(folder: Path, operator: int, change: Change) -> agreement.Runs:
    """This host with other weights in one operator, whatever else a file has as outputs."""

    def runs(file: Path, inputs: dict[str, Array]) -> dict[str, Array]:
        model = graph.load(file)
        weights = model.subgraphs[0].operators[operator].inputs[1]
        values = graph.constant(model, 0, weights)
        assert values is not None
        model.buffers[model.subgraphs[0].tensors[weights].buffer].data = np.frombuffer(
            change(values.copy()).tobytes(), np.uint8
        )
        (folder / "tampered.tflite").write_bytes(graph.pack(model))
        return run.run(folder / "tampered.tflite", inputs)

    return runs


def verified(file: Path, inputs: dict[str, Array], device: agreement.Runs, folder: Path) -> DeviceVerification:
    return agreement.verified(
        file,
        inputs,
        run_host=run.run,
        run_device=device,
        device="board",
        runtime=lambda: "a runtime 1.0",
        folder=folder,
    )


def normal(*shape: int) -> Array:
    return np.random.default_rng(2).standard_normal(shape).astype(np.float32)


def test_the_same_side_twice_is_identical(tmp_path: Path) -> None:
    seen = verified(classifier(tmp_path / "net.tflite"), {"image": normal(3, 1, 8, 8, 3)}, run.run, tmp_path)
    assert seen == DeviceVerification(
        device="board",
        runtime="a runtime 1.0",
        samples=3,
        identical=True,
        sqnr_db=None,
        max_abs_error=0.0,
        verdict="pass",
    )


@pytest.mark.parametrize(("operator", "name"), [(0, "CONV_2D"), (1, "DEPTHWISE_CONV_2D"), (4, "FULLY_CONNECTED")])
def test_the_first_operator_that_differs_is_named(operator: int, name: str, tmp_path: Path) -> None:
    file, inputs = classifier(tmp_path / "net.tflite"), {"image": normal(3, 1, 8, 8, 3)}
    seen = verified(file, inputs, tampering(tmp_path, operator, lambda weights: weights * np.float32(1.1)), tmp_path)
    assert seen.verdict == "fail"
    assert seen.first_difference.startswith(f"operator {operator} {name}, tensor {name.lower()}_{operator}: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.tflite", "tampered.tflite"]


def test_rounding_of_floats_is_no_difference(tmp_path: Path) -> None:
    file, inputs = classifier(tmp_path / "net.tflite"), {"image": normal(3, 1, 8, 8, 3)}
    seen = verified(
        file, inputs, tampering(tmp_path, 0, lambda weights: np.nextafter(weights, np.float32(9))), tmp_path
    )
    assert (seen.verdict, seen.identical, seen.first_difference) == ("pass", False, "")
    assert seen.sqnr_db is not None
    assert seen.sqnr_db > 100


def test_one_flipped_bit_in_an_integer_file_is_a_difference(tmp_path: Path) -> None:
    file = integer_network.write(tmp_path / "net.tflite")
    assert agreement.least_db(file) is None
    inputs = {"x": np.random.default_rng(1).integers(-128, 127, (8, 1, 4), endpoint=True).astype(np.int8)}

    def flipped(weights: Array) -> Array:
        weights[0, 0] ^= 4
        return weights

    seen = verified(file, inputs, tampering(tmp_path, 0, flipped), tmp_path)
    assert seen.verdict == "fail"
    assert seen.max_abs_error == 6
    assert (
        seen.first_difference == "operator 0 FULLY_CONNECTED, tensor dense: 1 of 3 values differ, by up to 3 (17.4 dB)"
    )


def test_what_computes_in_floats_may_differ_in_last_bits(tmp_path: Path) -> None:
    assert agreement.least_db(classifier(tmp_path / "net.tflite")) == 60
    assert agreement.least_db(tmp_path / "net.xml") == 60


def test_what_quantizes_on_the_way_may_differ_in_single_steps(tmp_path: Path) -> None:
    net = Network()
    x, dense = net.input("x", (1, 8)), net.constant("k", np.ones((4, 8), np.int8))
    net.subgraph.tensors[dense].quantization = made = graph.schema.QuantizationParametersT()
    made.scale, made.zeroPoint = np.array([0.1], np.float32), np.array([0], np.int64)
    y = net.operator("FULLY_CONNECTED", [x, dense, -1], (1, 4), kind="FullyConnectedOptions")
    assert agreement.least_db(net.save(tmp_path / "net.tflite", y)) == 40


def test_the_copy_has_every_result_as_an_output_in_order(tmp_path: Path) -> None:
    file = element_wise(tmp_path / "net.tflite", "ABS", "EXP", "ABS")
    content, origin = agreement.exposed(file)
    assert [(index, name) for index, name, _ in origin.values()] == [
        (0, "FULLY_CONNECTED"),
        (1, "ABS"),
        (2, "EXP"),
        (3, "ABS"),
    ]
    (tmp_path / "copy.tflite").write_bytes(content)
    inputs = {"x": normal(2, 1, 12)}
    found, plain = run.run(tmp_path / "copy.tflite", inputs), run.run(file, inputs)
    assert list(found) == list(origin)
    first, second, *_, last = origin
    np.testing.assert_array_equal(found[last], next(iter(plain.values())))
    np.testing.assert_array_equal(found[second], np.abs(found[first]))


def test_what_differs_only_when_fused_is_said_to(tmp_path: Path) -> None:
    file = classifier(tmp_path / "net.tflite")

    def wrong_as_a_whole(model: Path, inputs: dict[str, Array]) -> dict[str, Array]:
        found = run.run(model, inputs)
        return found if "exposed" in model.name else {name: values + 1 for name, values in found.items()}

    seen = verified(file, {"image": normal(1, 1, 8, 8, 3)}, wrong_as_a_whole, tmp_path)
    assert (seen.verdict, seen.first_difference) == ("fail", "none alone: it is only seen where operators run fused")


def test_a_copy_that_does_not_run_there_is_said_to(tmp_path: Path) -> None:
    file = classifier(tmp_path / "net.tflite")

    def too_small(model: Path, inputs: dict[str, Array]) -> dict[str, Array]:
        if "exposed" in model.name:
            raise Unsupported("There is no memory for so many tensors.")
        return {name: values * 0 for name, values in run.run(model, inputs).items()}

    seen = verified(file, {"image": normal(1, 1, 8, 8, 3)}, too_small, tmp_path)
    assert seen.first_difference.endswith("does not run (There is no memory for so many tensors.)")
    assert not list(tmp_path.glob("*exposed*"))


@pytest.mark.parametrize(
    ("there", "words"),
    [
        ({}, "the device gives no output y"),
        ({"y": np.zeros((1, 3), np.int8)}, "output y is int8 (3,) there, int8 (2,) here"),
        ({"y": np.zeros((1, 2), np.float32)}, "output y is float32 (2,) there, int8 (2,) here"),
    ],
)
def test_other_outputs_are_a_failure_of_the_device(there: dict[str, Array], words: str) -> None:
    seen = agreement.judge({"y": np.zeros((1, 2), np.int8)}, there, least=None, device="board", runtime="")
    assert (seen.verdict, seen.first_difference, seen.sqnr_db) == ("fail", words, None)


def test_not_a_number_on_one_side_fails() -> None:
    here = {"y": np.ones((1, 4), np.float32)}
    there = {"y": np.array([[1, 1, np.nan, 1]], np.float32)}
    assert agreement.judge(here, there, least=60.0, device="", runtime="").verdict == "fail"
    assert agreement.judge(there, there, least=60.0, device="", runtime="").verdict == "pass"


@given(st.lists(st.integers(-128, 127), min_size=1, max_size=20), st.data())
def test_integers_pass_exactly_where_they_are_the_same(values: list[int], data: st.DataObject) -> None:
    here = np.array([values], np.int8)
    which, flipped = data.draw(st.integers(0, len(values) - 1)), data.draw(st.integers(1, 255))
    there = here.copy()
    there.view(np.uint8)[0, which] ^= np.uint8(flipped)
    assert agreement.judge({"y": here}, {"y": here.copy()}, least=None, device="", runtime="").verdict == "pass"
    seen = agreement.judge({"y": here}, {"y": there}, least=None, device="", runtime="")
    assert seen.verdict == "fail"
    assert seen.max_abs_error == abs(int(here[0, which]) - int(there[0, which]))
