-- Attribute mappings of Microsoft Entra: an exported synchronization schema
-- becomes a mapping and a sync; every function of its expressions.
\set VERBOSITY terse
\set SHOW_CONTEXT never
\pset format unaligned
SET client_min_messages = warning;
SELECT scim.setup();
CREATE ROLE scim_regress_entra NOLOGIN;
RESET client_min_messages;
CREATE SCHEMA entra AUTHORIZATION scim_regress_entra;
SET ROLE scim_regress_entra;
CREATE TABLE entra.people (
	id int PRIMARY KEY,
	user_principal_name text NOT NULL,
	mail_nickname text,
	disabled boolean NOT NULL DEFAULT false,
	"displayName" text,
	given_name text,
	surname varchar(40) COLLATE "C",
	jobtitle text,
	mail text,
	preferred_language text,
	office text,
	street_address text,
	city text,
	state text,
	postal_code text,
	country text,
	telephone_number text,
	mobile text,
	employee_id int,
	department text,
	boss int,
	on_premises boolean,
	hired timestamptz,
	born date,
	proxies text[]
);
CREATE TABLE entra.teams (id int PRIMARY KEY, display_name text NOT NULL, object_id uuid);
CREATE TABLE entra.team_people (team_id int REFERENCES entra.teams, person_id int REFERENCES entra.people);
INSERT INTO entra.people VALUES
	(1, 'ada@contoso.com', 'ada', false, 'Ada Lovelace', 'Ada', 'Lovelace', 'Countess', 'ada@work.example', 'en-GB', 'Room 1',
	 '1 St James''s Square', 'London', NULL, 'SW1', 'GB', '+44 9998887777', NULL, 7, 'Engines', 2, true,
	 '2020-03-16 07:00:00Z', '1815-12-10', '{SMTP:ada@contoso.com,smtp:al@contoso.com,SMTP:ada@contoso.com}'),
	(2, 'zoe@contoso.com', 'zoe', true, NULL, 'Zoë', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '', NULL, 'contractor', NULL, NULL, NULL, NULL, NULL);
RESET ROLE;

