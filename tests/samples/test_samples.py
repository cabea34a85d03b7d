"""What users have in hand becomes samples, or a complaint that shows both sides."""

import zipfile
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image

from edgekit import samples
from edgekit.errors import InputError
from edgekit.nouns.description import Description, ImageInput, TensorInput
from edgekit.nouns.model import Signature, TensorSpec
from edgekit.samples.matching import QUANTIZED


def tensor(name: str = "x", shape: tuple[int, ...] = (1, 4), dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name=name, shape=shape, dtype=dtype, source_name=name, source_shape=shape, source_dtype=dtype)


def signature(*specs: TensorSpec) -> Signature:
    return Signature(inputs=specs or (tensor(),), outputs=())


def told(*inputs: ImageInput) -> Description:
    return Description(inputs=inputs)


IMAGE = signature(tensor("image", (1, 8, 8, 3)))
TWO = signature(tensor("a", (1, 2)), tensor("b", (1, 3), "int64"))


def saved(path: Path, **arrays: np.ndarray) -> str:
    np.savez(path, **arrays)
    return str(path)


# --- npz ---------------------------------------------------------------------------------------


def test_an_npz_is_matched_by_name(tmp_path: Path) -> None:
    a, b = np.ones((5, 2), np.float32), np.arange(15).reshape(5, 3)
    got = samples.load(saved(tmp_path / "s.npz", b=b, a=a), TWO)
    assert list(got.inputs) == ["a", "b"]
    assert got.inputs["a"].shape == (5, 1, 2)
    np.testing.assert_array_equal(got.inputs["b"][:, 0], b)
    assert len(got) == 5
    assert got.labels is None


def test_an_npz_with_other_names_is_matched_by_order_and_says_so(tmp_path: Path) -> None:
    spec = saved(tmp_path / "s.npz", first=np.ones((5, 2), np.float32), second=np.ones((5, 3), np.int64))
    got = samples.load(spec, TWO)
    assert "matched by order: first → a, second → b" in got.notes[0]


@pytest.mark.parametrize("key", ["x", "data", "images", "whatever"])
def test_a_single_input_takes_a_single_array_whatever_its_name(tmp_path: Path, key: str) -> None:
    got = samples.load(saved(tmp_path / "s.npz", **{key: np.ones((3, 4), np.float32)}), signature(tensor("input_1")))
    assert got.inputs["input_1"].shape == (3, 1, 4)


def test_a_single_input_prefers_the_usual_name_over_extra_arrays(tmp_path: Path) -> None:
    spec = saved(tmp_path / "s.npz", notes=np.zeros(7), data=np.ones((3, 4), np.float32))
    assert samples.load(spec, signature()).inputs["x"].sum() == 12


@pytest.mark.parametrize("key", ["y", "labels", "label"])
def test_labels_are_found(tmp_path: Path, key: str) -> None:
    spec = saved(tmp_path / "s.npz", x=np.ones((3, 4), np.float32), **{key: np.array([2, 0, 1])})
    got = samples.load(spec, signature())
    assert got.labels is not None
    assert got.labels.tolist() == [2, 0, 1]


def test_an_input_called_y_is_an_input(tmp_path: Path) -> None:
    spec = saved(tmp_path / "s.npz", x=np.ones((3, 4), np.float32), y=np.ones((3, 2), np.float32))
    got = samples.load(spec, signature(tensor(), tensor("y", (1, 2))))
    assert got.labels is None
    assert got.inputs["y"].shape == (3, 1, 2)


def test_names_that_fit_only_in_part_show_both_sides(tmp_path: Path) -> None:
    spec = saved(tmp_path / "s.npz", a=np.ones((5, 2)), c=np.ones((5, 3)))
    with pytest.raises(InputError, match=r"2 arrays \(a, c\), the model wants 2 arrays \(a, b\)"):
        samples.load(spec, TWO)


def test_too_few_labels_are_refused(tmp_path: Path) -> None:
    spec = saved(tmp_path / "s.npz", x=np.ones((3, 4), np.float32), y=np.array([2, 0]))
    with pytest.raises(InputError, match="3 samples but 2 labels"):
        samples.load(spec, signature())


