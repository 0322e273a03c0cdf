-- Attribute mappings of Microsoft Entra as mappings and syncs.
-- docs/entra-import.md

CREATE FUNCTION scim.translate_entra_expression(
	expression text,
	relation pg_catalog.regclass,
	columns jsonb DEFAULT NULL
) RETURNS text
	LANGUAGE c STABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'scim_translate_entra_expression';
REVOKE ALL ON FUNCTION scim.translate_entra_expression(text, pg_catalog.regclass, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION scim.translate_entra_expression(text, pg_catalog.regclass, jsonb) IS
'Turn an expression of a Microsoft Entra attribute mapping into a column or an SQL expression over a relation (alias r), of text.
expression: such as Join(" ", [givenName], [surname]); relation: table or view with the columns; columns: attribute to column, such as {"mail": "email"} (default: the column of the same name, as it is, in snake case or in lower case).
Errors: 22023 it cannot be translated (says why, and at which character), 42703 no such column.';

CREATE FUNCTION scim.translate_entra_schema(
	schema jsonb,
	relation pg_catalog.regclass,
	columns jsonb DEFAULT NULL,
	resource_type text DEFAULT 'User',
	OUT kind text,
	OUT path text,
	OUT source text,
	OUT sql text,
	OUT options jsonb,
	OUT note text
) RETURNS SETOF record
	LANGUAGE c STABLE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'scim_translate_entra_schema';
REVOKE ALL ON FUNCTION scim.translate_entra_schema(jsonb, pg_catalog.regclass, jsonb, text) FROM PUBLIC;
COMMENT ON FUNCTION scim.translate_entra_schema(jsonb, pg_catalog.regclass, jsonb, text) IS
'Show what scim.import_entra_schema would make of a Microsoft Entra synchronization schema, and make nothing.
schema: a synchronizationSchema as Microsoft Graph exports it; relation: table or view with the rows; columns: attribute of Entra to its column, to a child table as in scim.create_mapping (for an attribute of many values), or to null (leave it out); default: the column of the same name, as it is, in snake case or in lower case; resource_type: User or Group, which object mapping to look at.
Result: kind: mapping (sql is the source of path, options are those of the sync), scope (sql is the scope of the sync), actions (options are the actions of the sync), or report (it was not translated; note says why); path; source: as Entra has it; note: what is different here.
Errors: 22023 no such object mapping, or several, 42703 no such column, 42704 no such resource type.';

CREATE FUNCTION scim.import_entra_schema(
	schema jsonb,
	mapping text,
	relation pg_catalog.regclass,
	key text DEFAULT NULL,
	columns jsonb DEFAULT NULL,
	owner name DEFAULT NULL,
	resource_type text DEFAULT 'User',
	sync text DEFAULT NULL,
	server name DEFAULT NULL,
	OUT kind text,
	OUT path text,
	OUT source text,
	OUT sql text,
	OUT options jsonb,
	OUT note text
) RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'scim_import_entra_schema';
REVOKE ALL ON FUNCTION scim.import_entra_schema(jsonb, text, pg_catalog.regclass, text, jsonb, name, text, text, name) FROM PUBLIC;
COMMENT ON FUNCTION scim.import_entra_schema(jsonb, text, pg_catalog.regclass, text, jsonb, name, text, text, name) IS
'Make a mapping, and a sync that is not started yet, from a Microsoft Entra synchronization schema. Result: the report of scim.translate_entra_schema; what it says of kind report was not made.
schema, relation, columns, resource_type: as in scim.translate_entra_schema; mapping, key, owner: as in scim.create_mapping; sync, server: name and server of a sync (default: none is made), which scim.create_sync makes with the actions, the scope and the options of the report.
Errors: those of scim.translate_entra_schema, scim.create_mapping and scim.create_sync; 22023 nothing was translated, or a sync was wanted and its scope was not.';