-- What Microsoft Graph exports for a SCIM application with the default mapping
-- (directories and metadata shortened).
SELECT $json$
{
"id": "scim.1a2b3c4d.schema", "version": "Date:2024-05-02T11:08:07.8283430Z, Version:3", "provisioningTaskIdentifier": "scim.1a2b3c4d",
"directories": [
	{"id": "66e4a8cc-1b7b-435e-95f8-f06cea133828", "name": "Azure Active Directory", "objects": [{"name": "User", "attributes": [{"anchor": false, "caseExact": false, "multivalued": false, "mutability": "ReadWrite", "name": "userPrincipalName", "required": false, "type": "String", "referencedObjects": []}]}, {"name": "Group", "attributes": []}]},
	{"id": "8ffa6169-f354-4751-9b77-9c00765be92d", "name": "customappsso", "objects": []}],
"synchronizationRules": [
	{"editable": true, "id": "03f7d90d-bf71-41b1-bda6-aaf0ddbee5d8", "name": "USERGROUP_OUTBOUND_USERGROUP", "priority": 1,
	"sourceDirectoryName": "Azure Active Directory", "targetDirectoryName": "customappsso", "metadata": [],
	"objectMappings": [
		{"enabled": true, "flowTypes": "Add, Update, Delete", "name": "Provision Azure Active Directory Groups",
		"sourceObjectName": "Group", "targetObjectName": "urn:ietf:params:scim:schemas:core:2.0:Group", "metadata": [{"key": "IsCustomerDefined", "value": "false"}],
		"scope": null,
		"attributeMappings": [
			{"defaultValue": null, "exportMissingReferences": false, "flowBehavior": "FlowWhenChanged", "flowType": "Always", "matchingPriority": 1, "targetAttributeName": "displayName", "source": {"expression": "[displayName]", "name": "displayName", "type": "Attribute", "parameters": []}},
			{"defaultValue": null, "exportMissingReferences": false, "flowBehavior": "FlowWhenChanged", "flowType": "Always", "matchingPriority": 2, "targetAttributeName": "externalId", "source": {"expression": "[objectId]", "name": "objectId", "type": "Attribute", "parameters": []}},
			{"defaultValue": null, "exportMissingReferences": false, "flowBehavior": "FlowWhenChanged", "flowType": "Always", "matchingPriority": 0, "targetAttributeName": "members", "source": {"expression": "[members]", "name": "members", "type": "Attribute", "parameters": []}}
		]},
		{"enabled": true, "flowTypes": "Add, Update, Delete", "name": "Provision Azure Active Directory Users",
		"sourceObjectName": "User", "targetObjectName": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User", "metadata": [{"key": "IsCustomerDefined", "value": "false"}],
		"scope": {"groups": [{"name": "staff", "clauses": [{"operatorName": "IS NOT NULL", "sourceOperandName": "department", "targetOperand": {"values": []}}, {"operatorName": "NOT EQUALS", "sourceOperandName": "department", "targetOperand": {"values": ["contractor"]}}]}, {"name": "board", "clauses": [{"operatorName": "EQUALS", "sourceOperandName": "dirSyncEnabled", "targetOperand": {"values": ["True"]}}]}], "inputFilterGroups": [], "categoryFilterGroups": []},
		"attributeMappings": [
			{"defaultValue": null, "exportMissingReferences": false, "flowBehavior": "FlowWhenChanged", "flowType": "Always", "matchingPriority": 1, "targetAttributeName": "userName", "source": {"expression": "[userPrincipalName]", "name": "userPrincipalName", "type": "Attribute", "parameters": []}},
			{"defaultValue": null, "exportMissingReferences": false, "flowBehavior": "FlowWhenChanged", "flowType": "Always", "matchingPriority": 0, "targetAttributeName": "active", "source": {"expression": "Switch([IsSoftDeleted], , \"False\", \"True\", \"True\", \"False\")", "name": "Switch", "type": "Function", "parameters": [{"key": "source", "value": {"expression": "[IsSoftDeleted]", "name": "IsSoftDeleted", "type": "Attribute", "parameters": []}}, {"key": "key1", "value": {"expression": "\"False\"", "name": "False", "type": "Constant", "parameters": []}}, {"key": "value1", "value": {"expression": "\"True\"", "name": "True", "type": "Constant", "parameters": []}}, {"key": "key2", "value": {"expression": "\"True\"", "name": "True", "type": "Constant", "parameters": []}}, {"key": "value2", "value": {"expression": "\"False\"", "name": "False", "type": "Constant", "parameters": []}}]}},
			{"defaultValue": null, "exportMissingReferences": false, "flowBehavior": "FlowWhenChanged", "flowType": "Always", "matchingPriority": 0, "targetAttributeName": "displayName", "source": {"expression": "[displayName]", "name": "displayName", "type": "Attribute", "parameters": []}},
			{"defaultValue": null, "exportMissingReferences": false, "flowBehavior": "FlowWhenChanged", "flowType": "Always", "matchingPriority": 0, "targetAttributeName": "title", "source": {"expression": "[jobTitle]", "name": "jobTitle", "type": "Attribute", "parameters": []}},
			{"defaultValue": null, "exportMissingReferences": false, "flowBehavior": "FlowWhenChanged", "flowType": "Always", "matchingPriority": 2, "targetAttributeName": "emails[type eq \"work\"].value", "source": {"expression": "[mail]", "name": "mail", "type": "Attribute", "parameters": []}},
			{"defaultValue": "en-US", "exportMissingReferences": false, "flowBehavior": "FlowWhenChanged", "flowType": "Always", "matchingPriority": 0, "targetAttributeName": "preferredLanguage", "source": {"expression": "[preferredLanguage]", "name": "preferredLanguage", "type": "Attribute", "parameters": []}},
			{"defaultValue": null, "exportMissingReferences": false, "flowBehavior": "FlowWhenChanged", "flowType": "Always", "matchingPriority": 0, "targetAttributeName": "name.givenName", "source": {"expression": "[givenName]", "name": "givenName", "type": "Attribute", "parameters": []}},
			{"defaultValue": ".", "exportMissingReferences": false, "flowBehavior": "FlowWhenChanged", "flowType": "Always", "matchingPriority": 0, "targetAttributeName": "name.familyName", "source": {"expression": "[surname]", "name": "surname", "type": "Attribute", "parameters": []}},
			{"defaultValue": null, "exportMissingReferences": false, "flowBehavior": "FlowWhenChanged", "flowType": "Always", "matchingPriority": 0, "targetAttributeName": "name.formatted", "source": {"expression": "Join(\" \", [givenName], [surname])", "name": "Join", "type": "Function", "parameters": [{"key": "separator", "value": {"expression": "\" \"", "name": " ", "type": "Constant", "parameters": []}}, {"key": "source1", "value": {"expression": "[givenName]", "name": "givenName", "type": "Attribute", "parameters": []}}, {"key": "source2", "value": {"expression": "[surname]", "name": "surname", "type": "Attribute", "parameters": []}}]}},
			{"defaultValue": null, "exportMissingReferences": false, "flowBehavior": "FlowWhenChanged", "flowType": "Always", "matchingPriority": 0, "targetAttributeName": "addresses[type eq \"work\"].formatted", "source": {"expression": "[physicalDeliveryOfficeName]", "name": "physicalDeliveryOfficeName", "type": "Attribute", "parameters": []}},
			{"defaultValue": null, "exportMissingReferences": false, "flowBehavior": "FlowWhenChanged", "flowType": "Always", "matchingPriority": 0, "targetAttributeName": "addresses[type eq \"work\"].streetAddress", "source": {"expression": "[streetAddress]", "name": "streetAddress", "type": "Attribute", "parameters": []}},
			{"defaultValue": null, "exportMissingReferences": false, "flowBehavior": "FlowWhenChanged", "flowType": "Always", "matchingPriority": 0, "targetAttributeName": "addresses[type eq \"work\"].locality", "source": {"expression": "[city]", "name": "city", "type": "Attribute", "parameters": []}},
			{"defaultValue": null, "exportMissingReferences": false, "flowBehavior": "FlowWhenChanged", "flowType": "Always", "matchingPriority": 0, "targetAttributeName": "addresses[type eq \"work\"].region", "source": {"expression": "[state]", "name": "state", "type": "Attribute", "parameters": []}},
			{"defaultValue": null, "exportMissingReferences": false, "flowBehavior": "FlowWhenChanged", "flowType": "Always", "matchingPriority": 0, "targetAttributeName": "addresses[type eq \"work\"].postalCode", "source": {"expression": "[postalCode]", "name": "postalCode", "type": "Attribute", "parameters": []}},
			{"defaultValue": "DE", "exportMissingReferences": false, "flowBehavior": "FlowWhenChanged", "flowType": "Always", "matchingPriority": 0, "targetAttributeName": "addresses[type eq \"work\"].country", "source": {"expression": "[country]", "name": "country", "type": "Attribute", "parameters": []}},
			{"defaultValue": null, "exportMissingReferences": false, "flowBehavior": "FlowWhenChanged", "flowType": "Always", "matchingPriority": 0, "targetAttributeName": "phoneNumbers[type eq \"work\"].value", "source": {"expression": "[telephoneNumber]", "name": "telephoneNumber", "type": "Attribute", "parameters": []}},
			{"defaultValue": null, "exportMissingReferences": false, "flowBehavior": "FlowWhenChanged", "flowType": "AttributeAddOnly", "matchingPriority": 0, "targetAttributeName": "phoneNumbers[type eq \"mobile\"].value", "source": {"expression": "[mobile]", "name": "mobile", "type": "Attribute", "parameters": []}},
			{"defaultValue": null, "exportMissingReferences": false, "flowBehavior": "FlowWhenChanged", "flowType": "Always", "matchingPriority": 0, "targetAttributeName": "phoneNumbers[type eq \"fax\"].value", "source": {"expression": "[facsimileTelephoneNumber]", "name": "facsimileTelephoneNumber", "type": "Attribute", "parameters": []}},
			{"defaultValue": null, "exportMissingReferences": false, "flowBehavior": "FlowWhenChanged", "flowType": "Always", "matchingPriority": 0, "targetAttributeName": "externalId", "source": {"expression": "[mailNickname]", "name": "mailNickname", "type": "Attribute", "parameters": []}},
			{"defaultValue": null, "exportMissingReferences": false, "flowBehavior": "FlowWhenChanged", "flowType": "ObjectAddOnly", "matchingPriority": 0, "targetAttributeName": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber", "source": {"expression": "[employeeId]", "name": "employeeId", "type": "Attribute", "parameters": []}},
			{"defaultValue": null, "exportMissingReferences": false, "flowBehavior": "FlowWhenChanged", "flowType": "Always", "matchingPriority": 0, "targetAttributeName": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", "source": {"expression": "[department]", "name": "department", "type": "Attribute", "parameters": []}},
			{"defaultValue": null, "exportMissingReferences": false, "flowBehavior": "FlowWhenChanged", "flowType": "Always", "matchingPriority": 0, "targetAttributeName": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager", "source": {"expression": "[manager]", "name": "manager", "type": "Attribute", "parameters": []}},
			{"defaultValue": null, "exportMissingReferences": false, "flowBehavior": "FlowWhenChanged", "flowType": "Always", "matchingPriority": 0, "targetAttributeName": "roles[primary eq \"True\"].value", "source": {"expression": "SingleAppRoleAssignment([appRoleAssignments])", "name": "SingleAppRoleAssignment", "type": "Function", "parameters": [{"key": "source", "value": {"expression": "[appRoleAssignments]", "name": "appRoleAssignments", "type": "Attribute", "parameters": []}}]}},
			{"defaultValue": "Europe/Berlin", "exportMissingReferences": false, "flowBehavior": "FlowWhenChanged", "flowType": "Always", "matchingPriority": 0, "targetAttributeName": "timezone", "source": null},
			{"defaultValue": null, "exportMissingReferences": false, "flowBehavior": "FlowWhenChanged", "flowType": "Always", "matchingPriority": 0, "targetAttributeName": "locale", "source": {"expression": "Replace([preferredLanguage], \"-\", , , \"_\", , )", "name": "Replace", "type": "Function", "parameters": [{"key": "source", "value": {"expression": "[preferredLanguage]", "name": "preferredLanguage", "type": "Attribute", "parameters": []}}, {"key": "Find", "value": {"expression": "\"-\"", "name": "-", "type": "Constant", "parameters": []}}, {"key": "Replacement", "value": {"expression": "\"_\"", "name": "_", "type": "Constant", "parameters": []}}]}}
		]}
	]}
]}
$json$ AS schema \gset

-- ---- what it would be ----

SELECT kind, path, source, sql FROM scim.translate_entra_schema(:'schema', 'entra.people') WHERE kind <> 'mapping';
\set columns '{"IsSoftDeleted": "disabled", "physicalDeliveryOfficeName": "office", "manager": "boss", "dirSyncEnabled": "on_premises", "facsimileTelephoneNumber": null, "shoeSize": "mobile"}'
\x on
SELECT * FROM scim.translate_entra_schema(:'schema', 'entra.people', :'columns');
\x off
SELECT kind, path, source, sql, options, note FROM scim.translate_entra_schema(:'schema', 'entra.teams', resource_type => 'Group');

-- ---- what it becomes ----

SELECT path, note FROM scim.import_entra_schema(:'schema', 'people', 'entra.people', columns => :'columns', owner => 'scim_regress_entra') WHERE kind = 'report';
SELECT resource_type, relation, key, owner, pg_catalog.jsonb_pretty(attributes) AS attributes FROM scim.mappings WHERE name = 'people';
SELECT scim.drop_mapping('people');
CREATE SERVER scim_regress_entra FOREIGN DATA WRAPPER scim OPTIONS (base_url 'https://entra.example.invalid/scim/v2');
GRANT USAGE ON FOREIGN SERVER scim_regress_entra TO scim_regress_entra;
SELECT pg_catalog.count(*) AS rows FROM scim.import_entra_schema(:'schema', 'people', 'entra.people', columns => :'columns', owner => 'scim_regress_entra',
	sync => 'people_out', server => 'scim_regress_entra');
SELECT actions, scope FROM scim.syncs WHERE name = 'people_out';
SELECT pg_catalog.jsonb_pretty(attributes) AS attributes FROM scim.syncs WHERE name = 'people_out';
SELECT source_key, action, method, path, pg_catalog.jsonb_pretty(body) AS body FROM scim.plan('people_out');
SELECT source_key, action, reason FROM scim.plan('people_out', '2');
SELECT kind, path, sql FROM scim.import_entra_schema(:'schema', 'teams', 'entra.teams', resource_type => 'group', owner => 'scim_regress_entra',
	columns => '{"members": {"table": "entra.team_people", "parent": "team_id", "ref": "person_id", "type": "User"}}');

-- The Datadog story: NOT of a column that is never null can be written, too.
SELECT path, sql, options FROM scim.translate_entra_schema('{"synchronizationRules": [{"objectMappings": [{"targetObjectName": "User", "attributeMappings": [
	{"targetAttributeName": "userName", "matchingPriority": 1, "source": {"type": "Attribute", "name": "userPrincipalName"}},
	{"targetAttributeName": "active", "source": {"expression": "Not([IsSoftDeleted])", "type": "Function", "name": "Not"}},
	{"targetAttributeName": "title", "source": {"type": "Attribute", "name": "jobTitle"}},
	{"targetAttributeName": "emails[type eq \"work\"].value", "source": {"type": "Attribute", "name": "mail"}},
	{"targetAttributeName": "name.formatted", "source": {"type": "Attribute", "name": "displayName"}}]}]}]}', 'entra.people', '{"IsSoftDeleted": "disabled"}')
	WHERE kind = 'mapping';

