-- What runs here. pgvector's available version is that of the files on the server, which is what is loaded.
SELECT current_setting('server_version') AS postgres,
    (SELECT e.extversion FROM pg_extension AS e WHERE e.extname = 'vector') AS pgvector,
    (SELECT a.default_version FROM pg_available_extensions AS a WHERE a.name = 'vector') AS available
