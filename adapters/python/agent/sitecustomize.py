# Load the harness agent, then behave as if this file did not exist. Must parse on every Python from 2.7 on: they all read
# PYTHONPATH, and a child process of the target may be any of them. The agent itself needs 3.8.


def _load_agent(here):
    import os
    import sys

    if sys.version_info < (3, 8) or "HARNESS_RECORDS" not in os.environ or "_harness_agent" in sys.modules:
        return
    try:
        # importlib would cost a millisecond; its two halves are frozen into the interpreter and always loaded.
        from _frozen_importlib import ModuleSpec, module_from_spec
        from _frozen_importlib_external import SourceFileLoader

        directory = os.path.join(os.path.dirname(here), "agent")
        path = os.path.join(directory, "__init__.py")
        loader = SourceFileLoader("_harness_agent", path)
        spec = ModuleSpec("_harness_agent", loader, origin=path, is_package=True)
        spec.submodule_search_locations = [directory]
        package = module_from_spec(spec)
        sys.modules["_harness_agent"] = package
        loader.exec_module(package)
        __import__("_harness_agent.boot", None, None, ["install"], 0).install(here)
    except BaseException as error:  # whatever it is, the target must start
        try:
            os.write(2, ("harness agent: not loaded: %r\n" % (error,)).encode("utf-8", "replace"))
        except OSError:
            pass


def _hide(here):
    # The environment keeps the directory, so that child processes get the agent; this process forgets it.
    import os
    import sys

    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry or ".") != here]
    for key in [key for key in sys.path_importer_cache if os.path.realpath(key) == here]:
        del sys.path_importer_cache[key]


def _chain():
    # Run the sitecustomize that would have been found without us. Its errors go to site.py exactly as they would have.
    import sys

    if sys.version_info < (3, 5):
        import imp

        try:
            found = imp.find_module("sitecustomize", sys.path)
        except ImportError:
            return
        imp.load_module("sitecustomize", *found)
        return
    from _frozen_importlib import module_from_spec
    from _frozen_importlib_external import PathFinder

    spec = PathFinder.find_spec("sitecustomize", sys.path)
    if spec is None or spec.loader is None:
        return  # our own entry stays in sys.modules: importlib looks for it there when this file has run
    module = module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


def _boot():
    import os
    import sys

    here = os.path.dirname(os.path.realpath(__file__))
    _load_agent(here)
    _hide(here)
    try:
        _chain()
    finally:
        boot = sys.modules.get("_harness_agent.boot")
        if boot is not None:
            boot.keep_first(os.environ)  # a chained agent may have put its own directory in front


_boot()
