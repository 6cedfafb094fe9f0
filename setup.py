"""Compile the rules into the wheel; all else is in pyproject.toml."""

import shutil
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

TOP = Path(__file__).parent
sys.path.insert(0, str(TOP / "linter"))


class BuildWithRules(build_py):
    """Build the packages, and the one file that is read of the rules."""

    def run(self) -> None:
        """Run the command."""
        super().run()
        if self.editable_mode:  # a checkout has the rules themselves
            return
        from sslint.engine import compiled

        built = Path(self.build_lib, "sslint/rules")
        shutil.rmtree(built, ignore_errors=True)  # of an earlier build
        built.mkdir(parents=True)
        compiled.write(TOP / "rules", built)


setup(cmdclass={"build_py": BuildWithRules})
