"""Packaging from `settings.ini`, the one place where versions and requirements stand."""
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

config = ConfigParser(delimiters=["="])
config.read("settings.ini", encoding="utf-8")
settings = config["DEFAULT"]

setup(
    name=settings["lib_name"],
    version=settings["version"],
    description=settings["description"],
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author=settings["author"],
    author_email=settings["author_email"],
    keywords=settings["keywords"].split(),
    url=settings["git_url"],
    license="Apache-2.0",
    python_requires=f">={settings['min_python']}",
    packages=find_packages(include=["simplelm*"]),
    package_data={"simplelm": ["py.typed", "studies/*.toml", "studies/*.jinja", "lexicon/*"]},
    install_requires=settings["requirements"].split(),
    extras_require={key.removesuffix("_requirements"): settings[key].split() for key in settings if key.endswith("_requirements")},
    entry_points={"console_scripts": settings["console_scripts"].split(), "nbdev": ["simplelm=simplelm._modidx:d"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
