"""Write the tables and verdicts of studies in miniature into docs/reports/proof.md, from the numbers of their seeds.

    python scripts/proof_tables.py [--check] [--take FOLDER...]

--take keeps what `rlfn study NAME --budget mini` left in folders (.../BUDGET/NAME): table.csv, claims.csv and the facts
of the page, under docs/reports/measurements/proof/BUDGET/NAME/. The document's blocks, between
``<!-- proof: BUDGET/NAME -->`` and ``<!-- /proof -->``, are made from those alone; with --check nothing is written, and
a block that differs is an error.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import re
import shutil
from pathlib import Path
from statistics import fmean, stdev

from rlfn.evaluation.report import aligned
from rlfn.studies.arms import MINI
from rlfn.studies.paired import sentence
from rlfn.studies.replication import HELD_OUT, read_values

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "reports" / "proof.md"
FOLDER = ROOT / "docs" / "reports" / "measurements" / "proof"
FACTS = ("protocol", "optimiser", "seeds")


def take(folder: Path) -> None:
    """Keep what a study left."""
    kept = FOLDER / folder.parent.name / folder.name
    kept.mkdir(parents=True, exist_ok=True)
    for name in ("table.csv", "claims.csv"):
        shutil.copyfile(folder / name, kept / name)
    found = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", (folder / "README.md").read_text(encoding="utf-8"), re.M))
    facts = {name: found[name] for name in FACTS if name in found}
    (kept / "facts.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def block(name: str) -> list[str]:
    """Return the lines of a study: facts, the table, and the verdicts on every set and on the held-out pictures."""
    kept = FOLDER / name
    study = MINI[kept.name]
    columns = read_values(kept / "table.csv")
    facts = json.loads((kept / "facts.json").read_text(encoding="utf-8"))
    budget = kept.parent.name
    lines = [f"    rlfn study {kept.name} --data train.pack --budget {budget} --sets Set5 --sets Set14", ""]
    lines += ["; ".join(f"{title}: {text}" for title, text in facts.items()) + ".", "", *table(kept / "table.csv")]
    for column in (name for name in columns if name != HELD_OUT):
        lines += ["", f"On {column}:", ""]
        lines += [f"- {sentence(claim, columns[column])}" for claim in study.claims]
    return lines


def table(path: Path) -> list[str]:
    """Return a table.csv as Markdown: mean ± standard error where a column has seeds."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    heads = [head for head in rows[0] if ", seed " not in head]
    return aligned([heads, *([_cell(row, head) for head in heads] for row in rows)])


def _cell(row: dict[str, str], head: str) -> str:
    if not head.endswith(", dB"):
        return row[head] if not _is_number(row[head]) else f"{float(row[head]):.4g}"
    values = [float(row[name]) for name in row if name.startswith(f"{head}, seed ") and row[name]]
    if not values:
        return "not run"
    error = f" ± {stdev(values) / math.sqrt(len(values)):.3f}" if len(values) > 1 else ""
    return f"{fmean(values):.3f}{error}"


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[\d.]+(e[-+]\d+)?", text) is not None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--take", type=Path, nargs="*", default=[])
    arguments = parser.parse_args()
    for folder in arguments.take:
        take(folder)
    old = DOCUMENT.read_text(encoding="utf-8")
    new = re.sub(
        r"(<!-- proof: (\S+) -->\n).*?(<!-- /proof -->)",
        lambda found: found[1] + "\n".join([*block(found[2]), ""]) + found[3],
        old,
        flags=re.DOTALL,
    )
    if arguments.check and new != old:
        raise SystemExit("docs/reports/proof.md is old: run python scripts/proof_tables.py")
    if new != old:
        DOCUMENT.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
