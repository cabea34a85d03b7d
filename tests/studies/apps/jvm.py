"""Kotlin and Java on this machine: compilers, ktlint, JUnit, Android's classes, and TFLite for this machine's JVM."""

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edgekit import config
from tests.studies.apps import maven

STUBS = Path(__file__).parent / "stubs"

DESKTOP = "2.18.0-1.5.11"

integration = config.target("android").integration
assert integration is not None
COORDINATES = {name: one.value for name, one in integration.coordinates.items()}
"""What generated Gradle files ask for."""

ANDROIDX = (COORDINATES["androidx_runner"], COORDINATES["androidx_junit"], "androidx.test:monitor:1.8.0")


@dataclass(frozen=True)
class Toolchain:
    """Class paths."""

    compiler: str
    libraries: str
    ktlint: str

    @staticmethod
    def fetched(folder: Path) -> "Toolchain":
        """Fetch all of it, or take it from Maven's own cache."""
        version = COORDINATES["kotlin"]
        compiler = maven.with_dependencies(f"org.jetbrains.kotlin:kotlin-compiler-embeddable:{version}", folder)
        parts = [
            next(path for path in compiler.split(os.pathsep) if "kotlin-stdlib" in path),
            maven.with_dependencies(COORDINATES["junit"], folder),
            str(maven.alone("org.robolectric:android-all:14-robolectric-10818077:jar", folder)),
        ]
        # TFLite's Interpreter is split over both.
        tflite = (f"org.tensorflow:{name}:2.16.1" for name in ("tensorflow-lite", "tensorflow-lite-api"))
        archives = (maven.alone(f"{name}:aar", folder) for name in (*tflite, *ANDROIDX))
        parts += [str(maven.unpacked(archive) / "classes.jar") for archive in archives]
        for artifact in (f"tensorflow-lite:{DESKTOP}", f"javacpp:{DESKTOP.split('-')[1]}"):
            parts += [str(maven.alone(f"org.bytedeco:{artifact}:jar{kind}", folder)) for kind in ("", ":linux-x86_64")]
        ktlint = maven.with_dependencies("com.pinterest.ktlint:ktlint-cli:1.5.0", folder)
        return Toolchain(compiler, os.pathsep.join(parts), ktlint)

    def compile(self, sources: list[Path], out: Path) -> None:
        """Compile Kotlin files and folders, warnings being errors."""
        options = ["-no-stdlib", "-no-reflect", "-Werror", "-jvm-target", "17", "-d", out, "-classpath", self.libraries]
        command = [
            "java",
            "-Xmx2g",
            "-cp",
            self.compiler,
            "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler",
            *options,
            *sources,
        ]
        run = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr[-8000:]

    def compile_java(self, sources: list[Path], classes: Path) -> None:
        """Compile Java files against Kotlin's classes, and beside them; warnings are errors."""
        path = os.pathsep.join([str(classes), self.libraries])
        # Libraries name annotations and archives that nobody needs.
        options = [
            "--release",
            "17",
            "-Xlint:all,-classfile,-path,-processing",
            "-Werror",
            "-cp",
            path,
            "-d",
            str(classes),
        ]
        run = subprocess.run(["javac", *options, *map(str, sources)], capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr[-8000:] + run.stdout

    def test(self, classes: list[Path], *names: str) -> dict[str, str]:
        """Run JUnit tests by the names of their classes; the failures by test, with their messages.

        ``classes`` are folders of classes and of resources.
        """
        path = os.pathsep.join([*map(str, classes), self.libraries])
        with tempfile.TemporaryDirectory() as cache:
            command = [
                "java",
                f"-Dorg.bytedeco.javacpp.cachedir={cache}",
                "-cp",
                path,
                "org.junit.runner.JUnitCore",
                *names,
            ]
            run = subprocess.run(command, capture_output=True, text=True, check=False)
        failures: dict[str, str] = {}
        for line, message in zip(run.stdout.splitlines(), run.stdout.splitlines()[1:], strict=False):
            number, _, test = line.partition(") ")
            if number.isdigit():
                failures[test] = message
        assert bool(run.returncode) == bool(failures), run.stdout[-4000:]
        assert failures or "\nOK (" in run.stdout, run.stdout[-4000:]
        return failures

    def lint(self, folder: Path) -> str:
        """What ktlint says of a folder; nothing if it finds nothing."""
        command = ["java", "-cp", self.ktlint, "com.pinterest.ktlint.Main", "--relative", "**/*.kt", "**/*.kts"]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


def parts(bundle: Path) -> list[Path]:
    """A bundle's folders of Kotlin, and those of its sample app: all of them compile together here."""
    folders = [bundle / "src" / part / "kotlin" for part in ("main", "sharedTest", "test", "androidTest")]
    return [part for part in (*folders, bundle / "sample-app/app/src/main/kotlin") if part.is_dir()]


def resources(bundle: Path) -> list[Path]:
    """What Gradle puts on the class path of the JVM test."""
    return [bundle / "golden", bundle / "src" / "main" / "assets", bundle / "src" / "main" / "resources"]
