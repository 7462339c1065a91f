"""Lint and the runtime can never disagree: what a translator rejects, lint finds, with a code of its own."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import traceback
from collections.abc import Iterator
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from support.linting import Case, cases, codes, lint

from vnodectl.lint.catalogue import RULES
from vnodectl.runtime.provider import JSON, Rejected, ResolvedPod

ALL = list(cases())
TRANSLATORS = ("vnodectl.providers.aci.translate", "vnodectl.providers.eci.translate")


def sized(text: str) -> str:
    tags = ";".join(f"t{number}=v" for number in range(60))
    return text.replace("LARGE", "x" * 33_000).replace("HALF", "x" * 16_000).replace("MANY_TAGS", tags)


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_everything_is_found_and_nothing_else(case: Case) -> None:
    found = codes(lint(sized(case.manifest), case.placement))
    wanted = {(code, path) for code, path in case.expected if "*" not in path}
    several = [
        (code, re.compile(re.escape(path).replace(r"\*", r"\d+"))) for code, path in case.expected - wanted
    ]
    matched = {
        (code, path)
        for code, path in found
        for rule, form in several
        if code == rule and form.fullmatch(path)
    }
    assert found - matched == wanted
    assert not several or len(matched) == 61


# --- every raise of the translators is shown by a case ----------------------------------------------


def sources() -> set[Path]:
    """The translators and all they import of the providers, by their files."""
    found: set[Path] = set()
    pending = list(TRANSLATORS)
    seen: set[str] = set()
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        spec = _module(name)
        if spec is None or spec.origin is None or spec.origin.endswith("__init__.py"):
            continue
        found.add(Path(spec.origin))
        for node in ast.walk(ast.parse(Path(spec.origin).read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vnodectl.providers"):
                pending += [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def _module(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError:  # the name of something in a module
        return None


def raises(file: Path) -> Iterator[tuple[int, int]]:
    """First and last line of every `raise Rejected(…)`, `raise rejected(…)` and `raise invalid(…)`."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            called = node.exc.func
            name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
            if name in {"Rejected", "rejected", "invalid"}:
                yield node.lineno, node.end_lineno or node.lineno


def test_every_rejection_of_the_translators_is_shown_by_a_case() -> None:
    """A new rejection needs a case in cases/*.yaml, and a rule of the catalogue that speaks for it."""
    reached: set[tuple[Path, int]] = set()
    for case in ALL:
        there = case.cloud()

        def watched(pod: ResolvedPod, ask=there.translate) -> JSON:
            try:
                return ask(pod)
            except Rejected as error:
                last = traceback.extract_tb(error.__traceback__)[-1]
                reached.add((Path(last.filename), last.lineno or 0))
                raise

        lint(sized(case.manifest), case.placement, through=replace(there, translate=watched))
    sites = {(file, *lines) for file in sources() for lines in raises(file)}
    assert len(sites) > 30
    silent = [
        f"{file.parent.name}/{file.name}:{first}"
        for file, first, last in sorted(sites)
        if not any(where == file and first <= line <= last for where, line in reached)
    ]
    assert silent == []


def test_every_rejection_has_a_code_of_its_own() -> None:
    """VN-L-099 is for what nobody has thought of yet."""
    used = {code for case in ALL for code, _ in case.expected}
    assert "VN-L-099" not in used
    assert {one.code for one in RULES if one.rejects} <= used


WRONG: tuple[Any, ...] = (None, True, -1, "", "a", [], {}, [None], [1], {"a": 1}, "$(A)", [{}], 1.5)
SMALL = [case for case in ALL if len(case.manifest) < 5_000]


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield above
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield from places(value[key], (*above, key))


@settings(max_examples=200)
@given(chance=st.randoms(use_true_random=False))
def test_a_case_with_a_value_gone_wrong_still_ends_with_a_report(chance: Random) -> None:
    case = chance.choice(SMALL)
    objects = list(yaml.safe_load_all(case.manifest))
    target: Any = chance.choice(objects)
    *above, last = chance.choice([place for place in places(target) if place])
    for step in above:
        target = target[step]
    target[last] = chance.choice(WRONG)
    found = lint("\n---\n".join(json.dumps(one) for one in objects), case.placement)
    assert all(one.code and one.message for one in found.findings)
