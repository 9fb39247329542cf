"""Spark with Delta: the jars that Maven resolves once a checkout, and a session on two cores."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .programs import HEAVY, built, run

SPARK, DELTA = "4.2", "4.4.0"
POM = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>muniment.test</groupId><artifactId>delta</artifactId><version>1</version>
  <packaging>pom</packaging>
  <dependencies><dependency>
    <groupId>io.delta</groupId><artifactId>delta-spark_{SPARK}_2.13</artifactId>
    <version>{DELTA}</version>
  </dependency></dependencies>
</project>
"""
PROGRAM = """\
import sys
from pyspark.sql import SparkSession

jars, directory, target, *statements = sys.argv[1:]
builder = SparkSession.builder.master("local[2]").appName("muniment").config("spark.jars", jars)
builder = builder.config("spark.ui.enabled", "false").config("spark.sql.session.timeZone", "UTC")
builder = builder.config("spark.driver.host", "127.0.0.1").config("spark.driver.memory", "1g")
builder = builder.config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
catalog = "org.apache.spark.sql.delta.catalog.DeltaCatalog"
spark = builder.config("spark.sql.catalog.spark_catalog", catalog).getOrCreate()
spark.read.format("delta").load(directory).createOrReplaceTempView("events")
for number, statement in enumerate(statements):
    spark.sql(statement).coalesce(1).write.parquet(f"{target}/{number}")
spark.stop()
"""


def spark_sql(directory: Path, scratch: Path, *statements: str) -> list[Path]:
    """Runs SQL over the table `events` in Spark; returns a folder of Parquet for each statement.

    Skips where Spark is not asked for, or cannot be had.
    """
    if os.environ.get(HEAVY) != "1":
        pytest.skip(f"Spark is not started: {HEAVY}=1 does it (435 MB of pyspark, Maven's jars)")
    if shutil.which("java") is None:
        pytest.skip("java is not installed: no Spark")
    if importlib.util.find_spec("pyspark") is None:
        pytest.skip("pyspark is not installed")
    jars = ",".join(map(str, sorted(built("delta", [POM.encode()], _resolve, "").glob("*.jar"))))
    target, program = scratch / "spark", scratch / "spark.py"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), jars, str(directory), str(target), *statements]
    env = {**os.environ, "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    done = subprocess.run(
        ["nice", *command],
        cwd=scratch,
        env=env,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [target / str(number) for number in range(len(statements))]


def _resolve(directory: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        pytest.skip("mvn is not installed: Delta's jars cannot be had")
    pom = directory / "pom.xml"
    pom.write_text(POM)
    goal = ["dependency:copy-dependencies", "-DincludeGroupIds=io.delta"]
    goal.append(f"-DoutputDirectory={directory}")
    run("delta", [maven, "-q", "-B", "-f", str(pom), *goal], directory)
