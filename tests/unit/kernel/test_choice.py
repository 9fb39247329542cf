"""Which kernel runs is the operator's choice, and a native one that does not fit is not used."""

from __future__ import annotations

import sys
import warnings
from types import ModuleType

import pytest

from muniment.errors import SettingsError
from muniment.kernel import ACTIVE, choice, python
from muniment.kernel.choice import VARIABLE, choose
from muniment.settings import load


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Stands for the compiled module."""
    module = ModuleType("muniment_kernel")
    module.__dict__["INTERFACE"] = choice.INTERFACE + 1
    monkeypatch.setitem(sys.modules, "muniment_kernel", module)
    return module


def test_python_can_be_asked_for() -> None:
    assert choose({VARIABLE: "python"}) == ("python", python)


def test_without_a_native_kernel_python_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "muniment_kernel", None)
    with warnings.catch_warnings(action="error"):
        assert choose({}) == choose({VARIABLE: "auto"}) == ("python", python)
    with pytest.raises(SettingsError, match="is native, but no compiled kernel"):
        choose({VARIABLE: "native"})


@pytest.mark.usefixtures("compiled")
def test_a_native_kernel_of_another_interface_is_not_used() -> None:
    with pytest.warns(UserWarning, match="has interface 2, and 1 is needed.*runs on the Python"):
        assert choose({}) == ("python", python)
    with (
        warnings.catch_warnings(action="error"),
        pytest.raises(SettingsError, match="interface 2"),
    ):
        choose({VARIABLE: "native"})


def test_the_native_kernel_is_taken_where_it_fits() -> None:
    pytest.importorskip("muniment_kernel")
    assert [choose({VARIABLE: wanted})[0] for wanted in ("auto", "native")] == ["native"] * 2


@pytest.mark.parametrize("value", ["", "rust", "Native"])
def test_another_value_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match=r"MUNIMENT_KERNEL is .*auto, native, python"):
        choose({VARIABLE: value})


def test_the_variable_is_no_unknown_setting() -> None:
    assert ACTIVE in ("native", "python")
    load(environment={VARIABLE: "python"})
