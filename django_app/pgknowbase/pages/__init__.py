"""Search where visitors of a site search: a page to include, a form, a field, and completions for forms.

The page shows what its visitor may see, which is decided in the database. Its templates need neither JavaScript nor
inline styles, and each block of them can be overridden: see docs/search-pages.md.
"""
