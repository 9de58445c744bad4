"""The command line, end to end, on a small random model."""

import io
import json
import os
import signal
import subprocess
import sys
import tomllib
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import qgc
from qgc import cli
from qgc.cli import main
from qgc.cli.explain import FIGURES, _figure_file
from qgc.lab.bench import speed as benchmark
from qgc.lab.train.recipes import RECIPES
from qgc.lab.train.run import config
from qgc.models import DeeperLSTM, zoo
from qgc.scenes import Scene
from qgc.scenes.situations import situation
from qgc.terminal import print_json

QUESTION = "What color are the towels?"
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A run's folder with an untrained model and a whole card."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    about = {
        "trained_on": "nothing",
        "distribution": "natural",
        "command": "none",
        "recipe": RECIPES["natural"].__dict__,
        "time": {"device": "cpu", "seconds": {"questions": 60}},
        "question_prior": {"colour": "white", "colour|towels": "white", "existence": "yes"},
    }
    zoo.save(DeeperLSTM(config()), folder / "model", about)
    return folder


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder of its own as the current one."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def scene_file(tmp_path):
    return situation("bathroom").save(tmp_path / "scene.png")


def explain(path, run_folder, *more):
    return main(["explain", str(path), *more, "--model", str(run_folder)])


def test_explain_a_scene(scene_file, run_folder, capsys):
    assert explain(scene_file, run_folder, QUESTION, "--answer", "white", "--n", "25", "--json") == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["answer"] == "white" and 0 < found["confidence"] < 1 and len(found["top"]) == 10
    assert Image.open(found["figure"]).size[0] > 200
    assert "only seen scenes" not in err
    values = [row["value"] for row in found["top"]]
    assert values == sorted(values, reverse=True)


def test_explain_prints_words(scene_file, run_folder, tmp_path, capsys):
    assert explain(scene_file, run_folder, QUESTION, "--out", str(tmp_path / "figure.png")) == 0
    out = capsys.readouterr().out
    assert QUESTION in out and "top 10" in out and (tmp_path / "figure.png").exists()


def test_explain_ranks_by_what_is_asked_for(scene_file, run_folder, capsys):
    assert explain(scene_file, run_folder, QUESTION, "--rank", "|g|") == 0
    assert "top 10 of |g|:" in capsys.readouterr().out
    assert explain(scene_file, run_folder, QUESTION, "--rank", "|g|", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    e = qgc.explain(qgc.load(run_folder), scene_file, QUESTION, rank="|g|")
    assert shown["rank"] == "|g|" and [row["index"] for row in shown["top"]] == e.order[:10].tolist()


def test_a_photo_is_told_apart(tmp_path, run_folder, capsys):
    photo = tmp_path / "photo.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)).save(photo)
    assert explain(photo, run_folder, QUESTION) == 0
    assert "only seen scenes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.png", QUESTION], "there is no file"),
        (["SCENE", ""], "question is empty"),
        (["SCENE", QUESTION, "--answer", "whte"], "did you mean 'white'"),
        (["SCENE", QUESTION, "--n", "1025"], "from 1 to 1024"),
        (["SCENE", QUESTION, "--reduce", "max"], "unknown reduction"),
        (["SCENE", QUESTION, "--out", "/nowhere/at/all.png"], "no folder /nowhere/at; make it first"),
        (["SCENE", QUESTION, "--out", "."], "is a folder; name a file in it"),
        (["SCENE", QUESTION, "--out", ""], "is a folder; name a file in it"),
        (["SCENE", QUESTION, "--out", "newdir/"], "newdir/ is a folder; name a file in it"),
        (["SCENE", QUESTION, "--out", "scene.png/"], "is a folder; name a file in it"),
        (["SCENE", QUESTION, "--out", "x.xyz"], "let --out end in .png, .pdf"),
        (["SCENE", QUESTION, "--out", "SCENE"], "is the image itself"),
        (["https://example.org/photo.jpg", QUESTION], "is an address; download it first"),
        (["file:///photo.jpg", QUESTION], "is an address; download it first"),
        (["SCENE", QUESTION, "--out", "https://example.org/x.png"], "is an address"),
        (["SCENE", QUESTION, "--device", "cuda:99"], "device"),
        (["SCENE"], "arguments are required: question"),
    ],
)
def test_bad_input_is_one_message(arguments, message, scene_file, run_folder, capsys):
    arguments = [str(scene_file) if a == "SCENE" else a for a in arguments]
    before = scene_file.read_bytes()
    assert explain(arguments[0], run_folder, *arguments[1:]) == 2
    err = capsys.readouterr().err
    assert message in err and "Traceback" not in err
    assert explain(arguments[0], run_folder, *arguments[1:], "--json") == 2
    out, err = capsys.readouterr()
    assert message in json.loads(out)["error"] and "usage" not in err
    assert [p.name for p in Path().iterdir()] == ["scene.png"] and scene_file.read_bytes() == before


