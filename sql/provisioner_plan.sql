-- What a sync would send, and what people do with it by hand.  Nothing is sent
-- here: there is no worker and no secret.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE ROLE regress_plan;
CREATE ROLE regress_plan_other;
CREATE SCHEMA plan_test AUTHORIZATION regress_plan;
SET ROLE regress_plan;
CREATE TABLE plan_test.staff (
	id int PRIMARY KEY,
	upn text NOT NULL,
	is_soft_deleted boolean NOT NULL DEFAULT false,
	job_title text,
	mail text,
	display_name text,
	department text,
	manager_id int
);
CREATE TABLE plan_test.teams (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE plan_test.team_members (team_id int, staff_id int, PRIMARY KEY (team_id, staff_id));
INSERT INTO plan_test.staff VALUES
	(1, 'anna@example.com', false, 'Engineer', 'anna@example.com', 'Anna A', 'it', NULL),
	(2, 'bob@example.com', false, NULL, NULL, 'Bob', 'it', 1),
	(3, 'cleo@example.com', true, 'Chief', 'cleo@example.com', 'Cleo', 'it', NULL),
	(4, 'dora "d" \ü@example.com', false, 'x', 'd@example.com', NULL, 'sales', NULL);
INSERT INTO plan_test.teams VALUES (10, 'Blue');
INSERT INTO plan_test.team_members VALUES (10, 1), (10, 2);
RESET ROLE;
SELECT scim.create_mapping('plan_staff', 'User', 'plan_test.staff', owner => 'regress_plan', attributes => '{
	"userName": "upn", "active": "NOT is_soft_deleted", "title": "job_title",
	"emails[type eq \"work\"].value": "mail", "name.formatted": "display_name",
	"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department": "department",
	"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value": "manager_id::text"}');
SELECT scim.create_mapping('plan_teams', 'Group', 'plan_test.teams', owner => 'regress_plan', attributes => '{
	"displayName": "name",
	"members": {"table": "plan_test.team_members", "parent": "team_id", "ref": "staff_id", "type": "User"}}');
CREATE SERVER plan_target FOREIGN DATA WRAPPER scim OPTIONS (base_url 'https://scim.example.com/v2');
CREATE SERVER plan_datadog FOREIGN DATA WRAPPER scim OPTIONS (profile 'datadog');
GRANT USAGE ON FOREIGN SERVER plan_target, plan_datadog TO regress_plan;
SELECT scim.create_sync('plan', mapping => 'plan_staff', server => 'plan_target', scope => 'department <> ''sales''');
SELECT scim.create_sync('plan_dd', mapping => 'plan_staff', server => 'plan_datadog', actions => '{update}');
SELECT scim.create_sync('plan_groups', mapping => 'plan_teams', server => 'plan_target');

-- a sync that was never started plans all rows; who is inactive is not created
SELECT source_key, action, method, path, body, reason FROM scim.plan('plan') ORDER BY 1;
SELECT source_key, action, reason FROM scim.plan('plan', '3');
SELECT source_key, action, reason FROM scim.plan('plan', '4');
SELECT source_key, action, reason FROM scim.plan('plan', '99');
SELECT source_key, action, reason FROM scim.plan('plan', 'no key');
-- a target that does not keep the extension; a sync that does not create
SELECT source_key, action, reason FROM scim.plan('plan_dd');
SELECT source_key, action, reason FROM scim.plan('plan_dd', '1');
-- members that are not at the target yet are left out
SELECT source_key, action, body, reason FROM scim.plan('plan_groups');

-- in an open transaction: what it has changed
SELECT scim.start_sync('plan');
SELECT scim.alter_sync('plan', scope => '', options => '{"create_inactive": true}');
BEGIN;
UPDATE plan_test.staff SET job_title = 'Boss' WHERE id = 2;
SELECT source_key, action, body -> 'title' AS title FROM scim.plan('plan') ORDER BY 1;
ROLLBACK;
SELECT name, scope, options FROM scim.syncs WHERE name = 'plan';

-- an expression that fails on one row costs no other
SELECT scim.create_mapping('plan_odd', 'User', 'plan_test.staff', owner => 'regress_plan', attributes => '{"userName": "upn", "title": "(10 / (id - 2))::text"}');
SELECT scim.create_sync('plan_odd', mapping => 'plan_odd', server => 'plan_target');
SELECT source_key, action FROM scim.plan('plan_odd') ORDER BY 1;
SELECT source_key, action, reason FROM scim.plan('plan_odd', '2');
SELECT scim.drop_sync('plan_odd'), scim.drop_mapping('plan_odd');

-- attributes of a sync: defaults, only on create
SELECT scim.alter_sync('plan', attributes => '{"title": {"on_null": "default", "default": "Staff"}, "name.formatted": {"apply": "create_only"}}', options => '{}');
SELECT source_key, body ->> 'title' AS title FROM scim.plan('plan') ORDER BY 1;

-- by hand
SELECT * FROM scim.sync_now('plan', '1');
SELECT step, outcome, detail FROM scim.explain_sync('plan', '1');
SELECT scim.approve('plan'), scim.reject('plan'), scim.retry('plan');
SELECT scim.restart_sync('plan', '{everything}');
SELECT scim.restart_sync('plan_dd');
SELECT scim.restart_sync('plan', '{full}');
SELECT scim.wait_synced('plan', timeout => '0 s');
BEGIN;
UPDATE plan_test.staff SET job_title = 'Boss' WHERE id = 2;
SELECT scim.wait_synced('plan', timeout => '10 s');
ROLLBACK;
-- of another sync it has none
BEGIN;
UPDATE plan_test.teams SET name = 'Green';
SELECT scim.wait_synced('plan', timeout => '0 s');
SAVEPOINT a;
UPDATE plan_test.staff SET job_title = 'Boss' WHERE id = 2;
ROLLBACK TO a;
SELECT scim.wait_synced('plan', timeout => '0 s');
SELECT scim.wait_synced('plan_groups', timeout => '0 s');
ROLLBACK;
SELECT name, state, linked, pending, queued > 0 AS queued FROM scim.sync_status WHERE name LIKE 'plan%' ORDER BY 1;

-- what is wrong is said
SELECT scim.plan('nobody');
SELECT scim.plan(NULL);
SELECT scim.alter_sync('plan', options => '{"adopt": "maybe"}');
SELECT scim.alter_sync('plan', options => '{"guard_percent": 101}');
SELECT scim.alter_sync('plan', options => '{"colour": 1}');
SELECT scim.alter_sync('plan', scope => 'no such column');
SELECT scim.alter_sync('plan', scope => 'true); DROP TABLE plan_test.teams; --');
SELECT scim.alter_sync('plan', actions => '{invite}');
SELECT scim.alter_sync('plan', delete_after => '-1 day');
SELECT scim.alter_sync('plan', attributes => '{"nickName": {"match": 1}}');

-- whose business it is
GRANT USAGE ON SCHEMA scim TO regress_plan_other;
SET ROLE regress_plan_other;
SELECT * FROM scim.plan('plan');
RESET ROLE;
DO $$
DECLARE
	f text;
BEGIN
	FOR f IN SELECT p.oid::regprocedure::text FROM pg_proc p WHERE p.pronamespace = 'scim'::regnamespace
		AND p.proname IN ('plan', 'sync_now', 'explain_sync', 'approve', 'reject', 'retry', 'restart_sync', 'wait_synced', 'alter_sync') LOOP
		EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO regress_plan_other, regress_plan', f);
	END LOOP;
END
$$;
GRANT SELECT ON scim.sync_links, scim.sync_log, scim.sync_status, scim.sync_errors, scim.sync_lag TO regress_plan_other;
SET ROLE regress_plan_other;
SELECT * FROM scim.plan('plan');
SELECT * FROM scim.sync_now('plan', '1');
SELECT scim.approve('plan');
SELECT scim.restart_sync('plan', '{full}');
SELECT (SELECT count(*) FROM scim.sync_links), (SELECT count(*) FROM scim.sync_log), (SELECT count(*) FROM scim.sync_status), (SELECT count(*) FROM scim.sync_lag);
RESET ROLE;
SET ROLE regress_plan;
SELECT count(*) FROM scim.plan('plan');
RESET ROLE;

-- a mapping that does not resolve any more
ALTER TABLE plan_test.staff DROP COLUMN job_title CASCADE;
SELECT * FROM scim.plan('plan');

SELECT scim.drop_sync(name) FROM scim.syncs WHERE name LIKE 'plan%' ORDER BY name DESC;
SELECT scim.drop_mapping('plan_staff'), scim.drop_mapping('plan_teams');
SELECT count(*) AS left_behind FROM scim._links;
DROP SERVER plan_target;
DROP SERVER plan_datadog;
DROP SCHEMA plan_test CASCADE;
REVOKE USAGE ON SCHEMA scim FROM regress_plan_other;
DROP OWNED BY regress_plan, regress_plan_other;
DROP ROLE regress_plan, regress_plan_other;
