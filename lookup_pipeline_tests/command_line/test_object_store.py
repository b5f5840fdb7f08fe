"""Names and datasets in an object store, spoken to over S3's own protocol."""

import pandas as pd
from upath import UPath

from lookup_pipeline.datasets.columns import DATASETS
from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline_tests.command_line.workplace import DAY, NEXT_DAY, Workplace, told

CSV = "name,current_employer,team\nAda Byron,Analytical Engines,blue\nOnly A Name,,red\n"


def test_csv_and_parquet_may_lie_in_a_bucket(
    workplace: Workplace, sandbox: RunningSandbox, store: dict[str, str]
) -> None:
    names = UPath("s3://people/names")
    (names / f"{DAY}.csv").write_text(CSV)
    (names / NEXT_DAY / "crm.csv").write_text(CSV.replace("Byron", "King"))
    places = store | {
        "LOOKUP_PIPELINE_NAMES_URL": "s3://people/names",
        "LOOKUP_PIPELINE_OUTPUT_URL": "s3://people/output",
    }
    for _ in range(2):
        done = workplace.run("run", "--date", DAY, "--to", NEXT_DAY, **places)
        assert done.returncode == 0, told(done)
    assert len(sandbox.lookups()) == len(sandbox.charges()) == 2
    assert "s3://people/output/profiles" in done.stdout

    output = UPath("s3://people/output")
    output.fs.invalidate_cache()
    (counter,) = (output / ".submissions").iterdir()
    assert {str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()} == {
        f"{dataset.name}/lookup_date={day}/part-0.parquet"
        for dataset in DATASETS
        for day in (DAY, NEXT_DAY)
    } | {str(counter.relative_to(output))}, "and nothing unfinished"
    profiles = pd.read_parquet("s3://people/output/profiles", engine="pyarrow")
    assert sorted(profiles["source_file"]) == [f"{DAY}.csv", f"{NEXT_DAY}/crm.csv"]
    assert sorted(profiles["requested_name"]) == ["Ada Byron", "Ada King"]


def test_a_lost_ledger_is_noticed_and_rebuilt_from_a_bucket(
    workplace: Workplace, sandbox: RunningSandbox, store: dict[str, str]
) -> None:
    (UPath("s3://people/names") / f"{DAY}.csv").write_text(CSV)
    places = store | {
        "LOOKUP_PIPELINE_NAMES_URL": "s3://people/names",
        "LOOKUP_PIPELINE_OUTPUT_URL": "s3://people/output",
    }
    assert workplace.run("run", "--date", DAY, **places).returncode == 0
    for path in workplace.root.glob("ledger.db*"):
        path.unlink()
    refused = workplace.run("run", "--date", DAY, **places)
    assert refused.returncode == 1
    assert "lookup-pipeline ledger reconcile" in refused.stderr
    reconciled = workplace.run("ledger", "reconcile", "--yes", **places)
    assert reconciled.returncode == 0, told(reconciled)
    done = workplace.run("run", "--date", DAY, **places)
    assert done.returncode == 0, told(done)
    assert len(sandbox.lookups()) == 1