-- ---- what is wrong ----

CREATE FUNCTION pg_temp.attempt(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	RETURN 'ok';
EXCEPTION WHEN others THEN
	RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
SELECT s AS schema, pg_temp.attempt(pg_catalog.format('SELECT * FROM scim.translate_entra_schema(%L, %L)', s, 'entra.people')) AS answer
	FROM unnest(ARRAY[NULL, '[]', '{}', '1', '{"synchronizationRules": 1}', '{"synchronizationRules": []}', '{"synchronizationRules": [1]}',
	'{"synchronizationRules": [{"objectMappings": [1]}]}', '{"synchronizationRules": [{"objectMappings": [{"targetObjectName": "Robot"}]}]}',
	'{"synchronizationRules": [{"objectMappings": [{"targetObjectName": "User"}, {"targetObjectName": "urn:x:User"}]}]}']) s;
SELECT c AS columns, pg_temp.attempt(pg_catalog.format('SELECT * FROM scim.translate_entra_schema(%L, %L, %L)', :'schema', 'entra.people', c)) AS answer
	FROM unnest(ARRAY['[]', '1', '{"mail": 1}', '{"mail": "nothing"}', '{"mail": "ctid"}', '{"mail": "id; DROP TABLE entra.people"}', '{"mail": {"table": 1}}']) c;
SELECT pg_temp.attempt(pg_catalog.format('SELECT * FROM scim.translate_entra_schema(%L, %L, resource_type => %L)', :'schema', 'entra.people', 'Robot')) AS answer;
SELECT pg_temp.attempt(pg_catalog.format('SELECT * FROM scim.import_entra_schema(%L, %L, %L, owner => %L, sync => %L)', :'schema', 'x', 'entra.people', 'scim_regress_entra', 'x')) AS answer;
SELECT pg_temp.attempt(pg_catalog.format('SELECT * FROM scim.import_entra_schema(%L, %L, %L)', :'schema', 'x', 'entra.people')) AS answer;
SELECT pg_temp.attempt(pg_catalog.format('SELECT * FROM scim.import_entra_schema(%L, %L, %L, owner => %L)', :'schema', 'people', 'entra.people', 'scim_regress_entra')) AS answer;
-- a scope that is not known is no scope at all: no sync, and no mapping either
SELECT pg_temp.attempt(pg_catalog.format('SELECT * FROM scim.import_entra_schema(%L, %L, %L, owner => %L, sync => %L, server => %L)',
	:'schema', 'x', 'entra.people', 'scim_regress_entra', 'x', 'scim_regress_entra')) AS answer;
SELECT pg_catalog.count(*) FROM scim.mappings WHERE name = 'x';
-- an attribute mapping that is wrong costs no other
SELECT kind, path, source, sql, options, note FROM scim.translate_entra_schema('{"synchronizationRules": [{"objectMappings": [{"targetObjectName": "User", "enabled": false, "flowTypes": "Add, Sing", "attributeMappings": [
	1, {}, {"targetAttributeName": "title"}, {"targetAttributeName": "title", "source": {}}, {"targetAttributeName": "title", "source": {"type": "Function", "name": "Left"}},
	{"targetAttributeName": "title", "source": {"type": "Function", "name": "Left", "parameters": [1]}},
	{"targetAttributeName": "title", "source": {"expression": "Left([mail]"}},
	{"targetAttributeName": "id", "source": {"name": "mail"}},
	{"targetAttributeName": "groups", "source": {"name": "mail"}},
	{"targetAttributeName": "name", "source": {"name": "mail"}},
	{"targetAttributeName": "Alias", "source": {"name": "mail"}},
	{"targetAttributeName": "emails", "source": {"name": "mail"}},
	{"targetAttributeName": "emails[type ne \"work\"].value", "source": {"name": "mail"}},
	{"targetAttributeName": "emails[type eq \"work\"].type", "source": {"name": "mail"}},
	{"targetAttributeName": "emails[type eq \"work\"].primary", "source": {"name": "mail"}},
	{"targetAttributeName": "EMAILS[type eq \"work\"].Value", "defaultValue": "none@example.com", "source": {"name": "mail"}},
	{"targetAttributeName": "emails[type eq \"work\"].value", "source": {"name": "mail"}},
	{"targetAttributeName": "roles[primary eq \"True\"].value", "source": {"type": "Constant", "name": "it''s"}},
	{"targetAttributeName": "active", "defaultValue": "maybe", "source": {"name": "disabled"}},
	{"targetAttributeName": "active", "defaultValue": "True", "source": {"name": "disabled"}},
	{"targetAttributeName": "externalId", "flowType": "ObjectAddOnly", "source": {"expression": "Guid()", "type": "Function"}},
	{"targetAttributeName": "nickName", "flowType": "ValueAddOnly", "flowBehavior": "FlowAlways", "source": {"expression": "Redact(Guid())", "type": "Function"}},
	{"targetAttributeName": "nickName", "flowType": "ValueAddOnly", "flowBehavior": "FlowAlways", "source": {"expression": "Redact([mail])", "type": "Function"}},
	{"targetAttributeName": "title", "source": {"type": "Function", "name": "Replace", "parameters": [{"key": "source", "value": {"name": "mail"}},
		{"key": "Find", "value": {"name": "-", "type": "Constant"}}, {"key": "Replacement", "value": {"name": "_", "type": "Constant"}}]}},
	{"targetAttributeName": "displayName", "source": {"type": "Function", "name": "Mid", "parameters": [{"key": "source", "value": {"name": "mail"}},
		{"key": "start", "value": {"name": "1", "type": "Constant"}}, {"key": "length", "value": {"name": "8", "type": "Constant"}}]}}
	]}]}]}', 'entra.people');