def test_different_numbers_of_samples_are_refused(tmp_path: Path) -> None:
    spec = saved(tmp_path / "s.npz", a=np.ones((5, 2)), b=np.ones((4, 3)))
    with pytest.raises(InputError, match="a: 5, b: 4"):
        samples.load(spec, TWO)


# --- shape, layout, dtype, values --------------------------------------------------------------


@pytest.mark.parametrize("shape", [(6, 8, 8, 3), (6, 1, 8, 8, 3)])
def test_batch_one_may_be_left_out(tmp_path: Path, shape: tuple[int, ...]) -> None:
    got = samples.load(saved(tmp_path / "s.npz", x=np.ones(shape, np.float32)), IMAGE)
    assert got.inputs["image"].shape == (6, 1, 8, 8, 3)
    assert got.notes == ()


def test_a_larger_batch_keeps_its_axis(tmp_path: Path) -> None:
    wide = signature(tensor("x", (2, 4)))
    assert samples.load(saved(tmp_path / "s.npz", x=np.ones((6, 2, 4), np.float32)), wide).inputs["x"].shape == (
        6,
        2,
        4,
    )
    with pytest.raises(InputError, match=r"sample axis is missing"):
        samples.load(saved(tmp_path / "t.npz", x=np.ones((2, 4), np.float32)), wide)


def test_a_missing_axis_of_size_one_is_added_and_said(tmp_path: Path) -> None:
    grey = signature(tensor("x", (1, 8, 8, 1)))
    got = samples.load(saved(tmp_path / "s.npz", x=np.ones((6, 8, 8), np.float32)), grey)
    assert got.inputs["x"].shape == (6, 1, 8, 8, 1)
    assert got.notes == ("x: samples of shape [8, 8] were read as [1, 8, 8, 1]",)


def test_a_layout_mistake_is_named_with_the_transpose_that_mends_it(tmp_path: Path) -> None:
    wrong = np.arange(2 * 3 * 8 * 8, dtype=np.float32).reshape(2, 3, 8, 8)
    with pytest.raises(
        InputError, match=r"\[2, 3, 8, 8\], the model wants \[N, 8, 8, 3\]: this is NCHW, not NHWC"
    ) as info:
        samples.load(saved(tmp_path / "s.npz", x=wrong), IMAGE)
    assert "x.transpose(0, 2, 3, 1)" in info.value.fix
    mended = wrong.transpose(0, 2, 3, 1)
    assert len(samples.load(saved(tmp_path / "t.npz", x=mended), IMAGE)) == 2


def test_the_other_layout_mistake_is_named_too(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="this is NHWC, not NCHW") as info:
        samples.load(saved(tmp_path / "s.npz", x=np.ones((2, 8, 8, 3))), signature(tensor("x", (1, 3, 8, 8))))
    assert "x.transpose(0, 3, 1, 2)" in info.value.fix


@given(
    shape=hnp.array_shapes(min_dims=1, max_dims=5, max_side=5),
    wanted=hnp.array_shapes(min_dims=1, max_dims=4, max_side=5),
)
@settings(max_examples=200)
def test_any_shape_fits_losslessly_or_is_explained(
    tmp_path: Path, shape: tuple[int, ...], wanted: tuple[int, ...]
) -> None:
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    np.save(tmp_path / "s.npy", values)
    spec = tensor("x", (1, *wanted))
    try:
        got = samples.load(str(tmp_path / "s.npy"), signature(spec))
    except InputError as error:
        assert str(list(shape)) in error.problem  # noqa: PT017  the other outcome is as good
        assert "the model wants" in error.problem  # noqa: PT017
    else:
        assert got.inputs["x"].shape == (shape[0], 1, *wanted)
        np.testing.assert_array_equal(got.inputs["x"].ravel(), values.ravel())


def test_bytes_become_floats_with_a_note(tmp_path: Path) -> None:
    got = samples.load(saved(tmp_path / "s.npz", x=np.full((3, 4), 7, np.uint8)), signature())
    assert got.inputs["x"].dtype == np.float32
    assert got.notes == ("x: uint8 samples were cast to float32 (no value changed)",)


def test_signed_bytes_for_a_network_of_floats_are_doubted(tmp_path: Path) -> None:
    path = saved(tmp_path / "s.npz", x=np.full((3, 4), -7, np.int8), scale=np.float64(0.5), zero_point=np.int64(3))
    got = samples.load(path, signature())
    assert got.notes[0] == "arrays that are no input were left out: scale, zero_point"
    assert got.doubts == (f"x: {QUANTIZED}",)
    assert samples.lint(got, signature())[0] == got.doubts[0]


