"""What pyproject.toml has no word for: two modules have other names in the wheel."""

from setuptools import setup
from setuptools.command.build_py import build_py

INSTALLED_NAMES = {"order_statuses": "__init__", "gunicorn.conf": "gunicorn_conf"}


class BuildPy(build_py):
    def find_package_modules(
        self, package: str, package_dir: str
    ) -> list[tuple[str, str, str]]:
        """Return the package, the name and the file of each module but this one."""
        found = super().find_package_modules(package, package_dir)
        return [
            (package, INSTALLED_NAMES.get(name, name), file)
            for _, name, file in found
            if name != "setup"
        ]


setup(cmdclass={"build_py": BuildPy})
