import re
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit import config
from edgekit.errors import InputError
from edgekit.nouns.description import ClassificationOutput, DetectionOutput, ImageInput
from edgekit.nouns.profile import DeviceConfig

TARGET = """\
name = "board"
title = "A board"
summary = "For tests."
documentation = "https://example.com/board"

[[variants]]
file = "model.tflite"
backend = "tflite"
precision = "int8"
use = "always"
"""


def project(folder: Path, text: str) -> config.Project:
    (folder / "edgekit.toml").write_text(text)
    return config.project(folder)


def complaint(folder: Path, text: str) -> InputError:
    with pytest.raises(InputError) as caught:
        project(folder, text)
    return caught.value


def test_every_key_is_read(tmp_path: Path) -> None:
    made = project(
        tmp_path,
        """
        model = "model.keras"
        targets = ["android", "boards/mine.toml"]
        precision = "int8"
        io = "uint8"
        calibration = "data/train.npz"
        eval = "my_data:test_set"
        metric = "top1"
        max_drop = 0.01
        custom_objects = "my_model:objects"
        keep_layout = true
        allow_unsafe = true
        calibration_samples = 100
        seed = 7
        output_folder = "../out"

        [shapes]
        tokens = [1, 128]

        [[input]]
        name = "image"
        kind = "image"
        size = [224, 224]
        channels = "BGR"
        mean = [1, 2.5, 3]
        std = [58]
        layout = "NCHW"

        [[output]]
        task = "classification"
        labels = ["cat", "dog"]
        """,
    )
    assert made == config.Project(
        model=str(tmp_path / "model.keras"),
        targets=("android", str(tmp_path / "boards/mine.toml")),
        precision="int8",
        io="uint8",
        calibration=str(tmp_path / "data/train.npz"),
        eval="my_data:test_set",
        metric="top1",
        max_drop=0.01,
        shapes={"tokens": (1, 128)},
        custom_objects="my_model:objects",
        keep_layout=True,
        allow_unsafe=True,
        input=(
            ImageInput(name="image", size=(224, 224), channels="BGR", mean=(1.0, 2.5, 3.0), std=(58.0,), layout="NCHW"),
        ),
        output=(ClassificationOutput(labels=("cat", "dog")),),
        calibration_samples=100,
        seed=7,
        output_folder=str(tmp_path / "../out"),
    )


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    assert project(tmp_path, "") == config.Project()


def test_the_file_can_be_named_instead_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text('model = "m.onnx"')
    assert config.project(tmp_path / "other.toml").model == str(tmp_path / "m.onnx")


def test_absolute_paths_stay(tmp_path: Path) -> None:
    assert project(tmp_path, 'model = "/models/m.onnx"').model == "/models/m.onnx"


