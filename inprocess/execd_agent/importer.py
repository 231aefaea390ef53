"""The `import` of the agent's modules.

They live in a private table, never in sys.modules; a module of the standard library is taken only when it is that.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, ModuleType
    from typing import Any

_PACKAGE = "execd_agent"
# How often a thread in our code is waited for; in it may be a tool of the program's that takes its time.
_TURNS = 100
_TURN_S = 0.0005
# What programs replace in modules that we need, so that tests travel in time.
_CLOCKS = ("perf_counter_ns", "thread_time_ns", "clock_gettime_ns")


def empty(kind: type) -> None:
    """Take a class's functions from it; every class is a cycle, and would keep their code alive."""
    for name, member in list(vars(kind).items()):
        if type(member) in (type(empty), property):
            delattr(kind, name)


class PrivateImporter:
    """The `__import__` of the agent's modules: ours from memory, the standard library's from where it belongs.

    A name is never searched on sys.path or by sys.meta_path: there a program's own json.py would be found first.

    Args:
        frozen: the namespace of importlib._bootstrap.
        modules: the agent's modules, by name.
        decode: makes the code object of one, by name.
        hurry: shortens the switch interval while the GIL is given away, see haste.py.
    """

    def __init__(
        self, frozen: dict[str, Any], modules: dict[str, Any], decode: Callable[[str], CodeType], hurry: Any
    ) -> None:
        self.frozen = frozen
        self.modules = modules
        self.decode = decode
        self.hurry = hurry
        self.private: dict[str, ModuleType] = {}
        self.loaded: list[str] = []
        sys = self.frozen["sys"]
        self.module_type = type(sys)
        # Those that launch.py has looked at.
        builtins: Any = __builtins__
        self.builtins = dict(builtins)
        self.builtins["__import__"] = self
        # The statement is the compiler's; the module would be one more to load.
        self.future: ModuleType = self.module_type("__future__")
        self.future.__dict__["annotations"] = None
        external = self.frozen["_bootstrap_external"]
        # Those that the import system itself holds, whatever a program did to sys.modules.
        self.held = {name: self.frozen[name] for name in ("sys", "_thread", "_warnings")}
        self.held["posix"] = external._os

    def __call__(self, name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:  # noqa: A002
        """Do what the import statement asks for."""
        if type(fromlist) is list:
            # Not a statement of ours: C code of the target's, in a finalizer or a pending call that came within our
            # code, imports by the builtins of whichever frame it finds (PyImport_Import).
            return self.frozen["__builtins__"]["__import__"](name, globals, locals, fromlist, level)
        if name.partition(".")[0] != _PACKAGE:
            return self.standard(name)
        module = self.load(name)
        for item in fromlist or ():
            if name + "." + item in self.modules:
                setattr(module, item, self.load(name + "." + item))
        return module if fromlist else self.private[_PACKAGE]

    def load(self, name: str) -> ModuleType:
        """Return a module of the agent, executed once."""
        module = self.private.get(name)
        if module is None:
            module = self.private[name] = self.module_type(name)
            module.__dict__["__builtins__"] = self.builtins
            try:
                exec(self.decode(name), module.__dict__)  # noqa: S102 - this is an importer
            except BaseException:
                del self.private[name]
                raise
        return module

    def standard(self, name: str) -> ModuleType:
        """Return a module of the standard library. Raises ImportError where the interpreter has none."""
        sys = self.frozen["sys"]
        if name == "__future__":
            return self.future
        if name in self.held:
            return self.held[name]  # type: ignore[no-any-return]
        present = sys.modules.get(name)
        if present is not None and self.is_standard(present):
            return present  # type: ignore[no-any-return]
        self.hurry(on=True)
        try:
            return self.fresh(name, present)
        finally:
            self.hurry(on=False)

    def fresh(self, name: str, present: Any) -> ModuleType:
        """Return a module of the standard library made anew, beside one of its name that is not the library's."""
        sys = self.frozen["sys"]
        if name in sys.builtin_module_names:
            spec = self.frozen["BuiltinImporter"].find_spec(name)
        else:
            spec = self.extension_spec(name)
        if spec is None:
            raise ImportError(name)
        before = set(sys.modules)
        # Not by way of sys.modules: another thread, or a child forked meanwhile, would find it half made.
        module = self.frozen["module_from_spec"](spec)
        spec.loader.exec_module(module)
        if present is not None:
            sys.modules[name] = present
        else:
            sys.modules.setdefault(name, module)
        # An extension module may import others at its start: array takes collections.abc along.
        self.loaded += [loaded for loaded in list(sys.modules) if loaded not in before]
        return module  # type: ignore[no-any-return]

    def is_standard(self, module: Any) -> bool:
        """Tell whether a module of sys.modules is the interpreter's own."""
        spec = getattr(module, "__spec__", None)
        origin = getattr(spec, "origin", None)
        if getattr(spec, "name", None) == "time" and not self.has_clocks(module):
            return False
        if origin in ("built-in", "frozen"):
            return True
        return isinstance(origin, str) and origin.startswith(self.extensions_directory())

    def has_clocks(self, time: Any) -> bool:
        """Tell whether the clocks of the time module are the interpreter's own."""
        return all(type(vars(time).get(name)) is type(exec) for name in _CLOCKS)

    def extensions_directory(self) -> str:
        """Return the standard library's lib-dynload, with a slash at its end."""
        sys = self.frozen["sys"]
        version = "python%d.%d" % tuple(sys.version_info[:2])
        return str(sys.base_exec_prefix + "/" + sys.platlibdir + "/" + version + "/lib-dynload/")

    def forget(self, pause: Any) -> None:
        """Free the agent's modules now: they are full of cycles, and when to collect those is the target's affair.

        Called with all hooks off, so that a thread that is not in the agent's code can not come there any more; one
        that is leaves it soon, and is waited for with `pause`, a lock that nobody lets go of.
        """
        try:
            turns = _TURNS
            while self.is_running():
                if not turns:
                    return
                turns -= 1
                pause.acquire(True, _TURN_S)
        except Exception:  # noqa: BLE001 - an audit hook of the target's: its collector frees the modules one day
            return
        for module in self.private.values():
            for value in list(module.__dict__.values()):
                if isinstance(value, type) and value.__module__ == module.__name__:
                    empty(value)
            module.__dict__.clear()
        self.private.clear()
        self.modules.clear()
        # The at-fork stub, which stays, keeps this namespace.
        self.builtins.pop("__import__", None)
        empty(type(self))

    def is_running(self) -> bool:
        """Tell whether any thread but this one is inside of the agent's modules."""
        sys = self.frozen["sys"]
        # How this is done is said in frames.py.
        all_frames = iter(sys._current_frames, None)
        for ident in next(map(set, all_frames)):
            frame = next(map(dict.get, all_frames, (ident,)))
            if frame is sys._getframe():
                frame = None
            while frame is not None:
                if frame.f_code.co_filename.startswith("<" + _PACKAGE):
                    return True
                frame = frame.f_back
        return False

    def extension_spec(self, name: str) -> Any:
        """Return the spec of an extension module that lies in the standard library's own directory."""
        external = self.frozen["_bootstrap_external"]
        for suffix in self.frozen["_imp"].extension_suffixes():
            path = self.extensions_directory() + name + suffix
            try:
                external._os.stat(path)
            except OSError:
                continue
            loader = external.ExtensionFileLoader(name, path)
            return external.spec_from_file_location(name, path, loader=loader)
        return None
