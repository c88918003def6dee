"""The image filter as a user runs it: each filter's picture, the list, and a line for all that can be wrong."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")
Image = pytest.importorskip("PIL.Image")

FOLDER = Path(os.environ.get("QTFORGE_BUILD_ROOT", "build/release")).absolute() / "samples" / "cpp" / "image_filter"
PROGRAM = FOLDER / "image_filter"
PHOTOGRAPH = FOLDER / "astronaut.jpg"
LIMIT = 60  # seconds; each run ends long before

FILTERS = ["blur", "numpy_blur", "paint", "pencil"]

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="the image filter has not been built")


def run(folder: Path, *arguments: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, *map(str, arguments)], check=False, cwd=folder, capture_output=True, text=True, timeout=LIMIT
    )


def filtered(folder: Path, *arguments: Any) -> Any:
    """The pixels of the picture that the program makes, as float."""
    output = folder / "made.png"
    done = run(folder, *arguments, output)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    with Image.open(output) as picture:
        assert picture.format == "PNG"
        assert picture.mode == "RGB"
        return np.asarray(picture).astype(float)


def write_plugin(folder: Path, code: str, **manifest: Any) -> Path:
    """A Python plugin called `mine`, whose class is called Plugin."""
    (folder / "mine").mkdir(parents=True)
    (folder / "mine" / "mine.py").write_text(
        "from qtforge import BinaryMessage\nfrom qtforge.core import IPlugin\n\n\nclass Plugin(IPlugin):\n"
        + textwrap.indent(textwrap.dedent(code), "    ")
    )
    written = {"name": "mine", "version": "1.0.0", "language": "python", "entry_point": "mine.py", **manifest}
    (folder / "mine" / "plugin.json").write_text(json.dumps(written))
    return folder


@pytest.fixture(scope="module")
def photograph() -> Any:
    with Image.open(PHOTOGRAPH) as picture:
        return np.asarray(picture).astype(float)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each filter makes of the photograph, at the default amount."""
    folder = tmp_path_factory.mktemp("image_filter")
    return {name: filtered(folder, "--filter", name, PHOTOGRAPH) for name in FILTERS}


def roughness(pixels: Any) -> float:
    """How much neighbours differ: the mean difference of pixels beside each other."""
    return float(np.abs(np.diff(pixels, axis=0)).mean() + np.abs(np.diff(pixels, axis=1)).mean())


def test_photograph_is_as_modest_as_promised(photograph: Any) -> None:
    assert photograph.shape == (512, 512, 3)
    assert PHOTOGRAPH.stat().st_size <= 120_000


@pytest.mark.parametrize("name", FILTERS)
def test_every_filter_makes_another_picture_of_the_same_size(name: str, pictures: Any, photograph: Any) -> None:
    assert pictures[name].shape == photograph.shape
    assert np.abs(pictures[name] - photograph).mean() > 2


@pytest.mark.parametrize("name", ["blur", "numpy_blur"])
def test_blur_is_smooth_and_keeps_the_brightness(name: str, pictures: Any, photograph: Any) -> None:
    assert roughness(pictures[name]) < roughness(photograph) / 3
    assert pictures[name].mean() == pytest.approx(photograph.mean(), rel=0.02)


@pytest.mark.parametrize("amount", [0.1, 0.5, 1])
def test_blur_in_both_languages_is_the_same(amount: float, tmp_path: Path) -> None:
    made = [filtered(tmp_path, "--filter", name, "--amount", amount, PHOTOGRAPH) for name in ("blur", "numpy_blur")]
    assert np.abs(made[0] - made[1]).max() <= 1


def test_blur_of_a_step_is_a_ramp_as_wide_as_the_amount_says(tmp_path: Path) -> None:
    step = np.zeros((40, 80, 3), np.uint8)
    step[:, 40:] = 200
    Image.fromarray(step).save(tmp_path / "step.png")
    for name in ("blur", "numpy_blur"):
        row = filtered(tmp_path, "--filter", name, "--amount", 1, tmp_path / "step.png")[20, :, 0]
        # Three means over 3 pixels, of which the middle one has 1, 3, 6, 7, 6, 3, 1 of 27 parts.
        assert row[37:43] == pytest.approx(np.rint(200 / 27 * np.array([1, 4, 10, 17, 23, 26])), abs=1)
        assert (row[:37] == 0).all()
        assert (row[43:] == 200).all()


