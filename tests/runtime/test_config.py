"""The configuration of a run: defaults, then run.toml, then flags; every wrong value is named."""

import math
from dataclasses import dataclass
from pathlib import Path

import pytest

from asyncred.commands.parser import Parser, add_sections
from asyncred.errors import InputError
from asyncred.runtime.config import RunConfig, StoppingConfig, checks, load_config
from asyncred.runtime.config.declare import parameter, parameters

FILES = {"problem": "p.h5", "output": "r.h5"}


def toml(folder, text):
    path = folder / "run.toml"
    path.write_text(text)
    return path


def test_defaults():
    config = load_config(FILES, None)
    assert config == RunConfig.from_values(problem="p.h5", output="r.h5")
    assert (config.update.method, config.denoiser.tau, config.update.step) == (
        "async",
        None,
        "adaptive",
    )


def test_flags_over_toml_over_defaults(tmp_path):
    path = toml(tmp_path, 'problem = "a.h5"\noutput = "r.h5"\ntau = 0.5\nmax-time = 60\nseed = 3')
    config = load_config({"tau": "0.3", "problem": "b.h5"}, path)
    assert (config.denoiser.tau, config.data.problem, config.files.output) == (
        0.3,
        Path("b.h5"),
        Path("r.h5"),
    )
    assert (config.stopping.max_time, config.update.seed, config.update.order) == (60, 3, "epoch")


def test_flags_and_toml_take_the_same(tmp_path):
    """Strings of the command line and values of TOML come to the same configuration."""
    lines = """
        problem = "p.h5"
        output = "r.h5"
        denoiser-range = [0, 255]
        sigma = 12.5
        halo = 6
        updates = 320
        epochs = 2.5
        step = 0.25
        slow = ["1:4", "2:1.5"]
        overwrite = true
        max_time = inf
    """
    flags = {
        "denoiser_range": "0:255",
        "sigma": "12.5",
        "halo": "6",
        "updates": "320",
        "epochs": "2.5",
        "step": "0.25",
        "slow": ["1:4", "2:1.5"],
        "overwrite": True,
        "max_time": "inf",
    }
    config = load_config({**FILES, **flags}, None)
    assert config == load_config({}, toml(tmp_path, lines))
    assert config.machine.slow == ((1, 4.0), (2, 1.5)) and config.denoiser.range == (0.0, 255.0)


def test_a_budget_of_the_flags_replaces_one_of_the_file_in_either_form(tmp_path):
    path = toml(tmp_path, 'problem = "a.h5"\noutput = "r.h5"\nupdates = 100')
    assert load_config({"epochs": "50"}, path).stopping.budget(9) == 450
    assert load_config({}, path).stopping.budget(9) == 100


def test_every_flag_has_a_check():
    for key, one in parameters(RunConfig).items():
        with pytest.raises(InputError, match=f"--{one.name} is .*, expected "):
            load_config({**FILES, key: ""}, None)


BAD = {
    "denoiser_output": ["clean", 1],
    "denoiser_range": ["0", "1:0", "0:0", "a:b", "0:1:2", 5, [1], "nan:1"],
    "sigma": ["0", "-5", "inf", "five", True],
    "halo": ["-1", "1.5", 1.5, "six", True],
    "tau": ["-1", "nan", "inf", "x", True, None, [1]],
    "method": ["asynchronous", "", 3],
    "minibatch": ["0", 0, "2.0"],
    "updates": ["0", "-3", 1e3],
    "epochs": ["0", 0, "-1", "nan", "inf"],
    "tol": ["-1e-9", "nan"],
    "tol_distance": ["-1"],
    "max_time": ["0", "-inf", "nan"],
    "step": ["0", "-0.1", "fast", "inf", "nan", True],
    "order": ["random"],
    "steal": ["yes", True, ""],
    "seed": ["-1", 0.5],
    "start": ["", 0],
    "images": ["-1", "3:3", "1:2:3", "all", 2.7, True],
    "range": ["1:0", "3", "0:inf", "-inf:inf"],
    "bounds": ["1:0", "3", ":", "0:inf", "nan:", "a:", "0:1:2", 5, [1], [None, None], "off"],
    "weights": ["photons", "", True, 1],
    "block": ["0"],
    "center": ["left"],
    "slow": ["1", "1:0.5", "-1:2", "1:inf", "1:nan", "a:b", 3, [1], ["1:2", "x"], True],
    "threads": ["0"],
    "progress_thread": [True, "yes"],
    "report": ["0"],
    "overwrite": ["yes", 1],
    "problem": ["", 1],
    "output": ["", 1],
    "denoiser": ["", 1],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key in BAD for value in BAD[key]])
