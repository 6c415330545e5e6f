"""Damaged files of every format, put through every command that reads them."""
import os
import random
import shutil
import subprocess
import zipfile

import mutate
from formats import Archive, floats, fvecs, model_folder, npy, read, read_safetensors, write

HUNG_MS = 5000  # computing of a run; undamaged, all take less than 100 ms
TEXT = "the cat and the hat. a bad deed, the heel. he had the lace.\n" * 4


class Server:
    """occ_serve (serve.cc) in the working directory."""

    def __init__(self, program):
        environment = dict(os.environ, OPENBLAS_NUM_THREADS="1", XDG_CACHE_HOME=os.path.abspath("cache"))
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=environment)

    def run(self, arguments):
        """Exit status, signal, milliseconds of computing."""
        self.process.stdin.write("\x1f".join(arguments) + "\n")
        self.process.stdin.flush()
        return [int(x) for x in self.process.stdout.readline().split()][:3]


def make_files(occ):
    """Undamaged files, in the working directory."""
    def run(*arguments):
        subprocess.run([occ, *arguments, "--quiet", "--threads", "1"], check=True)

    model_folder("folder")
    run("decompress", "folder", "-o", "model.gguf")
    run("compress", "folder", "-o", "auto.occ", "--bits", "5", "--no-calibrate")
    run("compress", "folder", "-o", "rtn.occ", "--method", "rtn", "--bits", "4", "--no-calibrate")
    write("c.npy", npy(floats(60 * 20), [60, 20]))
    write("f.npy", npy(floats(60 * 20), [60, 20], fortran=True))
    write("x.fvecs", fvecs(60, 20))
    for name, how in (("stored.npz", zipfile.ZIP_STORED), ("deflated.npz", zipfile.ZIP_DEFLATED)):
        with zipfile.ZipFile(name, "w") as z:
            z.writestr("a.npy", read("c.npy"), how)
            z.writestr("b.npy", read("f.npy"), how)
    for recipe, name in (("signs > hadamard > uniform > rans", "array1.occ"), ("polar > rans", "array2.occ"),
                         ("lowrank(rank=2) > {left: uniform > rans; right: uniform > rans} + uniform > rans", "array3.occ"),
                         ("trellis(states=8) > rans", "array4.occ")):
        code = subprocess.run([occ, "compress", "x.fvecs", "-o", name, "--recipe", recipe, "--quiet"],
                              stderr=subprocess.DEVNULL).returncode
        if code:
            raise SystemExit(f"{recipe}: exit status {code}")
    write("text", TEXT.encode())


MODEL = [["inspect", "@", "--json"], ["inspect", "@", "--verbose"], ["decompress", "@", "-o", "y.safetensors", "--no-sync"],
         ["decompress", "@", "-o", "y", "--no-sync"], ["decompress", "@", "-o", "y.gguf", "--no-sync"],
         ["generate", "@", "--prompt", "the a", "-n", "2", "--quiet"],
         ["generate", "@", "--prompt", "the a", "-n", "2", "--arithmetic", "f32", "--chat", "--quiet"],
         ["evaluate", "@", "--text", "text", "--context", "16", "--json"], ["compare", "@", "folder", "--json"],
         ["analyze", "@", "--json"], ["tokenize", "@", "--prompt", "the a\u00e9", "--json"],
         ["compress", "@", "-o", "y.occ", "--method", "rtn", "--no-calibrate", "--no-sync", "--quiet"]]
ARRAY = [["inspect", "@", "--json"], ["decompress", "@", "-o", "y.safetensors", "--no-sync"],
         ["decompress", "@", "-o", "y.npy", "--no-sync"], ["compare", "@", "x.fvecs", "--json"], ["analyze", "@", "--json"],
         ["compress", "@", "-o", "y.occ", "--method", "rtn", "--no-sync", "--quiet"]]
VERIFY = [["verify", "@"], ["inspect", "@", "--limits", "--json"]]

# format: files, what damages them, commands, whether the values are protected by checksums
FORMATS = {
    "folder": (["folder"], None, MODEL, False),
    "gguf": (["model.gguf"], mutate.gguf, MODEL, False),
    "npy": (["c.npy", "f.npy"], mutate.npy_file, ARRAY, False),
    "npz": (["stored.npz", "deflated.npz"], mutate.npz, ARRAY, False),
    "fvecs": (["x.fvecs"], mutate.fvecs, ARRAY, False),
    "archive": (["auto.occ", "rtn.occ"], mutate.archive, MODEL + VERIFY, True),
    "array-archive": ([f"array{i}.occ" for i in range(1, 5)], mutate.archive, ARRAY + VERIFY, True),
    "repaired": (["auto.occ", "rtn.occ"], mutate.repaired, MODEL + VERIFY, False),
    "array-repaired": ([f"array{i}.occ" for i in range(1, 5)], mutate.repaired, ARRAY + VERIFY, False),
}


def remove(path):
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.remove(path)


def content(path):
    """Everything in a file or folder."""
    if os.path.isdir(path):
        return {name: content(f"{path}/{name}") for name in sorted(os.listdir(path))}
    return read(path) if os.path.exists(path) else None