-- trees are as deep as texts may be; priorities are any number
SELECT d AS depth, t.kind, t.path, t.options, t.note FROM unnest(ARRAY[60, 70]) d, scim.translate_entra_schema(pg_catalog.format('{"synchronizationRules": [{"objectMappings": [{"targetObjectName": "User", "attributeMappings": [
	{"targetAttributeName": "active", "matchingPriority": 1e300, "source": %s{"name": "disabled"}%s},
	{"targetAttributeName": "title", "matchingPriority": 7.5, "source": {"name": "jobTitle"}},
	{"targetAttributeName": "nickName", "matchingPriority": -1, "source": {"name": "jobTitle"}}]}]}]}',
	pg_catalog.repeat('{"type": "Function", "name": "Not", "parameters": [{"key": "source", "value": ', d), pg_catalog.repeat('}]}', d))::jsonb, 'entra.people') t
	WHERE t.path <> 'actions';

-- ---- scopes ----

CREATE FUNCTION pg_temp.scope(operator text, attribute text, value text, OUT sql text, OUT rows text) LANGUAGE plpgsql AS $$
BEGIN
	SELECT COALESCE(t.sql, t.note) INTO sql
		FROM scim.translate_entra_schema(pg_catalog.format('{"synchronizationRules": [{"objectMappings": [{"targetObjectName": "User", "scope": {"groups": [{"clauses": [%s]}]}}]}]}',
			pg_catalog.jsonb_build_object('operatorName', operator, 'sourceOperandName', attribute, 'targetOperand',
				pg_catalog.jsonb_build_object('values', pg_catalog.jsonb_build_array(value))))::jsonb, 'entra.people') t
		WHERE t.kind = 'scope' OR t.path = 'scope';
	IF sql LIKE '%IS TRUE' THEN
		EXECUTE 'SELECT pg_catalog.string_agg(id::text, '','' ORDER BY id) FROM entra.people r WHERE ' || sql INTO rows;
	END IF;
