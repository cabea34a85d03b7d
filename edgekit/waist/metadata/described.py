"""A description as TFLite metadata: what it can say, and notes on what it cannot."""

import re
from typing import NamedTuple

from edgekit.nouns.description import (
    AudioInput,
    ClassificationOutput,
    Description,
    DetectionOutput,
    ImageInput,
    Output,
    SegmentationOutput,
    TokensInput,
)
from edgekit.nouns.model import TensorSpec
from edgekit.processing.described import file_layout
from edgekit.waist.metadata import tables
from edgekit.waist.metadata.tables import Table


class Metadata(NamedTuple):
    """The flatbuffer, the files that it names (name → text), and what it could not say."""

    content: bytes
    files: dict[str, str]
    notes: tuple[str, ...]


PARSER = "1.0.0"
PARSER_OF_VOCABULARIES = "1.0.1"
PARSER_OF_GROUPS = "1.2.0"
PARSER_OF_AUDIO = "1.3.0"
"""The versions of the schema that brought what is written."""

GROUP = ("location", "category", "score")
"""What MediaPipe's and Android's readers call the outputs of a network that ends with suppression."""


def metadata(
    description: Description, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], model: str
) -> Metadata:
    """What a file says of itself.

    Args:
        description: complete; outputs that it leaves out are plain numbers.
        inputs: of the file, in its order.
        outputs: likewise.
        model: what the network is called if the user gives it no name.
    """
    making = _Making(description)
    taken = [making.input(spec) for spec in inputs]
    given = [making.output(spec) for spec in outputs]
    finished = any(isinstance(row, DetectionOutput) and row.classes is not None for row in description.outputs)
    groups = [tables.group("detection_result", GROUP)] if finished else []
    card = description.card
    root = tables.model(
        name=card.name or model,
        description=card.description,
        version=card.version,
        author=card.author,
        licence=card.license,
        subgraph=tables.subgraph(taken, given, groups),
        parser=max(making.parser, PARSER_OF_GROUPS if finished else PARSER),
    )
    return Metadata(tables.pack(root), making.files, tuple(making.notes))