class Mutants:
    def __init__(self, occ, server_program, seed, tally):
        self.seed, self.tally = seed, tally
        make_files(occ)
        self.server = Server(server_program)
        self.names = set(os.listdir(".")) | {"out", "err", "cache"}
        self.good = {}

    def damage(self, kind, n, source):
        """Writes mutant n of a format and returns its path."""
        rng = random.Random(f"{self.seed} {kind} {n}")
        if kind != "folder":
            path = "mutant" + os.path.splitext(source)[1]
            write(path, FORMATS[kind][1](read(source), rng))
            return path
        remove("mutant")
        shutil.copytree(source, "mutant")
        name = rng.choice(["config.json", "config.json", "tokenizer.json", "tokenizer.json", "tokenizer_config.json",
                           "model.safetensors", "model.safetensors"])
        data = read(f"mutant/{name}")
        change = mutate.safetensors if name == "model.safetensors" else mutate.change_json
        write(f"mutant/{name}", change(data, rng))
        return "mutant"

    def run(self, command, path):
        """Runs a command on a file under the name it has as a mutant. What it did: status, stdout, output."""
        arguments = [path if a == "@" else a for a in command] + ["--threads", "1"]
        status, signal, cpu = self.server.run(arguments)
        output = arguments[arguments.index("-o") + 1] if "-o" in arguments else None
        return status, signal, cpu, read("out"), content(output) if output and status == 0 else None, output

    def remove_outputs(self):
        for output in ("y", "y.occ", "y.npy", "y.gguf", "y.safetensors"):
            remove(output)

    def undamaged(self, command, source, path):
        """What the command says of the undamaged file."""
        key = (source, *command)
        if key not in self.good:
            aside = None
            if os.path.exists(path):
                aside = path + ".aside"
                os.rename(path, aside)
            (shutil.copytree if os.path.isdir(source) else shutil.copyfile)(source, path)
            self.remove_outputs()  # what they held is known already
            self.good[key] = self.run(command, path)
            remove(path)
            self.remove_outputs()
            if aside:
                os.rename(aside, path)
        return self.good[key]

    def judge(self, kind, command, source, path, result):
        """None for a clean error, True for a success, or what is wrong."""
        status, signal, cpu, stdout, output, name = result
        if signal:
            return "hung" if cpu > HUNG_MS else "crashed"
        if cpu > HUNG_MS:
            return "hung"
        if status != 0:
            error = [line for line in read("err").splitlines() if not line.startswith((b"warning: ", b"note: "))]
            if status != 3:
                # Some outputs cannot hold what is in the file: two arrays in .npy, odd names in .gguf. And there may be
                # nothing that can be coded, which `analyze` says of its arguments.
                usage = status == 2 and ("-o" in command or command[0] == "analyze")
                # An archive of a few bytes can say that its tensors are larger than the machine.
                large = b"not enough disk space" in error[0] or (kind.endswith("repaired") and b"out of memory" in error[0])
                if not usage and not large:
                    return f"exit status {status}"
            elif len(error) != 1 or not error[0].startswith(b"error: "):
                return "not one line of error"
            elif b"mutant" not in error[0] and b"the model" not in error[0]:
                return "error without the name of the file"
            return None
        if FORMATS[kind][3]:
            good = self.undamaged(command, source, path)
            if (stdout, output) != (good[3], good[4]):
                return "silently wrong"
        if kind.endswith("repaired") and name == "y.safetensors":
            good = read_safetensors(self.undamaged(command, source, path)[4])[0]
            ours = read_safetensors(output)[0]
            coded = self.coded(source)
            if any(ours[t][2] != good[t][2] for t in ours if t in coded):
                return "silently wrong"
        if kind == "folder" and name == "y.safetensors" and read_safetensors(output)[0] != read_safetensors(
                read(f"{path}/model.safetensors"))[0]:
            return "silently wrong"
        return True

    def coded(self, source):
        return {r["name"] for r in Archive(read(source)).index["tensors"] if "recipe" in r}

    def one(self, kind, n, most_commands):
        """Mutant n of a format."""
        sources, _, commands, _ = FORMATS[kind]
        rng = random.Random(f"{self.seed} commands {kind} {n}")
        source = rng.choice(sources)
        path = self.damage(kind, n, source)
        for command in rng.sample(commands, min(most_commands, len(commands))):
            result = self.run(command, path)
            verdict = self.judge(kind, command, source, path, result)
            left = set(os.listdir(".")) - self.names - {path, result[5]}
            if verdict is None and result[0] == 1:
                left.discard(f"{result[5]}.part")  # Without disk or memory the finished tensors stay, for --resume.
            output_of_error = verdict is None and result[5] and os.path.exists(result[5])
            if left or output_of_error:
                verdict = "leftovers"
            self.tally.add(kind, verdict, lambda: (command, path, f"{kind} {n}"))
            for name in left | {result[5] or path + "-", f"{result[5]}.part"}:
                remove(name)
        remove(path)
