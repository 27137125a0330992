"""Reads the documentation of the installed standard library and of Django, without any Django set-up.

``sources`` finds files, ``syntax`` parses them without importing, ``exports`` finds the public name of each
definition, ``live`` looks at C modules, and ``catalog`` puts the records together.
"""

from demo.library.extract.catalog import extract_library
from demo.library.extract.records import LIBRARIES, EntryRecord, LibraryRecords, ModuleRecord

__all__ = ["LIBRARIES", "EntryRecord", "LibraryRecords", "ModuleRecord", "extract_library"]