@pytest.mark.parametrize(
    ("text", "problem", "key", "fix"),
    [
        ('modle = "m.onnx"', "unknown key `modle`", "modle", "did you mean model?"),
        ("xyzzy = 1", "unknown key `xyzzy`", "xyzzy", "use one of: model, targets,"),
        ('target = "android"', "unknown key `target`", "target", "did you mean targets?"),
        (
            '[quantization]\nint16_operators = ["a"]',
            "`quantization.int16_operators`",
            "quantization.int16_operators",
            "--precision int16x8",
        ),
        ("[quantization]\nblock_size = 32", "`quantization.block_size`", "quantization.block_size", "leave it out"),
        ("[[input]]\nkind = 'image'\nsise = [1, 1]", "`input[0].sise`", "input[0].sise", "did you mean size?"),
        ("[[input]]\nkind = 'audio'\nmean = [1]", "`input[0].mean`", "input[0].mean", "did you mean name?"),
        ("[[input]]\nkind = 'imgae'", '`input[0].kind` is "imgae"', "input[0].kind", "did you mean image?"),
        ("[[input]]\nkind = ['image']", "`input[0].kind` is a list", "input[0].kind", "one of: image, audio"),
        ("[[input]]\nsize = [1, 1]", "lacks the key `input[0].kind`", "input[0]", "add kind = with one of: image"),
        ("[input]\nkind = 'image'", "`input` is a table", "input", "[[input]]"),
        ("[[inputs]]\nkind = 'image'", "`inputs` is a list of tables", "inputs", "did you mean [[input]]?"),
        ("input = [3]", "`input[0]` is 3", "input[0]", "expected a table"),
        ("output = 'dist'", '`output` is "dist"', "output", "output_folder"),
        ("[[output]]\ntask = 'classify'", "`output[0].task`", "output[0].task", "did you mean classification?"),
        ("seed = 'x'", '`seed` is "x"', "seed", "expected a whole number"),
        ("seed = -1", "`seed` is -1", "seed", "expected a whole number >= 0"),
        ("seed = true", "`seed` is true", "seed", "expected a whole number"),
        ("model = 3", "`model` is 3", "model", "expected a text in quotes"),
        ("keep_layout = 'yes'", '`keep_layout` is "yes"', "keep_layout", "expected true or false"),
        (
            "[quantization]\nfloat_operators = [1.5]",
            "`quantization.float_operators[0]` is 1.5",
            "quantization.float_operators[0]",
            "expected a whole number or a text in quotes",
        ),
        ("[constants]\nx = 'a'", '`constants.x` is "a"', "constants.x", "expected true or false or a whole number"),
        ("targets = 'android'", '`targets` is "android"', "targets", "expected a list in brackets"),
        ("targets = ['a', 1]", "`targets[1]` is 1", "targets[1]", "expected a text in quotes"),
        ("precision = 'in8'", '`precision` is "in8"', "precision", "did you mean int8?"),
        ("precision = 8", "`precision` is 8", "precision", "expected one of: float32, float16"),
        ("max_drop = nan", "`max_drop` is nan", "max_drop", "expected a finite number"),
        ("max_drop = -0.5", "`max_drop` is -0.5", "max_drop", "expected a number >= 0"),
        ("min_agreement = 98", "`min_agreement` is 98", "min_agreement", "expected a number <= 1.0"),
        ("min_sqnr = -3", "`min_sqnr` is -3", "min_sqnr", "expected a number >= 0"),
        ("effort = 'nromal'", '`effort` is "nromal"', "effort", "did you mean normal?"),
        ("calibration_samples = 0", "`calibration_samples` is 0", "calibration_samples", ">= 1"),
        ("shapes = [1, 2]", "`shapes` is a list", "shapes", "expected a table"),
        ("[shapes]\nx = [1, 0]", "`shapes.x[1]` is 0", "shapes.x[1]", ">= 1"),
        ("[shapes]\n'a:0' = 3", '`shapes."a:0"` is 3', 'shapes."a:0"', "expected a list in brackets"),
        ("input = 3", "`input` is 3", "input", "[[input]]"),
        ("[[input]]\nkind = 'image'\nstd = [0]", "`input[0].std` is 0", "input[0].std", "not 0"),
        ("[[input]]\nkind = 'image'\nrange = [-1e308, 1e308]", "too small a part", "input[0].range", "less far apart"),
        ("[[input]]\nkind = 'image'\nrange = [1, 1]", "`input[0].range` is [1, 1]", "input[0].range", "[0, 1]"),
        ("[[input]]\nkind = 'image'\nsize = [0, 3]", "`input[0].size[0]` is 0", "input[0].size[0]", ">= 1"),
        ("[[input]]\nkind = 'image'\nsize = [1]", "`input[0].size`", "input[0].size", "a list of 2 values"),
        ("[[input]]\nkind = 'image'\nmean = [1, 2]", "is 2 numbers long", "input[0].mean", "1 number or 3"),
        (
            "[[input]]\nkind = 'image'\nshorter_side = 9",
            '`input[0].shorter_side` is said of fit = "stretch"',
            "input[0].shorter_side",
            'fit = "crop" only',
        ),
        (
            "[[input]]\nkind = 'image'\npad_value = 9",
            '`input[0].pad_value` is said of fit = "stretch"',
            "input[0].pad_value",
            'fit = "letterbox" only',
        ),
        (
            '[[output]]\ntask = "classification"\nlabels = ["a", "b\\nc"]',
            "`output[0].labels[1]` is",
            "output[0].labels[1]",
            "one line",
        ),
        ("[metadata]\nautor = 'Ada'", "unknown key `metadata.autor`", "metadata.autor", "did you mean author?"),
        ("[[output]]\ntask = 'regression'\nstd = 0", "`output[0].std` is 0", "output[0].std", "not 0"),
        ("[[output]]\ntask = 'detection'\ndecoding = 'ssd'", "needs `anchors`", "output[0]", "anchors.csv"),
        (
            "[[output]]\ntask = 'detection'\nstrides = [8]",
            '`output[0].strides` is said of decoding = "none"',
            "output[0].strides",
            "yolox or ltrb only",
        ),
        (
            "[[output]]\ntask = 'detection'\ndecoding = 'yolov5'\nstrides = [8, 16]\nanchor_sizes = [[[1, 2]]]",
            "is 1 lists long",
            "output[0].anchor_sizes",
            "one for each",
        ),
        ("[[output]]\ntask = 'detection'\nclasses = 'c'", "needs `output[0].scores`", "output[0]", "scores ="),
        (
            "[[output]]\ntask = 'detection'\nscores = 's'\nobjectness = true",
            "`output[0].objectness` is true",
            "output[0].objectness",
            "without `scores`",
        ),
        (
            "[[output]]\ntask = 'detection'\ndecoding = 'ssd'\nanchors = [[0, 0, 1, 1]]\nvariances = [0, 1]",
            "`output[0].variances` is 0",
            "output[0].variances",
            "not 0",
        ),
        (
            "[[input]]\nkind = 'image'\n[[input]]\nkind = 'image'",
            "several [[input]] without a name",
            "[[input]]",
            "name =",
        ),
        (
            "[[input]]\nkind = 'tensor'\nname = 'a'\n[[input]]\nkind = 'image'\nname = 'a'",
            'describes the input "a" twice',
            "[[input]]",
            "leave one",
        ),
        ("seed = 1979-05-27", "`seed` is a date", "seed", "expected a whole number"),
        (f"seed = 0x{'f' * 5000}", "`seed` is a number of 20000 bits", "seed", "expected a whole number"),
        ("[devices.pi]\nkind='ssh'\nport=70000", "`devices.pi.port` is 70000", "devices.pi.port", "<= 65535"),
        ("[devices.pi]\nkind='ssh'\nport=0", "`devices.pi.port` is 0", "devices.pi.port", ">= 1"),
        (
            '[devices.pi]\nkind="ssh"\nhost="a\\u0000"',
            '`devices.pi.host` is "a\\u0000"',
            "devices.pi.host",
            "without a NUL",
        ),
        ("[devices.mcu]\nkind='serial'\nbaud=-1", "`devices.mcu.baud` is -1", "devices.mcu.baud", ">= 1"),
        ("[devices.mcu]\nkind='x'\nsupply_mv=-5", "`devices.mcu.supply_mv` is -5", "devices.mcu.supply_mv", ">= 1"),
    ],
)
def test_a_complaint_names_key_and_remedy(tmp_path: Path, text: str, problem: str, key: str, fix: str) -> None:
    error = complaint(tmp_path, text)
    assert error.problem.startswith("edgekit.toml")
    assert problem in error.problem
    assert error.place == f"{tmp_path / 'edgekit.toml'}: {key}"
    assert fix in error.fix


