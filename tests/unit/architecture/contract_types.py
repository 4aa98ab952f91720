"""Two kinds of import contract that hold for modules which do not exist yet: `Confined` and `Sees`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


def _under(module: str, packages: Iterable[str]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


class _Direct(Contract):
    """A contract on direct imports, judged one by one by `broken`."""

    def broken(self, importer: str, imported: str) -> bool:
        """Whether the contract forbids this import."""
        raise NotImplementedError

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        lines = sorted(self._lines(graph))
        return ContractCheck(kept=not lines, metadata={"lines": lines})

    def _lines(self, graph: ImportGraph) -> Iterator[str]:
        for importer in graph.modules:
            for imported in graph.find_modules_directly_imported_by(importer):
                if self.broken(importer, imported):
                    for detail in graph.get_import_details(importer=importer, imported=imported):
                        yield f"{importer} -> {imported} (l.{detail['line_number']})"

    def render_broken_contract(self, check: Any) -> None:
        for line in check.metadata["lines"]:
            output.print_error(f"    {line}", bold=False)
        output.new_line()


class Confined(_Direct):
    """Within the packages of `within`, only those of `only` may import `modules`."""

    type_name = "confined"
    modules = fields.SetField(subfield=fields.StringField())
    within = fields.SetField(subfield=fields.StringField())
    only = fields.SetField(subfield=fields.StringField())

    def broken(self, importer: str, imported: str) -> bool:
        inside = _under(importer, self.within) and not _under(importer, self.only)
        # A confined package may import its own parts.
        return inside and _under(imported, self.modules) and not _under(importer, self.modules)


class Sees(_Direct):
    """Of the packages `of`, the packages of `source` may import `allowed` only (and themselves)."""

    type_name = "sees"
    source = fields.SetField(subfield=fields.StringField())
    of = fields.SetField(subfield=fields.StringField())
    allowed = fields.SetField(subfield=fields.StringField())

    def broken(self, importer: str, imported: str) -> bool:
        governed = _under(importer, self.source) and _under(imported, self.of)
        return governed and not _under(imported, self.allowed) and not _under(imported, self.source)