def test_doubles_become_floats_silently(tmp_path: Path) -> None:
    assert samples.load(saved(tmp_path / "s.npz", x=np.full((3, 4), 0.1)), signature()).notes == ()


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (np.full((3, 4), 0.5), "int8"),
        (np.full((3, 4), 300.0), "uint8"),
        (np.full((3, 4), 1e300), "int32"),
        (np.full((3, 4), np.iinfo(np.int64).max), "float32"),
        (np.full((3, 4), -1), "uint8"),
        (np.full((3, 4), 2), "bool"),
        (np.full((3, 4), 2**24 + 1), "float32"),
    ],
)
def test_casts_that_change_values_are_refused(tmp_path: Path, values: np.ndarray, dtype: str) -> None:
    with pytest.raises(InputError, match=f"the data is {values.dtype}, the model wants {dtype}"):
        samples.load(saved(tmp_path / "s.npz", x=values), signature(tensor(dtype=dtype)))


@given(
    values=hnp.arrays(
        st.sampled_from([np.dtype(t) for t in ("u1", "i1", "i4", "i8", "f4", "f8", "?")]),
        (3, 4),
        elements={"min_value": 0, "max_value": 1},
    ),
    dtype=st.sampled_from(["uint8", "int8", "int32", "int64", "float32", "bool"]),
)
@settings(max_examples=150)
def test_a_cast_never_changes_a_value(tmp_path: Path, values: np.ndarray, dtype: str) -> None:
    np.save(tmp_path / "s.npy", values)
    try:
        got = samples.load(str(tmp_path / "s.npy"), signature(tensor(dtype=dtype))).inputs["x"]
    except InputError:
        assert values.dtype.kind == "f"
        assert np.any(values != np.rint(values))
        return
    assert got.dtype == np.dtype(dtype)
    np.testing.assert_allclose(got.reshape(3, 4).astype(np.float64), values.astype(np.float64), rtol=1e-6, atol=1e-38)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path: Path, bad: float) -> None:
    values = np.ones((5, 4), np.float32)
    values[3, 1] = bad
    with pytest.raises(InputError, match=r"1 of 5 samples hold NaN or infinity \(the first is sample 3\)") as caught:
        samples.load(saved(tmp_path / "s.npz", x=values), signature())
    assert ("-10000" in caught.value.fix) == (bad == -np.inf)  # only a mask is -inf alone


def test_floats_too_large_for_the_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="NaN or infinity"):
        samples.load(saved(tmp_path / "s.npz", x=np.full((5, 4), 1e300)), signature())


@pytest.mark.parametrize("values", [np.ones((0, 4), np.float32), np.float32(1), np.ones((3, 0), np.float32)])
def test_no_samples_are_refused(tmp_path: Path, values: np.ndarray) -> None:
    with pytest.raises(InputError, match="has no samples"):
        samples.load(saved(tmp_path / "s.npz", x=values), signature())


@pytest.mark.parametrize("values", [np.array([["a"] * 4]), np.ones((3, 4), complex)])
def test_what_is_no_number_is_refused(tmp_path: Path, values: np.ndarray) -> None:
    with pytest.raises(InputError, match="these are no numbers"):
        samples.load(saved(tmp_path / "s.npz", x=values), signature())


# --- damaged files -----------------------------------------------------------------------------


def test_a_missing_file_is_named() -> None:
    with pytest.raises(InputError, match=r"no file, folder or module:function nowhere.npz"):
        samples.load("nowhere.npz", signature())


@pytest.mark.parametrize("name", ["s.npz", "s.npy", "s.csv"])
def test_an_empty_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match=f"{name} is empty"):
        samples.load(str(tmp_path / name), signature())


@pytest.mark.parametrize("name", ["s.npz", "s.npy"])
def test_pickled_objects_are_never_loaded(tmp_path: Path, name: str) -> None:
    canary = tmp_path / "canary"

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str, str]]:
            return open, (str(canary), "w")

    writer = np.savez if name.endswith("z") else np.save
    writer(tmp_path / name, np.array([Evil()], dtype=object))
    with pytest.raises(InputError, match="holds pickled objects"):
        samples.load(str(tmp_path / name), signature())
    assert not canary.exists()