@pytest.mark.parametrize("address", ["https://example.org/photo.jpg", "file:///photo.jpg", "data:image/png;base64,AA"])
@pytest.mark.parametrize("kind", [str, Path])
def test_an_address_is_not_a_file(address, kind):
    with pytest.raises(qgc.QGCError, match="is an address; download the file"):
        qgc.open_image(kind(address))


def test_an_unknown_word_is_named(scene_file, run_folder, capsys):
    assert explain(scene_file, run_folder, "What color are the towls?") == 0
    assert "'towls' (did you mean 'towels'?)" in capsys.readouterr().err


def test_evaluate_reports_the_baseline_and_records(run_folder, capsys):
    assert main(["evaluate", str(run_folder), "--scenes", "6", "--split", "validation", "--json", "--record"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["families"]["colour"].keys() == {"n", "accuracy", "question_only"}
    assert zoo.card(str(run_folder))["validation"]["scenes"] == 6
    assert "question only" in (run_folder / "model.md").read_text()


def test_bench_prints_every_figure(run_folder, capsys, monkeypatch):
    monkeypatch.setattr(benchmark, "CASES", 8)
    assert main(["bench", "--model", str(run_folder), "--scenes", "3", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows["closed form against autograd, 8 cases, float64"]["value"] <= 1e-12
    assert rows["closed form against autograd, 8 cases, float32"]["value"] <= 1e-5


@pytest.mark.parametrize("link", [os.symlink, os.link], ids=["symbolic", "hard"])
def test_out_may_not_be_another_name_of_the_image(link, scene_file, run_folder, capsys):
    link(scene_file, "other.png")
    assert explain("other.png", run_folder, QUESTION, "--out", str(scene_file)) == 2
    assert "is the image itself" in capsys.readouterr().err
    assert explain(scene_file, run_folder, QUESTION, "--out", "other.png") == 2
    assert Scene.open(scene_file) is not None


def test_without_out_the_figure_goes_into_the_current_folder(scene_file, run_folder, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    assert explain(scene_file, run_folder, QUESTION) == 0
    assert [p.name for p in Path().iterdir()] == ["scene-explained.png"]
    Path("scene-explained.png").write_text("mine")
    Path("scene-explained-2.png").symlink_to("nowhere.png")
    assert explain(scene_file, run_folder, QUESTION) == 0
    assert Path("scene-explained.png").read_text() == "mine" and not Path("nowhere.png").exists()
    assert Image.open("scene-explained-3.png").format == "PNG"
    assert explain(scene_file, run_folder, QUESTION, "--out", "scene-explained.png") == 0  # it is named
    assert Image.open("scene-explained.png").format == "PNG"
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["scene.png"]


@pytest.mark.parametrize("letter", ["x", "é", "🐈"])
def test_a_long_name_of_an_image_gives_one_that_can_be_written(letter, scene_file):
    name = letter * (251 // len(letter.encode())) + ".png"
    out = _figure_file(None, scene_file.rename(name))
    out.write_text("it can")
    assert _figure_file(None, Path(name)) != out


@pytest.mark.parametrize("ending", [*FIGURES, ".PNG", ""])
def test_every_ending_that_is_offered_can_be_written(ending, tmp_path):
    from qgc.show.style import Sheet

    out = _figure_file(tmp_path / f"figure{ending}", tmp_path / "picture.png")
    Sheet().savefig(out, format=out.suffix[1:] or "png")
    assert out.stat().st_size > 0


def test_a_figure_goes_through_a_device_and_leaves_a_link_as_it_is(scene_file, run_folder, capsys):
    assert explain(scene_file, run_folder, QUESTION, "--out", os.devnull, "--json") == 0
    assert json.loads(capsys.readouterr().out)["figure"] == os.devnull and not os.path.isfile(os.devnull)
    Path("link.png").symlink_to("real.png")
    assert explain(scene_file, run_folder, QUESTION, "--out", "link.png") == 0
    assert Path("link.png").is_symlink() and Image.open("real.png").format == "PNG"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "deeper-lstm/natural", "--scenes", "0"], "--scenes: it must be 1 or more, not 0"),
        (["evaluate", "deeper-lstm/natural", "--scenes", "-3"], "1 or more"),
        (["evaluate", "deeper-lstm/natural", "--scenes", "ten"], "'ten' is not a whole number"),
        (["bench", "--scenes", "0"], "1 or more"),
        (["bench", "--model", "nope"], "there is no model 'nope'"),
        (["bench", "speed", "--model", "nope"], "there is no model 'nope'"),
        (["bench", "speed", "--record"], "unrecognized arguments: --record"),
        (["bench", "full-size", "--scenes", "3"], "unrecognized arguments: --scenes"),
        (["bench", "slow"], "unrecognized arguments: slow"),
        (["explain", "no.png", QUESTION, "--n", "0"], "--n: it must be 1 or more, not 0"),
        (["explain", "no.png", QUESTION, "--n", "many"], "'many' is not a whole number"),
        (["explain", "no.png", QUESTION, "--n", "2.5"], "'2.5' is not a whole number"),
        (["explain", "no.png", QUESTION, "--reduce", "max"], "unknown reduction"),
        (["explain", "no.png", QUESTION, "--rank", "|h|", "--model", "nope"], "unknown ranking '|h|'"),
        (["explain", "no.png", QUESTION, "--rank", "|g − g′|", "--model", "nope"], "needs another question's"),
        (["measure", "--workers", "0"], "1 or more"),
        (["measure", "scenes", "--workers", "0"], "1 or more"),
        (["measure", "scenes", "--photographs", "3"], "unrecognized arguments: --photographs"),
        (["measure", "photos"], "arguments are required: RUN"),
        (["measure", "runs/nope"], "nope"),
        (["measure", "--device", "cuda:99"], "device"),
        (["train", "scenes", "natural", "--workers", "0"], "1 or more"),
        (["train", "scenes", "natural", "--seed", "-1"], "0 or more"),
        (["train", "scenes", "natural", "--device", "cuda:99"], "device"),
        (["train", "scenes", "pythia", "--device", "cuda:99"], "device"),
        (["train", "scenes", "bilinear", "--device", "cuda:99"], "device"),
        (["train", "scenes", "transformer", "--device", "cuda:99"], "device"),
        (["train", "daquar", "--data-dir", "https://example.org", "--weights", "w.pth"], "is an address"),
        (["fetch", "daquar", "--from", "https://example.org"], "is an address"),
        (["measure", "--check", "--out", "nowhere"], "a clone of the book: it has one"),
        (["nonsense"], "invalid choice"),
        (["explain", "--nonsense"], "arguments are required"),
    ],
)
def test_what_cannot_work_is_refused_before_any_work(arguments, message, capsys, monkeypatch):
    def works(*_, **__):
        raise AssertionError("rendered before all was checked")

    monkeypatch.setattr(benchmark, "rendering", works)
    monkeypatch.setattr("safetensors.torch.load_file", works)
    monkeypatch.setattr("qgc.lab.train.data.sample", works)
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert main([*arguments, "--json"]) == 2
    said = json.loads(capsys.readouterr().out)["error"]
    assert message in said or "unrecognized arguments: --json" in said  # not every command has it
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    ("line", "now"),
    [
        ("measure", "measure scenes"),
        ("measure --check", "measure scenes --check"),
        ("measure --check --out a --json", "measure scenes --check --out a --json"),
        ("measure --runs=a --workers 3", "measure scenes --runs=a --workers 3"),
        ("measure a b c --record", "measure photos a b c --record"),
        ("measure --record a", "measure photos --record a"),
        ("measure --photographs 5 --json a", "measure photos --photographs 5 --json a"),
        ("measure --out=a b", "measure photos --out=a b"),
        ("measure a --dataset vqa1 --data-dir d", "measure photos a --dataset vqa1 --data-dir d"),
        ("measure photos a", "measure photos a"),
        ("measure scenes", "measure scenes"),
        ("bench", "bench speed"),
        ("bench --model a --json", "bench speed --model a --json"),
        ("bench --peers --record --model a --scenes 100", "bench peers --record --model a --scenes 100"),
        ("bench --full-size --device cuda", "bench full-size --device cuda"),
        ("bench peers", "bench peers"),
        ("bench --help", "bench --help"),
        ("explain measure bench", "explain measure bench"),
    ],
)
def test_lines_without_a_subcommand_mean_what_they_meant(line, now):
    assert cli._with_kind(line.split()) == now.split()
    if "--help" not in line:
        assert cli._parser(now.split()[0]).parse_args(now.split()).run


def test_a_command_imports_no_other(monkeypatch):
    monkeypatch.setattr("qgc.cli.COMMANDS", {"explain": ("", "cli.explain"), "fetch": ("", "lab.nowhere")})
    cli._parser("explain")
    with pytest.raises(ModuleNotFoundError, match="qgc.lab.nowhere"):
        cli._parser("fetch")


def test_json_has_no_number_that_json_does_not_know(capsys):
    print_json({"∂": [float("nan"), (1.5, float("-inf"))], "n": {"x": None}})
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {
        "∂": [None, [1.5, None]],
        "n": {"x": None},
    }


def test_alone_it_prints_its_help_and_it_knows_its_version(capsys):
    for arguments, shown in (([], "explain an answer"), (["--version"], f"qgc {qgc.__version__}")):
        with pytest.raises(SystemExit) as left:
            main(arguments)
        assert left.value.code == 0 and shown in capsys.readouterr().out


def test_the_console_script_is_there():
    script = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]["qgc"]
    module, _, name = script.partition(":")
    assert callable(getattr(import_module(module), name))


