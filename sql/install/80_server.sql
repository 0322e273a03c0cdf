-- Servers: SCIM services elsewhere, what each can do, their secrets.

-- ---- profiles ----

-- What the options of a server are when nobody sets them.  Rows are data of
-- this version of the extension, from the vendors' documentation; note names
-- the source.  (No row is a user's: options of the server say it otherwise.)
CREATE TABLE scim._profiles (
	name text PRIMARY KEY,
	title text NOT NULL,
	capabilities jsonb NOT NULL CHECK (pg_catalog.jsonb_typeof(capabilities) = 'object'),
	note text NOT NULL
);
REVOKE ALL ON TABLE scim._profiles FROM PUBLIC;
COMMENT ON TABLE scim._profiles IS 'Internal: what known targets can do; see the view scim.profiles.';
COMMENT ON COLUMN scim._profiles.name IS 'Value of the server option profile.';
COMMENT ON COLUMN scim._profiles.title IS 'The service.';
COMMENT ON COLUMN scim._profiles.capabilities IS 'Values of server options, by their names; base_url and sites besides.';
COMMENT ON COLUMN scim._profiles.note IS 'Where this comes from, and what it does not say.';

INSERT INTO scim._profiles (name, title, capabilities, note) VALUES
('generic', 'Any service that keeps to RFC 7644', '{}',
 'RFC 7644: what one may expect of anybody. Options of the server say what is more.'),
('scim', 'An endpoint of this extension',
 '{"filter_user": ["userName", "externalId", "id", "displayName", "emails.value"], "filter_group": ["displayName", "externalId", "id"], "filter_and": true, "page_size": 1000, "members_per_request": 1000, "concurrency": 16}',
 'Its own tests. scim.max_page_size and scim.max_body_size of the other side bound pages and bodies.'),
('datadog', 'Datadog',
 '{"base_url": "https://api.{site}/api/v2/scim", "sites": ["datadoghq.com", "us3.datadoghq.com", "us5.datadoghq.com", "datadoghq.eu", "ap1.datadoghq.com", "ap2.datadoghq.com", "uk1.datadoghq.com", "ddog-gov.com", "us2.ddog-gov.com"], "filter_user": ["userName"], "filter_group": ["displayName", "externalId"], "email_types": ["work"], "user_attributes": ["userName", "active", "name.formatted", "title", "emails", "roles"], "external_id_user": false, "delete_means": "disables", "content_type": "application/json", "accept": "application/json", "create_sends_invite": true}',
 'docs.datadoghq.com/api/latest/scim and account_management/scim, November 2026. The secret is the application key of a service account. Whether DELETE does more than disable is not documented. Groups are Teams, and have to be enabled by support: option groups.'),
('aws', 'AWS IAM Identity Center',
 '{"filter_user": ["userName", "externalId"], "filter_group": ["displayName", "externalId"], "filter_and": true, "page_size": 50, "members_per_request": 100, "bulk": "false", "multi_value_max": 1, "patch_one_operation": true, "group_attributes": ["displayName", "externalId", "members"]}',
 'docs.aws.amazon.com/singlesignon/latest/developerguide: limitations, patchgroup, creategroup, patchuser. No PUT of groups, no removal of all members, no Bulk.'),
('slack', 'Slack',
 '{"filter_user": ["userName"], "page_size": 1000, "rate_per_second": 3, "burst": 20, "delete_means": "disables"}',
 'docs.slack.dev/reference/scim-api/rate-limits: users 180 writes a minute, burst 20, for all SCIM apps of an organisation together. Wants an e-mail address of every user; changes the case of userName. That DELETE disables is not documented.'),
('github', 'GitHub Enterprise Managed Users',
 '{"filter_user": ["userName", "externalId", "id"], "filter_group": ["displayName", "externalId", "id"], "members_per_request": 1000, "creates_per_hour": 1000, "patch_value_path": false, "delete_means": "irreversible"}',
 'docs.github.com: provisioning users and groups with SCIM using the REST API. One writer only; users before groups. Paths such as emails[type eq "work"] are not supported.'),
('gitlab', 'GitLab',
 '{"filter_user": ["id"], "groups": false, "immutable_attributes": ["userName", "name", "emails"], "disable_means": "unlinks", "reactivation": "new_id"}',
 'docs.gitlab.com development/internal_api (SCIM). PATCH changes externalId and active only; id is the extern_uid. As for a group: setting active false removes the SCIM identity.'),
('atlassian', 'Atlassian Guard',
 '{"filter_user": ["userName", "externalId"], "filter_group": ["displayName"], "disable_means": "unlinks", "delete_means": "disables", "reactivation": "new_id"}',
 'developer.atlassian.com/cloud/admin/user-provisioning/rest. E-mail addresses have to be in a verified domain; every call on a deactivated resource is answered 404.'),
('salesforce', 'Salesforce',
 '{"delete_means": "none"}',
 'help.salesforce.com identity_scim_overview. Users are deactivated, never deleted. Which filters work is not documented.'),
('zoom', 'Zoom',
 '{"accept": "application/scim+json"}',
 'developers.zoom.us/docs/api/rest/scim-api. Demands Accept: application/scim+json.'),
('snowflake', 'Snowflake',
 '{"multi_value_max": 1}',
 'docs.snowflake.com: scim-custom, scim-user-api-reference. No multi-valued attributes; at most 500 requests at the same time.'),
('databricks', 'Databricks', '{}',
 'learn.microsoft.com/azure/databricks/reference/scim-2-1. A filter may have 200 nodes.'),
('sentry', 'Sentry',
 '{"filter_user": ["userName"], "filter_group": ["displayName"], "page_size": 100, "immutable_attributes": ["userName", "name", "emails"], "content_type": "application/json", "accept": "application/json", "external_id_user": false, "disable_means": "deletes", "reactivation": "new_id"}',
 'github.com/getsentry/sentry scim. Does not accept application/scim+json; PATCH of users changes active only; a value with a comma breaks the filter. Setting active false removes the member.'),
('newrelic', 'New Relic',
 '{"update_method": "put_merge", "filter_user": ["userName", "externalId", "id"]}',
 'docs.newrelic.com scim-support: PUT keeps what it leaves out; filters with eq only.'),
('pagerduty', 'PagerDuty',
 '{"disable_means": "deletes", "reactivation": "impossible"}',
 'support.pagerduty.com. Setting active false deletes the user. roles and entitlements have one value.'),
('google', 'Google Cloud Identity',
 '{"filter_user": ["userName", "externalId"], "filter_group": ["displayName", "externalId"]}',
 'docs.cloud.google.com/identity/docs/scim/reference/rest. No PUT, no paging, no ETags.'),
('figma', 'Figma',
 '{"filter_user": ["userName", "externalId"], "filter_group": ["displayName"], "page_size": 200, "disable_means": "unlinks"}',
 'developers.figma.com/docs/rest-api/scim-endpoints. Setting active false removes the user from the organisation. Listing users binds accounts to SCIM; accounts made elsewhere are not found before that.'),
('miro', 'Miro',
 '{"members_per_request": 5000, "rate_per_second": 3, "burst": 10}',
 'developers.miro.com/reference/rate-limits: in 30 s 200 reads or creations of users, 100 changes, 20 deletions, 5 group lists; at most 8,000 members or 800,000 bytes.');

CREATE VIEW scim.profiles AS
	SELECT p.name, p.title, p.capabilities, p.note FROM scim._profiles p;
REVOKE ALL ON TABLE scim.profiles FROM PUBLIC;
COMMENT ON VIEW scim.profiles IS 'Services that the option profile of a server knows. Nothing in it is secret: GRANT SELECT to whoever makes servers.';
COMMENT ON COLUMN scim.profiles.name IS 'Value of the option.';
COMMENT ON COLUMN scim.profiles.title IS 'The service.';
COMMENT ON COLUMN scim.profiles.capabilities IS 'What the options of a server are unless it sets them; base_url with {site} where the address depends on the option site, and sites, the first of which is the default.';
COMMENT ON COLUMN scim.profiles.note IS 'Where this comes from, and what it does not say.';

-- ---- the wrapper ----

CREATE FUNCTION scim._server_options(options text[], catalog pg_catalog.oid) RETURNS void
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'scim_server_options';
REVOKE ALL ON FUNCTION scim._server_options(text[], pg_catalog.oid) FROM PUBLIC;
COMMENT ON FUNCTION scim._server_options(text[], pg_catalog.oid) IS 'Internal: validator of the foreign-data wrapper scim.';

CREATE FOREIGN DATA WRAPPER scim VALIDATOR scim._server_options;
COMMENT ON FOREIGN DATA WRAPPER scim IS
'SCIM services elsewhere: CREATE SERVER name FOREIGN DATA WRAPPER scim OPTIONS (...). USAGE on it is granted to nobody: whoever has it can make this database server send requests.
Where: profile (scim.profiles) and its site, or base_url: https, no user information, no query (requests by plain http and to private addresses: only to hosts in scim.allowed_targets).
Who: auth: bearer (the secret is the token), basic (user client_id, the secret is the password), oauth2_client_credentials (token_url gives a token for client_id and the secret, with scope).
Time: connect_timeout, total_timeout. Load: concurrency, rate_per_second, burst, creates_per_hour, page_size, members_per_request; http2 (requests share a connection, where libcurl and the target have HTTP/2); bulk (ask: as its ServiceProviderConfig says; true, false), bulk_max_operations, bulk_max_payload: several changes in one request.
What the target can do, instead of what the profile says: update_method, group_update (patch, put, put_merge), patch_path_style (pathed, pathless), patch_one_operation, patch_value_path, member_remove (filter, value), filter_user, filter_group, filter_and, list_scan, multi_value_max, email_types, user_attributes, group_attributes, immutable_attributes, groups, external_id_user, external_id_group, disable_means (disables, unlinks, deletes), delete_means (deletes, disables, irreversible, none), reactivation (same_id, new_id, impossible), content_type, accept, create_sends_invite.
Superusers only: ca_file (certificates trusted instead of the system''s), secret_file (the secret is the first line of that file).
Errors: HV00D unknown option, HV024 bad value, HV00J no base URL, 42501 option for superusers.';

-- ---- what targets have shown ----

CREATE TABLE scim._learned (
	server text,
	origin text NOT NULL,
	capability text,
	value text NOT NULL,
	evidence text NOT NULL,
	at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	PRIMARY KEY (server, capability)
);
REVOKE ALL ON TABLE scim._learned FROM PUBLIC;
COMMENT ON TABLE scim._learned IS 'Internal: what targets have shown that they can and cannot do; see the view scim.learned.';
COMMENT ON COLUMN scim._learned.server IS 'Name of the server.';
COMMENT ON COLUMN scim._learned.origin IS 'Origin of its URL then; of another one nothing is known.';
COMMENT ON COLUMN scim._learned.capability IS 'Name of the server option that sets it otherwise.';
COMMENT ON COLUMN scim._learned.value IS 'What it was found to be.';
COMMENT ON COLUMN scim._learned.evidence IS 'The request and the answer that showed it.';
COMMENT ON COLUMN scim._learned.at IS 'When.';
SELECT pg_catalog.pg_extension_config_dump('scim._learned', '');

CREATE VIEW scim.learned AS
	SELECT l.server, l.capability, l.value, l.evidence, l.at
	FROM scim._learned l JOIN pg_catalog.pg_foreign_server f ON f.srvname = l.server
	WHERE pg_catalog.has_server_privilege(f.oid, 'USAGE');
REVOKE ALL ON TABLE scim.learned FROM PUBLIC;
COMMENT ON VIEW scim.learned IS 'What targets have shown that they can and cannot do, of servers that the current user may use. It counts before the profile and after options of the server.';
COMMENT ON COLUMN scim.learned.server IS 'Name of the server.';
COMMENT ON COLUMN scim.learned.capability IS 'Name of the server option that sets it otherwise.';
COMMENT ON COLUMN scim.learned.value IS 'What it was found to be.';
COMMENT ON COLUMN scim.learned.evidence IS 'The request and the answer that showed it.';
COMMENT ON COLUMN scim.learned.at IS 'When.';

CREATE FUNCTION scim.forget_learned(server text) RETURNS bigint
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'scim_forget_learned';
REVOKE ALL ON FUNCTION scim.forget_learned(text) FROM PUBLIC;
COMMENT ON FUNCTION scim.forget_learned(text) IS
'Forget what a target has shown, after it has changed: it is tried anew. Returns how many settings that were.
Errors: 42704 no such server, 42809 not one of SCIM, 42501 no USAGE on it.';

-- ---- secrets ----

-- Not in any dump, for want of pg_extension_config_dump.
CREATE TABLE scim._secrets (
	server text PRIMARY KEY,
	origin text NOT NULL,
	owner pg_catalog.regrole NOT NULL,
	secret text NOT NULL,
	set_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	set_by text NOT NULL
);
REVOKE ALL ON TABLE scim._secrets FROM PUBLIC;
COMMENT ON TABLE scim._secrets IS 'Internal: secrets of servers (scim.set_secret). No grants, not in dumps; it is in the files of the server, its backups and its replicas, and in a publication FOR ALL TABLES, as every table.';
COMMENT ON COLUMN scim._secrets.server IS 'Name of the server.';
COMMENT ON COLUMN scim._secrets.origin IS 'Origin of its URL when the secret was set, and of its token_url if it has one; others do not get it.';
COMMENT ON COLUMN scim._secrets.owner IS 'Its owner then; a server of another one does not get it.';
COMMENT ON COLUMN scim._secrets.secret IS 'The secret.';
COMMENT ON COLUMN scim._secrets.set_at IS 'When it was set.';
COMMENT ON COLUMN scim._secrets.set_by IS 'Who set it.';

CREATE VIEW scim.secrets AS
	SELECT s.server, s.origin, s.owner, s.set_at, s.set_by
	FROM scim._secrets s
	WHERE pg_catalog.pg_has_role(s.owner, 'USAGE');
REVOKE ALL ON TABLE scim.secrets FROM PUBLIC;
COMMENT ON VIEW scim.secrets IS 'Secrets of servers that belong to a role of the current user; never the secret itself.';
COMMENT ON COLUMN scim.secrets.server IS 'Name of the server.';
COMMENT ON COLUMN scim.secrets.origin IS 'Where it may be sent.';
COMMENT ON COLUMN scim.secrets.owner IS 'Owner of the server when it was set.';
COMMENT ON COLUMN scim.secrets.set_at IS 'When it was set.';
COMMENT ON COLUMN scim.secrets.set_by IS 'Who set it.';

CREATE FUNCTION scim.set_secret(server text, secret text) RETURNS text
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'scim_set_secret';
REVOKE ALL ON FUNCTION scim.set_secret(text, text) FROM PUBLIC;
COMMENT ON FUNCTION scim.set_secret(text, text) IS
'Set the secret that requests to a server carry (a bearer token, or as its option auth says), bound to the origin of its URL (and of token_url) and to its owner as they are now. For members of the owner of the server who have USAGE on it. Returns ''ok'', or what is wrong: it raises no error about its arguments, because the text of a statement that fails is logged.
The secret is in the text of this statement (in its parameters, if it has some). pg_stat_activity shows that text until the function begins, and pg_stat_statements not at all (but for a DO or EXECUTE that holds it); but log_statement = all, log_min_duration_statement, auto_explain log it, and so does an error that comes before the function: no permission to call it, a misspelt name. psql variables (:''token'') do not help, psql puts them into the text. What is in no log and no text: send the secret as data.
	CREATE TEMP TABLE s (t text);
	\copy s FROM PROGRAM ''cat token''
	SELECT scim.set_secret(''datadog'', t) FROM s;
	DROP TABLE s;
Or a superuser names a file by the server option secret_file.';

CREATE FUNCTION scim.drop_secret(server text) RETURNS boolean
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'scim_drop_secret';
REVOKE ALL ON FUNCTION scim.drop_secret(text) FROM PUBLIC;
COMMENT ON FUNCTION scim.drop_secret(text) IS
'Forget the secret of a server, which may be gone already; returns whether there was one.
Errors: 42501 not a member of the owner it was set for.';

-- ---- looking ----

CREATE FUNCTION scim.server_capabilities(
	server text,
	OUT name text, OUT value text, OUT source text
) RETURNS SETOF record
	LANGUAGE c STABLE STRICT PARALLEL UNSAFE ROWS 40
	AS 'MODULE_PATHNAME', 'scim_server_capabilities';
REVOKE ALL ON FUNCTION scim.server_capabilities(text) FROM PUBLIC;
COMMENT ON FUNCTION scim.server_capabilities(text) IS
'What requests to a server are adapted to: each setting, its value, and whether it comes from an option of the server, what was learned of it (scim.learned), its profile or the default.
Errors: 42704 no such server, 42809 not one of SCIM, 42501 no USAGE on it.';

CREATE FUNCTION scim.test_connection(
	server text,
	OUT ok boolean, OUT step text, OUT status integer, OUT latency_ms numeric, OUT detail text
) RETURNS SETOF record
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE COST 10000 ROWS 3
	AS 'MODULE_PATHNAME', 'scim_test_connection';
REVOKE ALL ON FUNCTION scim.test_connection(text) FROM PUBLIC;
COMMENT ON FUNCTION scim.test_connection(text) IS
'Send a server what an identity provider''s "Test Connection" sends, and say step by step how it went: is there a secret; a search for a user that does not exist, which has to find nobody; what the target says of itself. Nothing is changed there.
Waits for answers in the transaction of the caller, at most total_timeout of the server for each; a cancel ends it. What goes wrong is a row with ok false.
Errors: 42704 no such server, 42809 not one of SCIM, 42501 no USAGE on it, 55000 scim.outbound is off.';
