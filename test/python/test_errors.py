"""Errors: one root, codes as in C++, and what the host makes them of."""

from __future__ import annotations

import copy
import json
import os
import pickle
import re
import sys
import traceback
from pathlib import Path

import pytest
import qtforge
from qtforge.errors import BusError, ConfigurationError, Error, ErrorCode, PluginError, Timeout, TopicError, make_error

HEADER = Path(__file__).parents[2] / "include" / "qtforge" / "utils" / "error.hpp"


def test_codes_are_those_of_the_header():
    declared = re.search(r"enum class Errc : int \{(.*?)\};", HEADER.read_text(), re.DOTALL).group(1)
    in_cpp = {name: int(number) for name, number in re.findall(r"^\s*(\w+) = (\d+),", declared, re.MULTILINE)}
    snake = {
        re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).upper(): number
        for name, number in in_cpp.items()
    }
    assert snake == {code.name: code.value for code in ErrorCode}


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (ErrorCode.FAILED, Error),
        (ErrorCode.INVALID_TOPIC, TopicError),
        (ErrorCode.INVALID_PATTERN, TopicError),
        (ErrorCode.RESERVED_TOPIC, TopicError),
        (ErrorCode.OVERFLOW, BusError),
        (ErrorCode.WOULD_DEADLOCK, BusError),
        (ErrorCode.TIMED_OUT, Timeout),
        (ErrorCode.NO_RUNTIME, BusError),
        (ErrorCode.MANIFEST_NOT_FOUND, PluginError),
        (ErrorCode.NO_LOADER, PluginError),
        (ErrorCode.CONFIGURATION_INVALID, ConfigurationError),
        (ErrorCode.PYTHON_ERROR, Error),
    ],
)
def test_an_error_has_the_class_of_its_code(code, kind):
    error = make_error(int(code), "what happened")
    assert type(error) is kind
    assert error.code is code
    assert str(error) == error.message == "what happened"


def test_builtin_bases_can_be_caught():
    assert issubclass(Timeout, TimeoutError)
    assert issubclass(TopicError, ValueError)
    assert issubclass(TopicError, BusError)
    assert issubclass(ConfigurationError, ValueError)
    assert issubclass(ConfigurationError, PluginError)


def test_an_unknown_code_of_a_newer_host_becomes_FAILED():
    error = make_error(9999, "strange")
    assert type(error) is Error
    assert error.code is ErrorCode.FAILED
    assert str(error) == "strange (code 9999)"


def test_a_python_error_of_elsewhere_keeps_type_and_traceback():
    error = make_error(29, "initialize: boom", "builtins.KeyError", "Traceback: line 3")
    assert (error.python_type, error.traceback) == ("builtins.KeyError", "Traceback: line 3")
    assert "initialize: boom" in formatted(error)
    assert "Traceback: line 3" in formatted(error)
    if sys.version_info >= (3, 11):
        assert error.__notes__ == ["Traceback: line 3"]


def formatted(error):
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


class OfAProgram(Exception):
    def __init__(self, code, other):
        super().__init__(code)
        self.other = other


@pytest.mark.parametrize(
    "kind", [KeyError, OSError, UnicodeDecodeError, json.JSONDecodeError, OfAProgram, TimeoutError, ConfigurationError]
)
def test_a_python_error_of_elsewhere_is_an_instance_of_its_type_too(kind):
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    error = make_error(29, "initialize: boom", name, "Traceback: line 3")
    assert isinstance(error, kind)
    assert isinstance(error, PluginError)
    for one in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert isinstance(one, kind)
        assert (str(one), one.message, one.code, one.python_type) == ("initialize: boom",) * 2 + (29, name)
    assert "boom" in formatted(error)


@pytest.mark.parametrize(
    "name", ["SystemExit", "KeyboardInterrupt", "StopIteration", "SyntaxError", "print", "no.such.Type", "os.nothing"]
)
def test_what_python_treats_specially_or_is_not_there_stays_a_plain_error(name):
    error = make_error(29, "initialize: boom", name, "Traceback: line 3")
    assert type(error) is PluginError
    assert error.python_type == name


@pytest.mark.parametrize("kind", [Error, BusError, TopicError, Timeout, PluginError])
def test_errors_can_be_raised_copied_and_pickled(kind):
    error = kind("text", code=ErrorCode.OVERFLOW)
    for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(other) is kind
        assert (str(other), other.code) == ("text", ErrorCode.OVERFLOW)
    assert kind().code is ErrorCode.FAILED
    assert str(kind()) == kind().message == ""


def test_the_package_exports_what_it_says():
    for name in qtforge.__all__:
        assert hasattr(qtforge, name)
    assert re.fullmatch(r"\d+\.\d+\.\d+", qtforge.__version__)
    package = Path(qtforge.__file__).parent
    assert (package / "py.typed").exists()
    assert (package / "_qtforge.pyi").exists()
    assert os.path.samefile(Path(qtforge._qtforge.__file__).parent, package)