END $$;
SELECT c.*, s.* FROM (VALUES ('EQUALS', 'department', 'Engines'), ('NOT EQUALS', 'department', 'Engines'), ('NOT EQUALS', 'mobile', 'x'), ('EQUALS', 'employeeId', '7'),
	('EQUALS', 'disabled', 'True'), ('IS TRUE', 'disabled', NULL), ('IS FALSE', 'disabled', NULL), ('IS_TRUE', 'department', NULL), ('IS NULL', 'mobile', NULL), ('IS NOT NULL', 'mail', NULL),
	('Greater_Than', 'employeeId', '6'), ('Greater_Than_OR_EQUALS', 'employeeId', '7'), ('Greater_Than', 'department', '6'), ('Greater_Than', 'employeeId', 'x'),
	('Includes', 'mail', 'work'), ('&', 'department', 'Engines, Weaving'), ('!&', 'department', 'Engines, Weaving'), ('ENDS_WITH', 'userPrincipalName', '@contoso.com'),
	('REGEX MATCH', 'userPrincipalName', '^(ada|eve)\@contoso.com$'), ('NOT REGEX MATCH', 'mail', 'x'), ('REGEX MATCH', 'mail', '('), ('EQUALS', 'mail', NULL), ('IsMemberOf', 'mail', 'x'), ('EQUALS', 'nothing', 'x')) c (operator, attribute, value),
	pg_temp.scope(c.operator, c.attribute, c.value) s;

