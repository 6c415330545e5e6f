"""What a power loss would leave: power_loss.py OUTPUT COMMAND... runs COMMAND, which makes OUTPUT (a file or a folder
in the working directory), under strace, and looks at the disk as it may be after every one of its system calls.

Of a file only what was synced is there. Names are looked at twice: as of the last sync of their folder, and as they are
now, because a file system may write names early. OUTPUT has to be the whole old one or the whole new one each time, or
nothing if there was none; at the end the new one, as far as the disk is concerned. Files OUTPUT.part/*.part, from which
the output is made, may be removed only after that.
"""
import os
import re
import subprocess
import sys
import tempfile

CALLS = ("open,openat,creat,close,dup,fcntl,write,pwrite64,ftruncate,fsync,fdatasync,rename,renameat,renameat2,"
         "unlink,unlinkat,rmdir,mkdir,mkdirat")


class File:
    def __init__(self):
        self.written = self.synced = 0  # number of calls


class Folder:
    def __init__(self):
        self.now, self.durable = {}, {}  # name -> node


def snapshot(path):
    if not os.path.isdir(path) or os.path.islink(path):
        return File()
    folder = Folder()
    folder.now = {name: snapshot(os.path.join(path, name)) for name in os.listdir(path)}
    folder.durable = dict(folder.now)
    return folder


def files_of(node, names, path=""):
    """{path: (file, calls that are on the disk)} by the names of one kind, "now" or "durable"; None for no node."""
    if node is None:
        return None
    if isinstance(node, File):
        return {path: (node, node.synced)}
    return {p: f for name, child in getattr(node, names).items()
            for p, f in files_of(child, names, path + "/" + name).items()}


class Disk:
    def __init__(self):
        self.root = snapshot(".")
        self.descriptors = {}

    def place(self, text, base=None):
        """Folder and name of a path, or None outside the working directory."""
        path = text if base is None or text.startswith("/") else None
        if path is not None:
            path = os.path.relpath(os.path.abspath(path), os.getcwd())
            if path.startswith(".."):
                return None
            if path == ".":
                return Folder(), "."
            parts, folder = path.split("/"), self.root
        else:
            parts, folder = text.split("/"), base
        for part in parts[:-1]:
            folder = folder.now[part]
        return folder, parts[-1]

    def call(self, name, arguments, result):
        texts = re.findall(r'"((?:[^"\\]|\\.)*)"', arguments)
        first = re.match(r"\d+", arguments)
        number = int(first.group()) if first else None
        base = self.descriptors.get(number) if name.endswith("at") and first else None
        if name.endswith("at") and first and base is None:
            return  # in a folder outside
        if name in ("open", "openat", "creat"):
            place = self.place(texts[0], base)
            if place is None:
                self.descriptors.pop(result, None)
                return
            if place[1] == ".":
                self.descriptors[result] = self.root
                return
            if "O_CREAT" in arguments and place[1] not in place[0].now:
                place[0].now[place[1]] = File()
            self.descriptors[result] = place[0].now.get(place[1])
        elif name == "close":
            self.descriptors.pop(number, None)
        elif name == "dup" or (name == "fcntl" and "F_DUPFD" in arguments):
            self.descriptors[result] = self.descriptors.get(number)
        elif name in ("write", "pwrite64", "ftruncate"):
            if isinstance(self.descriptors.get(number), File):
                self.descriptors[number].written += 1
        elif name in ("fsync", "fdatasync"):
            node = self.descriptors.get(number)
            if isinstance(node, File):
                node.synced = node.written
            elif node is not None:
                node.durable = dict(node.now)
        elif name.startswith("rename"):
            (a, x), (b, y) = self.place(texts[0]), self.place(texts[1])
            if "RENAME_EXCHANGE" in arguments:
                a.now[x], b.now[y] = b.now[y], a.now[x]
            else:
                b.now[y] = a.now.pop(x)
        elif name in ("unlink", "unlinkat", "rmdir"):
            folder, last = self.place(texts[0], base)
            folder.now.pop(last)
        elif name in ("mkdir", "mkdirat"):
            folder, last = self.place(texts[0], base)
            folder.now[last] = Folder()


def calls_of(command):
    with tempfile.NamedTemporaryFile("r") as log:
        run = subprocess.run(["strace", "-f", "-s", "0", "-e", "trace=" + CALLS, "-o", log.name] + command)
        unfinished = {}
        for line in log:
            pid, text = line.rstrip("\n").split(None, 1)
            if text.endswith("<unfinished ...>"):
                unfinished[pid] = text[:-len("<unfinished ...>")]
                continue
            resumed = re.match(r"<\.\.\. \w+ resumed>(.*)", text)
            if resumed:
                text = unfinished.pop(pid) + resumed.group(1)
            match = re.match(r"(\w+)\((.*)\)\s+= (\d+)", text)
            if match:
                yield match.group(1), match.group(2), int(match.group(3)), text
        if run.returncode != 0:
            sys.exit(f"FAILED: exit status {run.returncode}")


def main():
    output, command = sys.argv[1], sys.argv[2:]
    disk = Disk()
    look = lambda names: files_of(getattr(disk.root, names).get(output), names)
    old = look("durable")
    seen = []  # (call, what stands under OUTPUT, whether it has to be the new one)
    for name, arguments, result, text in calls_of(command):
        removes_part = name.startswith("unlink") and re.search(r'\.part"', arguments)
        if removes_part:
            seen.append((text, look("durable"), True))
        disk.call(name, arguments, result)
        seen += [(text, look(names), False) for names in ("now", "durable")]
    new = {path: (file, file.written) for path, (file, _) in look("now").items()}
    seen.append(("the end", look("durable"), True))
    for text, found, must_be_new in seen:
        if found != new and (must_be_new or found != old):
            sys.exit(f"FAILED: a power loss after this call leaves neither the old output nor the new one: {text}")
    print(f"{len(seen)} states of the disk, {len(new)} files")


if __name__ == "__main__":
    main()
