"""The first code of the agent's own thread: receives the agent's modules over the channel and runs them.

The modules live in a private table, never in sys.modules; their imports go through `PrivateImporter`, which takes a
module of the standard library only when it is that. Executed with `frozen` and `settings` as globals (see launch.py).
settings: descriptor (our end of the channel), peer (the daemon's end, taken over by now), marker (an open memfd);
usual_s and short_s (switch intervals, see haste.py). `close`, which closes what is ours, is added.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    frozen: dict[str, Any]
    settings: dict[str, Any]

_PACKAGE = "execd_agent"


class PrivateImporter:
    """The `__import__` of the agent's modules: ours from memory, the standard library's from where it belongs.

    A name is never searched on sys.path or by sys.meta_path: there a program's own json.py would be found first.
    """

    def __init__(self, sources: dict[str, str]) -> None:
        self.sources = sources
        self.private: dict[str, ModuleType] = {}
        self.loaded: list[str] = []
        sys = frozen["sys"]
        self.module_type = type(sys)
        self.builtins = dict(frozen["__builtins__"])
        self.builtins["__import__"] = self
        # The statement is the compiler's; the module would be one more to load.
        self.future: ModuleType = self.module_type("__future__")
        self.future.__dict__["annotations"] = None

    def __call__(self, name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:  # noqa: A002, ARG002
        """Do what the import statement asks for."""
        if name.partition(".")[0] != _PACKAGE:
            return self.standard(name)
        module = self.load(name)
        for item in fromlist or ():
            if name + "." + item in self.sources:
                setattr(module, item, self.load(name + "." + item))
        return module if fromlist else self.private[_PACKAGE]

    def load(self, name: str) -> ModuleType:
        """Return a module of the agent, executed once."""
        module = self.private.get(name)
        if module is None:
            module = self.private[name] = self.module_type(name)
            module.__dict__["__builtins__"] = self.builtins
            code = compile(self.sources[name], "<" + name + ">", "exec", dont_inherit=True)
            exec(code, module.__dict__)  # noqa: S102 - this is an importer
        return module

    def standard(self, name: str) -> ModuleType:
        """Return a module of the standard library. Raises ImportError where the interpreter has none."""
        sys = frozen["sys"]
        if name == "__future__":
            return self.future
        present = sys.modules.get(name)
        if present is not None and self.is_standard(present):
            return present  # type: ignore[no-any-return]
        if name in sys.builtin_module_names:
            spec = frozen["BuiltinImporter"].find_spec(name)
        else:
            spec = self.extension_spec(name)
        if spec is None:
            raise ImportError(name)
        before = set(sys.modules)
        module = frozen["_load_unlocked"](spec)
        if present is not None:
            sys.modules[name] = present
        # An extension module may import others at its start: array takes collections.abc along.
        self.loaded += [loaded for loaded in list(sys.modules) if loaded not in before]
        return module  # type: ignore[no-any-return]

    def is_standard(self, module: Any) -> bool:
        """Tell whether a module of sys.modules is the interpreter's own."""
        spec = getattr(module, "__spec__", None)
        origin = getattr(spec, "origin", None)
        if origin in ("built-in", "frozen"):
            return True
        return isinstance(origin, str) and origin.startswith(self.extensions_directory())

    def extensions_directory(self) -> str:
        """Return the standard library's lib-dynload, with a slash at its end."""
        sys = frozen["sys"]
        version = "python%d.%d" % tuple(sys.version_info[:2])
        return str(sys.base_exec_prefix + "/" + sys.platlibdir + "/" + version + "/lib-dynload/")

    def forget(self) -> None:
        """Free the agent's modules now: they are full of cycles, and when to collect those is the target's affair.

        Called with all hooks off, so that a thread that is not in the agent's code can not come there any more.
        """
        if self.is_running():
            return
        for module in self.private.values():
            module.__dict__.clear()
        self.private.clear()
        self.sources.clear()
        # The at-fork stub, which stays, keeps this namespace.
        self.builtins.pop("__import__", None)

    def is_running(self) -> bool:
        """Tell whether any thread is inside of the agent's modules."""
        for top in frozen["sys"]._current_frames().values():
            frame = top
            while frame is not None:
                if frame.f_code.co_filename.startswith("<" + _PACKAGE):
                    return True
                frame = frame.f_back
        return False

    def extension_spec(self, name: str) -> Any:
        """Return the spec of an extension module that lies in the standard library's own directory."""
        external = frozen["sys"].modules["_frozen_importlib_external"]
        posix = frozen["sys"].modules["posix"]
        for suffix in frozen["_imp"].extension_suffixes():
            path = self.extensions_directory() + name + suffix
            try:
                posix.stat(path)
            except OSError:
                continue
            loader = external.ExtensionFileLoader(name, path)
            return external.spec_from_file_location(name, path, loader=loader)
        return None


def receive(descriptor: int) -> str:
    """Return the text that the daemon sends first: 8 hexadecimal digits of its length, then UTF-8."""
    read = frozen["sys"].modules["posix"].read

    def exactly(count: int) -> bytes:
        parts = []
        while count:
            part = read(descriptor, count)
            if not part:
                raise EOFError
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    return exactly(int(exactly(8), 16)).decode()


def identity(descriptor: int) -> tuple[int, int] | None:
    """Return what tells an open file from others, None where the number is not open."""
    try:
        facts = frozen["sys"].modules["posix"].fstat(descriptor)
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def closer(descriptors: tuple[int, ...]) -> Any:
    """Return a function that closes them, but none that the target has closed and opened as a file of its own."""
    ours = [(descriptor, identity(descriptor)) for descriptor in descriptors]

    def close() -> None:
        for descriptor, file in ours:
            if file is not None and identity(descriptor) == file:
                frozen["sys"].modules["posix"].close(descriptor)

    return close


def main() -> None:
    """Run the agent until the channel closes. Nothing may surface: this thread's errors are nobody's in the target."""
    sys = frozen["sys"]
    # The channel last: when the daemon sees it closed, nothing of ours is open any more.
    settings["close"] = closer((settings["marker"], settings["descriptor"]))
    importer = None
    try:
        sys.modules["posix"].close(settings["peer"])
        # Not hostile: the daemon could as well have sent code.
        sources = eval(receive(settings["descriptor"]), {"__builtins__": {}})  # noqa: S307
        importer = PrivateImporter(sources)
        importer.load(_PACKAGE)
        importer.load(_PACKAGE + ".agent").run(settings, importer)
    except BaseException:  # noqa: BLE001, S110 - the daemon sees the closed channel; the target must see nothing
        pass
    finally:
        if sys.getswitchinterval() == settings["short_s"]:
            sys.setswitchinterval(settings["usual_s"])
        if importer:
            importer.forget()
        settings["close"]()


main()
