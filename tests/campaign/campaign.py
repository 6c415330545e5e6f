#!/usr/bin/env python3
"""A campaign of damage, kills and disturbances against occ. README.md tells what it does.

    campaign.py BUILD [--mutants N] [--commands K] [--kills N] [--others N] [--minutes M] [--seed S] [--state FOLDER]
                [--parts PART,...] [--work FOLDER]

BUILD has the programs occ and occ_serve. Prints a table of counts; the exit status is 1 if anything in it is a fault.
"""
import argparse
import collections
import json
import os
import shutil
import sys
import tempfile
import time

import mutants
import writers

FAULTS = ["crashed", "hung", "silently wrong", "leftovers", "other"]


class Tally:
    """Counts, kept in a folder if there is one, so that a campaign can go on. Each of the first faults is kept there too."""

    def __init__(self, folder):
        self.folder, self.counts, self.done, self.faults = folder, collections.defaultdict(collections.Counter), {}, 0
        if folder:
            os.makedirs(folder, exist_ok=True)
            if os.path.exists(f"{folder}/counts.json"):
                with open(f"{folder}/counts.json") as f:
                    saved = json.load(f)
                self.done = saved["done"]
                for part, counts in saved["counts"].items():
                    self.counts[part].update(counts)

    def add(self, part, verdict, evidence):
        """verdict: True for a success, None for a clean error, or what is wrong; evidence() -> (command, input, place)."""
        counts = self.counts[part]
        counts["runs"] += 1
        if verdict is True or verdict is None:
            counts["successes" if verdict else "clean errors"] += 1
            return
        counts[verdict if verdict in FAULTS else "other"] += 1
        self.faults += 1
        command, path, place = evidence()
        print(f"FAULT {place}: {verdict}: {' '.join(command)}", flush=True)
        if self.folder and self.faults <= 200 and path and os.path.exists(path):
            copy = f"{self.folder}/fault-{place.replace(' ', '-')}-{verdict.replace(' ', '-')}"
            mutants.remove(copy)
            (shutil.copytree if os.path.isdir(path) else shutil.copyfile)(path, copy)

    def skip(self, part):
        """A disturbance that this machine does not allow, such as mounting a file system."""
        self.counts[part]["skipped"] += 1

    def save(self):
        if self.folder:
            with open(f"{self.folder}/counts.new", "w") as f:
                json.dump({"counts": self.counts, "done": self.done}, f, indent=1)
            os.replace(f"{self.folder}/counts.new", f"{self.folder}/counts.json")

    def table(self):
        columns = ["runs", "successes", "clean errors"] + FAULTS + ["skipped"]
        print("| part | tried | " + " | ".join(columns) + " |")
        print("|---|" + "---:|" * (len(columns) + 1))
        for part, counts in self.counts.items():
            print(f"| {part} | {self.done.get(part, 0)} | " + " | ".join(str(counts[c]) for c in columns) + " |")
        return sum(counts[c] for counts in self.counts.values() for c in FAULTS)


def main():
    parser = argparse.ArgumentParser(description="Damage, kills and disturbances against occ")
    parser.add_argument("build", help="folder with the programs occ and occ_serve")
    parser.add_argument("--mutants", type=int, default=1000, help="of each format, those of earlier runs included")
    parser.add_argument("--commands", type=int, default=99, help="at most so many commands for each mutant, by chance")
    parser.add_argument("--kills", type=int, default=100, help="of each writing command, those of earlier runs included")
    parser.add_argument("--others", type=int, default=50, help="of each other disturbance, likewise")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so long")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--state", help="folder of counts, with which a later run goes on, and of what was found")
    parser.add_argument("--parts", default="", help="only these parts, with commas between")
    parser.add_argument("--work", help="an existing folder for temporary files")
    a = parser.parse_args()
    tally = Tally(a.state and os.path.abspath(a.state))
    occ, server = (os.path.abspath(f"{a.build}/{name}") for name in ("occ", "occ_serve"))
    parts = set(filter(None, a.parts.split(",")))
    end = time.monotonic() + 60 * a.minutes
    with tempfile.TemporaryDirectory(prefix="occ-campaign-", dir=a.work) as work:
        os.chdir(work)
        os.environ["XDG_CACHE_HOME"] = os.path.abspath("cache")
        jobs = []  # part, how many, what does number n
        if not parts or parts & set(mutants.FORMATS):
            os.mkdir("mutants")
            os.chdir("mutants")
            m = mutants.Mutants(occ, server, a.seed, tally)
            for kind in mutants.FORMATS:
                jobs.append((kind, a.mutants, lambda n, kind=kind: m.one(kind, n, a.commands), "mutants"))
            os.chdir("..")
        if not parts or parts & set(writers.PARTS):
            os.mkdir("writers")
            os.chdir("writers")
            w = writers.Writers(occ, a.seed, tally)
            for part, (kills, function) in writers.PARTS.items():
                jobs.append((part, a.kills if kills else a.others, lambda n, f=function: f(w, n), "writers"))
            os.chdir("..")
        # All parts go on side by side, so that none is left out where the time ends early.
        jobs = [j for j in jobs if not parts or j[0] in parts]
        while jobs and time.monotonic() < end:
            for job in list(jobs):
                part, most, function, folder = job
                os.chdir(f"{work}/{folder}")
                for _ in range(max(1, most // 100)):
                    n = tally.done.get(part, 0)
                    if n >= most or time.monotonic() > end:
                        break
                    function(n)
                    tally.done[part] = n + 1
                if tally.done.get(part, 0) >= most:
                    jobs.remove(job)
                tally.save()
        os.chdir("/")
    faults = tally.table()
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
