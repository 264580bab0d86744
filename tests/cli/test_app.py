import re
import subprocess
import sys
from dataclasses import replace

import pytest

import whybuy
from whybuy import pipeline as module
from whybuy.cli.app import app, report_defect

COMMANDS = [
    "demo", "init", "check", "run", "train", "scan", "report", "effects", "whatif", "certify", "recommend",
    "campaign", "prices", "profile",
]  # fmt: skip


def raising(error: BaseException):
    def build(run, folder):
        raise error

    return replace(module.STAGES["events"], build=build)


def test_the_commands_stand_in_the_order_of_use():
    assert [command.callback.__name__ for command in app.registered_commands] == COMMANDS


@pytest.mark.parametrize("name", [*COMMANDS, "experiment plan", "experiment assign", "experiment analyze"])
def test_every_command_takes_the_common_options(call, name):
    answer = call(*name.split(), "--help")
    assert answer.code == 0
    for option in ("--config", "-c", "--workspace", "--json", "--debug"):
        assert re.search(rf"(?<![\w-]){option}\b", answer.out), option


def test_no_command_prints_the_help(call):
    answer = call()
    assert answer.code == 0
    assert "effects" in answer.out


def test_the_version(call):
    assert call("--version").out == f"whybuy {whybuy.__version__}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("effects", "--tpo", "3"), r"^whybuy effects: No such option: --tpo.*See `whybuy effects --help`\.$"),
        (("effects", "--top", "x"), r"^whybuy effects: Invalid value for '--top'.*$"),
        (("frobnicate",), r"^whybuy: No such command 'frobnicate'.*$"),
        (("run", "--workspace"), r"^whybuy.*: Option '--workspace' requires an argument.*$"),
    ],
)
def test_a_mistake_in_the_words_is_one_message_and_exit_2(call, words, message):
    answer = call(*words)
    assert answer.code == 2
    assert answer.out == ""
    assert re.match(message, answer.err.strip())
    assert answer.err.count("\n") == 1


def test_what_the_user_can_mend_is_one_message_and_exit_2(call, shop, stages):
    answer = call("run", "-c", "gone.toml")
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err == (
        "whybuy run: gone.toml was not found. A config file is needed. Run `whybuy init EVENTS` or name one with -c.\n"
    )


def test_a_typo_in_the_config_names_the_nearest_key(call, shop, stages):
    (shop / "whybuy.toml").write_text('hroizons = ["7d"]\n[[events]]\npath = "log.csv"\n', encoding="utf-8")
    answer = call("check")
    assert answer.code == 2
    assert "did you mean 'horizons'?" in answer.err


def test_debug_shows_where_and_keeps_the_exit_code(call, shop, stages):
    answer = call("run", "-c", "gone.toml", "--debug")
    assert answer.code == 2
    assert "Traceback" in answer.err
    assert answer.err.endswith("or name one with -c.\n")


def test_an_interrupt_says_that_finished_stages_are_kept(call, shop, stages, monkeypatch):
    monkeypatch.setitem(module.STAGES, "events", raising(KeyboardInterrupt()))
    answer = call("run")
    assert answer.code == 130
    assert "Finished stages are kept" in answer.err
    assert "Traceback" not in answer.err


def test_a_defect_is_one_line(capsys):
    report_defect(ZeroDivisionError, ZeroDivisionError("division\nby zero"), None)
    assert capsys.readouterr().err == (
        "a defect in whybuy: ZeroDivisionError: division by zero; rerun with --debug to see where\n"
    )


DEFECT = """
import sys
from dataclasses import replace
from whybuy import pipeline
from whybuy.cli import main

def build(run, folder):
    raise RuntimeError("inside")

pipeline.STAGES["events"] = replace(pipeline.STAGES["events"], build=build)
main()
"""


@pytest.mark.parametrize("debug", [False, True])
def test_a_defect_ends_the_process_with_1_and_a_traceback_only_under_debug(shop, debug):
    words = ["run", *(["--debug"] if debug else [])]
    done = subprocess.run([sys.executable, "-c", DEFECT, *words], cwd=shop, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert ("Traceback" in done.stderr) == debug
    assert ("a defect in whybuy: RuntimeError: inside; rerun with --debug" in done.stderr) != debug