def test_paint_flattens_areas_and_keeps_edges(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 40, (160, 160, 1))
    picture = np.repeat(noise, 3, axis=2)
    picture[:, 80:] += 200
    Image.fromarray(picture.astype(np.uint8)).save(tmp_path / "step.png")
    made = filtered(tmp_path, "--filter", "paint", "--amount", 1, tmp_path / "step.png")
    assert made[:, :80].std() < picture[:, :80].std() / 2
    assert made[:, :80].max() < 40  # nothing of the bright half has come over
    assert made[:, 80:].min() >= 200


def test_pencil_leaves_the_paper_white_and_has_no_colour(tmp_path: Path) -> None:
    made = filtered(tmp_path, "--filter", "pencil", "--amount", 1, PHOTOGRAPH)
    assert (made[..., :1] == made).all()
    assert np.median(made) > 230
    assert made.min() < 60


@pytest.mark.parametrize("name", FILTERS)
def test_amount_of_zero_gives_the_picture_back(name: str, tmp_path: Path, photograph: Any) -> None:
    assert (filtered(tmp_path, "--filter", name, "--amount", 0, PHOTOGRAPH) == photograph).all()


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 1)])
def test_small_and_narrow_pictures_go_through_every_filter(name: str, size: tuple[int, int], tmp_path: Path) -> None:
    Image.new("RGB", size, (10, 200, 30)).save(tmp_path / "small.png")
    made = filtered(tmp_path, "--filter", name, "--amount", 0.7, tmp_path / "small.png")
    assert made.shape == (size[1], size[0], 3)
    if name != "pencil":
        assert (made == (10, 200, 30)).all()


def test_without_arguments_the_photograph_is_blurred_and_the_time_shown(tmp_path: Path, pictures: Any) -> None:
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r'blur \(C\+\+\): 512 x 512 pixels in \d+\.\d ms, now in "blur.png"\n', done.stdout)
    assert (np.asarray(Image.open(tmp_path / "blur.png")) == pictures["blur"]).all()


def test_list_shows_every_filter_with_language_and_title(tmp_path: Path) -> None:
    done = run(tmp_path, "--list")
    assert done.returncode == 0, done.stderr
    rows = [tuple(re.split(r"  +", line)) for line in sorted(done.stdout.splitlines())]
    assert rows == [
        ("blur", "C++", "Blur"),
        ("numpy_blur", "Python", "Blur, in numpy"),
        ("paint", "C++", "Oil painting"),
        ("pencil", "Python", "Pencil drawing"),
    ]
    assert list(tmp_path.iterdir()) == []


def test_help_names_every_option(tmp_path: Path) -> None:
    done = run(tmp_path, "--help")
    assert done.returncode == 0
    for option in ("--filter", "--amount", "--list", "--plugins", "INPUT", "OUTPUT.png"):
        assert option in done.stdout


def test_grey_picture_with_a_turned_camera_is_read_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees
    Image.new("L", (30, 20), 77).save(tmp_path / "turned.jpg", exif=exif)
    made = filtered(tmp_path, "--amount", 0, tmp_path / "turned.jpg")
    assert made.shape == (30, 20, 3)
    assert (made == 77).all()


def test_folder_with_a_filter_of_ones_own_is_loaded_too(tmp_path: Path, photograph: Any) -> None:
    plugins = write_plugin(
        tmp_path / "plugins",
        """
        def apply(self, image, amount):
            return BinaryMessage(bytes(255 - byte for byte in image.data), "", image.dtype, image.shape)
        def title(self):
            return "Negative"
        """,
        interfaces=["image.filter/1"],
    )
    assert "mine            Python  Negative\n" in run(tmp_path, "--plugins", plugins, "--list").stdout
    made = filtered(tmp_path, "--plugins", plugins, "--filter", "mine", PHOTOGRAPH)
    assert (made == 255 - photograph).all()


# ---- What can be wrong ------------------------------------------------------------------------------------------------


def complaint(folder: Path, code: int, *arguments: Any) -> str:
    """The one line that says what is wrong."""
    done = run(folder, *arguments)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("image_filter: ")
    return lines[0]


