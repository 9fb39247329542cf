"""Every test of the kernel runs over both: the one in Python and, where it is built, the native."""

from __future__ import annotations

import pytest

from muniment.errors import SettingsError
from muniment.kernel.choice import VARIABLE, Kernel, choose


def chosen(name: str) -> Kernel:
    """The kernel of this name; a test that wants one that is not built is skipped."""
    try:
        return choose({VARIABLE: name})[1]
    except SettingsError as error:
        pytest.skip(error.detail)


@pytest.fixture(scope="session", params=["python", "native"])
def kernel(request: pytest.FixtureRequest) -> Kernel:
    return chosen(request.param)


@pytest.fixture(scope="session")
def twins() -> tuple[Kernel, Kernel]:
    """The kernel in Python and the native one."""
    return chosen("python"), chosen("native")
