from docs import settings_tables


def test_the_tables_are_those_of_the_code():
    assert settings_tables.page() == settings_tables.PAGE.read_text(), "run 'make docs'"


def test_every_section_has_a_table():
    headings = {found[2] for found in settings_tables.TABLE.finditer(settings_tables.PAGE.read_text())}
    assert headings == set(settings_tables.sections())