def test_a_bare_pickle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.npy").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(InputError, match=r"neither .npz nor .npy nor .csv"):
        samples.load(str(tmp_path / "s.npy"), signature())


def test_an_archive_without_arrays_is_refused(tmp_path: Path) -> None:
    zipfile.ZipFile(tmp_path / "s.npz", "w").close()
    with pytest.raises(InputError, match=r"holds no arrays|is damaged"):
        samples.load(str(tmp_path / "s.npz"), signature())


def test_a_claim_of_gigabytes_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "s.npy", np.ones((3, 4), np.float32))
    content = (tmp_path / "s.npy").read_bytes()
    (tmp_path / "s.npy").write_bytes(content.replace(b"(3, 4)", b"(9999999999, 9999999)", 1))
    with pytest.raises(InputError, match="is damaged"):
        samples.load(str(tmp_path / "s.npy"), signature())


@pytest.mark.parametrize("name", ["s.npz", "s.npy"])
@given(data=st.data())
@settings(max_examples=150)
def test_damaged_arrays_are_input_errors_whatever_the_damage(tmp_path: Path, name: str, data: st.DataObject) -> None:
    writer = np.savez if name.endswith("z") else np.save
    writer(tmp_path / name, np.ones((3, 4), np.float32))
    content = bytearray((tmp_path / name).read_bytes())
    content = content[: data.draw(st.integers(0, len(content)))]
    for _ in range(data.draw(st.integers(0, 3))):
        if content:
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / name).write_bytes(content)
    try:
        samples.load(str(tmp_path / name), signature())
    except InputError as error:
        assert error.fix  # noqa: PT017  some damage is harmless


# --- folders -----------------------------------------------------------------------------------


def test_a_folder_of_npy_is_one_sample_each(tmp_path: Path) -> None:
    for i in (2, 0, 1):
        np.save(tmp_path / f"{i}.npy", np.full(4, i, np.float32))
    got = samples.load(str(tmp_path), signature())
    assert got.inputs["x"][:, 0, 0].tolist() == [0, 1, 2]
    assert got.labels is None


def test_a_folder_for_each_input(tmp_path: Path) -> None:
    for name, width in (("a", 2), ("b", 3)):
        (tmp_path / name).mkdir()
        for i in range(3):
            np.save(tmp_path / name / f"{i}.npy", np.full(width, i))
    got = samples.load(str(tmp_path), TWO)
    assert got.inputs["b"].shape == (3, 1, 3)
    (tmp_path / "b" / "2.npy").rename(tmp_path / "b" / "9.npy")
    with pytest.raises(InputError, match="a and b hold differently named files"):
        samples.load(str(tmp_path), TWO)


def test_other_folders_are_class_labels(tmp_path: Path) -> None:
    for i, name in enumerate(["dog", "cat"]):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "s.npy", np.full(4, i, np.float32))
    got = samples.load(str(tmp_path), signature())
    assert got.labels is not None
    assert got.labels.tolist() == [0, 1]
    assert got.inputs["x"][:, 0, 0].tolist() == [1, 0]
    assert "0 = cat, 1 = dog" in got.notes[0]


def test_an_empty_folder_and_unequal_samples_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"neither .npy files nor images"):
        samples.load(str(tmp_path), signature())
    np.save(tmp_path / "0.npy", np.ones(4))
    np.save(tmp_path / "1.npy", np.ones(5))
    with pytest.raises(InputError, match=r"1.npy has shape \[5\], 0.npy has \[4\]"):
        samples.load(str(tmp_path), signature())


# --- images ------------------------------------------------------------------------------------


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)