@pytest.mark.parametrize(
    ("name", "key"),
    [("p i", 'devices."p i"'), ("", 'devices.""'), ("local", "devices.local"), ("a/b", 'devices."a/b"')],
)
def test_a_table_of_a_name_that_no_device_can_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, key: str
) -> None:
    table = f'[devices."{name}"]\nkind = "ssh"\n'
    error = complaint(tmp_path, table)
    assert error.place == f"{tmp_path / 'edgekit.toml'}: {key}"
    assert "letters, digits" in error.fix
    # The user's own devices.toml is read with the same eyes.
    (tmp_path / "devices.toml").write_text(table)
    monkeypatch.setenv("EDGEKIT_CONFIG", str(tmp_path))
    with pytest.raises(InputError, match="is no name for a device") as caught:
        config.devices()
    assert caught.value.place == f"{tmp_path / 'devices.toml'}: {key}"


@pytest.mark.parametrize(
    ("table", "key", "takes"),
    [
        ("kind = 'ssh'\nhost = 'pi'\nbaud = 9600", "baud", "delegate_library, host, key, known_hosts, port"),
        ("kind = 'emulated'\nsupply_mv = 5", "supply_mv", "cpu"),
        ("kind = 'local'\nhost = 'pi'", "host", "delegate_library, python, supply_mv"),
    ],
)
def test_a_key_that_a_kind_of_device_does_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str, key: str, takes: str
) -> None:
    error = complaint(tmp_path, f"[devices.pi]\n{table}\n")
    assert error.problem.endswith(f" has no {key.replace('_', ' ')}.")
    assert error.place == f"{tmp_path / 'edgekit.toml'}: devices.pi.{key}"
    assert error.fix.startswith(f"leave it out; this kind takes {takes}")
    (tmp_path / "devices.toml").write_text(f"[devices.pi]\n{table}\n")
    monkeypatch.setenv("EDGEKIT_CONFIG", str(tmp_path))
    with pytest.raises(InputError, match="has no") as caught:
        config.devices()
    assert caught.value.place == f"{tmp_path / 'devices.toml'}: devices.pi.{key}"