class _Making:
    """Tables one by one, and what they need beside them."""

    def __init__(self, description: Description) -> None:
        self._description = description
        self.files: dict[str, str] = {}
        self.notes: list[str] = []
        self.parser = PARSER

    def input(self, spec: TensorSpec) -> Table:
        """What metadata says of an input.

        What it cannot say goes into `notes`, files that it names into `files`; `parser` becomes the version that
        reads all of it.
        """
        told, name = self._description.input(spec.source_name), spec.source_name
        if isinstance(told, ImageInput) and told.size is not None:
            return self._image(spec, told, *told.size)
        if isinstance(told, AudioInput):
            self.parser = max(self.parser, PARSER_OF_AUDIO)
            said = f"A waveform of {told.sample_rate} Hz, full scale {told.full_scale:g}."
            return tables.tensor(name, said, tables.audio(told.sample_rate, 1))
        if isinstance(told, TokensInput) and told.vocabulary:
            self.parser = max(self.parser, PARSER_OF_VOCABULARIES)
            files = [self._file(name, "vocabulary", told.vocabulary, tables.VOCABULARY)]
            return tables.tensor(name, f"Token ids, filled up with {told.pad_id}.", tables.feature(), files=files)
        return tables.tensor(name, f"{spec.dtype} {list(spec.shape)}", tables.feature())

    def _image(self, spec: TensorSpec, image: ImageInput, height: int, width: int) -> Table:
        name = spec.source_name
        said = f"An image of {width}x{height}, {image.channels}; resize: {image.resize}, fit: {image.fit}."
        units = [tables.normalization(image.offsets, image.divisors)]
        low, high = zip(*image.ends, strict=True)
        color_space = {"RGB": 1, "L": 2}.get(image.channels or "", 0)
        layout = file_layout(spec, image)
        if not color_space or layout != "NHWC":
            self.notes.append(
                f"its metadata cannot say that {name} is {image.channels} {layout}: an app that follows it alone "
                "must order the channels itself"
            )
        return tables.tensor(
            name, said, tables.image(color_space, width, height), units=units, stats=tables.stats(high, low)
        )

    def output(self, spec: TensorSpec) -> Table:
        """The same of an output; one that nobody described has dtype and shape alone."""
        name = spec.source_name
        row = next((row for row in self._description.outputs if name in row.reads), None)
        plain = f"{spec.dtype} {list(spec.shape)}"
        if row is None:
            return tables.tensor(name, plain, tables.feature())
        if isinstance(row, DetectionOutput):
            return self._detection(row, name, plain)
        if isinstance(row, ClassificationOutput):
            if row.activation != "none":
                self.notes.append(
                    f"its metadata cannot say that {name} holds logits ({row.activation} is left to the app)"
                )
            units = [tables.threshold(row.threshold)] if row.threshold else []
            said = f"Scores of classes{f', logits of {row.activation}' if row.activation != 'none' else ''}."
            return tables.tensor(name, said, tables.feature(), units=units, files=self._labels(row, name))
        if isinstance(row, SegmentationOutput):
            return tables.tensor(name, "A class for each pixel.", tables.feature(), files=self._labels(row, name))
        return tables.tensor(name, f"{plain}, {_task(row)}", tables.feature(), files=self._labels(row, name))

    def _detection(self, row: DetectionOutput, name: str, plain: str) -> Table:
        """One of the outputs that boxes are made of."""
        if row.classes is not None:
            role = {row.name: "location", row.classes: "category", row.scores: "score"}.get(
                name, "number of detections"
            )
            if role == "category":
                files = self._labels(row, name, tables.VALUE_LABELS)
                return tables.tensor(role, "The class of each box.", tables.in_rows(), files=files)
            if role == "score":
                units = [tables.threshold(row.score_threshold)]
                return tables.tensor(role, "The score of each box.", tables.in_rows(), units=units)
            return tables.tensor(role, plain, self._boxes(row) if role == "location" else tables.feature())
        files = self._labels(row, name) if name == (row.scores or row.name) else []
        simple = row.decoding == "none" and row.scores is not None
        if not simple:
            self.notes.append(
                f"its metadata cannot say how {name} becomes boxes: its labels are in it, the rest is not"
            )
        return tables.tensor(
            name,
            f"{plain}, detection",
            self._boxes(row) if simple and name == row.name else tables.feature(),
            files=files,
        )

    def _boxes(self, row: DetectionOutput) -> Table:
        kind = {"xyxy": 1, "yxyx": 1, "xywh": 2}.get(row.box_format, 3)
        index = (1, 0, 3, 2) if row.box_format in {"yxyx", "cycxhw"} else (0, 1, 2, 3)
        return tables.boxes(index, kind, int(row.coordinates == "pixels"))

    def _labels(self, row: Output, name: str, kind: int = tables.AXIS_LABELS) -> list[Table]:
        """The file of an output's labels, if it has any."""
        labels: tuple[str, ...] = getattr(row, "labels", ())
        if isinstance(row, DetectionOutput) and row.background:
            labels = ("background", *labels) if labels else ()
        return [self._file(name, "labels", labels, kind)] if labels else []

    def _file(self, tensor: str, what: str, lines: tuple[str, ...], kind: int) -> Table:
        """A file of lines, called after what it holds, and after its tensor if there are several such."""
        base = f"{what}.txt"
        if base in self.files:
            base = f"{what}_{re.sub(r'[^A-Za-z0-9]+', '_', tensor).strip('_') or len(self.files)}.txt"
        while base in self.files:
            base = f"{what}_{len(self.files)}.txt"
        self.files[base] = "".join(f"{line}\n" for line in lines)
        return tables.associated(base, f"The {what} of {tensor}.", kind)


def _task(row: Output) -> str:
    return str(row.__struct_config__.tag)