-- ---- functions ----

-- An expression, what it becomes, and what that gives for a row with values and one without.
CREATE FUNCTION pg_temp.evaluate(expression text, OUT sql text, OUT ada text, OUT zoe text) LANGUAGE plpgsql AS $$
BEGIN
	sql := scim.translate_entra_expression(expression, 'entra.people', '{"IsSoftDeleted": "disabled"}');
	EXECUTE 'SELECT (' || sql || ')::text FROM entra.people r WHERE id = 1' INTO ada;
	EXECUTE 'SELECT (' || sql || ')::text FROM entra.people r WHERE id = 2' INTO zoe;
EXCEPTION WHEN others THEN
	sql := SQLSTATE || ' ' || SQLERRM;
END $$;
\pset null NULL
SET datestyle = 'ISO, MDY';
SET timezone = 'America/New_York';
\x on
SELECT e AS expression, v.* FROM unnest(ARRAY[
	'[mail]', 'Append([mail], ".test")', 'Append(Mid([givenName], 1, 3), Mid([surname], 1, 5))',
	'Join(" ", [givenName], [surname])', 'Join(", ", "", [surname], [givenName])', 'Join("", 1000, [employeeId], [disabled])', 'Join(";", [proxies])',
	'Left([givenName], 2)', 'Left([surname], 3)', 'Left([givenName], 0)', 'Left([givenName], -1)', 'Left([givenName], [employeeId])',
	'Mid([userPrincipalName], 5, 100)', 'Mid([userPrincipalName], [employeeId], 3)',
	'ToLower([surname])', 'ToUpper([surname])', 'StripSpaces([displayName])', 'NormalizeDiacritics([givenName])', 'NormalizeDiacritics("ŁøæßœıÇǖ")',
	'PCase("PABLO GONSALVES (SECOND)")', 'PCase("PINTO-DE''SILVA", " ''-")', 'PCase([surname], "^]")',
	'Word("The quick brown fox",3," ")', 'Word("This,string!has&many separators",3,",!&#")', 'Word([surname], 1, " ")', 'Word("a b", 9, " ")',
	'InStr("The quick brown fox","quick")', 'InStr("repEated","e",3,vbBinaryCompare)', 'InStr([givenName],"D",1,vbTextCompare)', 'InStr([surname],"x",2)',
	'ConvertToBase64("Hello world!")', 'ConvertToBase64("a😀é")', 'ConvertToUTF8Hex("Hello world!")', 'CStr([employeeId])', 'CStr([disabled])'
	]) WITH ORDINALITY AS t (e, n), pg_temp.evaluate(e) v ORDER BY n;
-- A server that was built without ICU has no cultures, and says so.
SELECT CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_collation WHERE collname = 'tr-TR-x-icu')
		THEN v.sql = $$(pg_catalog.upper('i' COLLATE pg_catalog."tr-TR-x-icu") COLLATE pg_catalog."default")$$ AND v.ada = 'İ'
		ELSE v.sql = '22023 this database has no collation for the culture "tr-TR" (character 14 of the expression)' AND v.ada IS NULL
	END AS culture FROM pg_temp.evaluate('ToUpper("i", "tr-TR")') v;