def test_a_home_that_is_nobodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = complaint(tmp_path, '[devices.pi]\nkind = "ssh"\nkey = "~nobody-of-this-name/id"\n')
    assert error.place == f"{tmp_path / 'edgekit.toml'}: devices.pi.key"
    monkeypatch.setenv("EDGEKIT_CONFIG", str(tmp_path))
    with pytest.raises(InputError, match="no home folder for ~nobody-of-this-name") as caught:
        config.write_device("pi", DeviceConfig(kind="ssh", known_hosts="~nobody-of-this-name/hosts"))
    assert caught.value.place == "--known-hosts"
    assert not (tmp_path / "devices.toml").exists()


def test_a_syntax_error_names_its_line(tmp_path: Path) -> None:
    assert "(at line 2, column 7)" in complaint(tmp_path, "seed = 1\nmodel model\n").problem


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "edgekit.toml").write_bytes(b"model = '\xff'")
    with pytest.raises(InputError, match="no text in UTF-8"):
        config.project(tmp_path)


DEEP = ".".join(["a", "'b'", '"c"'] * 10_000)
"""A key that takes gigabytes to parse."""


@pytest.mark.parametrize(
    "text",
    [
        *("x = " + "[" * 100_000, "x = " + "9" * 5000, "#" * (1 << 20) + "\n"),
        *(
            f"{DEEP} = 1",
            f"seed = 1\n[ {DEEP} ]",
            f"[[{DEEP}]]",
            f"x = [1, {{{DEEP} = 1}}]",
            f"x = {{y = 1, {DEEP} = 1}}",
        ),
    ],
)
def test_a_file_beyond_the_parser(tmp_path: Path, text: str) -> None:
    assert "cannot be read" in complaint(tmp_path, text).problem


def test_texts_with_many_dots_are_no_keys(tmp_path: Path) -> None:
    (tmp_path / "edgekit.toml").write_text('# a.b.c.d.e.f.g.h.i.j\nmodel = "a.b.c.d.e.f.g.h.i.onnx"\n')
    assert config.project(tmp_path).model == str(tmp_path / "a.b.c.d.e.f.g.h.i.onnx")


def test_a_folder_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"There is no edgekit\.toml") as caught:
        config.project(tmp_path)
    assert "targets = [" in caught.value.fix


def test_every_key_of_a_project_is_documented() -> None:
    documented = set(re.findall(r"^        (\w+): ", config.Project.__doc__ or "", re.MULTILINE))
    assert documented == set(config.Project.__struct_fields__)


def complete(error: InputError, file: Path) -> None:
    assert error.problem
    assert error.place.startswith(str(file))
    assert error.fix


words = st.sampled_from(
    [
        *config.Project.__struct_fields__,
        *ImageInput.__struct_fields__,
        *DetectionOutput.__struct_fields__,
        "kind",
        "modle",
    ]
)
values = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(),
        st.floats(),
        st.sampled_from(["int8", "RGB", "android", "m.onnx", "a:b", "top1", ""]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


def toml(value: object) -> str:
    match value:
        case dict():
            return "{" + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(toml, value)) + "]"
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"'
        case _:
            return str(value)


@settings(max_examples=300)
@given(
    text=st.one_of(
        st.text(),
        st.dictionaries(words, values, max_size=4).map(
            lambda table: "\n".join(f"{key} = {toml(value)}" for key, value in table.items())
        ),
    )
)
def test_any_text_is_a_project_or_a_complaint(tmp_path: Path, text: str) -> None:
    file = tmp_path / "edgekit.toml"
    file.write_bytes(text.encode("utf8", "surrogatepass"))
    try:
        made = config.project(file)
    except InputError as error:
        complete(error, file)
    else:
        assert msgspec.json.decode(msgspec.json.encode(made), type=config.Project) == made


