"""What the app pages need from Maven Central: Kotlin's compiler, TFLite for Android and for this machine."""

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"
LIST = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:build-classpath"

PROJECT = """<project><modelVersion>4.0.0</modelVersion><groupId>pages</groupId><artifactId>pages</artifactId>
<version>1</version><repositories><repository><id>google</id><url>https://maven.google.com</url></repository></repositories>
<dependencies><dependency><groupId>{0}</groupId><artifactId>{1}</artifactId><version>{2}</version>
</dependency></dependencies></project>"""
"""A project that depends on one artifact: how Maven tells with what else that comes."""

ALONE = PROJECT.partition("<dependencies>")[0] + "</project>"
"""A project that depends on nothing, and knows the same repositories."""


def maven(*arguments: str, folder: Path) -> None:
    """Run Maven; a test that needs it is skipped where it is not installed."""
    if shutil.which("mvn") is None:
        if os.environ.get("CI"):
            pytest.fail("there is no mvn")
        pytest.skip("there is no mvn")
    run = subprocess.run(["mvn", "-q", "-B", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


def alone(artifact: str, folder: Path) -> Path:
    """One artifact's file (GROUP:NAME:VERSION:PACKAGING[:CLASSIFIER]), without what it depends on."""
    (folder / "pom.xml").write_text(ALONE)
    maven(COPY, f"-Dartifact={artifact}", f"-DoutputDirectory={folder}", folder=folder)
    _group, name, version, packaging, *classifier = artifact.split(":")
    return folder / f"{'-'.join([name, version, *classifier])}.{packaging}"


def with_dependencies(artifact: str, folder: Path) -> str:
    """The class path of an artifact (GROUP:NAME:VERSION) and of all that it needs."""
    (folder / "pom.xml").write_text(PROJECT.format(*artifact.split(":")))
    maven(LIST, "-Dmdep.outputFile=classpath.txt", folder=folder)
    return (folder / "classpath.txt").read_text().strip()


def unpacked(archive: Path) -> Path:
    """The content of a JAR or AAR, in a folder beside it."""
    folder = archive.with_suffix("")
    with zipfile.ZipFile(archive) as file:
        file.extractall(folder)
    return folder