def test_images_come_as_pixels_where_nothing_is_declared(tmp_path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(tmp_path / "i.png")
    got = samples.load(str(tmp_path), IMAGE)
    np.testing.assert_array_equal(got.inputs["image"][0, 0], pixels)


@pytest.mark.parametrize(
    ("sizes", "dtype", "said"),
    [
        ([(8, 8)], "float32", "pixels stay 0..255"),
        ([(20, 30), (8, 8)], "float32", "pixels stay 0..255, images of 20×30 were scaled to 8×8"),
        ([(20, 30), (9, 9), (9, 8)], "uint8", "images of 9×8 and 2 other sizes were scaled to 8×8"),
        ([(8, 8)], "uint8", None),
    ],
)
def test_what_was_assumed_of_images_is_a_doubt(
    tmp_path: Path, sizes: list[tuple[int, int]], dtype: str, said: str | None
) -> None:
    for i, size in enumerate(sizes):
        Image.fromarray(np.full((*size, 3), (1, 2, 3), np.uint8)).save(tmp_path / f"{i}.png")
    wanted = signature(tensor("image", (1, 8, 8, 3), dtype))
    got = samples.load(str(tmp_path), wanted)
    expected = () if said is None else (f"image: edgekit.toml has no [[input]] for these images: {said}",)
    assert got.doubts == got.take(1).doubts == expected
    assert samples.lint(got, wanted)[: len(expected)] == expected
    assert samples.load(str(tmp_path), wanted, told(ImageInput(name="image"))).doubts == ()


def test_each_input_has_its_own_doubts(tmp_path: Path, pixels: np.ndarray) -> None:
    for name in ("left", "right"):
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / "i.png")
    both = signature(tensor("left", (1, 8, 8, 3)), tensor("right", (1, 8, 8, 3)))
    (doubt,) = samples.load(str(tmp_path), both, told(ImageInput(name="left"))).doubts
    assert doubt.startswith("right: ")