SELECT e AS expression, v.* FROM unnest(ARRAY[
	'Replace([mail], "@work.example", , ,"", ,)', 'Replace([givenName],"<username>", , , , , "<username>@contoso.com")',
	'Replace([telephoneNumber], , "\\+(?<isdCode>\\d* )(?<phoneNumber>\\d{10})", , "${phoneNumber}", , )', 'Replace([telephoneNumber], , "[()\\s-]+", , "", , )',
	'Replace("545 Tremont Street", ,"(?<streetNumber>^\\d*)","streetNumber", "888", , )', 'Replace([userPrincipalName], , "(?<Suffix>@(.)*)", "Suffix", "", , )',
	'Replace([mobile], , "\\+(?<isdCode>\\d* )(?<phoneNumber>\\d{10})", "phoneNumber" , , [telephoneNumber], )', 'Replace("john_doe72", , "[a-zA-Z_]*", , "", , )',
	'Replace("a.b-c", , "([a-c])(?:\\.|-)(?<y>\\w)", , "<$1$2$$\\>", , )', 'Replace("x1y", , "[\\w-.]", , "", , )', 'Replace("a", , "\\bA\\b|b", , "", , )',
	'Replace("a", , "a|ab", , "", , )', 'Replace("a", , "a*?", , "", , )', 'Replace("a", , "(a", , "", , )', 'Replace("a", , "a)", , "", , )', 'Replace("a", , "[a", , "", , )',
	'Replace("a", , "(?i)a", , "", , )', 'Replace("a", , "\\p{L}", , "", , )', 'Replace("a", , "(a)\\1", , "", , )', 'Replace("a", , "*", , "", , )', 'Replace("a", , "(a)", , "$2", , )',
	'Replace("a", , "(?<x>a)+", "x", "", , )', 'Replace("a", , "(?<x>a)", "y", "", , )', 'Replace("a", , "((?<x>a))", "x", "", , )', 'Replace("a", "a", "a", , "", , )', 'Replace("a", "b")'
	]) WITH ORDINALITY AS t (e, n), pg_temp.evaluate(e) v ORDER BY n;
SELECT e AS expression, v.* FROM unnest(ARRAY[
	'Not([IsSoftDeleted])', 'Not([onPremises])', 'Not([mail])', 'Not("True")', 'Switch([IsSoftDeleted], , "False", "True", "True", "False")', 'Switch([department], "other", "Engines", "E", "contractor", "C")',
	'Switch([surname],[surname],"","Other")', 'Switch([state], , "a", 1)', 'Switch([state], "x", "a")', 'Coalesce([mail],[userPrincipalName])', 'Coalesce([employeeId], 0)', 'IIF([country]="GB",[city],[department])', 'IIF([employeeId] > 5, "old", "new")',
	'IIF([onPremises]="True", "x", "y")', 'IIF([surname] <= "M", IIF([city]="London","a","b"), "c")', 'IIF([city] <> "Paris", True, False)', 'CBool([givenName] = [surname])', 'CBool([onPremises])', 'CBool(2)',
	'IsNull([surname])', 'IsNullOrEmpty([mobile])', 'IsPresent([mobile])', 'IsPresent([proxies])', 'IsString([surname])', 'IsString([employeeId])', 'IgnoreFlowIfNullOrEmpty([mobile])', 'Redact([givenName])',
	'Item([proxies], 2)', 'Item(Split("One, Two,Three", ","), 2)', 'Item([proxies], 0)', 'Count([proxies])', 'Count([surname])', 'Join(" ", RemoveDuplicates([proxies]))', 'Split([mail], "@")', 'BitAnd(&HF, &HF7)', 'BitAnd([employeeId], 3)'
	]) WITH ORDINALITY AS t (e, n), pg_temp.evaluate(e) v ORDER BY n;
SELECT e AS expression, v.* FROM unnest(ARRAY[
	'CDate("2020-03-16-07:00")', 'CDate("2021-06-30+08:00")', 'CDate("2009-06-15T01:45:30-07:00")', 'CDate("8/25/2021 5:41:18 PM")', 'CDate("2020-03-16")', 'CStr([hired])', 'CStr([born])',
	'DateAdd("d", 7, CDate("2012-03-16-07:00"))', 'DateAdd("d", -10, CDate("2012-03-16-07:00"))', 'DateAdd("ww", 2, [hired])', 'DateAdd("m", 10, CDate("2012-03-16-07:00"))', 'DateAdd("yyyy", 2, CDate("2012-03-16-07:00"))',
	'DateAdd("h", [employeeId], [hired])', 'DateAdd("n", 1, [hired])', 'DateAdd("s", 1, [hired])', 'DateAdd("q", 1, [hired])',
	'DateDiff("d", CDate("2021-08-18+08:00"), CDate("2021-08-31+08:00"))', 'DateDiff("d", CDate("8/25/2021 5:41:18 PM"), CDate("2012-03-16-07:00"))', 'DateDiff("ww", CDate("8/25/2021 5:41:18 PM"), CDate("2012-03-16-07:00"))',
	'DateDiff("m", CDate("8/25/2021 5:41:18 PM"), CDate("2012-03-16-07:00"))', 'DateDiff("yyyy", CDate("8/25/2021 5:41:18 PM"), CDate("2012-03-16-07:00"))', 'DateDiff("h", CDate("2021-08-24"), CDate("2021-08-25"))',
	'DateDiff("n", CDate("2021-08-24"), CDate("2021-08-25"))', 'DateDiff("s", CDate("2021-08-24"), CDate("2021-08-25"))', 'IIF(DateDiff("d", Now(), [hired]) > 5, "False", "True")',
	'DateFromNum(129699324000000000)', 'NumFromDate(DateFromNum(129699324000000000))', 'NumFromDate(Join("", FormatDateTime("2020-12-31-08:00", ,"yyyy-MM-ddzzz", "yyyy-MM-dd"), " 23:59:59-08:00"))',
	'FormatDateTime("20150123105347.1Z", , "yyyyMMddHHmmss.fZ", "yyyy-MM-dd")', 'FormatDateTime([hired], , , "dddd, d MMMM yyyy ''at'' h:mm tt")', 'FormatDateTime("1/5/2020 07:03:02 PM", ,"M/d/yyyy hh:mm:ss tt","yyyy-MM-ddTHH:mm:sszzz")',
	'FormatDateTime([mobile], , "yyyy", "yy")', 'FormatDateTime([hired], "AssumeLocal", "yyyy", "yy")', 'FormatDateTime([hired], , , "gg yyyy")', 'FormatDateTime([hired], , , "d")',
	'Guid()', 'RandomString(6,3,0,0,3)', 'SelectUniqueValue("a","b")', 'SingleAppRoleAssignment([appRoleAssignments])', 'AppRoleAssignmentsComplex([appRoleAssignments])'
	]) WITH ORDINALITY AS t (e, n), pg_temp.evaluate(e) v ORDER BY n;
