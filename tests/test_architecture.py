"""The arrows of ARCHITECTURE.md, the purity of the libraries, the mirror in the tests, and what the files may say."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("ttc_jax", "theory", "experiments", "benchmarks", "examples")
MAY_IMPORT = {
    "ttc_jax": {"ttc_jax"},
    "theory": {"theory"},
    "experiments": {"experiments", "ttc_jax", "theory"},
    "benchmarks": {"benchmarks", "ttc_jax", "theory"},
    "examples": {"ttc_jax", "theory"},
}
# Within a package a module may import only itself and modules of earlier layers.
LAYERS = {
    "ttc_jax": [
        {"_values", "_version"},
        {"_check", "_files"},
        {"normals"},
        {"tasks"},
        {"tokens", "sampling"},
        {"models"},
        {"decoders"},
        {"rollout", "message_passing"},
        {"risk", "records"},
        {"verifiers", "aggregation"},
        {"curves", "training"},
        {"sweep"},
    ],
    "experiments": [{"run"}, {"page"}, {"families", "records"}, {"studies"}, {"command"}],
    "theory": [
        {"_evaluate", "_quadrature"},
        {"_arguments"},
        {"results"},
        {"chains", "answers", "records"},
        {"selection", "pretraining"},
        {"bayes"},
        {"binary", "planning"},
    ],
}
MOST_ROOMS = 12
MIRRORED = ("ttc_jax", "theory", "experiments")
# The studies are run by tests/agreement/test_studies.py; a contract is that of a whole package.
WITHOUT_TESTS_OF_THEIR_OWN = {"ttc_jax/_version.py"}


def modules(package):
    return sorted((ROOT / package).rglob("*.py"))


def imported(path):
    """Names of the modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_what_they_may(package):
    forbidden = set(PACKAGES) - MAY_IMPORT[package]
    for path in modules(package):
        assert not {name.split(".")[0] for name in imported(path)} & forbidden, path


def own_module(package, name):
    """The module of a package that an imported name means; None if it is another package's, or the package itself."""
    parts = name.split(".")
    inside = [ROOT.joinpath(package, *parts[1:2]).with_suffix(".py"), ROOT.joinpath(package, *parts[1:2], "__init__.py")]
    return parts[1] if parts[0] == package and len(parts) > 1 and any(path.exists() for path in inside) else None


@pytest.mark.parametrize("package", LAYERS)
def test_modules_import_only_downwards(package):
    layers = LAYERS[package]
    for path in modules(package):
        module = path.relative_to(ROOT / package).with_suffix("").parts[0]
        if module == "__init__":
            continue
        place = next(index for index, layer in enumerate(layers) if module in layer)
        allowed = set().union({module, None}, *layers[:place])
        wrong = {name for name in imported(path) if own_module(package, name) not in allowed}
        assert not wrong, f"{path} imports {wrong}"


@pytest.mark.parametrize("package", LAYERS)
def test_every_module_has_a_layer(package):
    found = {path.relative_to(ROOT / package).with_suffix("").parts[0] for path in modules(package)} - {"__init__"}
    assert found == set().union(*LAYERS[package])


@pytest.mark.parametrize("package", ["theory", "experiments"])
def test_the_top_level_of_a_package_is_small(package):
    rooms = {path.relative_to(ROOT / package).with_suffix("").parts[0] for path in modules(package)} - {"__init__"}
    assert len(rooms) <= MOST_ROOMS


def test_imports_have_no_circle():
    graph = {}
    for package in PACKAGES:
        for path in modules(package):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            graph[name] = set(imported(path))
    known = set(graph)
    graph = {name: {target for target in targets if target in known and target != name} for name, targets in graph.items()}
    # A package's __init__ gathers its modules; a module that names its package means the modules it uses.
    graph = {name: {t for t in targets if not name.startswith(t + ".")} for name, targets in graph.items()}
    while leaves := {name for name, targets in graph.items() if not targets & set(graph)}:
        graph = {name: targets for name, targets in graph.items() if name not in leaves}
    assert not graph, f"modules in or above a circle: {sorted(graph)}"


@pytest.mark.parametrize("package", MIRRORED)
def test_tests_mirror_the_package(package):
    """Each module has the test file of its name, without the underscore of a private one, and each test file its module."""
    required, possible = set(), {f"tests/{package}/test_contract.py"}
    for path in modules(package):
        module = path.relative_to(ROOT)
        if path.name == "__init__.py" or str(module) in WITHOUT_TESTS_OF_THEIR_OWN:
            continue
        test = f"tests/{module.parent}/test_{module.name.removeprefix('_')}"
        assert test not in possible, f"two modules have the test file {test}"
        possible.add(test)
        if module.parent != Path("experiments", "studies"):
            required.add(test)
    found = {str(path.relative_to(ROOT)) for path in (ROOT / "tests" / package).rglob("test_*.py")}
    assert required <= found, f"modules without a test file: {sorted(required - found)}"
    assert found <= possible, f"test files without a module: {sorted(found - possible)}"


@pytest.mark.parametrize("package", ["ttc_jax", "theory"])
def test_libraries_have_no_side_effects(package):
    for path in modules(package):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in {"print", "jax.config.update", "jax.devices", "jax.device_put"}, f"{path}: {called}"
        for node in tree.body:  # nothing is compiled at import
            decorators = getattr(node, "decorator_list", [])
            assert not any("jit" in ast.unparse(decorator) for decorator in decorators), path
            if isinstance(node, ast.Assign):
                assert "jit" not in ast.unparse(node.value), path


def test_importing_the_libraries_touches_no_device():
    code = "import jax, ttc_jax, theory; from jax._src import xla_bridge; assert not xla_bridge.backends_are_initialized()"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_help_imports_nothing_heavy():
    code = "import sys, experiments.command.cli; assert not {'jax', 'xarray', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_every_dependency_is_justified():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    page = (ROOT / "ARCHITECTURE.md").read_text()
    for requirement in project["dependencies"]:
        name = re.match(r"[\w-]+", requirement)[0]
        assert f"| {name} |" in page, name
