"""OpenVINO files that take the bytes of images: what they compute is what the network computes of the same pictures."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.backends.openvino import OpenVINOBackend, pixels
from edgekit.errors import Unsupported
from edgekit.nouns.description import Description, ImageInput
from edgekit.nouns.model import Signature
from edgekit.processing import images
from edgekit.processing.described import complete
from edgekit.waist import tensors
from tests import networks


@pytest.fixture(scope="module", params=["NHWC", "NCHW"])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Signature]:
    """A classifier of 8×8 pictures as IR, whose source has the layout."""
    folder = tmp_path_factory.mktemp("pixels")
    waist = networks.classifier(folder / "m.tflite")
    job = networks.job(waist, "float32", nchw=request.param == "NCHW", settings={"target_device": "CPU"})
    made = OpenVINOBackend().build(job, "m.xml", folder)
    return folder / "m.xml", made.signature


@pytest.mark.parametrize(
    "image",
    [
        ImageInput(range=(-1.0, 1.0)),
        ImageInput(range=(0.0, 1.0), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        ImageInput(channels="BGR", mean=(103.9, 116.8, 123.7)),
        ImageInput(),
    ],
)
def test_bytes_become_what_the_network_takes(built: tuple[Path, Signature], image: ImageInput, tmp_path: Path) -> None:
    artifact, signature = built
    told = complete(Description(inputs=(image,)), signature)
    taking, agreed_db = OpenVINOBackend().embed_preprocessing(artifact, told, signature, tmp_path)
    assert agreed_db > 100
    (spec,) = taking.inputs
    assert (spec.shape, spec.dtype, spec.layout) == ((1, 8, 8, 3), "uint8", "NHWC")
    picture = np.random.default_rng(1).integers(0, 256, (8, 8, 3), np.uint8)
    how = told.image(spec.source_name)
    assert how is not None
    own, _ = images.placed(picture, how)
    given: dict[str, Any] = {spec.source_name: images.tensor(own, how)[np.newaxis]}
    np.testing.assert_array_equal(
        tensors.to_file(spec, given[spec.source_name])[0, 0], picture
    )  # RGB, as an app has it
    tensors.write_npz(tmp_path / "x.npz", given)
    OpenVINOBackend().run(artifact, signature, tmp_path / "x.npz", tmp_path / "plain.npz")
    OpenVINOBackend().run(tmp_path / "m.xml", taking, tmp_path / "x.npz", tmp_path / "bytes.npz")
    sides = [tensors.arrays(tmp_path / name) for name in ("plain.npz", "bytes.npz")]
    for name, plain in sides[0].items():
        np.testing.assert_allclose(sides[1][name], plain, atol=1e-6)


def test_a_fault_in_it_is_found(built: tuple[Path, Signature], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact, signature = built
    told = complete(Description(inputs=(ImageInput(channels="BGR"),)), signature)
    processed = pixels._processed

    def in_rgb(model: Any, signature: Signature, images: dict[str, ImageInput]) -> Any:
        wrong = {name: ImageInput(size=(8, 8), channels="RGB", layout=how.layout) for name, how in images.items()}
        return processed(model, signature, wrong)

    monkeypatch.setattr(pixels, "_processed", in_rgb)
    with pytest.raises(Unsupported, match="computes something else"):
        pixels.embed(artifact, told, signature, tmp_path / "m.xml")


def test_without_an_image_there_is_nothing_to_embed(built: tuple[Path, Signature], tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="No input is described as an image"):
        pixels.embed(built[0], Description(), built[1], tmp_path / "m.xml")