def started(*arguments, code="", **more) -> subprocess.Popen:
    """``python -m qgc`` as a program, or a line of Python in which its main module is run."""
    command = ["-c", code] if code else ["-m", "qgc"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | more.pop("env", {})
    return subprocess.Popen(
        [sys.executable, *command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, **more
    )


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize(
    "arguments", [["--help"], ["fetch", "--list"], ["evaluate", "→"], ["explain", "SCENE", QUESTION, "--model", "RUN"]]
)
def test_an_output_that_is_not_utf_8_is_no_error(arguments, encoding, scene_file, run_folder, monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace"))
    with suppress(SystemExit):
        main([{"SCENE": str(scene_file), "RUN": str(run_folder)}.get(a, a) for a in arguments])
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    shown = sys.stdout.buffer.getvalue() + sys.stderr.buffer.getvalue()
    assert len(shown) > 20 and ("explain" not in arguments or b"figure: scene-explained.png" in shown)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_is_said():
    with open("/dev/full", "wb") as full:
        program = [sys.executable, "-m", "qgc", "fetch", "--list"]
        done = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 2 and done.stderr.decode().splitlines() == ["qgc: No space left on device"]


def test_a_reader_that_has_read_enough_is_no_error():
    program = started("fetch", "--list")
    program.stdout.close()
    assert program.stderr.read() == b"" and program.wait() == 1


@pytest.mark.parametrize("ends", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["qgc.measure", "qgc.cli", "work"])
def test_it_ends_at_once_and_without_a_traceback(ends, moment):
    """``moment``: the import during which it is told to end, or that it is at work."""
    hook = f"""
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test that runs in the background would ignore it
class Slow:
    def find_spec(self, name, *_):
        if name == {moment!r}:
            begin()
def begin(*_):
    print('begun', flush=True)
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        raise KeyboardInterrupt if {moment!r} == 'work' else ImportError('half of NumPy')
sys.meta_path.insert(0, Slow())
if {moment!r} == 'work':
    import qgc.lab.experiments.commands
    qgc.lab.experiments.commands._evaluate = begin
sys.argv = ['qgc', 'evaluate', 'deeper-lstm/natural']
import qgc.__main__
sys.exit(qgc.__main__.main())
"""
    program = started(code=hook)
    assert program.stdout.readline().strip() == b"begun"
    program.send_signal(ends)
    _, err = program.communicate(timeout=20)
    assert program.returncode == 130 and b"interrupted" in err and b"Traceback" not in err


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_short_output_that_is_lost_is_said_too(scene_file, run_folder, more):
    program = [sys.executable, "-m", "qgc", "explain", str(scene_file), "What color are the towels?", *more]
    program += ["--model", str(run_folder), "--out", os.devnull]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 2 and "qgc: No space left on device" in done.stderr.decode()


def test_a_closed_output_is_no_traceback(scene_file, run_folder, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["explain", str(scene_file), "What color are the towels?", "--model", str(run_folder)]) == 0


def test_a_message_does_not_repeat_a_long_name(run_folder, capsys):
    assert main(["explain", "x" * 50_000 + ".png", "What color?", "--model", str(run_folder)]) == 2
    assert len(capsys.readouterr().err) < 3000