@pytest.mark.parametrize("amount", ["-0.1", "1.01", "nan", "inf", "much", "0.5x", "1e999", "0,5"])
def test_amount_out_of_range_is_bad_use(amount: str, tmp_path: Path) -> None:
    said = complaint(tmp_path, 2, "--amount", amount)
    assert f'--amount needs a number from 0 to 1, not "{amount}"' in said


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--filter"], "--filter needs a value"),
        (["--filter", ""], "--filter needs a value"),
        (["--amount"], "--amount needs a value"),
        (["--blur"], 'unknown argument "--blur"'),
        (["a.jpg", "b.png", "c.png"], 'unknown argument "c.png"'),
        ([""], 'unknown argument ""'),
        (["a.jpg", "b.jpg"], 'must end in .png, not "b.jpg"'),
        (["--plugins", "nowhere"], 'there is no folder "nowhere"'),
    ],
)
def test_wrong_arguments_are_named(arguments: list[str], text: str, tmp_path: Path) -> None:
    said = complaint(tmp_path, 2, *arguments)
    assert text in said
    assert said.endswith("; --help shows what there is")


@pytest.mark.parametrize(
    ("name", "text"), [("blurr", "blur"), ("image_files", "image.filter/1"), ("../blur", "../blur")]
)
def test_name_of_no_filter_is_bad_use(name: str, text: str, tmp_path: Path) -> None:
    said = complaint(tmp_path, 2, "--filter", name)
    assert name in said
    assert text in said
    assert said.endswith("(--list shows the filters there are)")


def test_input_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture at all")
    (tmp_path / "empty.png").touch()
    (tmp_path / "cut.jpg").write_bytes(PHOTOGRAPH.read_bytes()[:20_000])
    for name in ("missing.jpg", "text.jpg", "empty.png", "cut.jpg", tmp_path):
        said = complaint(tmp_path, 1, name)
        assert said.startswith(f'image_filter: cannot read "{name}": ')
        assert said.endswith("; give a picture, such as a JPEG or PNG file")


def test_output_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    for name in ("missing/out.png", "folder.png", "/dev/full/out.png"):
        said = complaint(tmp_path, 1, PHOTOGRAPH, name)
        assert said.startswith(f'image_filter: cannot write "{name}": ')
        assert said.endswith("; give another name for the output")


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("b'123'", 'dtype "|u1" and shape (height, width, channels) expected'),
        ("BinaryMessage(b'123', dtype='|u1', shape=(1, 1, 4))", "dtype '|u1' and shape (1, 1, 4) take 4"),
        ("BinaryMessage(b'123', dtype='|u1', shape=(1, 2**62, 8))", "take more than memory can have"),
        ("BinaryMessage(b'123', dtype='|u1', shape=(1, 1, 1))", "dtype '|u1' and shape (1, 1, 1) take 1"),
        ("BinaryMessage(b'12345', dtype='|u1', shape=(1, 1, 5))", "(1, 1, 5)"),
        ("'a picture'", "str came"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_filter_that_fails_or_makes_no_picture_is_named(result: str, text: str, tmp_path: Path) -> None:
    code = f"def apply(self, image, amount): return {result}\ndef title(self): return ''\n"
    plugins = write_plugin(tmp_path / "plugins", code)
    said = complaint(tmp_path, 1, "--plugins", plugins, "--filter", "mine")
    assert text in said


def test_plugin_that_is_no_filter_though_it_says_so_is_named_and_the_others_work(tmp_path: Path) -> None:
    plugins = write_plugin(
        tmp_path / "plugins", "def apply(self, image): return image\n", interfaces=["image.filter/1"]
    )
    done = run(tmp_path, "--plugins", plugins)
    assert done.returncode == 0
    assert "'mine'" in done.stderr
    assert "title()" in done.stderr
    assert (tmp_path / "blur.png").exists()


def test_without_the_plugin_that_reads_pictures_the_reason_is_given(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "copy", ignore=shutil.ignore_patterns("image_files", "*.p"))
    done = subprocess.run(
        [tmp_path / "copy" / "image_filter"], check=False, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT
    )
    assert done.returncode == 1
    assert done.stderr == "image_filter: no plugin reads pictures: image_files is missing, or what it needs, Pillow\n"
