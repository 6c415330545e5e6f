#!/usr/bin/env python3
"""A model in three coordinate systems at five rates: what can be said without running it, and what running it shows.

    measure.py OCC PROXIES NAME=MODEL TEXT CALIBRATION OUT [option=value ...]

OCC, PROXIES: the programs. MODEL: any checkpoint that `occ evaluate` runs. TEXT: where perplexity and KL are measured.
CALIBRATION: where second moments of inputs and second-order costs come from. OUT: a folder for archives and finished
cells; what is there is not made again. Writes cells-NAME.csv beside this file. Options: tokens=8192 context=512
calibration=8192 bits=2,3,4,6,8 codes=trellis,uniform inputs=unknown,known systems=identity,hadamard,pca
"""
import csv
import io
import itertools
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))
import common

SYSTEMS = {"identity": "", "hadamard": "signs > hadamard > ", "pca": "pca(block=16) > "}
CODES = {"trellis": common.trellis, "uniform": lambda bits: f"uniform(bits={bits}) > rans"}
OPTIONS = {"tokens": "8192", "context": "512", "calibration": "8192", "bits": "2,3,4,6,8", "codes": "trellis,uniform",
           "inputs": "unknown,known", "systems": "identity,hadamard,pca"}


def side_bits(occ, archive):
    """Bits per weight of the bases."""
    report = occ.json("inspect", archive)
    planes = [p for t in report["tensors"] for p in t["planes"] if p["name"] == "pca"]
    return 8 * sum(p["bytes"] for p in planes) / report["elements"]


class Validation:
    def __init__(self, occ, proxies, model, text, calibration, out, options):
        self.occ, self.model, self.text, self.out, self.options = occ, model, text, Path(out), options
        self.proxies = [proxies, model, calibration, options["calibration"], options["context"]]
        self.out.mkdir(parents=True, exist_ok=True)

    def ask_proxies(self, *arguments):
        done = subprocess.run([*map(str, self.proxies), *map(str, arguments)], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"proxies: {done.stderr.strip()}")
        return done.stdout

    def cell(self, code, system, bits, known):
        """The archive and what running it shows."""
        archive = self.out / f"{code}-{system}-{bits}-{'known' if known else 'unknown'}.occ"
        record = archive.with_suffix(".json")
        if not record.exists():
            moments = self.out / "moments.safetensors"
            if known and not moments.exists():
                self.ask_proxies("moments", moments)
            report = self.occ.compress(self.model, archive, "--no-calibrate", "--recipe", SYSTEMS[system] + CODES[code](bits),
                                       *(("--hessian", moments) if known else ()))
            found = self.occ.json("evaluate", archive, "--reference", self.model, "--text", self.text, "--context",
                                  self.options["context"], "--max-tokens", self.options["tokens"])
            record.write_text(json.dumps({
                "code": code, "system": system, "bits": bits, "inputs": "known" if known else "unknown", "bpw": report["bpw"],
                "basis_bpw": side_bits(self.occ, archive), "perplexity": found["perplexity"],
                "reference_perplexity": found["reference_perplexity"], "kl": found["kl_mean"], "kl_stderr": found["kl_stderr"],
                "top1": found["top1_agreement"]}))
            print(archive.stem, file=sys.stderr)
        return archive, json.loads(record.read_text())

    def rows(self):
        chosen = {k: v.split(",") for k, v in self.options.items()}
        cells = [self.cell(c, s, int(b), i == "known") for i, c, s, b in
                 itertools.product(chosen["inputs"], chosen["codes"], chosen["systems"], chosen["bits"])]
        said = csv.DictReader(io.StringIO(self.ask_proxies("errors", *(a for a, _ in cells))))
        return [row | {k: float(v) for k, v in line.items() if k != "file"} for (_, row), line in zip(cells, said)]


def main():
    arguments = [a for a in sys.argv[1:] if "=" not in a or a == sys.argv[3]]
    given = dict(a.split("=", 1) for a in sys.argv[4:] if a not in arguments)
    if len(arguments) != 6 or "=" not in arguments[2] or not set(given) <= set(OPTIONS):
        raise SystemExit(__doc__)
    name, model = arguments[2].split("=", 1)
    validation = Validation(common.Occ(arguments[0]), arguments[1], model, *arguments[3:], OPTIONS | given)
    common.write_csv(HERE / f"cells-{name}.csv", validation.rows())


if __name__ == "__main__":
    main()
