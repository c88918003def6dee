"""plugin.schema.json and the host agree on the manifests of cases.json; test/unit/manifest_corpus_test.cpp is the host.

A case is a manifest, or what is added ("with") to the base or missing ("without") in it. "good" says what the host thinks,
"says" what its message contains. The schema must think the same, but for "beyond schema": what it cannot say, as
docs/guides/plugin-authors.md explains.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "packaging" / "plugin.schema.json").read_text(encoding="utf-8"))
CORPUS = json.loads((Path(__file__).parent / "cases.json").read_text(encoding="utf-8"))
CASES = CORPUS["cases"]
VALIDATOR = Draft202012Validator(SCHEMA)


def manifest_of(case):
    if "manifest" in case:
        return case["manifest"]
    fields = {**CORPUS["base"], **case.get("with", {})}
    return {key: value for key, value in fields.items() if key not in case.get("without", [])}


def test_the_schema_is_one():
    Draft202012Validator.check_schema(SCHEMA)
    assert len(CASES) >= 150


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_the_schema_thinks_as_the_host(case):
    problems = [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(manifest_of(case))]
    good = case["good"] or case.get("beyond schema", False)
    assert (problems == []) == good, problems


@pytest.mark.parametrize("path", sorted((ROOT / "test" / "plugins").glob("*/plugin.json")), ids=lambda p: p.parent.name)
def test_manifests_of_the_fixtures_are_good_but_for_those_that_are_broken(path):
    if path.parent.name == "py_not_json":
        pytest.skip("no JSON")
    good = VALIDATOR.is_valid(json.loads(path.read_text(encoding="utf-8")))
    assert good == (path.parent.name != "py_wrong_types")


@pytest.mark.parametrize("path", sorted(ROOT.glob("samples/**/plugin.json")), ids=lambda p: p.parent.name)
def test_manifests_of_the_samples_are_good(path):
    assert VALIDATOR.is_valid(json.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "variable, path",
    [("QTFORGE_PACKAGE_PATH", "qtforge"), ("QTFORGE_PREFIX", "share/qtforge")],
    ids=["package", "prefix"],
)
def test_the_schema_is_installed(variable, path):
    if variable not in os.environ:
        pytest.skip(f"{variable} is not set")
    assert json.loads((Path(os.environ[variable]) / path / "plugin.schema.json").read_text(encoding="utf-8")) == SCHEMA