def test_bad_value(key, value):
    flag = key.replace("_", "-")
    with pytest.raises(InputError) as error:
        load_config({**FILES, key: value}, None)
    line = str(error.value)
    assert line.startswith(f"--{flag} is {value!r}, expected ")
    assert "\n" not in line and "object" not in line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "tua = 1",
            r"run\.toml: tua: unknown key; did you mean tau\?; known: problem, .*tau",
        ),
        ("tau = -1", r"run\.toml: tau is -1, expected a number >= 0"),
        ("max-time = 0", r"run\.toml: max-time is 0, expected a time > 0"),
        ("slow = 3", r"run\.toml: slow is 3, expected RANK:FACTOR"),
        ("[tau]\nvalue = 1", r"run\.toml: tau is \{'value': 1\}, expected a number"),
        ("tau = ", r"run\.toml: not TOML: Invalid value"),
        ('problem = "p.h5"', "no output file given"),
    ],
)
def test_bad_toml(text, words, tmp_path):
    with pytest.raises(InputError, match=words) as error:
        load_config({}, toml(tmp_path, text))
    assert "\n" not in str(error.value)


def test_unreadable_toml(tmp_path):
    with pytest.raises(InputError, match=r"no\.toml: cannot be read: No such file"):
        load_config(FILES, tmp_path / "no.toml")
    (tmp_path / "latin.toml").write_bytes(b"denoiser = '\xe9'")
    with pytest.raises(InputError, match=r"latin\.toml: not TOML"):
        load_config(FILES, tmp_path / "latin.toml")


def test_no_files():
    with pytest.raises(InputError, match="no problem and no output file given"):
        load_config({}, None)


@pytest.mark.parametrize(
    ("values", "updates"), [({}, 3600), ({"epochs": 0.3}, 3), ({"updates": 7, "epochs": 1}, 7)]
)
def test_budget(values, updates):
    assert load_config({**FILES, **values}, None).stopping.budget(9) == updates


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ("0:1", (0, 1)),
        ("0:", (0, None)),
        (":2", (None, 2)),
        ([None, 2], (None, 2)),
        ((0, 1), (0, 1)),
    ],
)
def test_bounds(told, found):
    config = load_config({**FILES, "bounds": told}, None)
    assert config.data.bounds == found and config.as_json()["bounds"] == found


def test_as_json_is_plain():
    plain = load_config({**FILES, "slow": "1:4"}, None).as_json()
    assert plain["problem"] == str(Path("p.h5").resolve()) and plain["max_time"] is None
    assert math.inf not in plain.values()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("0.5", 0.5),
        ("90s", 90),
        ("90m", 5400),
        ("1.5h", 5400),
        ("2d", 172800),
        ("10:30", 630),
        ("01:00:00", 3600),
        ("1-00", 86400),
        ("1-02:30", 95400),
        ("2-03:04:05", 183845),
    ],
)
def test_times(text, seconds):
    assert load_config({**FILES, "max_time": text}, None).stopping.max_time == seconds


@pytest.mark.parametrize("text", ["1x", "h", "1-", "a:b", "-5", "1:2:3:4", "-1:00", "1h30"])
def test_what_is_no_time(text):
    with pytest.raises(InputError, match=r"--max-time is .*, expected a time > 0: seconds, 90m"):
        load_config({**FILES, "max_time": text}, None)


@dataclass(frozen=True)
class Patient(StoppingConfig):
    """The group with one parameter more."""

    patience: float = parameter(
        checks.number("epochs > 0", open_low=True),
        "epochs to wait for the best",
        section="stopping",
        metavar="EPOCHS",
        default=7.0,
        shown="7",
    )


@dataclass(frozen=True)
class PatientConfig(RunConfig):
    """The configuration with that group."""

    stopping: Patient


def test_a_parameter_is_declared_in_one_place(tmp_path):
    """Flag, key in run.toml, check, help and record follow from its declaration."""
    parser = Parser(prog="asyncred")
    add_sections(parser, parameters(PatientConfig), taken=())
    assert "--patience EPOCHS" in parser.format_help()
    assert "epochs to wait for the best [7]" in " ".join(parser.format_help().split())
    flags = vars(parser.parse_args(["--patience", "3"]))
    config = load_config({**FILES, **flags}, None, configuration=PatientConfig)
    assert config.stopping.patience == 3 and config.as_json()["patience"] == 3
    path = toml(tmp_path, "patience = 4")
    assert load_config(FILES, path, configuration=PatientConfig).stopping.patience == 4
    assert load_config(FILES, None, configuration=PatientConfig).stopping.patience == 7
    with pytest.raises(InputError, match="--patience is '0', expected epochs > 0"):
        load_config({**FILES, "patience": "0"}, None, configuration=PatientConfig)
