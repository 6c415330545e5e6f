"""Kills, full disks, read-only folders, inputs that change while they are read, and concurrent runs."""
import os
import random
import resource
import shutil
import signal
import subprocess
import time

from formats import floats, model_folder, npy, read, write, write_safetensors
from mutants import TEXT, content, remove

HUNG_SECONDS = 60  # on the clock, and machines are busy
COMMANDS = {
    "compress": (["compress", "folder", "--method", "rtn", "--no-calibrate"], "y.occ"),
    "calibrated": (["compress", "folder", "--bits", "5", "--calibrate", "text", "--context", "64", "--quiet"], "y.occ"),
    # At this rate the file without calibration is the better one, and takes the name.
    "uncalibrated": (["compress", "folder", "--bits", "6", "--calibrate", "text", "--context", "64", "--quiet"], "y.occ"),
    "decompress": (["decompress", "in.occ"], "y.safetensors"),
    "to-folder": (["decompress", "in.gguf"], "y"),
    "to-gguf": (["decompress", "folder"], "y.gguf"),
}


class Writers:
    def __init__(self, occ, seed, tally):
        self.occ, self.seed, self.tally = occ, seed, tally
        model_folder("folder")
        write("text", TEXT.encode() * 30)
        subprocess.run([occ, "compress", "folder", "-o", "in.occ", "--no-calibrate", "--quiet"], check=True)
        subprocess.run([occ, "decompress", "folder", "-o", "in.gguf", "--quiet"], check=True)
        rows, cols = 1500, 700
        write("big.npy", npy(floats(1000) * (rows * cols // 1000), [rows, cols], fortran=True))
        tensors = {f"t{i}.weight": ("F32", [rows // 10, cols], floats(1000, i) * (rows * cols // 10000)) for i in range(10)}
        write("big.safetensors", write_safetensors(tensors))
        for output in ("big.occ", "big.gguf"):
            verb = ["compress", "big.safetensors", "--method", "rtn"] if output == "big.occ" else ["decompress", "big.safetensors"]
            subprocess.run([occ, *verb, "-o", output, "--quiet"], check=True)
        self.names = set(os.listdir(".")) | {"cache", "err", "disk"}
        self.good = {}

    # ---- runs ----

    def start(self, arguments, **options):
        environment = dict(os.environ, OPENBLAS_NUM_THREADS="1")
        with open("err", "wb") as err:
            return subprocess.Popen([self.occ, *arguments, "--quiet"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                    stderr=err, env=environment, **options)

    def wait(self, process, name):
        """Exit status; -1 for a run that hangs."""
        try:
            return process.wait(12 * self.undamaged(name)[1] + HUNG_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return -1

    def undamaged(self, name):
        """The right output of a command, and the seconds that it takes."""
        if name not in self.good:
            arguments, output = COMMANDS[name]
            start = time.monotonic()
            status = self.start(arguments + ["-o", output]).wait()
            if status != 0:
                raise SystemExit(f"{name}: exit status {status}: {read('err').decode()}")
            self.good[name] = content(output), time.monotonic() - start
            remove(output)
        return self.good[name]

    def left(self, folder=".", but=()):
        return set(os.listdir(folder)) - (self.names if folder == "." else set()) - set(but)

    def clean(self):
        for name in self.left():
            remove(name)

    def judge_end(self, status):
        """What a run that ended by itself says."""
        if status == -1:
            return "hung"
        if status < 0:
            return "crashed"
        if status not in (0, 1, 3):
            return f"exit status {status}"
        errors = [line for line in read("err").splitlines() if not line.startswith(b"warning: ")]
        if status and (len(errors) != 1 or not errors[0].startswith(b"error: ")):
            return "not one line of error"
        return status == 0 or None

    def finish(self, name, folder="."):
        """Runs the command to its end after something stopped it. None or what is wrong."""
        arguments, output = COMMANDS[name]
        path = os.path.join(folder, output)
        more = ["--force"] if os.path.exists(path) else []
        more += ["--resume"] if os.path.exists(path + ".part") else []
        status = self.wait(self.start(arguments + ["-o", path] + more), name)
        if status != 0:
            return self.judge_end(status) or f"next run: exit status {status}"
        if content(path) != self.undamaged(name)[0]:
            return "silently wrong"
        if self.left(folder, [output]):
            return "leftovers"
        return None

    # ---- disturbances; each is one try with number n ----

    def kill(self, name, n):
        rng = random.Random(f"{self.seed} kill {name} {n}")
        arguments, output = COMMANDS[name]
        good, seconds = self.undamaged(name)
        verdict = None
        for _ in range(rng.choice([1, 1, 1, 2, 3])):  # the next run may be killed as well
            more = ["--force"] if os.path.exists(output) else []
            more += ["--resume"] if os.path.exists(output + ".part") else []
            process = self.start(arguments + ["-o", output] + more)
            time.sleep(rng.random() * 1.2 * seconds)
            process.send_signal(rng.choice([signal.SIGKILL] * 3 + [signal.SIGTERM]))
            status = self.wait(process, name)
            if status == -1:
                verdict = "hung"
            elif status not in (0, 1, -signal.SIGKILL, -signal.SIGTERM):  # SIGTERM may come before its handler
                verdict = "crashed"
            elif os.path.exists(output) and content(output) != good:
                verdict = "silently wrong"
        verdict = verdict or self.finish(name)
        self.tally.add(f"kill-{name}", verdict or True, lambda: (arguments, None, f"kill {name} {n}"))
        self.clean()

    def limited(self, n):
        """A limit on the size of files."""
        rng = random.Random(f"{self.seed} limited {n}")
        name = rng.choice(list(COMMANDS))
        arguments, output = COMMANDS[name]
        self.undamaged(name)
        size = int(2 ** rng.uniform(9, 17))  # what stderr gets is a file, too
        process = self.start(arguments + ["-o", output],
                             preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))
        self.conclude("size-limit", name, n, self.judge_end(self.wait(process, name)))

    def conclude(self, part, name, n, verdict, folder="."):
        """A temporary may not outlive a run that ended by itself, and the next run gives the same bytes."""
        output = COMMANDS[name][1]
        if verdict in (True, None) and self.left(folder, [output, output + ".part"]):
            verdict = "leftovers"
        if verdict in (True, None):
            verdict = self.finish(name, folder) or verdict
        self.tally.add(part, verdict, lambda: (COMMANDS[name][0], None, f"{part} {n}"))
        self.clean()

    def mounted(self, options):
        os.makedirs("disk", exist_ok=True)
        return subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", "disk"], stderr=subprocess.DEVNULL).returncode == 0

    def on_disk(self, part, n, options, whole, verdict_of=lambda verdict: verdict):
        """A run whose output is on a file system of its own, mounted with options(rng), which `whole` makes usable again."""
        rng = random.Random(f"{self.seed} {part.removesuffix('-disk')} {n}")
        name = rng.choice(list(COMMANDS))
        self.undamaged(name)
        if shutil.which("mount") is None or not self.mounted(options(rng)):
            return self.tally.skip(part)
        try:
            arguments, output = COMMANDS[name]
            verdict = verdict_of(self.judge_end(self.wait(self.start(arguments + ["-o", f"disk/{output}"]), name)))
            subprocess.run(["mount", "-o", f"remount,{whole}", "disk"], check=True)
            self.conclude(part, name, n, verdict, "disk")
        finally:
            subprocess.run(["umount", "disk"], check=True)

    def full(self, n):
        """A file system that is too small."""
        self.on_disk("full-disk", n, lambda rng: f"size={int(2 ** rng.uniform(12, 18))}", "size=64M")

    def read_only(self, n):
        self.on_disk("read-only", n, lambda rng: "ro", "rw",
                     lambda verdict: "wrote to a read-only folder" if verdict is True else verdict)

    def changing(self, n):
        """A file is cut, overwritten or replaced while it is read. Nothing is promised for the values."""
        rng = random.Random(f"{self.seed} changing {n}")
        source = rng.choice(["big.npy", "big.safetensors", "big.occ", "big.gguf"])
        path = "input" + os.path.splitext(source)[1]
        shutil.copyfile(source, path)
        commands = [["decompress", path, "-o", "y.safetensors"], ["compare", path, source], ["inspect", path],
                    ["compress", path, "-o", "y.occ", "--method", "rtn", "--no-calibrate"]] + ([["verify", path]] if source == "big.occ" else [])
        command = rng.choice(commands)
        start = time.monotonic()
        process = self.start(command)
        if ("time", *command[:2]) not in self.good:  # the first run of its kind shows how long it takes
            process.wait()
            self.good["time", *command[:2]] = time.monotonic() - start
            for output in ("y.occ", "y.safetensors"):
                remove(output)
            process = self.start(command)
        time.sleep(rng.random() * self.good["time", *command[:2]])
        size = os.path.getsize(path)
        kind = rng.randrange(4)
        if kind < 2:
            os.truncate(path, rng.choice([0, rng.randrange(size)]))
        elif kind == 2:
            with open(path, "r+b") as f:
                f.seek(rng.randrange(size))
                f.write(bytes(rng.randrange(256) for _ in range(4096)))
        else:
            os.remove(path)
        try:
            status = process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait() and -1
        verdict = self.judge_end(status)
        if verdict in (True, None) and self.left(but=[path, "y.occ", "y.safetensors", "y.occ.part"]):
            verdict = "leftovers"
        self.tally.add("changing-input", verdict, lambda: (command, None, f"changing {n}"))
        self.clean()

    def concurrent(self, n):
        """Runs that write the same output at once: at least one succeeds, the others fail cleanly."""
        rng = random.Random(f"{self.seed} concurrent {n}")
        name = rng.choice(list(COMMANDS))
        arguments, output = COMMANDS[name]
        good, seconds = self.undamaged(name)
        processes = []
        for _ in range(rng.choice([2, 3, 4])):
            processes.append(self.start(arguments + ["-o", output]))
            time.sleep(rng.choice([0, 0, rng.random() * seconds]))
        statuses = [self.wait(p, name) for p in processes]
        verdict = True
        if any(s not in (0, 1) for s in statuses):
            verdict = "hung" if -1 in statuses else "crashed"
        elif 0 not in statuses:
            verdict = "none of them wrote the output"
        elif content(output) != good:
            verdict = "silently wrong"
        elif self.left(but=[output]):
            verdict = "leftovers"
        self.tally.add("concurrent", verdict, lambda: (arguments, None, f"concurrent {n}"))
        self.clean()


# part: whether --kills or --others tells how many, and what one of them is
PARTS = {f"kill-{name}": (True, lambda w, n, name=name: w.kill(name, n)) for name in COMMANDS}
PARTS.update({"size-limit": (False, Writers.limited), "full-disk": (False, Writers.full),
              "read-only": (False, Writers.read_only), "changing-input": (False, Writers.changing),
              "concurrent": (False, Writers.concurrent)})