\x off
-- the session's settings do not matter where the mapping is evaluated, and the zone nowhere
SET timezone = 'Asia/Tokyo';
SELECT v.ada, v.zoe FROM unnest(ARRAY['FormatDateTime([hired], , , "yyyy-MM-dd HH:mm")', 'CDate("2020-03-16")', 'FormatDateTime("1/5/2020", , "M/d/yyyy", "yyyy-MM-dd HH")']) WITH ORDINALITY AS t (e, n), pg_temp.evaluate(e) v ORDER BY n;
RESET timezone;
RESET datestyle;

-- what is no expression: where, and why
SELECT e AS expression, pg_temp.attempt(pg_catalog.format('SELECT scim.translate_entra_expression(%L, %L)', e, 'entra.people')) AS answer
	FROM unnest(ARRAY['', ' ', '[', '[]', '"a', 'Left(', 'Left("a"', 'Left("a",)', 'Left("ä" 3)', 'Left("a",1))', 'Left("a",1,2)', 'x', 'Foo("a")', '&', '&HX', '-', '12345678901234567890123456789012345678901', '"a" "b"', '"a" = ', '= "a"',
	'[nothing]', 'Mid("a",0,1)', 'Mid("a",1,-1)', 'Left("a","b")', 'Left("a",1.5)', 'Left([proxies],1)', 'IIF("x",1,2)', '[a''; DROP TABLE entra.people; --]']) e;
SELECT pg_temp.attempt(pg_catalog.format('SELECT scim.translate_entra_expression(%L, %L)', pg_catalog.repeat('Not(', n) || '[disabled]' || pg_catalog.repeat(')', n), 'entra.people')) AS answer FROM unnest(ARRAY[64, 65, 3000]) n;
SELECT pg_temp.attempt(pg_catalog.format('SELECT scim.translate_entra_expression(%L, %L)', '"' || pg_catalog.repeat('ä', n) || '"', 'entra.people')) AS answer FROM unnest(ARRAY[9998, 9999]) n;
-- each level writes its argument twice
SELECT pg_temp.attempt(pg_catalog.format('SELECT scim.translate_entra_expression(%L, %L)', pg_catalog.repeat('DateFromNum(DateDiff("m", CDate("2020-01-01"), ', 30) || '[hired]' || pg_catalog.repeat('))', 30), 'entra.people')) AS answer;

-- ---- who may ----

GRANT USAGE ON SCHEMA scim TO scim_regress_entra;
SET ROLE scim_regress_entra;
SELECT scim.translate_entra_expression('[mail]', 'entra.people');
SELECT pg_catalog.count(*) FROM scim.translate_entra_schema('{}', 'entra.people');
SELECT pg_catalog.count(*) FROM scim.import_entra_schema('{}', 'x', 'entra.people');
RESET ROLE;
GRANT EXECUTE ON FUNCTION scim.import_entra_schema(jsonb, text, regclass, text, jsonb, name, text, text, name) TO scim_regress_entra;
SET ROLE scim_regress_entra;
SELECT pg_catalog.count(*) FROM scim.import_entra_schema(:'schema', 'own', 'entra.people');
RESET ROLE;
GRANT EXECUTE ON FUNCTION scim.create_mapping(text, text, regclass, text, jsonb, name, jsonb) TO scim_regress_entra;
SET ROLE scim_regress_entra;
SELECT pg_catalog.count(*) AS rows FROM scim.import_entra_schema(:'schema', 'own', 'entra.people');
RESET ROLE;
REVOKE EXECUTE ON FUNCTION scim.create_mapping(text, text, regclass, text, jsonb, name, jsonb),
	scim.import_entra_schema(jsonb, text, regclass, text, jsonb, name, text, text, name) FROM scim_regress_entra;
SELECT scim.drop_sync('people_out'), scim.drop_mapping('people'), scim.drop_mapping('teams'), scim.drop_mapping('own');
DROP SERVER scim_regress_entra;
DROP SCHEMA entra CASCADE;
REVOKE ALL ON SCHEMA scim FROM scim_regress_entra;
REVOKE ALL ON FUNCTION scim.fold(text) FROM scim_regress_entra;
REVOKE ALL ON TABLE scim.resource_state FROM scim_regress_entra;
DROP ROLE scim_regress_entra;
