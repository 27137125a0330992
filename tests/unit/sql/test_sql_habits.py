"""What every SQL file has to keep; see docs on contributing. pgspot looks for unsafe names besides (make lint)."""

import ast
import re
from pathlib import Path

import pglast
import pytest
from pglast import ast as sql_ast
from pglast.enums import ObjectType

from tests.unit.sql.rendering import BODIES, SQL, check_syntax, rendered

RENDERED = dict(rendered())
PACKAGE = SQL.parent / "django_app" / "pgknowbase"
# The first resolves names in the path of the session that migrates, which is what it pins for the triggers. Most others
# are inlined, and their names are resolved when they are created.
WITHOUT_SEARCH_PATH = {
    "pgknowbase_trigger_secure_v1",
    "pgknowbase_filter_v1",
    "pgknowbase_matches_filter",
    "pgknowbase_tokenize_ascii",
    "pgknowbase_meets_conditions",
    "pgknowbase_chunk_offsets",
    "pgknowbase_ef_search_v1",
    "pgknowbase_vector_key",
    "pgknowbase_relay_wait_v1",  # Postgres lets no procedure with a SET commit
}
OWN_OBJECT = re.compile(r"pgknowbase_[a-z0-9_]+")
LONGEST_NAME = 63
# A helper of the searches that one query asks too: it runs in commands of this release alone, and in no old worker.
INLINED = {"pgknowbase_matches_filter"}
# Of use in psql, though neither queries.sql nor a trigger calls them.
FOR_PSQL = {"pgknowbase_tokenize_document_v1"}
STARTS_LIKE_SQL = re.compile(r"\s*(WITH|SELECT|INSERT|UPDATE|DELETE|CREATE|DROP|ALTER|COPY|LOCK|COMMENT|TRUNCATE)\s")
LINE = 120


def statements(path):
    return [raw.stmt for raw in pglast.parse_sql(RENDERED[path])]


def created(path):
    """(name, statement) of each function, table, view and index of the file."""
    for statement in statements(path):
        match statement:
            case sql_ast.CreateFunctionStmt():
                yield statement.funcname[-1].sval, statement
            case sql_ast.CreateStmt():
                yield statement.relation.relname, statement
            case sql_ast.CreateTrigStmt():
                yield statement.trigname, statement
            case sql_ast.ViewStmt():
                yield statement.view.relname, statement
            case sql_ast.CompositeTypeStmt():
                yield statement.typevar.relname, statement
            case sql_ast.IndexStmt():
                yield statement.idxname, statement


FUNCTIONS = [
    pytest.param(statement, id=path.removesuffix(".sql"))
    for path in RENDERED
    for _, statement in created(path)
    if isinstance(statement, sql_ast.CreateFunctionStmt)
]


def options(function):
    return {option.defname: option.arg for option in function.options if option.defname != "set"}


def settings(function):
    return {option.arg.name: option.arg for option in function.options if option.defname == "set"}


def is_trigger(function):
    return not function.is_procedure and function.returnType.names[-1].sval == "trigger"


@pytest.mark.parametrize("path", RENDERED)
def test_syntax(path):
    check_syntax(RENDERED[path])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_says_what_it_is(function):
    stated = options(function)
    assert {"language", "security"} <= stated.keys()
    assert function.is_procedure or "volatility" in stated
    assert function.is_procedure or is_trigger(function) or "parallel" in stated


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_whose_plan_looks_dear_switches_the_compiler_off(function):
    """Above jit_above_cost each statement is compiled: paths that are switched off cost that much before Postgres 18,
    and functions in a join of a search are taken for a thousand rows each."""
    stated = settings(function)
    switched = {name for name in stated if name.startswith("enable_")}
    joins = function.funcname[-1].sval.startswith("pgknowbase_search_") and "search_binary" not in str(
        function.funcname
    )
    assert not (switched or joins) or "jit" in stated


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_pins_its_search_path(function):
    name = function.funcname[-1].sval
    assert ("search_path" in settings(function)) is (name not in WITHOUT_SEARCH_PATH)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_runs_as_its_caller(function):
    definer = options(function)["security"].boolval
    captures = is_trigger(function) and not OWN_OBJECT.fullmatch(function.funcname[-1].sval)
    assert definer is captures, "only the triggers of users' tables write what their caller may not"


@pytest.mark.parametrize("operation", BODIES)
def test_trigger_function_is_secured_at_once(operation):
    function, secure, *_ = statements(f"10_capture/capture_v1.{operation}.sql")
    (target,) = secure.targetList
    assert target.val.funcname[-1].sval == "pgknowbase_trigger_secure_v1"
    assert target.val.args[0].val.sval == function.funcname[-1].sval


@pytest.mark.parametrize("path", [path for path in RENDERED if "/pgknowbase_" in path])
def test_one_object_with_the_name_of_its_file(path):
    name = Path(path).stem
    objects = list(created(path))
    assert [n for n, s in objects if not isinstance(s, sql_ast.IndexStmt)] == [name]
    for own, statement in objects:
        assert OWN_OBJECT.fullmatch(own)
        assert len(own.encode()) < LONGEST_NAME
        if isinstance(statement, sql_ast.CreateFunctionStmt):
            assert statement.replace


def test_what_client_code_calls_is_numbered():
    """Queries, users' migrations and psql call by contract; what only other SQL functions call carries no number."""
    client = " ".join(sql for path, sql in RENDERED.items() if "/pgknowbase_" not in path)
    called = (set(OWN_OBJECT.findall(client)) | FOR_PSQL) - INLINED
    for path in RENDERED:
        for own, statement in created(path):
            if isinstance(statement, sql_ast.CreateFunctionStmt) and OWN_OBJECT.fullmatch(own):
                assert (own in called) is bool(re.search(r"_v\d+$", own)), own


@pytest.mark.parametrize("path", [path for path in RENDERED if "/pgknowbase_" not in path])
def test_other_files_create_nothing_but_triggers(path):
    functions = [s for _, s in created(path) if isinstance(s, sql_ast.CreateFunctionStmt)]
    assert all(is_trigger(function) for function in functions)


def test_views_run_as_their_reader():
    for path in RENDERED:
        for _, statement in created(path):
            if isinstance(statement, sql_ast.ViewStmt):
                assert [(o.defname, o.arg.sval) for o in statement.options] == [("security_invoker", "true")]


def test_nothing_of_others_is_dropped():
    dropped = [
        statement
        for path in RENDERED
        for statement in statements(path)
        if isinstance(statement, sql_ast.DropStmt)
        if statement.removeType not in {ObjectType.OBJECT_TRIGGER, ObjectType.OBJECT_FUNCTION}
    ]
    assert not dropped


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_python_holds_no_long_sql(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    long = [text for text in texts if STARTS_LIKE_SQL.match(text) and ("\n" in text.strip() or len(text) > LINE)]
    assert not long, "move it into the package's queries.sql or a file of sql/"