def test_pixels_are_ranged_then_centred_then_scaled_in_channel_order(tmp_path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(tmp_path / "i.png")
    declared = ImageInput(
        name="image", size=(8, 8), channels="BGR", range=(0.0, 1.0), mean=(0.1, 0.2, 0.3), std=(2.0, 4.0, 8.0)
    )
    got = samples.load(str(tmp_path), IMAGE, told(declared))
    expected = (pixels[..., ::-1] / 255 - [0.1, 0.2, 0.3]) / [2, 4, 8]
    np.testing.assert_allclose(got.inputs["image"][0, 0], expected, atol=1e-6)


def test_the_array_has_the_networks_layout(tmp_path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(tmp_path / "i.png")
    got = samples.load(str(tmp_path), signature(tensor("image", (1, 3, 8, 8))))
    np.testing.assert_array_equal(got.inputs["image"][0, 0], pixels.transpose(2, 0, 1))


def test_images_are_scaled_turned_and_made_grey(tmp_path: Path) -> None:
    left = np.zeros((16, 32), np.uint8)
    left[:, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise by 90°: what was left is on top
    Image.fromarray(left).convert("RGB").save(tmp_path / "i.jpg", exif=exif, quality=95)
    got = samples.load(str(tmp_path), signature(tensor("image", (1, 8, 4, 1)))).inputs["image"][0, 0, :, :, 0]
    assert got[:3].min() > 200
    assert got[-3:].max() < 50


def test_folders_of_images_are_classes(tmp_path: Path, pixels: np.ndarray) -> None:
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / "i.png")
    got = samples.load(str(tmp_path), IMAGE)
    assert got.labels is not None
    assert got.labels.tolist() == [0, 1]


def test_bytes_in_bytes_out_for_integer_networks(tmp_path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(tmp_path / "i.png")
    got = samples.load(str(tmp_path), signature(tensor("image", (1, 8, 8, 3), "uint8")))
    assert got.inputs["image"].dtype == np.uint8
    np.testing.assert_array_equal(got.inputs["image"][0, 0], pixels)


@pytest.mark.parametrize(
    ("declared", "complaint"),
    [
        (ImageInput(size=(16, 16)), r"size is \[16, 16\], the input is \[8, 8\]"),
        (ImageInput(channels="L"), "channels are L, the input has 3"),
        (ImageInput(mean=(0.1, 0.2)), "mean has 2"),
        (ImageInput(fit="crop", shorter_side=7), r"shorter_side is 7, which does not cover \[8, 8\]"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(
    tmp_path: Path, pixels: np.ndarray, declared: ImageInput, complaint: str
) -> None:
    Image.fromarray(pixels).save(tmp_path / "i.png")
    with pytest.raises(InputError, match=complaint) as refused:
        samples.load(str(tmp_path), IMAGE, told(msgspec.structs.replace(declared, name="image")))
    assert refused.value.place == "edgekit.toml: [[input]] image"


def test_grey_images_contradict_an_input_of_colours(tmp_path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels[..., 0]).save(tmp_path / "i.png")
    (doubt,) = samples.load(str(tmp_path), IMAGE, told(ImageInput(name="image"))).doubts
    assert doubt == "image: [[input]] says RGB, but all of these images are grey"
    Image.fromarray(pixels).save(tmp_path / "j.png")
    assert samples.load(str(tmp_path), IMAGE, told(ImageInput(name="image"))).doubts == ()


def test_images_for_what_is_described_as_a_tensor_are_refused(tmp_path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(tmp_path / "i.png")
    with pytest.raises(InputError, match="describes it as something else"):
        samples.load(str(tmp_path), IMAGE, Description(inputs=(TensorInput(name="image"),)))


def test_a_damaged_image_and_an_input_that_is_no_image_are_refused(tmp_path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(tmp_path / "i.png")
    with pytest.raises(InputError, match=r"shape \[1, 4\], which is no image"):
        samples.load(str(tmp_path), signature())
    (tmp_path / "i.png").write_bytes((tmp_path / "i.png").read_bytes()[:60])
    with pytest.raises(InputError, match=r"i.png is no image that can be read"):
        samples.load(str(tmp_path), IMAGE)


# --- CSV ---------------------------------------------------------------------------------------


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_csv_columns_are_features(tmp_path: Path) -> None:
    got = samples.load(written(tmp_path / "s.csv", "1,2,3,4\n5,6,7,8.5\n"), signature())
    assert got.inputs["x"].reshape(2, 4).tolist() == [[1, 2, 3, 4], [5, 6, 7, 8.5]]
    assert got.labels is None


@pytest.mark.parametrize("text", ["label,a,b,c,d\n3,1,2,3,4\n", "a;b;c;d;y\n1;2;3;4;3\n", "3\t1\t2\t3\t4\n"])
def test_csv_label_columns_are_found_and_said(tmp_path: Path, text: str) -> None:
    got = samples.load(written(tmp_path / "s.csv", text), signature())
    assert got.inputs["x"].ravel().tolist() == [1, 2, 3, 4]
    assert got.labels is not None
    assert got.labels.tolist() == [3]
    assert "was read as the label" in got.notes[0]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("1,2,3\n", "has 3 feature columns, the model wants 4"),
        ("0.5,1,2,3,4\n", "has 5 feature columns, the model wants 4"),
        ("1,2,3,4\n1,2,oops,4\n", "Row 2 of s.csv does not fit: 'oops'"),
        ("a,b,c,d\n1,2,3,4\n1,2,3\n", "Row 3 of s.csv does not fit: '3 columns instead of 4'"),
        ("a,b,c,d\n", "holds no rows of numbers"),
        ("1,2,3,nan\n", "NaN or infinity"),
    ],
)
def test_csv_that_does_not_fit_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        samples.load(written(tmp_path / "s.csv", text), signature())


def test_csv_is_for_one_input_and_for_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="feeds one input, the model has 2"):
        samples.load(written(tmp_path / "s.csv", "1,2\n"), TWO)
    (tmp_path / "s.csv").write_bytes(b"1,2,\xff\xfe,4\n")
    with pytest.raises(InputError, match="is damaged"):
        samples.load(str(tmp_path / "s.csv"), signature())


@given(st.text(max_size=60))
@example("1E100")  # more than float32 holds
@example("1E100,2")
@settings(max_examples=200)
def test_any_text_is_samples_or_an_input_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.csv").write_text(text, encoding="utf-8", newline="")
    try:
        samples.load(str(tmp_path / "s.csv"), signature(tensor("x", (1, 1))))
    except InputError as error:
        assert error.fix  # noqa: PT017  some texts are numbers


# --- module:function ---------------------------------------------------------------------------

MODULE = """
import numpy as np
def array(): return np.ones((3, 4), np.float32)
def mapping(): return {"x": np.ones((3, 4), np.float32), "y": [1, 2, 3]}
def pair(): return np.ones((3, 4), np.float32), [1, 2, 3]
def yields_samples():
    for i in range(3): yield np.full(4, 1, np.float32)
def yields_batches():
    yield np.ones((2, 4), np.float32); yield np.ones((1, 4), np.float32)
def yields_labelled():
    for i in range(3): yield np.ones((1, 4), np.float32), i + 1
def yields_one_hot():
    for i in range(3): yield np.ones(4, np.float32), np.eye(5)[i]
def yields_one_hot_batches():
    yield np.ones((1, 4), np.float32), np.eye(5)[:1]; yield np.ones((2, 4), np.float32), np.eye(5)[1:3]
def yields_lists():
    for i in range(3): yield [np.ones((1, 4), np.float32)]
def yields_mappings():
    for i in range(3): yield {"x": np.ones(4, np.float32), "y": i + 1}
def talks(): print("chatter"); return array()
def two():
    for i in range(3): yield np.ones((1, 2), np.float32), np.ones((1, 3), np.int64)
def fails(): raise RuntimeError("disk on fire")
def nothing(): return iter(())
def wrong(): return "text"
def forever():
    while True: yield np.ones(4, np.float32)
number = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"userdata_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return name


@pytest.mark.parametrize("function", ["array", "mapping", "pair", "yields_samples", "yields_batches", "yields_labelled",
                                      "yields_lists", "yields_mappings", "talks"])  # fmt: skip
def test_functions_may_return_what_is_handy(module: str, function: str, capsys: pytest.CaptureFixture[str]) -> None:
    got = samples.load(f"{module}:{function}", signature())
    assert got.inputs["x"].shape == (3, 1, 4)
    assert got.inputs["x"].min() == 1
    if function in {"mapping", "pair", "yields_labelled", "yields_mappings"}:
        assert got.labels is not None
        assert got.labels.tolist() == [1, 2, 3]
    assert capsys.readouterr().out == "", "stdout belongs to --json"


@pytest.mark.parametrize("function", ["yields_one_hot", "yields_one_hot_batches"])
def test_a_label_of_one_sample_may_be_a_vector(module: str, function: str) -> None:
    got = samples.load(f"{module}:{function}", signature())
    assert got.inputs["x"].shape == (3, 1, 4)
    assert got.labels is not None
    np.testing.assert_array_equal(got.labels if got.labels.ndim == 1 else got.labels.argmax(1), [0, 1, 2])


def test_functions_may_feed_several_inputs(module: str) -> None:
    got = samples.load(f"{module}:two", TWO)
    assert got.inputs["b"].shape == (3, 1, 3)
    assert got.notes == ()


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        ("fails", "RuntimeError: disk on fire"),
        ("nothing", "it yields nothing"),
        ("wrong", "it returned str"),
        ("number", "number is no function"),
        ("absent", "has no attribute 'absent'"),
        ("two", r"the data has shape \[3, 2\], the model wants \[N, 4\]"),
    ],
)
def test_functions_that_fail_are_named(module: str, function: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        samples.load(f"{module}:{function}", signature())


def test_a_generator_that_never_ends_is_stopped(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekit.samples.functions.MOST_ITEMS", 50)
    with pytest.raises(InputError, match="more than 50 items"):
        samples.load(f"{module}:forever", signature())


def test_a_module_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="No module named 'absent_module'"):
        samples.load("absent_module:function", signature())


# --- Samples -----------------------------------------------------------------------------------


@given(n=st.integers(1, 60), take=st.integers(1, 80))
@settings(max_examples=60)
def test_which_samples_are_taken_does_not_depend_on_their_order(n: int, take: int) -> None:
    def taken(order: NDArray[np.int_]) -> samples.Samples:
        values = np.arange(n, dtype=np.float32)[order].reshape(n, 1, 1)
        return samples.Samples.of({"x": values}, np.arange(n)[order], origin="test").take(take)

    as_given, turned = taken(np.arange(n)), taken(np.random.default_rng(n).permutation(n))
    for got in as_given, turned:
        assert len(got) == min(n, take)
        assert got.labels is not None
        np.testing.assert_array_equal(got.inputs["x"].ravel(), got.labels)
    assert as_given.labels is not None
    assert set(as_given.inputs["x"].ravel()) == set(turned.inputs["x"].ravel())
    assert (np.diff(as_given.labels) > 0).all()


def test_samples_are_taken_from_all_parts_of_the_data() -> None:
    values = np.repeat(np.arange(10, dtype=np.float32), 100) + np.linspace(0, 0.5, 1000, dtype=np.float32)
    got = samples.Samples.of({"x": values.reshape(1000, 1, 1)}, origin="test").take(200)
    counts = np.bincount(got.inputs["x"].ravel().astype(int), minlength=10)
    assert counts.min() >= 8


def test_the_digest_is_of_content_not_of_the_file(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.save(tmp_path / "a.npy", values)
    np.save(tmp_path / "b.npy", np.asfortranarray(values.astype(">f4")))
    np.savez_compressed(tmp_path / "c.npz", x=values)
    digests = {samples.load(str(tmp_path / name), signature()).sha256 for name in ("a.npy", "b.npy", "c.npz")}
    assert len(digests) == 1


def test_the_digest_depends_on_values_shape_names_and_labels() -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 1, 4)
    variants = [
        ({"x": values}, None),
        ({"x": values + 1}, None),
        ({"x": values.reshape(3, 2, 2)}, None),
        ({"x": values.astype(np.float64)}, None),
        ({"z": values}, None),
        ({"x": values}, np.arange(3)),
        ({"x": values}, np.arange(3) + 1),
    ]
    digests = {samples.Samples.of(inputs, labels, origin="test").sha256 for inputs, labels in variants}
    assert len(digests) == len(variants)


def test_save_and_load_give_the_same_inputs(tmp_path: Path) -> None:
    before = samples.random(TWO, 5)
    before.save(tmp_path / "samples")
    after = samples.Samples.opened(before.kept, tmp_path)
    assert samples.Samples.of(after.inputs, origin="").sha256 == after.sha256 == before.sha256


def test_any_tensor_name_can_be_saved(tmp_path: Path) -> None:
    names = ["file", "allow_pickle", "a/b:0", "../up", "größe"]
    samples.write_npz(tmp_path / "s.npz", {name: np.ones(2) for name in names})
    with np.load(tmp_path / "s.npz") as archive:
        assert archive.files == names
    assert [path.name for path in tmp_path.iterdir()] == ["s.npz"]


def test_a_failed_save_leaves_what_was_there(tmp_path: Path) -> None:
    samples.write_npz(tmp_path / "s.npz", {"x": np.ones(2)})
    with pytest.raises(ValueError, match="Object arrays"):
        samples.write_npz(tmp_path / "s.npz", {"x": np.array([object()])})
    assert [path.name for path in tmp_path.iterdir()] == ["s.npz"]
    with np.load(tmp_path / "s.npz") as archive:
        assert archive["x"].sum() == 2


def test_random_samples_fit_and_repeat() -> None:
    every = signature(
        *(tensor(d, (1, 64), d) for d in ("float32", "float16", "int8", "uint8", "int32", "int64", "bool"))
    )
    one, two = samples.random(every, 8), samples.random(every, 8)
    assert one.sha256 == two.sha256 != samples.random(every, 8, seed=1).sha256
    assert one.origin == "random (seed 0)"
    for spec in every.inputs:
        values = one.inputs[spec.name]
        assert values.dtype == np.dtype(spec.dtype)
        assert values.shape == (8, 1, 64)
    assert 0 <= one.inputs["float32"].min() < 0.1 < 0.9 < one.inputs["float32"].max() <= 1
    assert set(np.unique(one.inputs["int64"])) == {0, 1}
    assert one.inputs["int8"].min() < -100
    with pytest.raises(InputError, match="no random samples"):
        samples.random(signature(tensor(dtype="complex64")), 2)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("file", "shape", "dtype", "count"),
    [
        ("mnist_test.npz", (1, 28, 28, 1), "float32", 10000),
        ("mnist_test.npz", (1, 1, 28, 28), "float32", 10000),
        ("kws01.npz", (1, 49, 10, 1), "int8", 1000),
        ("gesture/keypoint.csv", (1, 42), "float32", 4450),
        ("gesture/point_history.csv", (1, 32), "float32", 5296),
    ],
)
def test_real_data_is_read(shared: Path, file: str, shape: tuple[int, ...], dtype: str, count: int) -> None:
    got = samples.load(str(shared / "data" / file), signature(tensor("input", shape, dtype)))
    assert got.inputs["input"].shape == (count, *shape)
    assert got.labels is not None
    assert len(got.labels) == count


def test_random_samples_of_huge_inputs_are_few() -> None:
    huge = signature(tensor(shape=(1, samples.RANDOM_BYTES // 4 // 3)))
    assert len(samples.random(huge, 16)) == 3