@settings(max_examples=100)
@given(text=st.text() | st.text().map(lambda text: TARGET + text))
def test_any_text_is_a_target_or_a_complaint(tmp_path: Path, text: str) -> None:
    file = tmp_path / "board.toml"
    file.write_bytes(text.encode("utf8", "surrogatepass"))
    try:
        assert config.target(str(file)).name == "board"
    except InputError as error:
        complete(error, file)


def test_a_target_is_looked_up_in_the_working_folder_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets" / "board.toml").write_text(TARGET)
    (tmp_path / "targets" / "android.toml").write_text(TARGET.replace('"board"', '"android"'))
    monkeypatch.chdir(tmp_path)
    assert config.target("board").title == "A board"
    assert config.target("android").title == "A board"
    assert "board" in config.target_names()
    assert "edgetpu" in config.target_names()


def test_the_packaged_targets_are_found_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert config.target("android").name == "android"


@pytest.mark.parametrize("name", ["andriod", "Android", "../targets/android", "android/", "", "android\n"])
def test_an_unknown_target_is_answered_with_the_nearest(name: str) -> None:
    with pytest.raises(InputError, match="There is no target") as caught:
        config.target(name)
    assert "android" in caught.value.fix


def test_a_target_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no target"):
        config.target(str(tmp_path / "none.toml"))


@pytest.mark.parametrize(
    ("old", "new", "problem", "fix"),
    [
        ('name = "board"', 'name = "bord"', '`name` is "bord", but the file is named board.toml', 'name = "board"'),
        ('title = "A board"\n', "", "lacks the key `title`", "add title = … at its top"),
        ('backend = "tflite"\n', "", "lacks the key `variants[0].backend`", "to [variants[0]]"),
        ("precision", "presicion", "unknown key `variants[0].presicion`", "did you mean precision?"),
        ('"int8"', '"int-8"', '`variants[0].precision` is "int-8"', "did you mean int8?"),
        ('"model.tflite"', '"../model.tflite"', "`variants[0].file`", "plain file name"),
        (TARGET[TARGET.index("[[") :], "variants = []", "`variants` is empty", "add a [[variants]] table"),
        (TARGET[TARGET.index("[[") :], "variants = [1]", "`variants[0]` is 1", "a table: [variants[0]]"),
    ],
)
def test_a_wrong_target_file(tmp_path: Path, old: str, new: str, problem: str, fix: str) -> None:
    file = tmp_path / "board.toml"
    file.write_text(TARGET.replace(old, new))
    with pytest.raises(InputError) as caught:
        config.target(str(file))
    assert problem in caught.value.problem
    assert fix in caught.value.fix


def test_two_variants_cannot_share_a_file(tmp_path: Path) -> None:
    file = tmp_path / "board.toml"
    file.write_text(TARGET + TARGET[TARGET.index("[[") :])
    with pytest.raises(InputError, match="a second time"):
        config.target(str(file))


def test_a_setting_is_a_plain_value(tmp_path: Path) -> None:
    file = tmp_path / "board.toml"
    file.write_text(TARGET + "settings = {deep = true, k = 2, x = {y = 1}}")
    with pytest.raises(InputError, match=re.escape("`variants[0].settings.x` is a table")):
        config.target(str(file))


def test_hints_of_a_target_resolve() -> None:
    assert set(get_type_hints(config.Project)) == set(config.Project.__struct_fields__)


def test_devices_that_are_added_at_once_are_all_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_CONFIG", str(tmp_path / "config"))
    code = "import sys; from edgekit import config; from edgekit.nouns.profile import DeviceConfig\n"
    code += "for i in range(10): config.write_device(f'{sys.argv[1]}{i}', DeviceConfig(kind='ssh', host='h'))"
    adding = [subprocess.Popen([sys.executable, "-c", code, name]) for name in "abc"]
    assert [process.wait(60) for process in adding] == [0, 0, 0]
    assert len(config.devices()) == 30
    assert [path.name for path in (tmp_path / "config").iterdir()] == ["devices.toml"]


@pytest.mark.parametrize("value", ["inf", "nan", "[1.0, inf]", "[nan]"])
def test_a_constant_that_is_no_finite_number_is_refused(value: str, tmp_path: Path) -> None:
    (tmp_path / "edgekit.toml").write_text(f'model = "m.onnx"\n[constants]\nx = {value}\n')
    with pytest.raises(InputError, match=r"x. is (inf|nan)|x cannot be bound to"):
        _ = config.project(tmp_path).source_options
